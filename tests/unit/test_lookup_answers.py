# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How questions end: each shape of an answer that RFC 2308, 6604, 6672 and 8914 know, over a real server."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from nameserver import NEGATIVE_TTL, Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Server

ZONES = {
    "example.com": {
        "a.example.com": {"A": ["192.0.2.1"], "TXT": [["one", "", "two ", "three"]]},
        "gone.example.com": {"CNAME": ["none.example.com."]},
        "out.example.com": {"CNAME": ["stale.example.net."]},
        "old.example.com": {"DNAME": ["example.com."]},
        "long.example.com": {"DNAME": [f"{'b' * 63}.{'c' * 63}.{'d' * 63}.example.com."]},
        "sub.example.com": {"NS": ["ns.elsewhere.example."]},
    },
    "example.net": {"stale.example.net": {"TXT": ["what nobody else sees"]}},
}
SOA = "ns.invalid. h.invalid. 1 1 1 1"


def ask(answer=None, name="a.example.com", rdtype="TXT", authority=None):
    """Return the outcome where a server answers with what `answer` makes of its message; `authority` asks it as one."""
    def sent(_query, message):
        answer(message)
        return [message]

    with Nameserver(ZONES, {"*": sent} if answer else {}) as server:
        asked = None if authority is None else Server("127.0.0.1", server.port, "ns", authority)
        with Lookup([server.server], timeout=5) as lookup:
            return lookup.ask(name, rdtype, asked)


def shaped(rcode=dns.rcode.NOERROR, answer=(), authority=(), flags=dns.flags.QR | dns.flags.AA | dns.flags.RD):
    """Return what gives a message these sections; a line of them is `owner ttl type value`."""
    def rrset(line):
        owner, ttl, rdtype, value = line.split(" ", 3)
        return dns.rrset.from_text(owner, int(ttl), "IN", rdtype, value)

    def shape(message):
        message.answer = [rrset(line) for line in answer]
        message.authority = [rrset(line) for line in authority]
        message.flags = flags
        message.set_rcode(rcode)

    return shape


ALIAS = "a.example.com. 60 CNAME b.example.org."
SOA_OF = {zone: f"{zone} 900 SOA {SOA} 300" for zone in ("example.com.", "example.org.", "example.net.")}
NS = "example.com. 60 NS ns.example.com."


@pytest.mark.parametrize(
    "rcode, answer, authority, kind, ttl, zone",
    [
        # RFC 2308, 2.1: the four shapes of NXDOMAIN, and the bare one.
        (3, [], [SOA_OF["example.com."], NS], Kind.NO_NAME, 300, "example.com."),
        (3, [], [SOA_OF["example.com."]], Kind.NO_NAME, 300, "example.com."),
        (3, [], [], Kind.NO_NAME, 0, ""),
        (3, [], [NS], Kind.NO_NAME, 0, ""),
        # With a CNAME it is the last name that does not exist (RFC 2308, 2.1; RFC 6604, 3).
        (3, [ALIAS], [SOA_OF["example.org."]], Kind.NO_NAME, 60, "example.org."),
        (3, [ALIAS], [], Kind.NO_NAME, 0, ""),
        # RFC 2308, 2.2: the shapes of NODATA.
        (0, [], [SOA_OF["example.com."], NS], Kind.NO_DATA, 300, "example.com."),
        (0, [], [SOA_OF["example.com."]], Kind.NO_DATA, 300, "example.com."),
        (0, [], [], Kind.NO_DATA, 0, ""),
        (0, [ALIAS], [SOA_OF["example.org."]], Kind.NO_DATA, 60, "example.org."),
        # The smaller of the TTL and the last number of the SOA counts (RFC 2308, 5).
        (0, [], [f"example.com. 20 SOA {SOA} 300"], Kind.NO_DATA, 20, "example.com."),
        (0, [], [f"example.com. 900 SOA {SOA} 0"], Kind.NO_DATA, 0, "example.com."),
        (0, [], [f"example.com. 900 SOA {SOA} {2**31}"], Kind.NO_DATA, 900, "example.com."),
        (0, [], [f"example.com. 900 SOA {SOA} {2**32 - 1}"], Kind.NO_DATA, 900, "example.com."),
        (3, [], [f"example.com. 0 SOA {SOA} 300"], Kind.NO_NAME, 0, "example.com."),
        # A SOA that is of no parent of the name proves nothing about how long it holds.
        (3, [], [SOA_OF["example.net."]], Kind.NO_NAME, 0, ""),
    ],
)
def test_negative_answers(rcode, answer, authority, kind, ttl, zone):
    outcome = ask(shaped(rcode, answer, authority))
    assert (outcome.kind, outcome.ttl, outcome.zone) == (kind, ttl, zone)
    assert outcome.chain == (("b.example.org.",) if answer else ())


