# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unit tests test the knowledge, which is pure Python: here Ansible cannot be imported."""

from __future__ import annotations

import sys
from pathlib import Path

# The program of the node is a package of its own.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles/agent/files"))
sys.modules["ansible"] = None  # type: ignore[assignment]
