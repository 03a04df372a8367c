# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of SPF share: trees that are hard to evaluate."""

from __future__ import annotations


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
