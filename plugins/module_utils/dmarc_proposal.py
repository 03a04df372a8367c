# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one DMARC record to publish at each owner in a run, whoever asks for a change of it."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_record import DmarcRecord, amended
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_rules import Changes
from ansible_collections.mailfleet.sending.plugins.module_utils.records import quoted, to_bytes

LONGEST = 300  # characters of a record that stands there; of a longer one the beginning is shown


class Proposals:
    """The changes that the records of a run need. All are noted before one is said.

    What a policy needs is to be published in any case. What alignment needs could be had by another change too, that of
    a bounce domain, so that it stays out of a record which is to be published as it is wanted.
    """

    def __init__(self) -> None:
        self._policy: dict[str, Changes] = {}
        self._alignment: dict[str, Changes] = {}

    def need(self, owner: str, changes: Mapping[str, str | None]) -> None:
        """Note what the policy at an owner's name needs. What was noted first for a tag stands."""
        self._policy[owner] = {**changes, **self._policy.get(owner, {})}

    def could(self, owner: str, tag: str) -> None:
        """Note that alignment could be had without a tag of the owner's record."""
        self._alignment.setdefault(owner, {})[tag] = None

    def is_needed(self, owner: str) -> bool:
        """Return whether the policy at an owner's name needs changes."""
        return bool(self._policy.get(owner))

    def policy(self, owner: str, record: DmarcRecord) -> str:
        """Return how to publish what the policy needs, empty where no tag would change."""
        return publish(owner, record, self._policy.get(owner, {}))

    def without(self, owner: str, record: DmarcRecord, tag: str) -> str:
        """Return how the owner's record is to be published without a tag that keeps alignment away."""
        if changes := self._policy.get(owner):
            if tag in changes and changes[tag] is None:
                return publish(owner, record, changes)
            return f"leave {tag}={record.tags[tag]} out of what is to be published at {owner}"
        return publish(owner, record, self._alignment[owner])


def publish(owner: str, record: DmarcRecord, changes: Mapping[str, str | None]) -> str:
    """Return how to say that a record is to be published with changes, empty where they change nothing."""
    text = amended(record, changes)
    if text == record.text:
        return ""
    return f"publish {owner} TXT {quoted(to_bytes(text))} instead of {quoted(to_bytes(short(record.text)))}"


def short(text: str) -> str:
    """Return a text as it is shown: of one that is too long its beginning."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST - 20]}… ({len(text)} characters)"
