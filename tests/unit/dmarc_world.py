# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A world of DMARC records for tests: a name server of the root, and a lookup that asks it."""

from __future__ import annotations

from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import verify_dmarc

P = "v=DMARC1; p="
DOMAIN = "example.com"
OWNER = "_dmarc.example.com."


class World:
    """A name server of the root, which a lookup asks as its resolver and finds as the authority, too.

    C(records) are the values by domain, or by the name of the record where that begins with "_" or has "._report.";
    "=" stands before a name that has them itself; C(second) are those in which a second server differs.
    """

    def __init__(self, stack, records, second=None, **options):
        zone = {"": {"NS": ["ns1.example."]}, "ns1.example": {"A": ["127.0.0.1"]}}
        zone |= {self.name(domain): {"TXT": value if isinstance(value, list) else [value]}
                 for domain, value in records.items()}
        if second is not None:
            zone[""]["NS"].append("ns2.example.")
            zone["ns2.example"] = {"A": ["127.0.0.2"]}
        self.server = stack.enter_context(Nameserver({"": zone}, **options))
        self.servers = [self.server]
        if second is not None:
            other = zone | {self.name(domain): {"TXT": [value]} for domain, value in second.items()}
            self.servers.append(
                stack.enter_context(Nameserver({"": other}, address="127.0.0.2", port=self.server.port)))
        # Short only where silence is waited for: a busy machine is no fault.
        timeout = 0.6 if "faults" in options else 5
        self.lookup = stack.enter_context(
            Lookup([self.server.server], timeout=timeout, authority_port=self.server.port))

    @staticmethod
    def name(domain):
        if domain.startswith("="):
            return domain[1:]
        return domain if domain.startswith("_") or "._report." in domain else f"_dmarc.{domain}"

    def findings(self, *subjects, helo=(), authoritative="no"):
        return verify_dmarc(self.lookup, subjects, helo, authoritative)

    def verdicts(self, check, *subjects, **options):
        return [verdict for verdict in self.findings(*subjects, **options).verdicts if verdict.check == check]

    def one(self, check, *subjects, **options):
        (verdict,) = self.verdicts(check, *subjects, **options)
        return verdict
