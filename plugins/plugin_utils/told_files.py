# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run tells people, kept on the controller as JSON with the time at which it was made."""

from __future__ import annotations

import datetime
import json
import os
import typing as t

from ansible.errors import AnsibleActionFail

from ansible_collections.mailfleet.sending.plugins.module_utils.state import State


def write_told(what: str, content: t.Mapping[str, t.Any], path: str) -> str:
    """Write C(content) to C(path), where C(what), such as "report", is expected; return the path.

    Raises: AnsibleActionFail where that cannot be.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    folder, name = os.path.split(path)
    try:
        State(folder).write_text(name, json.dumps({"made": now, **content}, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise AnsibleActionFail(f"the {what} cannot be written to {path}: {error}; give another path") from error
    return path
