# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The results of all single checks as a file of CSV (RFC 4180), written as they are made and seen when it is whole."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Check
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Case, Run
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf import status_of

COLUMNS = ("address", "identity", "domain", "status", "result", "chain", "terms", "voids", "cause")
_MODE = 0o644


class Matrix:
    """A context in which C(write) adds rows. The file appears where it ends without an error; no path, no file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path) if path else None
        self._file: TextIO | None = None
        self._text = io.StringIO()
        self._csv = csv.writer(self._text)

    def __enter__(self) -> Matrix:
        if self.path:
            descriptor, name = tempfile.mkstemp(prefix=".new-", dir=self.path.parent)
            self._new = Path(name)
            self._file = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="")
            os.fchmod(descriptor, _MODE)
            self._file.write(f"{','.join(COLUMNS)}\r\n")
        return self

    def __exit__(self, kind: object, *_error: object) -> None:
        if not self._file:
            return
        try:
            with self._file:
                self._file.flush()
                os.fsync(self._file.fileno())
            if kind is None:
                os.replace(self._new, self.path)
        finally:
            self._new.unlink(missing_ok=True)

    def write(self, case: Case, ends: Sequence[tuple[Run, Check]]) -> None:
        """Add the rows of one domain."""
        if not self._file:
            return
        rows = case.table.rows
        for (first, end), check in ends:
            # All but the address is the same: quoted once for the whole run.
            self._csv.writerow((case.identity, case.domain, status_of(check).value, check.result.value,
                                " > ".join(map(str, check.chain)), check.terms, len(check.voids), check.cause))
            rest = self._text.getvalue()
            self._text.seek(0)
            self._text.truncate()
            self._file.writelines([f"{row.text},{rest}" for row in rows[first:end]])
