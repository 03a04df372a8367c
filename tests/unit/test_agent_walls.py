# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program of the node needs the standard library alone, and psycopg in one file."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import mailfleet

FILES = sorted(Path(mailfleet.__file__).parent.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The first names of what a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_only_the_postgresql_store_imports_more_than_the_standard_library():
    known = sys.stdlib_module_names | {"mailfleet"}
    assert {path.name: imported(path) - known for path in FILES if imported(path) - known} == {
        "store_postgresql.py": {"psycopg"}}
    assert len(FILES) > 25
