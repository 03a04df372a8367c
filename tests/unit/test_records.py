# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records: canonical form, kinds, zones, and zone text that another program reads back to the octet."""
import json

import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils.records import (
    Record,
    absolute_name,
    canonical,
    kind,
    quoted,
    to_bytes,
    to_json,
    to_text,
    txt_strings,
    unquoted,
    zone_of,
    zone_text,
)


@pytest.mark.parametrize(
    ("rtype", "one", "other"),
    [
        ("A", "198.51.100.10", " 198.51.100.10 "),
        ("AAAA", "2001:DB8:61:0:0::10", "2001:db8:61::10"),
        ("MX", "10  MTA1.Example.COM", "10 mta1.example.com."),
        ("PTR", "MTA1.example.com", "mta1.example.com."),
        ("CNAME", "Example.com.", "example.com"),
        ("CAA", '0  issue  "ca.example"', '0 issue "ca.example"'),
    ],
)
def test_values_that_mean_the_same_are_equal(rtype, one, other):
    assert canonical(rtype, one) == canonical(rtype, other)
    assert Record("A.Example", rtype, one).key == Record("a.example.", rtype, other).key


def test_txt_is_compared_to_the_octet():
    assert Record("a.", "TXT", "v=spf1 -all").key != Record("a.", "TXT", "v=spf1  -all").key
    assert Record("a.", "TXT", "v=SPF1 -all").key != Record("a.", "TXT", "v=spf1 -all").key


@pytest.mark.parametrize(
    ("rtype", "value"),
    [
        ("A", "2001:db8::1"),
        ("A", "198.51.100.010"),
        ("AAAA", "198.51.100.1"),
        ("MX", "mta1.example.com"),
        ("MX", "65536 mta1.example.com"),
        ("MX", "10 "),
        ("PTR", "two words"),
        ("PTR", "a..b"),
        ("TXT", None),
    ],
)
def test_a_value_of_another_type_is_refused(rtype, value):
    with pytest.raises(ValueError, match="."):
        Record("a.example.", rtype, value)


TOO_LONG = ["x" * 64, ".".join(["x" * 60] * 5)]


@pytest.mark.parametrize("name", ["", "a..b", ".a", "a b", 'a"b', "ü..example", "straße.example", *TOO_LONG, None])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="is not a domain name"):
        absolute_name(name)


def test_a_dictionary_and_back():
    record = Record("e.example.com.", "MX", "10 mta1.example.com.", 300, "bounces come back here")
    assert Record.from_dict(record.to_dict()) == record
    assert Record.from_dict({"owner": "E.example.com", "type": "mx", "value": "10 mta1.example.com"}).key == record.key
    assert json.loads(to_json([record])) == [record.to_dict()]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"owner": "a.", "type": "A"}, "lacks its value"),
        ({"owner": "a.", "type": "A", "value": "198.51.100.1", "tll": 3}, "no tll"),
        ({"owner": "a.", "type": "A", "value": "198.51.100.1", "ttl": -1}, "not a TTL"),
        ({"owner": "a.", "type": "A", "value": "198.51.100.1", "ttl": True}, "not a TTL"),
        ({"owner": "a.", "type": "", "value": "198.51.100.1"}, "not a record type"),
        ("a. A 198.51.100.1", "is not a record"),
    ],
)
def test_a_dictionary_that_is_no_record(data, words):
    with pytest.raises(ValueError, match=words):
        Record.from_dict(data)


@pytest.mark.parametrize(
    ("value", "owner", "expected"),
    [
        ("v=spf1 -all", "", "spf"),
        ("V=SPF1", "", "spf"),
        ("v=spf10 -all", "", "other"),
        ("v=spf1-all", "", "other"),
        ("v=DMARC1; p=none", "", "dmarc"),
        ("v=DMARC1", "", "dmarc"),
        ("v = DMARC1 ;p=none", "", "dmarc"),
        ("v=DMARC12; p=none", "", "other"),
        ("v=DKIM1; k=rsa; p=MIIB", "", "dkim"),
        ("k=rsa; p=MIIB", "m1._domainkey.example.com.", "dkim"),
        ("k=rsa; p=MIIB", "example.com.", "other"),
        ("google-site-verification=v=spf1", "example.com.", "other"),
        (b"\xff\xfe", "", "other"),
    ],
)
def test_kinds_of_txt(value, owner, expected):
    assert kind(value, owner) == expected


def test_the_longest_zone_that_matches():
    zones = ["example.com", "mail.example.com.", "100.51.198.in-addr.arpa"]
    assert zone_of("mta1.mail.example.com.", zones) == "mail.example.com."
    assert zone_of("example.com.", zones) == "example.com."
    assert zone_of("notexample.com.", zones) is None
    assert zone_of("10.100.51.198.in-addr.arpa.", zones) == "100.51.198.in-addr.arpa."


def test_zone_text_as_people_read_it():
    records = [
        Record("mta1.example.com.", "A", "198.51.100.10", 300, "HELO name of mta1"),
        Record("example.com.", "TXT", "v=spf1 ip4:198.51.100.10 ~all", 3600, "SPF of example.com"),
        Record("10.100.51.198.in-addr.arpa.", "PTR", "mta1.example.com.", 3600, "address of mta1"),
    ]
    assert zone_text(records, ["example.com"]) == (
        "; zone example.com.\n"
        "; SPF of example.com\n"
        'example.com. 3600 IN TXT "v=spf1 ip4:198.51.100.10 ~all"\n'
        "; HELO name of mta1\n"
        "mta1.example.com. 300 IN A 198.51.100.10\n"
        "\n"
        "; address of mta1\n"
        "10.100.51.198.in-addr.arpa. 3600 IN PTR mta1.example.com.\n"
    )
    relative = zone_text(records[:2], ["example.com"], relative=True).splitlines()
    assert relative[0] == "$ORIGIN example.com."
    assert relative[2].startswith("@ 3600 IN TXT ")
    assert relative[4] == "mta1 300 IN A 198.51.100.10"
    assert zone_text([]) == ""


@pytest.mark.parametrize("relative", [False, True])
@given(value=st.text(max_size=700))
def test_zone_text_is_read_back_to_the_octet(relative, value):
    text = zone_text([Record("x.example.com.", "TXT", value, reason="two\nlines")], ["example.com."], relative=relative)
    zone = dns.zone.from_text(text, origin="example.com.", relativize=False, check_origin=False)
    (rdata,) = zone.find_rdataset("x.example.com.", dns.rdatatype.TXT)
    assert b"".join(rdata.strings) == to_bytes(value)
    assert all(len(string) <= 255 for string in rdata.strings)


def test_every_octet_survives_quoting():
    data = bytes(range(256)) * 2
    assert [len(string) for string in txt_strings(data)] == [255, 255, 2]
    assert quoted(b'a"b\\c;\xff') == '"a\\"b\\\\c;\\255"'
    assert quoted(b"") == '""'
    zone = dns.zone.from_text(f"x 1 IN TXT {quoted(data)}", origin="example.", relativize=False, check_origin=False)
    (rdata,) = zone.find_rdataset("x.example.", dns.rdatatype.TXT)
    assert b"".join(rdata.strings) == data


@given(st.lists(st.binary(max_size=255), min_size=1))
def test_quoting_and_back(strings):
    assert unquoted(quoted(strings)) == b"".join(strings)
    assert to_bytes(to_text(b"".join(strings))) == b"".join(strings)


def test_unquoted_reads_what_others_write():
    assert unquoted('v=spf1') == b"v=spf1"
    assert unquoted('"a;b"   c\\;d "\\232\\065"') == b"a;bc;d\xe8A"
