# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys that a fleet should sign with and that nobody knows, so that nothing in DNS can be compared with them.

A clone without its state, or another controller, knows none. That is C(unknown), be the records there or not.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import CHECK
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CAUSE = "the state knows no key of this domain"
MEND = "run site.yml first, or give sending_state the folder that holds it"
# What a module takes for one such key.
UNKNOWN_KEY = {
    "domain": {"type": "str", "required": True},
    "server": {"type": "str", "default": ""},
    "selector": {"type": "str", "default": ""},
}


@dataclass(frozen=True)
class UnknownKey:
    """A key that should sign.

    Attributes: C(domain) that it signs for, in lower case without its last dot; C(server) that should hold it, empty
    for the whole fleet; C(selector) what its selector should look like, as a regular expression.
    Raises: ValueError where the domain is no name.
    """

    domain: str
    server: str = ""
    selector: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", absolute_name(self.domain).removesuffix("."))


def read_unknown_keys(items: Iterable[Mapping[str, str]]) -> list[UnknownKey]:
    """Return the keys of a module's option (UNKNOWN_KEY). Raises: ValueError with all mistakes."""
    return collect(lambda item: UnknownKey(**item), items, "unknown_keys")


def verify_unknown(keys: Iterable[UnknownKey], known: Container[str]) -> list[Verdict]:
    """Return a verdict on each key: always C(unknown).

    Arguments: C(known) the domains of which other keys are known, as after a change of selectors.
    """
    return [_verdict(key, key.domain in known) for key in dict.fromkeys(keys)]


def _verdict(key: UnknownKey, others: bool) -> Verdict:
    place = f" on {key.server}" if key.server else ""
    like = f"{place} with a selector like {key.selector}" if others and key.selector else place if others else ""
    return Verdict(CHECK, (f"{key.domain}{place}",), Status.UNKNOWN, "", "a key whose public half is known",
                   f"{CAUSE}{like}", MEND, "keys.json in the folder sending_state")
