# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the verifying modules answer Ansible: by one result, with every mistake at once, and never by a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import DNSPYTHON_ERROR

# A sending address, as the inventory has it. What it is bound to behind a translation of addresses is of no meaning
# to who looks from outside, and taken so that the inventory's list can be given as it is.
SENDING_ADDRESS = {
    "address": {"type": "str", "required": True},
    "helo": {"type": "str", "default": ""},
    "bind": {"type": "str", "default": ""},
}
NO_DNSPYTHON = (f"the Python library dnspython is not installed for {sys.executable}, which runs this: install it "
                "there (Debian's package is python3-dnspython)")


def answer(module: Any, result: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
    """End a module with what C(result) makes of its parameters.

    Arguments: C(module) an AnsibleModule; C(result) returns what the module returns, with its warnings as C(warnings),
    and raises ValueError for mistakes.
    """
    if DNSPYTHON_ERROR:
        module.fail_json(msg=NO_DNSPYTHON, exception=DNSPYTHON_ERROR)
    try:
        made = result(module.params)
    except ValueError as error:
        module.fail_json(msg=str(error))
    for warning in made.pop("warnings"):
        module.warn(warning)
    module.exit_json(**made)
