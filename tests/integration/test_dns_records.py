# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records published to a real Knot DNS: what is ours changes, what is not stays, whoever changes what meanwhile."""
import socket

import pytest
from knot_server import OTHER_SECRET, SECRET, Knot

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_update
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_plan import Change, RRset
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_update import (
    BadKey,
    Changed,
    NotServed,
    Refused,
    Unreachable,
    Zone,
    publish,
    read,
    update,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record, to_bytes

FOREIGN = [
    (b"google-site-verification=abc",),
    (b'quotes " and \\ backslashes \\" \\\\',),
    (b"8 bit \xe4\xff\x00\x7f", b"", b"two; strings"),
    (b"x" * 255, b"y" * 45),
    (b"v=spf10 is no SPF",),
]
SPF = Record("example.com.", "TXT", "v=spf1 ip4:198.51.100.10 ~all", 300)
A = Record("mta1.example.com.", "A", "198.51.100.10", 300)
PTR = Record("10.100.51.198.in-addr.arpa.", "PTR", "mta1.example.com.", 300)


def foreign_text():
    def decimal(string):
        return '"' + "".join(f"\\{octet:03d}" for octet in string) + '"'

    return "".join(f"@ 77 IN TXT {' '.join(map(decimal, strings))}\n" for strings in FOREIGN)


@pytest.fixture
def knot(tmp_path):
    server = Knot(tmp_path, {"example.com.": foreign_text(), "100.51.198.in-addr.arpa.": "", "example.net.": ""})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def zone(knot):
    return Zone("example.com", "127.0.0.1", knot.port, "test", secret=SECRET, timeout=2)


def test_a_part_of_a_reverse_zone_takes_its_pointers(tmp_path):
    part = "0/25.100.51.198.in-addr.arpa."
    server = Knot(tmp_path, {part: ""})
    server.start()
    try:
        wanted = [Record(f"10.{part}", "PTR", "mta1.example.com.", 300)]
        publish(Zone(part, "127.0.0.1", server.port, "test", secret=SECRET, timeout=2), wanted)
        assert server.values(f"10.{part}", "PTR") == ["mta1.example.com."]
    finally:
        server.stop()


def test_what_is_wanted_is_added_once(knot, zone):
    checked = publish(zone, [SPF, A], check=True)
    assert knot.serial("example.com.") == 1
    made = publish(zone, [SPF, A])
    assert made == checked
    assert knot.values("mta1.example.com.", "A") == ["198.51.100.10"]
    assert made.published == (SPF, A)
    assert made.conflicts == ()
    serial = knot.serial("example.com.")
    assert publish(zone, [SPF, A], made.published).changes == ()
    assert knot.serial("example.com.") == serial


def test_foreign_values_survive_to_the_octet(knot, zone):
    first = publish(zone, [SPF])
    assert knot.strings("example.com.") == {*FOREIGN, (to_bytes(SPF.value),)}
    assert knot.rrset("example.com.", "TXT").ttl == 77
    longer = Record("example.com.", "TXT", "v=spf1 " + "ip4:198.51.100.10 " * 20 + "~all")
    second = publish(zone, [longer], first.published)
    text = to_bytes(longer.value)
    assert knot.strings("example.com.") == {*FOREIGN, (text[:255], text[255:])}
    publish(zone, [], second.published, phase="contract")
    assert knot.strings("example.com.") == set(FOREIGN)


def test_what_is_ours_is_replaced_in_expand_and_removed_only_in_contract(knot, zone):
    made = publish(zone, [SPF, A])
    moved = Record("mta1.example.com.", "A", "198.51.100.11", 300)
    made = publish(zone, [SPF, moved], made.published)
    assert knot.values("mta1.example.com.", "A") == ["198.51.100.10", "198.51.100.11"]
    assert publish(zone, [SPF, moved], made.published).changes == ()
    made = publish(zone, [SPF, moved], made.published, phase="contract")
    assert knot.values("mta1.example.com.", "A") == ["198.51.100.11"]
    assert made.published == (SPF, moved)


def test_a_ttl_follows_the_inventory(knot, zone):
    made = publish(zone, [A])
    slower = Record(A.owner, "A", A.value, 3600)
    made = publish(zone, [slower], made.published)
    assert knot.rrset(A.owner, "A").ttl == 3600
    assert knot.values(A.owner, "A") == [A.value]
    assert publish(zone, [slower], made.published).changes == ()


def test_a_foreign_spf_is_kept_until_adopted_and_then_merged(knot, zone):
    knot.change("example.com.", ("add", "example.com.", 77, "TXT", '"v=spf1 include:_spf.google.com -all"'))
    made = publish(zone, [SPF])
    assert made.changes == ()
    (conflict,) = made.conflicts
    merged = "v=spf1 include:_spf.google.com ip4:198.51.100.10 -all"
    assert (conflict.found, conflict.merged) == (("v=spf1 include:_spf.google.com -all",), (merged,))
    made = publish(zone, [SPF], made.published, adopt={"example.com."})
    assert knot.strings("example.com.") == {*FOREIGN, (to_bytes(merged),)}
    assert made.published == (SPF,)
    # The merged value satisfies, adopted or not, and follows our part.
    assert publish(zone, [SPF], made.published).conflicts == ()
    moved = Record("example.com.", "TXT", "v=spf1 ip4:198.51.100.99 ~all")
    made = publish(zone, [moved], made.published, adopt={"example.com."}, phase="contract")
    assert (b"v=spf1 include:_spf.google.com ip4:198.51.100.99 -all",) in knot.strings("example.com.")
    assert made.published == (moved,)


def test_a_live_reject_is_not_weakened(knot, zone):
    ours = Record("_dmarc.example.com.", "TXT", "v=DMARC1; p=none; rua=mailto:us@example.com")
    knot.change("example.com.", ("add", ours.owner, 77, "TXT", '"v=DMARC1; p=reject; rua=mailto:them@example.com"'))
    assert publish(zone, [ours]).changes == ()
    made = publish(zone, [ours], adopt={ours.owner})
    merged = b"v=DMARC1; p=reject; rua=mailto:them@example.com,mailto:us@example.com"
    assert knot.strings(ours.owner) == {(merged,)}
    assert publish(zone, [ours], made.published).changes == ()


def test_an_alias_is_in_the_way(knot, zone):
    knot.change("example.com.", ("add", A.owner, 77, "CNAME", "elsewhere.example.net."))
    made = publish(zone, [A], adopt={A.owner})
    assert made.changes == ()
    assert "remove the CNAME" in made.conflicts[0].mend


def test_a_wildcard_is_nobody_at_the_names_that_it_answers_for(knot, zone):
    knot.change(
        "example.com.",
        ("add", "*.example.com.", 60, "A", "203.0.113.9"),
        ("add", "*.example.com.", 60, "TXT", '"v=spf1 -all"'),
        ("add", "taken.example.com.", 60, "A", "203.0.113.9"),
    )
    helo = Record(A.owner, "TXT", "v=spf1 ip4:198.51.100.10 -all")
    taken = Record("taken.example.com.", "A", "198.51.100.10")
    serial = knot.serial("example.com.")
    checked = publish(zone, [A, helo, taken], check=True)
    assert knot.serial("example.com.") == serial
    made = publish(zone, [A, helo, taken])
    assert made == checked
    assert [conflict.owner for conflict in made.conflicts] == ["taken.example.com."]
    assert knot.values(A.owner, "A") == ["198.51.100.10"]
    assert knot.strings(A.owner) == {(to_bytes(helo.value),)}
    assert knot.values("*.example.com.", "A") == ["203.0.113.9"]
    assert publish(zone, [A, helo, taken], made.published).changes == ()


def test_who_changes_a_value_meanwhile_is_not_overwritten(knot, zone, monkeypatch):
    made = publish(zone, [SPF])
    theirs = '"v=spf1 ip4:203.0.113.1 -all"'
    read_before, raced = dns_update.read, []

    def read_then_race(*arguments):
        live = read_before(*arguments)
        if not raced:
            raced.append(True)
            knot.change(
                "example.com.",
                ("delete", "example.com.", "TXT", f'"{SPF.value}"'),
                ("add", "example.com.", 77, "TXT", theirs),
            )
        return live

    monkeypatch.setattr(dns_update, "read", read_then_race)
    moved = Record("example.com.", "TXT", "v=spf1 ip4:198.51.100.99 ~all")
    again = publish(zone, [moved], made.published)
    assert raced
    assert again.changes == ()
    assert again.conflicts[0].found == ("v=spf1 ip4:203.0.113.1 -all",)
    assert (b"v=spf1 ip4:203.0.113.1 -all",) in knot.strings("example.com.")


def test_a_race_is_run_again_and_ends_well(knot, zone, monkeypatch):
    read_before, raced = dns_update.read, []

    def read_then_race(*arguments):
        live = read_before(*arguments)
        if len(raced) < 2:
            raced.append(True)
            knot.change("example.com.", ("add", "example.com.", 77, "TXT", f'"other-verification={len(raced)}"'))
        return live

    monkeypatch.setattr(dns_update, "read", read_then_race)
    publish(zone, [SPF])
    theirs = {(b"other-verification=1",), (b"other-verification=2",)}
    assert knot.strings("example.com.") == {*FOREIGN, *theirs, (to_bytes(SPF.value),)}


def test_an_endless_race_ends(knot, zone, monkeypatch):
    read_before, raced = dns_update.read, []

    def read_then_race(*arguments):
        live = read_before(*arguments)
        raced.append(True)
        knot.change("example.com.", ("add", A.owner, 77, "A", f"203.0.113.{len(raced)}"))
        return live

    monkeypatch.setattr(dns_update, "read", read_then_race)
    with pytest.raises(Changed, match=r"zone example\.com\. at 127\.0\.0\.1 .* changed 4 times"):
        publish(zone, [A], adopt={A.owner})
    assert knot.values(A.owner, "A") == [f"203.0.113.{number}" for number in (1, 2, 3, 4)]


def test_an_update_is_whole_or_not_at_all(knot, zone):
    added = RRset("mta2.example.com.", "A", 300, ("198.51.100.20",))
    stale = RRset("mta1.example.com.", "A", 300, ("198.51.100.1",))
    with pytest.raises(Changed):
        update(zone, [Change(None, added), Change(stale, None)])
    assert knot.values("mta2.example.com.", "A") == []


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"secret": OTHER_SECRET}, BadKey, "compare name, algorithm and secret"),
        ({"key_name": "unknown"}, BadKey, "key unknown"),
        ({"algorithm": "hmac-sha512"}, BadKey, "compare name, algorithm"),
        ({"key_name": "reader"}, BadKey, "allow the key to update the zone"),  # Knot says BADKEY to this
        ({"key_name": None, "secret": None}, NotServed, "not authorized (NOTAUTH) for this address"),
        ({"name": "example.org"}, Refused, "zone example.org. at 127.0.0.1"),
        ({"name": "mail.example.com"}, NotServed, "no authority"),
    ],
)
def test_what_the_server_refuses_is_named(knot, zone, change, error, words):
    given = {name: getattr(zone, name) for name in ("name", "server", "port", "key_name", "algorithm", "secret")}
    other = Zone(**{**given, **change}, timeout=2)
    with pytest.raises(error) as caught:
        publish(other, [Record("mta1." + other.name, "A", "198.51.100.10")])
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(other)
    assert knot.serial("example.com.") == 1


