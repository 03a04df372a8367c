# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unit tests test the knowledge, which is pure Python: here Ansible cannot be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The program of the node is a package of its own.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles/agent/files"))
sys.modules["ansible"] = None  # type: ignore[assignment]


@pytest.fixture(scope="session", autouse=True)
def _patience():
    """An answer that comes late since the machine is busy is waited for, however short the timeouts of a test are."""
    import busy
    from nameserver import Nameserver

    transport = busy.dns_transport
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(transport, "exchange", busy.patient(transport.exchange, Nameserver.running))
        yield