@pytest.mark.parametrize(
    "shape, cause",
    [
        (shaped(authority=["example.com. 60 NS ns.example.com."]), "it refers to other servers instead of answering"),
        (shaped(authority=[". 60 NS a.root.example."]), "it refers to other servers instead of answering"),
        (shaped(flags=dns.flags.QR | dns.flags.RD), "it offers no recursion, and has no authority to answer itself"),
        (shaped(3, flags=dns.flags.QR), "it offers no recursion, and has no authority to answer itself"),
        (shaped(2), "SERVFAIL"),
        (shaped(5), "REFUSED"),
        (shaped(6), "YXDOMAIN"),
        (shaped(9), "NOTAUTH"),
        (shaped(4), "NOTIMP"),
    ],
)
def test_what_is_no_answer_is_never_missing(shape, cause):
    outcome = ask(shape)
    assert (outcome.kind, outcome.cause) == (Kind.SILENT, cause)


def extended(code, text=None, rcode=dns.rcode.NOERROR):
    def shape(message):
        message.set_rcode(rcode)
        if rcode:
            message.answer = []
        message.use_edns(0, options=[dns.edns.EDEOption(code, text)])

    return shape


@pytest.mark.parametrize(
    "code, text, rcode, cause",
    [
        (6, "validation failure <a.example.com. TXT IN>: signature expired", 2,
         "SERVFAIL: extended error 6 (dnssec bogus), validation failure <a.example.com. TXT IN>: signature expired"),
        (22, None, 2, "SERVFAIL: extended error 22 (no reachable authority)"),
        (18, "not from \x1b[31mhere", 5, "REFUSED: extended error 18 (prohibited), not from ?[31mhere"),
        (49152, "x" * 5000, 2, f"SERVFAIL: extended error 49152 (unknown), {'x' * 200}"),
        (15, "by policy", 3, "it does not say what DNS holds: extended error 15 (blocked), by policy"),
        (4, None, 0, "it does not say what DNS holds: extended error 4 (forged answer)"),
        (17, None, 0, "it does not say what DNS holds: extended error 17 (filtered)"),
    ],
)
def test_extended_errors_are_told(code, text, rcode, cause):
    outcome = ask(extended(code, text, rcode))
    assert (outcome.kind, outcome.cause) == (Kind.SILENT, cause)


def test_an_extended_error_beside_an_answer_leaves_it_one():
    outcome = ask(extended(3, "served from an expired cache"))
    assert outcome.values == ("onetwo three",)
    assert outcome.cause == "extended error 3 (stale answer), served from an expired cache"
    outcome = ask(extended(19, None, 3))
    assert str(outcome) == "no such name (extended error 19 (stale nxdomain answer))"


def test_names_are_compared_without_case():
    def shout(message):
        message.question = [dns.rrset.RRset(dns.name.from_text("A.EXAMPLE.com."), 1, message.question[0].rdtype)]
        message.answer = [dns.rrset.from_text("a.Example.COM.", 60, "IN", "CNAME", "B.example.com."),
                          dns.rrset.from_text("b.EXAMPLE.com.", 60, "IN", "TXT", "found")]

    outcome = ask(shout)
    assert (outcome.values, outcome.chain) == (("found",), ("b.example.com.",))