def test_a_server_that_is_down_or_silent(knot, zone):
    knot.stop()
    with pytest.raises(Unreachable, match=f"zone example.com. at 127.0.0.1 port {knot.port}: no connection"):
        publish(zone, [A])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = Zone("example.com", "127.0.0.1", silent.getsockname()[1], timeout=0.3)
        with pytest.raises(Unreachable, match=r"no answer within 0.3 s"):
            publish(slow, [A])
    with pytest.raises(Unreachable, match="has no address"):
        publish(Zone("example.com", "no-such-host.invalid"), [A])


def test_many_records_and_large_answers(knot, zone):
    hosts = [Record(f"m{number}.example.com.", "A", f"198.51.100.{number}") for number in range(1, 255)]
    hosts += [Record(f"m{number}.example.com.", "AAAA", f"2001:db8::{number:x}") for number in range(1, 255)]
    many = [Record("big.example.com.", "TXT", f"{number} " + "z" * 900) for number in range(20)]
    made = publish(zone, [*hosts, *many])
    assert len(made.changes) == 509
    assert len(knot.values("big.example.com.", "TXT")) == 20
    assert publish(zone, [*hosts, *many], made.published).changes == ()
    publish(zone, [], made.published, phase="contract")
    assert read(zone, [(record.owner, record.type) for record in hosts]) == {}
