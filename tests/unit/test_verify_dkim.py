# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DKIM keys looked for on two real name servers."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from types import SimpleNamespace

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils import waiting as waiting_module
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import format_record
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_silence import NOBODY_AFTER
from ansible_collections.mailfleet.sending.plugins.module_utils.records import quoted
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_authorities import EVERY, verify_authorities
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dkim import Key, verify_dkim
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Waiting

OWNER = "m1._domainkey.example.com"


def public(key, form=serialization.PublicFormat.SubjectPublicKeyInfo):
    return base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, form)).decode()


RSA = rsa.generate_private_key(65537, 2048)
PUBLIC = public(RSA)
OTHER, SHORT = (public(rsa.generate_private_key(65537, bits)) for bits in (2048, 1024))
# The same in every process: parameters of tests are their names, and several processes run them.
ED25519 = base64.b64encode(
    ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()).decode()
RECORD = format_record(PUBLIC)
PUBLISH = f"publish {OWNER}. TXT {quoted(RECORD.encode())}"


class Servers:
    """Two name servers of example.com, and a lookup that finds them through the first."""

    def __init__(self, stack, first, second=None):
        self.first = stack.enter_context(Nameserver(self.zones(first)))
        self.second = stack.enter_context(
            Nameserver(self.zones(first if second is None else second), address="127.0.0.2", port=self.first.port)
        )
        self.lookup = stack.enter_context(Lookup([self.first.server], timeout=0.6, authority_port=self.first.port))

    @staticmethod
    def zones(names):
        return {
            "example.com": {
                "example.com": {"NS": ["ns1.example.com.", "ns2.example.com."]},
                "ns1.example.com": {"A": ["127.0.0.1"]},
                "ns2.example.com": {"A": ["127.0.0.2"]},
                **names,
            },
            "example.net": {"key.example.net": {"TXT": [RECORD]}},
        }

    def names(self):
        return [f"ns{n}.example.com. (127.0.0.{n}:{self.first.port})" for n in (1, 2)]


@pytest.fixture
def servers():
    with ExitStack() as stack:
        yield lambda *values: Servers(
            stack, *[{OWNER: {"TXT": value}} if isinstance(value, list) else value for value in values]
        )


def one(findings):
    (verdict,) = findings.verdicts
    assert verdict.subjects == (f"{OWNER}.",) and verdict.check == "dkim"
    return verdict


def test_a_key_that_both_serve_is_seen(servers):
    run = servers([RECORD])
    found = verify_dkim(run.lookup, [Key("Example.com", "m1", PUBLIC)], "yes")
    verdict = one(found)
    assert (verdict.status, verdict.cause, verdict.mend) == (Status.OK, "", "")
    assert verdict.found == verdict.expected and verdict.found.startswith("rsa key of 2048 bits, SHA-256 ")
    assert found.seen == ({"domain": "Example.com", "selector": "m1", "servers": run.names()},)
    assert verdict.source == f"TXT {OWNER}. asked of {', '.join(run.names())}"
    assert run.first.asked[OWNER, "TXT"] == run.second.asked[OWNER, "TXT"] == 1


@pytest.mark.parametrize(
    "value, status, cause",
    [
        ([f"k=rsa; p={PUBLIC}"], "ok", ""),
        ([f"v=DKIM1; p={public(RSA, serialization.PublicFormat.PKCS1)}"], "warn", "p= holds the key as PKCS#1 has it"),
        ([f"v=DKIM1; h=sha1:sha256; s=email; t=s; n=notes; x=1; p={PUBLIC[:100]} \t{PUBLIC[100:]};"], "ok", ""),
        ([f"v=DKIM1; t=y; p={PUBLIC}"], "warn", "t=y says that the domain only tests DKIM"),
        ([format_record(OTHER)], "fail", "another key is published"),
        ([format_record(ED25519, "ed25519")], "fail", "another key is published"),
        (["v=DKIM1; p="], "fail", "the key is revoked: p= is empty"),
        ([f"v=DKIM1; h=sha1; p={PUBLIC}"], "fail", "h= does not allow sha256"),
        ([f"v=DKIM1; s=tlsrpt; p={PUBLIC}"], "fail", "s= does not allow email"),
        ([RECORD, format_record(OTHER)], "fail", "2 keys stand at one name; what verifiers make of several"),
        ([f'"{RECORD}"'], "fail", "no key record: quotation marks were published as part of the value; "),
        ([RECORD[:200]], "fail", "no key record: p= ends after 182 of its 392 characters; at character 19: p= "),
        (
            ["v=spf1 -all"],
            "fail",
            "no key record: at character 3: v= is 'spf1 -all'; expected DKIM1 as the first tag, or none",
        ),
    ],
)
def test_what_is_published(servers, value, status, cause):
    verdict = one(verify_dkim(servers(value).lookup, [Key("example.com", "m1", PUBLIC)], "yes"))
    assert verdict.status == status and verdict.cause.startswith(cause) and bool(cause) == bool(verdict.cause)
    assert bool(verdict.mend) == (status != "ok")
    if status == "fail" and "allow" not in cause and len(value) == 1:
        assert PUBLISH in verdict.mend


