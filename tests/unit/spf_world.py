# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of SPF share: a lookup in memory, mends that are published as they are printed, a tree that is tangled."""

from __future__ import annotations

import re

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import unquoted

_PUBLISH = re.compile(r'publish (\S+)\. TXT ("(?:[^"\\]|\\.)*"(?: "(?:[^"\\]|\\.)*")*)')


class Sealed:
    """A lookup in memory: {name: values of TXT, or of other types as {type: values}}."""

    def __init__(self, names):
        self.names = names

    def each(self, function, items):
        return [function(item) for item in items]

    def ask(self, name, rdtype):
        types = self.names.get(name.lower().removesuffix("."), {})
        types = {"TXT": types} if isinstance(types, list) else types
        values = tuple(types.get(rdtype, ()))
        kind = Kind.VALUES if values else Kind.NO_DATA if types else Kind.NO_NAME
        return Outcome(f"{name.removesuffix('.')}.", rdtype, kind, values, server="192.0.2.53")


def published(mend):
    """Return the records that a mend says to publish, by name."""
    return {name: unquoted(text).decode("utf-8") for name, text in _PUBLISH.findall(mend)}


def publish(names, mends):
    """Return the names with the records of the mends in place of the SPF records that stood there."""
    new = dict(names)
    for mend in mends:
        for name, text in published(mend).items():
            types = new.get(name, [])
            there = types if isinstance(types, list) else types.get("TXT", ())
            texts = [*(value for value in there if not value.startswith("v=spf1")), text]
            new[name] = texts if isinstance(types, list) else {**types, "TXT": texts}
    return new


def tangled(domain):
    """Return records of a tree in which 22 ways of having spent go on together, each through 27,000 terms.

    An address of 192.0.2.0/26 leaves the include of each bit that is set in it early, and pays a void lookup for every
    other one.
    """
    names = {}
    for bit in range(6):
        leaving = " ".join(f"-ip4:192.0.2.{number}" for number in range(64) if number >> bit & 1)
        names[f"g{bit}.example"] = f"v=spf1 {leaving} a:none{bit}.example -all"
    wide = "ip6::: " * 9000
    bits = " ".join(f"include:{name}" for name in names)
    return names | {
        "wide.example": f"v=spf1 {wide}-all",
        domain: f"v=spf1 {bits} include:wide.example include:wide.example {wide}ip4:192.0.2.0/26 -all",
    }
