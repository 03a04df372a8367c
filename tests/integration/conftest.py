# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that several files of tests share, and which of their tests a short run leaves out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from postfix_node import Node
from servers import SUITES, Controller, Server

# The program of the node is a package of its own; logs and reports are made as its unit tests make them.
ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "roles/agent/files"), str(ROOT / "tests/unit")]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """In the short form a test runs on one Debian release, the next one on the other; in the long form on both."""
    releases, turns = tuple(SUITES), {}
    for item in items:
        params = dict(item.callspec.params) if hasattr(item, "callspec") else {}
        name = next((name for name, value in params.items() if value in releases), None)
        if name:
            release = params.pop(name)
            turn = turns.setdefault((item.path, item.originalname, repr(params)), len(turns))
            if release != releases[turn % len(releases)]:
                item.add_marker(pytest.mark.long)


@pytest.fixture(scope="module", params=["12", "13"])
def machine(request, tmp_path_factory):
    """A server of each Debian release with Postfix, as the test before left it."""
    server = Server(f"postfix{request.param}", request.param)
    try:
        yield Node(server, Controller(tmp_path_factory.mktemp("controller")))
    finally:
        server.stop()


@pytest.fixture
def node(machine):
    """The same as Debian installed it."""
    machine.fresh()
    return machine
