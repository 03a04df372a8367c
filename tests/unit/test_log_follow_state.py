# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is done to a log in whatever order, each line is read once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from mailfleet.maillog.follow import Files
from rotated_log import Log


class Followed(RuleBasedStateMachine):
    """A log that is written, rotated and followed; what is committed are the place and the lines together."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mailfleet-log-"))
        self.log = Log(self.folder)
        self.committed: list[bytes] = []
        self.place: dict | None = None
        self.start()

    def start(self) -> None:
        self.files = Files(str(self.log.path), self.place)
        self.fresh: list[bytes] = []

    def read(self, most: int = 1000) -> None:
        while most and (block := self.files.read()):
            self.fresh += block.splitlines(keepends=True)
            most -= 1

    def commit(self) -> None:
        self.committed += self.fresh
        self.fresh = []
        self.place = json.loads(json.dumps(self.files.place()))

    @rule(many=st.integers(1, 4), length=st.sampled_from([0, 0, 300, 5000]))
    def append(self, many, length):
        self.log.append(many, length)

    @rule(cut=st.integers(1, 20))
    def append_a_part(self, cut):
        self.log.write(self.log.line()[:-cut])

    @rule(data=st.data(), create=st.booleans())
    def rotate(self, data, create):
        self.log.rotate(data.draw(st.sampled_from([self.log.append, self.read, lambda: None])), create)

    @rule(ending=st.sampled_from([".gz", ".gz", ".xz", ".bz2"]), number=st.integers(1, 3))
    def pack(self, ending, number):
        if self.log.path.with_name(f"mail.log.{number}").exists():
            self.log.pack(number, ending)

    @rule(reads=st.booleans())
    def copytruncate(self, reads):
        self.log.copytruncate(self.read if reads else lambda: None)

    @precondition(lambda self: self.read_all)
    @rule()
    def truncate(self):
        os.truncate(self.log.path, 0)

    @rule(most=st.integers(1, 3))
    def look(self, most):
        self.read(most)

    @rule()
    def work(self):
        self.read()
        self.commit()

    @rule()
    def restart(self):
        self.read()
        self.commit()
        self.files.close()
        self.start()

    @rule()
    def kill(self):
        self.files.close()
        self.start()

    @property
    def read_all(self) -> bool:
        return self.committed == self.log.lines and not self.log._rest and self.place is not None

    @invariant()
    def nothing_is_lost_or_read_twice(self):
        got = self.committed + self.fresh
        assert got == self.log.lines[:len(got)]

    def teardown(self):
        self.log.append()  # only then it is known that nothing is added to older files
        self.read()
        got, wanted = self.committed + self.fresh, self.log.lines
        self.files.close()
        self.log.close()
        shutil.rmtree(self.folder)
        assert got == wanted


Followed.TestCase.settings = settings(stateful_step_count=30, deadline=None)
test_each_line_is_read_once = Followed.TestCase