@pytest.mark.parametrize(
    "key, status, cause",
    [
        (OTHER, "ok", ""),
        (SHORT, "warn", "RSA keys should have 2048 bits"),
        (ED25519, "warn", "no RSA key of the domain was given beside it, and many receivers do not verify Ed25519"),
    ],
)
def test_without_an_expected_key_any_valid_one_will_do(servers, key, status, cause):
    record = format_record(key, "ed25519" if key == ED25519 else "rsa")
    found = verify_dkim(servers([record]).lookup, [Key("example.com", "m1")], "yes")
    assert one(found).status == status and one(found).cause.startswith(cause)
    assert found.seen == ()


def test_a_key_that_verifiers_refuse(servers):
    # 512 bits; cryptography makes none as short, so its numbers are set by hand.
    number = (1 << 511) | 1
    der = b"\x30\x48\x02\x41\x00" + number.to_bytes(64, "big") + b"\x02\x03\x01\x00\x01"
    verdict = one(verify_dkim(servers([f"p={base64.b64encode(der).decode()}"]).lookup, [Key("example.com", "m1")]))
    assert verdict.status is Status.FAIL
    assert verdict.cause.startswith("verifiers refuse RSA keys under 1024 bits (RFC 8301, 3.2); ")


@pytest.mark.parametrize(
    "second, status, cause",
    [
        ({}, "absent", "no such name: there is no key (RFC 6376, 6.1.2)"),
        ({OWNER: {"A": ["192.0.2.1"]}}, "absent", "no data: there is no key (RFC 6376, 6.1.2)"),
        (
            [format_record(OTHER)],
            "fail",
            "another key is published, under which no signature of ours verifies (RFC 6376, 6.1.3)",
        ),
    ],
)
def test_where_the_servers_differ(servers, second, status, cause):
    run = servers([RECORD], second)
    found = verify_dkim(run.lookup, [Key("example.com", "m1", PUBLIC)], "auto")
    first, other = run.names()
    assert one(found).status == status
    assert one(found).cause == (
        f"the name servers differ: {first}: rsa key of 2048 bits, SHA-256 {one(found).expected[-17:]}; {other}: {cause}"
    )
    assert one(found).mend == f"make {other} serve the same version of the zone as {first}, or {PUBLISH}"
    assert found.seen == ()


@pytest.mark.parametrize(
    "fault, cause",
    [
        ("timeout", "no answer within 0.6 s"),
        ("servfail", "SERVFAIL"),
        ("refused", "REFUSED"),
        ("lame", "lame: it does not answer with authority"),
        ("garbage", "it sent what is no DNS message"),
    ],
)
def test_one_server_that_does_not_say(servers, fault, cause):
    run = servers([RECORD])
    run.second.faults[OWNER] = fault
    found = verify_dkim(run.lookup, [Key("example.com", "m1", PUBLIC)], "yes")
    assert one(found).status is Status.UNKNOWN
    assert one(found).cause.endswith(f"{run.names()[1]}: did not say: {cause}")
    assert one(found).mend == f"make {run.names()[1]} answer, or take it out of the zone's NS records"
    assert found.seen == ()


def test_dns_down_is_unknown_not_absent(servers):
    run = servers([RECORD])
    run.first.faults["*"] = run.second.faults["*"] = "timeout"
    for authoritative in ("yes", "no", "auto"):
        found = verify_dkim(run.lookup, [Key("example.com", "m1", PUBLIC)], authoritative)
        assert one(found).status is Status.UNKNOWN and str(run.first.server) in one(found).source
        assert found.seen == ()


def test_the_resolver_is_asked_where_no_authoritative_server_can_be(servers):
    run = servers([RECORD])
    lookup = Lookup([run.first.server], timeout=0.6, authority_port=1)
    with lookup:
        verdict = one(found := verify_dkim(lookup, [Key("example.com", "m1", PUBLIC)], "auto"))
        assert verdict.status is Status.WARN and found.seen == ()
        assert "no authoritative server could be asked" in verdict.cause
        assert verdict.cause.endswith(f"{run.first.server} was instead")
        assert one(verify_dkim(lookup, [Key("example.com", "m1", PUBLIC)], "yes")).status is Status.UNKNOWN


def test_a_value_of_others_beside_a_key_is_a_fault_of_the_server_that_has_it(servers):
    run = servers([RECORD], [RECORD, "google-site-verification=x"])
    found = verify_dkim(run.lookup, [Key("example.com", "m1", PUBLIC)], "yes")
    assert one(found).status is Status.FAIL and found.seen == ()
    assert f"{run.names()[1]}: beside a key stands 'google-site-verification=x'" in one(found).cause


