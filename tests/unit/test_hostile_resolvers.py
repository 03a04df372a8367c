# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every check ends in verdicts, for few questions and never a traceback, whatever the resolver says to all questions.

What it says are name servers too, so that all addresses here are loopback: no packet leaves.
"""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from nameserver import Nameserver, rdata

from ansible_collections.mailfleet.sending.plugins.module_utils.blocklists import SHIPPED
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key
from ansible_collections.mailfleet.sending.plugins.module_utils.domain_facts import Question, domain_facts
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_blocklists import verify_blocklists
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dkim import verify_dkim
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject, verify_dmarc
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_fleet import Wanted, verify_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_inbound import verify_inbound
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_mx import Receiver, verify_mx
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import Address, verify_ptr
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_record import verify_records

NAMES = [f"name{number}.example.net." for number in range(400)]
TEXTS = ["v=spf1 include:example.net a mx ptr exists:%{i}.example.net redirect=example.org",
         "v=DMARC1; p=reject; rua=mailto:x@example.net", "v=DKIM1; p=AAAA", "v=STSv1; id=1", "\x1b[2J\0", ""]
WILD = {"A": ["127.0.0.1", "127.0.0.202"], "AAAA": ["::1"], "MX": [(10, "a.example.net."), (20, ".")],
        "TXT": TEXTS, "PTR": ["a.example.net."], "NS": ["ns.example.net."], "SPF": TEXTS[:1]}
LARGE = {"A": [f"127.{number // 250}.{number % 250}.1" for number in range(1000)], "NS": NAMES, "PTR": NAMES * 2,
         "MX": list(enumerate(NAMES)), "AAAA": ["::1"],
         "TXT": [["x" * 255] * 200, *(f"v=spf1 include:{name}" for name in NAMES[:100])]}


def says(kinds):
    """Return a fault: these values for every name."""
    values = {dns.rdatatype.from_text(kind): [rdata(kind, value) for value in found] for kind, found in kinds.items()}

    def answer(query, _answer):
        (question,) = query.question
        made = dns.message.make_response(query, recursion_available=True)
        made.flags |= dns.flags.AA  # whoever asks it as an authority gets the same
        if question.rdtype in values:
            made.answer.append(dns.rrset.from_rdata_list(question.name, 2**31 - 1, values[question.rdtype]))
        return [made.to_wire(max_size=65535)]

    return {"*": answer}


def over_tcp(fault):
    """Return the fault with what is longer than a datagram cut, so that it is asked for over TCP."""
    def answer(query, first):
        (wire,) = fault["*"](query, first)
        return [wire if len(wire) <= 60000 else wire[:2] + bytes([wire[2] | 2]) + wire[3:600]]

    return {"*": answer}


def denies(query, _answer):
    made = dns.message.make_response(query, recursion_available=True)
    made.set_rcode(dns.rcode.NXDOMAIN)
    return [made]


def to_itself(query, _answer):
    (question,) = query.question
    made = dns.message.make_response(query, recursion_available=True)
    made.answer.append(dns.rrset.from_text(question.name, 0, "IN", "CNAME", "x." + question.name.to_text()[-200:]))
    return [made]


def refers(query, answer):
    """Answer who asks a resolver, and send on who asks an authority, to a hundred others for every name."""
    (question,) = query.question
    if query.flags & dns.flags.RD:
        return says(WILD)["*"](query, answer)
    made = dns.message.make_response(query)
    inside = [f"{name.removesuffix('.example.net.')}.{question.name}" for name in NAMES[:100]]
    made.authority.append(dns.rrset.from_text(question.name, 2**31 - 1, "IN", "NS", *inside))
    made.additional += [dns.rrset.from_text(name, 0, "IN", "A", f"127.8.{at // 250}.{at % 250 + 1}")
                        for at, name in enumerate(inside)]
    return [made.to_wire(max_size=65535)]


RESOLVERS = {
    "referrals for all": {"*": refers},
    "no such name": {"*": denies},
    "nothing": says({}),
    "everything": says(WILD),
    "too much of everything": over_tcp(says(LARGE)),
    "an alias for all": {"*": to_itself},
    "SERVFAIL": {"*": "servfail"},
    "REFUSED": {"*": "refused"},
    "another question": {"*": lambda query, answer: [answer.to_wire()[:12] + b"\0\0\1\0\1" * 5]},
}
CHECKS = {
    "ptr": lambda lookup, by: verify_ptr(
        lookup, [Address("127.0.0.201", "mta1.example.com"), Address("2001:db8::1")], by),
    "mx": lambda lookup, by: verify_mx(
        lookup, [Receiver("example.com"), Receiver("e.example.com", ("mta1.b.com",))], by),
    "inbound": lambda lookup, by: verify_inbound(lookup, ["example.com"]),
    "dkim": lambda lookup, by: verify_dkim(lookup, [Key("example.com", "m1"), Key("example.org")], by).verdicts,
    "dmarc": lambda lookup, by: verify_dmarc(
        lookup, [Subject("a.example.com", "e.example.com")], ["mta1.example.com"], by).verdicts,
    "spf": lambda lookup, by: verify_records(lookup.ask, ["example.com"], lookup.each),
    "blocklists": lambda lookup, by: verify_blocklists(lookup, SHIPPED.values(), ["198.51.100.1"], ["example.com"]),
}
MOST = 600  # questions of one check of one or two subjects
MOST_OF_FLEET = 700  # of all checks together: what several of them ask is asked once


@pytest.mark.parametrize("by", ["auto", "no"])
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("resolver", RESOLVERS)
def test_a_check_ends(resolver, check, by):
    with (Nameserver({}, RESOLVERS[resolver]) as server,
          Lookup([server.server], timeout=5, deadline=200, authority_port=1) as lookup):
        if resolver == "another question":
            lookup.timeout = 0.05  # each is waited for
        verdicts = CHECKS[check](lookup, by)
        assert server.queries <= MOST
        assert lookup.time_left()
    assert verdicts
    statuses = {verdict.status.value for verdict in verdicts}
    if resolver in ("SERVFAIL", "REFUSED", "another question", "an alias for all"):
        assert statuses <= {"unknown"}, [verdict for verdict in verdicts if verdict.status.value != "unknown"]
    for verdict in verdicts:
        assert verdict.status.value == "ok" or (verdict.cause and verdict.mend), verdict
        assert len(str(verdict)) < 150_000


WANTED = Wanted(
    addresses=[Address("127.0.0.201", "mta1.example.com"), Address("2001:db8::1", "mta2.example.com")],
    domains=["example.com", "e.example.com"],
    keys=[Key("example.com", "m1"), Key("example.org")],
    policies=[Subject("a.example.com", "e.example.com")],
    receivers=[Receiver("example.com"), Receiver("e.example.com", ("mta1.example.com",))],
    blocklists=list(SHIPPED.values()),
)


@pytest.mark.parametrize("by", ["auto", "yes", "no"])
@pytest.mark.parametrize("resolver", RESOLVERS)
def test_a_whole_fleet_ends(resolver, by):
    """The authoritative servers that the resolver makes up are the resolver itself, and hundreds that nobody is."""
    with (Nameserver({}, RESOLVERS[resolver]) as server,
          Lookup([server.server], timeout=5, deadline=200, authority_port=server.port) as lookup):
        if resolver == "another question":
            lookup.timeout = 0.05
        found = verify_fleet(lookup, WANTED, by)
        assert server.queries <= MOST_OF_FLEET
        assert lookup.time_left()
    assert {"ptr", "spf", "spf record", "dkim", "dmarc", "mx", "blocklist"} <= {each.check for each in found.verdicts}
    statuses = {verdict.status.value for verdict in found.verdicts}
    if resolver in ("SERVFAIL", "REFUSED", "another question", "an alias for all"):
        assert statuses <= {"unknown"}, [verdict for verdict in found.verdicts if verdict.status.value != "unknown"]
    for verdict in found.verdicts:
        assert verdict.status.value == "ok" or (verdict.cause and verdict.mend), verdict
        assert len(str(verdict)) < 150_000


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_facts_end(resolver):
    with Nameserver({}, RESOLVERS[resolver]) as server, Lookup([server.server], timeout=5, deadline=200) as lookup:
        if resolver == "another question":
            lookup.timeout = 0.05
        facts = domain_facts(lookup, [Question("example.com", ("m1",))])
        assert server.queries <= 2 * MOST and lookup.time_left()
    assert set(facts) == {"example.com"}
