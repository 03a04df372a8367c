# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pyspf as an oracle: on generated trees it and check_host() agree, but for the differences that are listed here.

Both ask the same name server in this process: pyspf by its hook DNSLookup.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import spf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import audit
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import check_host

HELO = "helo.example"


@contextmanager
def world(names, faults=None):
    """Run a name server that has the names, a text being TXT; give the lookup that asks it."""
    names = {name: {"TXT": [types]} if isinstance(types, str) else types for name, types in names.items()}
    with Nameserver({"": names}, faults) as server, Lookup([server.server], timeout=2) as lookup:
        yield lookup


def theirs(lookup, client, domain, local="user"):
    """Return the result of pyspf in strict mode."""
    raw = {"TXT": lambda value: (value.encode(),), "MX": lambda value: (value[0], value[1].removesuffix(".")),
           "PTR": lambda value: value.removesuffix(".")}

    def ask(name, rdtype, *_more):
        outcome = lookup.ask(name, rdtype)
        if not outcome.said:
            raise spf.TempError(f"DNS {outcome.cause}")
        return [((name, rdtype), raw.get(rdtype, str)(value)) for value in outcome.values]

    original, spf.DNSLookup = spf.DNSLookup, ask
    try:
        return spf.query(client, f"{local}@{domain}", HELO, strict=True).check()[0]
    finally:
        spf.DNSLookup = original


def ours(lookup, client, domain, read=None):
    """Return our check; what it asks is added to a list, type and name, once for each time."""
    def ask(name, rdtype):
        if read is not None:
            read.append((rdtype, name.removesuffix(".")))
        return lookup.ask(name, rdtype)

    return check_host(client, domain, f"user@{domain}", HELO, ask)


CLIENTS = ["192.0.2.1", "192.0.2.130", "198.51.100.7", "2001:db8::1", "2001:db8:1::1"]
HAS_A_NAME_THAT_IS_GONE = "198.51.100.7"
DOMAINS = [f"d{number}.example" for number in range(14)]
HOSTS = {
    "h0.example": {"A": ["192.0.2.1", "198.51.100.7"], "AAAA": ["2001:db8::1"], "MX": ["5 h1.example."]},
    "h1.example": {"A": ["192.0.2.130"], "AAAA": ["2001:db8:1::1"]},
    "192.0.2.1.list.example": {"A": ["127.0.0.2"]},
    "user.list.example": {"A": ["127.0.0.2"]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["h0.example."]},
    "7.100.51.198.in-addr.arpa": {"PTR": ["gone.example.", "h0.example."]},
}
CIDR = st.sampled_from(["", "", "/24", "/25", "//64", "/0", "/32//128", "//0"])
PLAIN = st.one_of(
    st.sampled_from(["ip4:192.0.2.1", "ip4:192.0.2.0/25", "ip4:198.51.100.0/24", "ip6:2001:db8::/48", "ip6:2001:db8::1",
                     "ptr:h0.example", "exists:%{i}.list.example", "exists:%{l}.list.example", "a:%{l}.example",
                     "exists:h0.example", "a:h%{l1r-}.example"]),
    st.builds("a:{}{}".format, st.sampled_from(["h0.example", "h1.example"]), CIDR),
    st.builds("mx:{}{}".format, st.sampled_from(["h0.example"]), CIDR),
)
WRONG = st.sampled_from(["foo", "ipv4:192.0.2.1", "ip4:192.0.2", "a:h0", "include", "ip6:2001:db8::g", "a/33",
                         "exists:", "mx//129", "all:x.example", "ip4:192.0.2.1/33"])


@st.composite
def trees(draw):
    """Return {domain: record} of domains that lead to later ones, wide and deep enough to reach every limit."""
    texts = {}
    for number, name in enumerate(DOMAINS):
        later = st.sampled_from([*DOMAINS[number + 1:], "none.example"])
        terms = st.one_of(PLAIN, PLAIN, st.builds("include:{}".format, later), st.builds("include:{}".format, later),
                          st.sampled_from(["a:gone.example", "=%{i}"]) if number else PLAIN)
        found = [f"{draw(st.sampled_from(['', '', '', '-', '~', '?']))}{term}" if "=" not in term else f"{at}{term}"
                 for at, term in zip("wxyz", draw(st.lists(terms, max_size=4)))]
        if draw(st.integers(0, 25)) == 25:
            found.append(draw(WRONG))
        found.append(draw(st.sampled_from(["", "-all", "~all", "?all", f"redirect={draw(later)}"])))
        texts[name] = " ".join(["v=spf1", *found]).strip()
    return texts


