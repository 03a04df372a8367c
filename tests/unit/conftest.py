# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unit tests test the knowledge, which is pure Python: here Ansible cannot be imported."""

from __future__ import annotations

import sys

sys.modules["ansible"] = None  # type: ignore[assignment]