def test_no_key_counts_as_seen_where_no_authoritative_server_can_be_heard(servers):
    run = servers([RECORD])
    names = {f"ns{number}.example.com": {"A": [f"127.0.1.{number}"]} for number in range(1, 1 + NOBODY_AFTER)}
    zone = run.zones({OWNER: {"TXT": [RECORD]}})["example.com"] | names
    zone["example.com"] = {"NS": [f"{name}." for name in names]}
    with Nameserver({"example.com": zone}) as resolver, Lookup([resolver.server], authority_port=1) as lookup:
        found = verify_dkim(lookup, [Key("example.com", "m1", PUBLIC)], "auto")
        assert (one(found).status, one(found).cause, found.seen) == (Status.OK, "", ())
        assert [verdict.status for verdict in verify_authorities(lookup) if verdict.subjects == (EVERY,)] == [
            Status.WARN]


def test_the_resolver_alone_where_that_is_wanted(servers):
    run = servers([RECORD])
    found = verify_dkim(run.lookup, [Key("example.com", "m1", PUBLIC)], "no")
    assert one(found).status is Status.OK and found.seen[0]["servers"] == [str(run.first.server)]
    assert run.second.queries == 0


def test_a_key_behind_an_alias(servers):
    run = servers({OWNER: {"CNAME": ["key.example.net."]}})
    assert one(verify_dkim(run.lookup, [Key("example.com", "m1", PUBLIC)], "yes")).status is Status.OK
    run = servers({OWNER: {"CNAME": ["none.example.net."]}})
    verdict = one(verify_dkim(run.lookup, [Key("example.com", "m1", PUBLIC)], "yes"))
    assert verdict.cause == "no such name at none.example.net., where a CNAME leads (RFC 1034, 3.6.2)"


def test_waiting_ends_when_the_last_server_serves_the_key(servers):
    run = servers([RECORD], {})
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            run.second.zones[run.second._name("example.com")][run.second._name(OWNER)] = run.second._sets(
                {"TXT": [RECORD]}
            )

    waiting = Waiting(60, sleep=sleep)
    found = verify_dkim(run.lookup, [Key("example.com", "m1", PUBLIC)], "yes", waiting)
    assert pauses == [1, 2, 4]
    assert one(found).status is Status.OK and found.seen
    assert [item["waiting"] for item in waiting.told] == [[f"{OWNER}."]] * 3 + [[]]


@pytest.fixture
def clock(monkeypatch):
    """A clock of the waiting's own, and a pause that moves it: how long a question takes does not count."""
    now = [100.0]
    monkeypatch.setattr(waiting_module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def sleep(seconds):
        now[0] += seconds

    return now, sleep


def test_waiting_ends_with_the_time(servers, clock):
    run = servers({OWNER: {"TXT": ["v=DKIM1; p="]}})
    keys = [Key("example.com", "m1", PUBLIC), Key("example.com", "m2", PUBLIC), Key("example.com", "m1", PUBLIC)]
    now, sleep = clock
    waiting = Waiting(0.5, sleep=sleep)  # less than the pause behind the first try
    found = verify_dkim(run.lookup, keys, "yes", waiting)
    assert now == [100.5]
    assert [verdict.status for verdict in found.verdicts] == [Status.FAIL, Status.ABSENT]
    assert [item["asked"] for item in waiting.told] == [2, 2] and waiting.told[-1]["waiting"] == [
        f"{OWNER}.",
        "m2._domainkey.example.com.",
    ]


def test_only_what_is_missing_is_asked_again(servers, clock):
    run = servers([RECORD])
    keys = [Key("example.com", "m1", PUBLIC), Key("example.com", "m2", PUBLIC)]
    verify_dkim(run.lookup, keys, "yes", Waiting(0.5, sleep=clock[1]))
    assert run.second.asked[OWNER, "TXT"] == 1
    assert run.second.asked["m2._domainkey.example.com", "TXT"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("example.com", "bad_selector"),
        ("example.com", "m1", "no base64!"),
        ("example.com", "m1", "AAAA"),
        ("example..com", "m1"),
        ("", "m1"),
    ],
)
def test_what_cannot_be_a_key(arguments):
    with pytest.raises(ValueError):
        Key(*arguments)


def test_a_signature_under_the_published_record_verifies(servers):
    """dkimpy, another program, takes the record that is published and expected here."""
    pem = RSA.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    message = b"From: a@example.com\r\nSubject: s\r\n\r\nbody\r\n"
    signed = dkim.sign(message, b"m1", b"example.com", pem) + message
    run = servers([RECORD])

    def fetch(name, timeout=5):
        return run.lookup.ask(name.decode(), "TXT").values[0].encode()

    assert dkim.verify(signed, dnsfunc=fetch)