def test_records_of_other_names_and_classes_are_not_taken():
    def stray(message):
        message.answer = [dns.rrset.from_text("other.example.com.", 60, "IN", "TXT", "stray"),
                          dns.rrset.from_text("a.example.com.", 60, "CH", "TXT", "chaos")]

    assert ask(stray).kind is Kind.NO_DATA


def test_several_strings_are_one_value():
    assert ask().values == ("onetwo three",)


@pytest.mark.parametrize(
    "name, kind, values, chain",
    [
        ("gone.example.com", Kind.NO_NAME, (), ("none.example.com.",)),
        ("a.old.example.com", Kind.VALUES, ("onetwo three",), ("a.example.com.",)),
        ("a.b.old.example.com", Kind.NO_NAME, (), ("a.b.example.com.",)),
        ("old.example.com", Kind.NO_DATA, (), ()),  # a DNAME does not move its own name (RFC 6672, 2.3)
    ],
)
def test_aliases(name, kind, values, chain):
    outcome = ask(name=name)
    assert (outcome.kind, outcome.values, outcome.chain) == (kind, values, chain)


def test_a_name_that_a_dname_makes_too_long_ends():
    # A server should answer YXDOMAIN (RFC 6672, 2.2); ours leaves even that to us.
    outcome = ask(name=f"{'e' * 63}.long.example.com")
    assert (outcome.kind, outcome.cause[:8]) == (Kind.SILENT, "YXDOMAIN")


def test_an_authority_is_believed_about_its_zone_only():
    """Receivers' resolvers ask the servers of example.net, whatever one of example.com still has of it."""
    seen = {"example.net": {"stale.example.net": {"TXT": ["what all see"]}}}
    with Nameserver(seen) as resolver, Nameserver(ZONES) as server, Lookup([resolver.server], timeout=5) as lookup:
        asked = Server("127.0.0.1", server.port, "ns", "example.com.")
        outcome = lookup.ask("out.example.com", "TXT", asked)
        assert (outcome.values, outcome.chain) == (("what all see",), ("stale.example.net.",))
        assert resolver.asked == {("stale.example.net", "TXT"): 1}


def test_an_authority_that_is_asked_about_another_zone_of_its_own_is_believed():
    assert ask(name="stale.example.net", authority="example.com.").values == ("what nobody else sees",)


@pytest.mark.parametrize(
    "name, kind, cause, zone",
    [
        ("x.sub.example.com", Kind.SILENT, "it refers to the servers of sub.example.com.", "sub.example.com."),
        ("none.example.com", Kind.NO_NAME, "", "example.com."),
        ("www.example.org", Kind.SILENT, "REFUSED", ""),
    ],
)
def test_an_authority_refers_or_answers(name, kind, cause, zone):
    outcome = ask(name=name, authority="example.com.")
    assert (outcome.kind, outcome.cause, outcome.zone) == (kind, cause, zone)
    assert outcome.ttl == (NEGATIVE_TTL if outcome.said else 0)


@pytest.mark.parametrize("rcode", [0, 3])
@pytest.mark.parametrize("zone, said", [
    ("example.com.", True), ("a.example.com.", True), ("com.", False), (".", False),
])
def test_an_authority_that_lost_the_zone_and_has_the_one_above_is_lame(rcode, zone, said):
    """It would deny all names of a zone that it no longer has; resolvers take that for no answer."""
    shape = shaped(rcode, [], [f"{zone} 900 SOA {SOA} 300"])
    outcome = ask(shape, authority="example.com.")
    assert outcome.said is said
    assert outcome.cause == ("" if said else f"lame: it answers for {zone}, which is above example.com.")
    assert ask(shape, authority="").said and ask(shape).said  # who is no authority of a known zone may say so


@pytest.mark.parametrize("flags", [dns.flags.QR, dns.flags.QR | dns.flags.RA])
def test_an_authority_that_answers_without_authority_is_lame(flags):
    lines = ["a.example.com. 60 TXT from-a-cache"]
    outcome = ask(shaped(answer=lines, flags=flags), authority="example.com.")
    assert (outcome.kind, outcome.cause) == (Kind.SILENT, "lame: it does not answer with authority")