@settings(max_examples=settings().max_examples // 2)
@given(trees())
@example(dict.fromkeys(DOMAINS, "v=spf1") | {"d0.example": "v=spf1 -ptr:h1.example -ptr:h1.example ptr:h0.example"})
def test_pyspf_finds_the_same(texts):
    with world(HOSTS | texts) as lookup:
        for client in CLIENTS:
            read = []
            check = ours(lookup, client, DOMAINS[0], read)
            they = theirs(lookup, client, DOMAINS[0])
            if they == "permerror" != check.result:
                # 4.6.4 and 6.1: a redirect that is not followed is no lookup; pyspf counts each that it reads.
                more = sum("redirect=" in texts[name] for rdtype, name in read if rdtype == "TXT" and name in texts)
                # 5.5: a name of the client that leads nowhere is skipped; pyspf counts it as void each time.
                voids = [rdtype for rdtype, _name in read if rdtype == "PTR" and client == HAS_A_NAME_THAT_IS_GONE]
                assert check.terms + more > 10 or len(check.voids) + len(voids) > 2, texts
            else:
                assert (check.result, texts) == (they, texts)
            assert audit(DOMAINS[0], lookup.ask).cost.terms >= check.terms


MORE = HOSTS | {
    "two.example": {"TXT": ["v=spf1 -all", "v=spf1 ~all"]},
    "null.example": {"MX": ["0 ."]},
    "ten.example": {"MX": [f"1 m{number}.example." for number in range(10)]},
    "eleven.example": {"MX": [f"1 m{number}.example." for number in range(11)]},
    "one.example": "v=spf1 a:h0.example", "no.example": "v=spf1 -all", "all.example": "v=spf1 +all",
    "g1.example": "v=spf1 a:gone1.example", "g2.example": "v=spf1 a:gone2.example",
    "g3.example": "v=spf1 a:gone3.example", "on.example": "v=spf1 -a:h0.example redirect=one.example",
}


@pytest.mark.parametrize("text, client", [
    # Syntax is read before anything is matched, 4.6
    ("ip4:192.0.2.1 foo -all", "192.0.2.1"), ("all foo", "192.0.2.1"), ("ip4:192.0.2.1 x=%{q} -all", "192.0.2.1"),
    ("redirect=one.example redirect=no.example", "192.0.2.1"), ("exp=a.example exp=b.example -all", "192.0.2.1"),
    ("+redirect=one.example", "192.0.2.1"), ("exp= -all", "192.0.2.1"), ("1x=a -all", "192.0.2.1"),
    ("ip4:192.0.2.01 -all", "192.0.2.1"), ("a/024 -all", "192.0.2.1"), ("a:123 -all", "192.0.2.1"),
    ("a:x.123 -all", "192.0.2.1"), ("a:x.-a -all", "192.0.2.1"), ("a:h0.example/32/128 -all", "192.0.2.1"),
    ("ptr/8 -all", "192.0.2.1"), ("a:%%{d} -all", "192.0.2.1"), ("a:caf\u00e9.example -all", "192.0.2.1"),
    ("ip6:2001:db8::1%eth0 -all", "2001:db8::1"),
    # Names, 4.3, 4.8 and 7.3
    ("a:h0.example. -all", "192.0.2.1"), ("a:h0..example -all", "192.0.2.1"), ("a:.h0.example -all", "192.0.2.1"),
    ("include:%{d1} -all", "192.0.2.1"), ("a:%{d1} -all", "192.0.2.1"), ("a:%{h} -all", "192.0.2.1"),
    ("exists:%{p}.x.example -all", "192.0.2.1"), ("a:%{l99}.list.example -all", "192.0.2.1"),
    # Limits, 4.6.4
    ("mx:ten.example -all", "192.0.2.1"), ("mx:eleven.example -all", "192.0.2.1"),
    ("include:no.example " * 8 + "redirect=one.example", "192.0.2.1"),
    ("include:no.example " * 9 + "redirect=one.example", "192.0.2.1"),
    ("include:no.example " * 10 + "ip4:192.0.2.1", "192.0.2.1"), ("include:no.example " * 11, "192.0.2.1"),
    ("include:g1.example include:g2.example ~all", "192.0.2.1"),
    ("include:g1.example include:g2.example include:g3.example ~all", "192.0.2.1"),
    ("ptr exists:g1.example exists:g2.example ~all", "198.51.100.99"), ("a:g1.example a:g1.example ~all", "192.0.2.1"),
    ("mx:null.example exists:g1.example exists:g2.example ~all", "192.0.2.1"),
    ("include:d.example -all", "198.51.100.99"), ("redirect=d.example", "198.51.100.99"),
    # include, redirect and all, 5.1, 5.2 and 6.1
    ("include:two.example -all", "192.0.2.1"), ("?include:all.example -all", "192.0.2.1"),
    ("-all redirect=one.example", "192.0.2.1"), ("redirect=none.example", "192.0.2.1"),
    ("include:no.example", "192.0.2.1"),
    # Families, 5
    ("ip4:192.0.2.1 -all", "::ffff:192.0.2.1"), ("ip6:::ffff:192.0.2.1 -all", "::ffff:192.0.2.1"),
    ("exists:h0.example -all", "2001:db8::1"), ("ip4:192.0.2.1/0 -all", "198.51.100.1"),
])
def test_pyspf_finds_the_same_at_the_edges(text, client):
    with world(MORE | {"d.example": f"v=spf1 {text}"}) as lookup:
        assert ours(lookup, client, "d.example").result == theirs(lookup, client, "d.example")


@pytest.mark.parametrize("text, we, they, why", [
    ("ip4:192.0.2.1 include:d.example -all", "pass", "permerror",
     "4.6.4 and 5.2: a loop is no error of syntax; it ends by the limit for those who get to it, and this client does "
     "not. pyspf looks for it before it matches anything"),
    ("x=1 x=2 -all", "fail", "permerror",
     "6: unrecognized modifiers are ignored no matter how often they appear. pyspf takes none twice"),
    ("include:on.example " * 5 + "~all", "softfail", "permerror",
     "6.1: a redirect is followed, and is one of the ten terms of 4.6.4, only where no mechanism matches. pyspf counts "
     "each that it reads"),
    ("a:%{l0}.x -all", "permerror", "fail",
     "7.3: a number of parts to keep must not be zero, and an error of syntax is permerror (4.6). pyspf keeps none"),
])
def test_where_pyspf_differs(text, we, they, why):
    with world(MORE | {"d.example": f"v=spf1 {text}"}) as lookup:
        found = ours(lookup, "192.0.2.1", "d.example").result
        assert (found, theirs(lookup, "192.0.2.1", "d.example")) == (we, they), why
