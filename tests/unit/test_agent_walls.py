# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program of the node needs the standard library alone, and psycopg in one file; nothing of the collection, so that
what both have to know is held together here."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import mailfleet
from mailfleet import recipients, settings, verifier

from ansible_collections.mailfleet.sending.plugins.module_utils import agent_settings, agent_units, probe_bounces

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


def test_both_sides_of_the_wall_mean_the_same_places():
    assert agent_units.VERIFYING == verifier.PLACE
    assert (agent_settings.STATE, agent_settings.SPOOL) == (settings.STATE, settings.SPOOL)
    assert f"{agent_units.CONFIGURATION}/agent.json" == settings.PLACE
    assert f"{agent_units.CONFIGURATION}/secrets.json" == settings.SECRETS


def test_the_program_knows_the_recipients_that_the_collection_makes_up():
    made_up = probe_bounces.nobody("0123abcd", "Gmail.com")
    assert recipients.is_probe(made_up) and recipients.is_probe(made_up.upper())
    assert not recipients.is_probe("mailfleet@gmail.com")
