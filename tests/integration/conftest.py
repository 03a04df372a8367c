# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that several files of tests share."""

from __future__ import annotations

import pytest
from postfix_node import Node
from servers import Controller, Server


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
