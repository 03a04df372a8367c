# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wrong SPF records and what their writers meant: a table of slips, and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mistakes import is_like_spf, is_mistaken, meant_by
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import is_spf, parse_record


@pytest.mark.parametrize("text, meant, section", [
    # The beginning, RFC 7208, 4.5
    ("v=spf1; a -all", "v=spf1 a -all", "4.5"),
    ("v=spf1include:a.example ~all", "v=spf1 include:a.example ~all", "4.5"),
    (" v=spf1 a", "v=spf1 a", "4.5"),
    ("spf1 a", "v=spf1 a", "4.5"),
    ("v=spf2 a", "v=spf1 a", "4.5"),
    ("V = SPF1 a", "v=spf1 a", "4.5"),
    ("v=spf1\tmx", "v=spf1 mx", "4.6.1"),
    ("v=spf1 a v=spf1 mx -all", "v=spf1 a mx -all", "4.5"),
    # What a DNS panel does to a value
    ('"v=spf1 a -all"', "v=spf1 a -all", "RFC 1035, 5.1"),
    ('"v=spf1 a" " mx -all"', "v=spf1 a mx -all", "RFC 1035, 5.1"),
    ('v=spf1 a "mx" -all', "v=spf1 a mx -all", "RFC 1035, 5.1"),
    ('\\"v=spf1 a -all\\"', "v=spf1 a -all", "RFC 1035, 5.1"),
    ("v=spf1 a\u00a0mx \u2013all", "v=spf1 a mx -all", "4.6.1"),
    ("v=spf1 ip4:192.0.2.1ip4:192.0.2.2 ~all", "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 ~all", "3.3"),
    ("v=spf1 include:a.example~all", "v=spf1 include:a.example ~all", "3.3"),
    ("v=spf1 ip4:192.0.2.1,192.0.2.2;-all", "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all", "3.3"),
    # Spaces within a term, 4.6.1
    ("v=spf1 ip4: 192.0.2.1 - all", "v=spf1 ip4:192.0.2.1 -all", "4.6.1"),
    ("v=spf1 include : a.example -all", "v=spf1 include:a.example -all", "4.6.1"),
    ("v=spf1 redirect= a.example", "v=spf1 redirect=a.example", "4.6.1"),
    # Names of terms
    ("v=spf1 ipv4:192.0.2.1 ipv6:2001:db8::1 -all", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all", "5.6"),
    ("v=spf1 ip:192.0.2.1 -all", "v=spf1 ip4:192.0.2.1 -all", "5.6"),
    ("v=spf1 192.0.2.1 2001:db8::/32 -all", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::/32 -all", "5.6"),
    ("v=spf1 ip4.192.0.2.1 -all", "v=spf1 ip4:192.0.2.1 -all", "5.6"),
    ("v=spf1 ip4:2001:db8::1 ip6:192.0.2.1 -all", "v=spf1 ip6:2001:db8::1 ip4:192.0.2.1 -all", "5.6"),
    ("v=spf1 a:192.0.2.1 mx:192.0.2.2/24 -all", "v=spf1 ip4:192.0.2.1 ip4:192.0.2.0/24 -all", "5.6"),
    ("v=spf1 include:192.0.2.1 -all", "v=spf1 ip4:192.0.2.1 -all", "5.6"),
    ("v=spf1 ip4:mail.example.com -all", "v=spf1 a:mail.example.com -all", "5.3"),
    ("v=spf1 ip4=192.0.2.1 include=a.example -all", "v=spf1 ip4:192.0.2.1 include:a.example -all", "5.6"),
    ("v=spf1 redirect:a.example", "v=spf1 redirect=a.example", "4.6.1"),
    ("v=spf1 -redirect=a.example", "v=spf1 redirect=a.example", "4.6.1"),
    ("v=spf1 mx: a: -all.", "v=spf1 mx a -all", "4.6.1"),
    ("v=spf1 ++a --all", "v=spf1 +a -all", "4.6.1"),
    # Networks
    ("v=spf1 ip4:192.0.2.0/255.255.255.0 -all", "v=spf1 ip4:192.0.2.0/24 -all", "5.6"),
    ("v=spf1 ip4:192.0.2.* -all", "v=spf1 ip4:192.0.2.0/24 -all", "5.6"),
    ("v=spf1 ip4:192.0.2.0-192.0.2.5 -all", "v=spf1 ip4:192.0.2.0/30 ip4:192.0.2.4/31 -all", "5.6"),
    ("v=spf1 ip6:[2001:db8::1] -all", "v=spf1 ip6:2001:db8::1 -all", "5.6"),
    ("v=spf1 ip4:192.0.2.0\\24 -all", "v=spf1 ip4:192.0.2.0/24 -all", "5.6"),
    # What cannot be told
    ("v=spf1 foo -all", "", ""),
    ("v=spf1 ip4:192.0.2.300 -all", "", ""),
    ("v=spf1 ip4:192.0.2.1/33 -all", "", ""),
    ("v=spf1 include: -all", "", ""),
    ("v=spf1 ip4:0.0.0.1-255.255.255.254 -all", "", ""),
])
def test_what_is_meant(text, meant, section):
    record, changes = meant_by(text)
    assert record == meant
    assert section in "; ".join(map(str, changes))


@pytest.mark.parametrize("text", [
    "v=spf1 ip4:192.0.2.77/24 a:mail.example.com. exists:%{l,-}.%{i}.example exp=a.example foo=bar -ALL",
    "v=spf1", "V=SPF1 IP4:192.0.2.1  ?mx/24//64 redirect=%{d}",
])
def test_what_is_right_stays(text):
    assert meant_by(text)[0].lower() == " ".join(text.lower().split())
    assert meant_by(text)[1] == ()


@pytest.mark.parametrize("text, like", [
    ("v=spf1;", True), ('"v=spf1 a"', True), ("spf1 a", True), ("v:spf1", True), ("v=spf1include:a.example", True),
    ("spf2.0/pra a", False), ("v=DKIM1; p=", False), ("spf is set up", False), ("google-site-verification=x", False),
])
def test_what_is_like_spf(text, like):
    assert is_like_spf(text) is like


@pytest.mark.parametrize("modifier, mistaken", [
    ("ip4=192.0.2.1", True), ("include=a.example", True), ("A=b.example", True), ("v=spf1", True), ("all=", True),
    ("rp=100", False), ("x-note=a", False), ("match_subdomains=yes", False),
])
def test_mechanisms_with_an_equals_sign(modifier, mistaken):
    assert is_mistaken(modifier) is mistaken


PIECES = st.lists(st.one_of(
    st.text(max_size=8),
    st.sampled_from(["v=spf1", " ", ":", "=", ";", '"', "ip4:", "ipv4:", "192.0.2.1", "include:", "a.example", "-all",
                     "mx", "/24", "redirect", "%{i}", "\u2013", "[", "-"])), max_size=20).map("".join)


@given(PIECES)
def test_what_is_meant_is_a_record(text):
    record, _changes = meant_by(text)
    assert record == "" or (is_spf(record) and parse_record(record))
    assert record == "" or meant_by(record)[0] in ("", record)
