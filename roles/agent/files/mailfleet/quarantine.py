# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages that change nothing, kept for people to look at: bounded by size and age, and counted."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import os
import re
import typing as t

from .errors import Status, Trouble
from .spool import write_file

DAY = 86400
# What carries a valid token has a folder and a bound of its own: no flood of junk displaces it.
FOLDERS = ("token", "other")
_NAME = re.compile(r"([a-z-]+)\.[0-9a-f]+\.eml\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """A message in quarantine: where it is, why, since when (seconds of UTC), and its octets on the disk."""

    path: str
    reason: str
    since: float
    size: int


class Quarantine:
    """The folder. Messages come by a rename within one file system: at every moment they are in one of both places.

    :arg most: octets on the disk for each of the two folders; beyond, the oldest go.
    :arg days: after which a message goes.
    """

    def __init__(self, folder: str, most: int, days: int) -> None:
        self.folder, self.most, self.days = folder, most, days
        for each in FOLDERS:
            os.makedirs(os.path.join(folder, each), mode=0o700, exist_ok=True)
        self._size = {each: sum(kept.size for kept in self.kept(each)) for each in FOLDERS}

    def check(self, spool: str) -> None:
        """Raise Trouble where messages of a spool could not be renamed to here."""
        if os.stat(self.folder).st_dev != os.stat(spool).st_dev:
            wrong = Trouble("quarantine.folder", f"{self.folder} is on another file system than {spool}",
                            "one file system, so that no moment has a message in neither")
            wrong.status = Status.SETTINGS
            raise wrong

    def take(self, path: str, raw: bytes, reason: str, *, token: bool) -> None:
        """Move a message here.

        :arg raw: its content, as far as it was read; the same content is kept once.
        :arg reason: in lower-case letters and hyphens.
        """
        place = FOLDERS[not token]
        try:
            found = os.stat(path)
            name = f"{reason}.{hashlib.sha256(raw).hexdigest()[:32]}.eml"
            os.rename(path, os.path.join(self.folder, place, name))
        except FileNotFoundError:
            return
        self._size[place] += found.st_blocks * 512
        if self._size[place] > self.most:
            self._shrink(place, self.most * 9 // 10, 0)

    def tidy(self, now: float) -> None:
        """Let go what is too old."""
        for place in FOLDERS:
            self._shrink(place, self.most, now - self.days * DAY)

    def kept(self, place: str) -> list[Kept]:
        """The messages of a folder, in no order."""
        kept = []
        with os.scandir(os.path.join(self.folder, place)) as found:
            for each in found:
                if name := _NAME.match(each.name):
                    try:
                        status = each.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    kept.append(Kept(each.path, name[1], status.st_mtime, status.st_blocks * 512))
        return kept

    def counts(self) -> dict[str, dict[str, int]]:
        """How many messages there are for each reason, and how many went for lack of room or by age."""
        there = collections.Counter(kept.reason for place in FOLDERS for kept in self.kept(place))
        gone = self._gone()
        return {reason: {"kept": there[reason], "gone": gone.get(reason, 0)} for reason in sorted({*there, *gone})}

    def forget(self, address: str) -> int:
        """Remove the messages that name an address; how many."""
        wanted, removed = address.lower().encode("utf-8", "replace"), 0
        for kept in (each for place in FOLDERS for each in self.kept(place)):
            try:
                with open(kept.path, "rb") as file:
                    names = wanted in file.read().lower()
                if names:
                    os.unlink(kept.path)
                    removed += 1
            except FileNotFoundError:
                continue
        return removed

    def _shrink(self, place: str, most: int, since: float) -> None:
        kept = sorted(self.kept(place), key=lambda each: each.since, reverse=True)
        size, going = 0, []
        for each in kept:
            if each.since < since or size + each.size > most:
                going.append(each)
            else:
                size += each.size
        self._size[place] = size
        if going:
            gone = collections.Counter(self._gone())
            gone.update(each.reason for each in going)
            write_file(os.path.join(self.folder, "gone.json"), json.dumps(gone).encode())
        for each in going:
            try:
                os.unlink(each.path)
            except FileNotFoundError:
                pass

    def _gone(self) -> dict[str, t.Any]:
        try:
            with open(os.path.join(self.folder, "gone.json"), encoding="utf-8") as file:
                return json.load(file)
        except (FileNotFoundError, ValueError):
            return {}
