# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A table of DKIM key records as they are published: each with the rule, its section, and the mend that is due.

All stand in one zone, each under a selector of its own, and are verified in one run over real DNS. The mend of every
case is published in turn, and verified again: it has to be ok, or only what a new key would change.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import FRESH
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import record_of
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.records import unquoted
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dkim import Key, verify_dkim

DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM
SPKI, PKCS1_FORM = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1


def public(key, form=SPKI):
    return base64.b64encode(key.public_key().public_bytes(DER, form)).decode()


PRIVATE = rsa.generate_private_key(65537, 2048)
ED_PRIVATE = ed25519.Ed25519PrivateKey.generate()
P, OTHER, SHORT = public(PRIVATE), *(public(rsa.generate_private_key(65537, bits)) for bits in (2048, 1024))
ED = base64.b64encode(ED_PRIVATE.public_key().public_bytes_raw()).decode()
PEM_LINES = PRIVATE.public_key().public_bytes(PEM, SPKI).decode()
SECRET = base64.b64encode(PRIVATE.private_bytes(
    DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())).decode()
SECRET_PEM = PRIVATE.private_bytes(
    PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()).decode()
RECORD, ED_RECORD = record_of(P), record_of(ED)


def element(tag, content):
    length = len(content)
    return bytes([tag]) + (bytes([length]) if length < 128 else b"\x82" + length.to_bytes(2, "big")
                           if length > 255 else b"\x81" + bytes([length])) + content


def numbers(bits):
    """An RSA key of a size that cryptography makes none of, or not in time; nothing is signed with it."""
    modulus = ((1 << bits - 1) | 1).to_bytes(bits // 8, "big")
    key = element(0x30, element(2, b"\0" + modulus) + element(2, b"\1\0\1"))
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    return base64.b64encode(element(0x30, algorithm + element(3, b"\0" + key))).decode()


EVEN = base64.b64encode(element(0x30, element(2, b"\x10" * 256) + element(2, b"\3"))).decode()
CERTIFICATE = base64.b64encode(
    element(0x30, element(0x30, b"\0" * 99) + element(0x30, b"") + element(3, b"\0"))).decode()


@dataclass(frozen=True)
class Case:
    """Attributes: C(values) of the TXT; C(status); C(cause) parts of it, the section among them; C(public) of the key,
    P unless another, nothing for any; C(identity) of its mail; C(left) the causes that remain after the mend."""

    name: str
    values: tuple
    status: str
    cause: tuple = ()
    public: str = P
    identity: str = ""
    left: tuple = field(default=())


def ok(name, *values, **more):
    return Case(name, values, "ok", **more)


def warn(name, cause, *values, **more):
    return Case(name, values, "warn", cause, **more)


def fail(name, cause, *values, **more):
    return Case(name, values, "fail", cause, **more)


SYNTAX, RECORD_RULE, SEVERAL, ED_RULE = "RFC 6376, 3.2", "RFC 6376, 3.6.1", "RFC 6376, 3.6.2.2", "RFC 8463, 4.2"
QUOTES = "quotation marks were published as part of the value"
BACKSLASHES = "backslashes were published"
CUT = "p= is cut off: "
NEWER = "RFC 8301, 3.2"
ED_ALONE = ("RFC 8463, 6", "many receivers do not verify Ed25519")

CASES = [
    # 3.6.1 and 3.2: what is right
    ok("as we publish it", RECORD),
    ok("p alone", f"p={P}"),
    ok("every tag", f"v=DKIM1; h=sha1:sha256; k=rsa; n=a note; p={P}; s=email:*; t=s"),
    ok("unknown tags are ignored", f"v=DKIM1; x=1; future_tag=a b c; p={P}"),
    ok("unknown flags, hashes, services are ignored", f"t=z; h=sha512:sha256; s=fax:email; p={P}"),
    ok("folding white space", f"v = DKIM1 ;\r\n k = rsa ;\r\n\t p = {P[:70]}\r\n {P[70:200]} \t{P[200:]} ;"),
    ok("no space at all", f"v=DKIM1;k=rsa;p={P};"),
    ok("g=* limits nothing", f"v=DKIM1; g=*; p={P}"),
    ok("an empty n", f"v=DKIM1; n=; p={P}"),
    ok("cut into many strings", [RECORD[at : at + 10].encode() for at in range(0, len(RECORD), 10)]),
    warn("PKCS#1, which the RFC names and OpenDKIM cannot read", ("PKCS#1", RECORD_RULE),
         f"p={public(PRIVATE, PKCS1_FORM)}"),
    warn("PKCS#1, any key, testing", ("PKCS#1", "t=y"), f"n=kept; t=y:s; p={public(PRIVATE, PKCS1_FORM)}", public=""),
    ok("t=s where i= is the domain", f"t=s; p={P}", identity="Cases.example."),
    ok("no t=s where i= is a sub-domain", f"p={P}", identity="news.cases.example"),
    ok("any key will do", record_of(OTHER), public=""),
    ok("4096 bits", f"p={numbers(4096)}", public=""),
    # sizes
    warn("1024 bits", (NEWER, "this has 1024"), record_of(SHORT), public=SHORT, left=(NEWER,)),
    warn("2040 bits", (NEWER, "this has 2040"), f"p={numbers(2040)}", public="", left=(NEWER,)),
    warn("8192 bits", (NEWER, "over 4096"), f"p={numbers(8192)}", public="", left=(NEWER,)),
    fail("512 bits", (NEWER, "refuse RSA keys under 1024 bits"), f"p={numbers(512)}", public="", left=(NEWER,)),
    # flags, hashes, services
    warn("testing", ("t=y", RECORD_RULE), f"v=DKIM1; t=y; p={P}"),
    warn("testing and strict", ("t=y", RECORD_RULE), f"v=DKIM1; t=y:s; n=kept; p={P}"),
    warn("testing, any key", ("t=y", RECORD_RULE), f"t=y; n=kept; p={P}", public=""),
    fail("strict", ("t=s", "@news.cases.example", RECORD_RULE), f"t=s; p={P}", identity="news.cases.example"),
    fail("strict and testing", ("t=s", "t=y", RECORD_RULE), f"t=s:y; p={P}", identity="news.cases.example"),
    fail("SHA-1 only", ("h=", "RFC 8301, 3.1"), f"h=sha1; p={P}"),
    fail("an unknown hash only", ("h=", "RFC 8301, 3.1"), f"h=sha3; p={P}", public=""),
    fail("another service", ("s=", RECORD_RULE), f"s=tlsrpt; p={P}"),
    fail("all of it", ("h=", "s=", "t=y", "g="), f"g=news; h=sha1; s=tlsrpt; t=y; p={P}"),
    warn("g of RFC 4871", ("g= is obsolete", "RFC 6376, C.2"), f"v=DKIM1; g=news; p={P}"),
    warn("an empty g", ("g= is obsolete", "RFC 6376, C.2"), f"v=DKIM1; g=; p={P}"),
    fail("a type of key that nobody knows", ("k=falcon", RECORD_RULE), "v=DKIM1; k=falcon; p=AAAA", public=""),
    # keys
    fail("revoked", ("revoked", RECORD_RULE), "v=DKIM1; p="),
    fail("revoked, any key", ("revoked", RECORD_RULE), "v=DKIM1; p=;", public=""),
    fail("another key", ("another key", "RFC 6376, 6.1.3"), record_of(OTHER)),
    fail("another type of key", ("another key", "RFC 6376, 6.1.3"), ED_RECORD),
    fail("a private key", ("a private key", "RFC 6376, 8.3"), f"v=DKIM1; p={SECRET}", left=("all",)),
    fail("a private key, cut off", ("a private key", "RFC 6376, 8.3"), f"v=DKIM1; p={SECRET[:200]}", left=("all",)),
    fail("a private key, cut within four characters", ("a private key", "RFC 6376, 8.3"), f"p={SECRET[:201]}",
         left=("all",)),
    fail("the lines of a private key and rubbish", ("a private key", "RFC 6376, 8.3"), SECRET_PEM[:200] + "\0",
         left=("all",)),
    fail("a private key alone", ("a private key", "RFC 6376, 8.3"), SECRET, left=("all",)),
    fail("a private key beside the key", ("beside a key stands 'a private key'", SEVERAL), RECORD, SECRET_PEM),
    fail("a private key with its lines", ("a private key", "RFC 6376, 8.3"), f"v=DKIM1; p={SECRET_PEM}", left=("all",)),
    fail("even numbers", ("its numbers are no key", RECORD_RULE), f"p={EVEN}"),
    fail("a certificate", ("p= holds a certificate", RECORD_RULE), f"p={CERTIFICATE}"),
    # Ed25519
    warn("Ed25519 alone", ED_ALONE, ED_RECORD, public=ED, left=ED_ALONE),
    fail("Ed25519 as a SubjectPublicKeyInfo", ("wrapped in a SubjectPublicKeyInfo", ED_RULE),
         f"v=DKIM1; k=ed25519; p={public(ED_PRIVATE)}", public=ED, left=ED_ALONE),
    fail("the same, any key", ("wrapped in a SubjectPublicKeyInfo", ED_RULE),
         f"v=DKIM1; k=ed25519; p={public(ED_PRIVATE)}", public="", left=ED_ALONE),
    fail("the same without k", ("wrapped in a SubjectPublicKeyInfo", ED_RULE), f"p={public(ED_PRIVATE)}", public=ED,
         left=ED_ALONE),
    fail("Ed25519 without k", ("without k=ed25519", ED_RULE), f"v=DKIM1; p={ED}", public=ED, left=ED_ALONE),
    fail("RSA as Ed25519", ("p= holds an RSA key, yet k= is ed25519", ED_RULE), f"k=ed25519; p={P}"),
    fail("a type in capitals", ("p= holds an RSA key, yet k= is RSA", "k=RSA", "RFC 6376, 3.2"), f"k=RSA; p={P}"),
    fail("a type in capitals, any key", ("yet k= is RSA", "3.6.1"), f"v=DKIM1; k=RSA; t=s; p={P}", public=""),
    fail("an algorithm as type", ("yet k= is rsa-sha256", "3.6.1"), f"k=rsa-sha256; p={P}"),
    fail("Ed25519 in capitals", ("without k=ed25519", ED_RULE), f"k=Ed25519; p={ED}", public=ED, left=ED_ALONE),
    fail("a type in capitals of another key", ("yet k= is RSA", "and it is another key"), f"k=RSA; p={numbers(2048)}"),
    fail("33 bytes", ("it has 33 bytes", ED_RULE), f"k=ed25519; p={'A' * 44}", public=ED, left=ED_ALONE),
    # 3.2: what is no list of tags
    fail("v last", ("expected DKIM1 as the first tag", RECORD_RULE), f"k=rsa; p={P}; v=DKIM1"),
    fail("v in small letters", ("'dkim1'; expected DKIM1", RECORD_RULE), f"v=dkim1; p={P}"),
    fail("another version", ("'DKIM2'", RECORD_RULE), f"v=DKIM2; p={P}"),
    fail("an SPF record", ("'spf1 -all'", RECORD_RULE), "v=spf1 -all"),
    fail("a tag twice", ("the tag p= stands twice", SYNTAX), f"v=DKIM1; p={P}; p={P}"),
    fail("an empty tag", ("a semicolon too many", SYNTAX), f"v=DKIM1;; p={P}"),
    fail("capital names", ("names of tags are in lower case: found K=", RECORD_RULE), f"v=DKIM1; K=rsa; P={P}"),
    fail("no p", ("there is no p= tag", RECORD_RULE), "v=DKIM1; k=rsa"),
    fail("nothing", ("is no tag=value", SYNTAX), ""),
    fail("8-bit", ("the value of n= holds", SYNTAX), b"v=DKIM1; n=\xe9; p=" + P.encode()),
    fail("NUL", ("the value of p= holds '\\x00'", SYNTAX), f"v=DKIM1; p={P}\0"),
    # panels
    fail("quoted", (QUOTES, SYNTAX), f'"{RECORD}"'),
    fail("quoted key", (QUOTES, RECORD_RULE), f'v=DKIM1; k=rsa; p="{P}"'),
    fail("strings with their quotes", (QUOTES,), f'"{RECORD[:200]}" "{RECORD[200:]}"'),
    fail("a torn string in the middle", (QUOTES,), f'{RECORD[:200]}" "{RECORD[200:]}'),
    fail("typographic quotes", (QUOTES,), f"\u201c{RECORD}\u201d"),
    fail("escaped semicolons", (BACKSLASHES, RECORD_RULE), RECORD.replace(";", "\\;")),
    fail("escaped and quoted", (QUOTES, BACKSLASHES), '"' + RECORD.replace(";", "\\;") + '"'),
    fail("a no-break space", ("U+00A0",), RECORD.replace(" ", "\u00a0")),
    fail("a space of no width", ("U+200B",), f"v=DKIM1; p=\u200b{P}"),
    fail("lines of PEM", ("BEGIN and END lines", RECORD_RULE), f"v=DKIM1; k=rsa; p={PEM_LINES}"),
    fail("the key alone", ("without p= before it", SYNTAX), P),
    fail("the PEM file", ("BEGIN and END lines", "without p= before it"), PEM_LINES),
    fail("p forgotten", ("without p= before it", SYNTAX), f"v=DKIM1; k=rsa; {P}"),
    fail("no semicolons", ("semicolons between the tags are missing",), f"v=DKIM1 k=rsa p={P}"),
    fail("commas", ("semicolons between the tags are missing",), f"v=DKIM1, k=rsa, p={P}"),
    fail("a line of a zone file", ("whole line of a zone file",), f'm1._domainkey IN TXT "{RECORD}"'),
    fail("the file of opendkim-genkey", ("whole line of a zone file",),
         f'm1._domainkey\tIN\tTXT\t( "v=DKIM1; h=sha256; k=rsa; "\n\t  "p={P[:200]}"\n\t  "{P[200:]}" )'
         "  ; ----- DKIM key m1 for cases.example"),
    fail("a comment behind it", ("'----- DKIM key m1'",), f"{RECORD}; ----- DKIM key m1"),
    fail("padding lost", ("the = that belong there", RECORD_RULE), f"k=ed25519; p={ED.rstrip('=')}", public=ED,
         left=ED_ALONE),
    fail("damage and another key", (QUOTES, "it is another key"), f'"{record_of(OTHER)}"'),
    fail("damage and revoked", (QUOTES, "the key is revoked"), '"v=DKIM1; p="'),
    fail("damage and testing", (QUOTES, "t=y"), f'v=DKIM1; t=y; p="{P}"', public=""),
    # cut keys
    fail("cut at 255", ("p= ends after ", "several strings of one TXT", "RFC 1035, 3.3"), RECORD[:255]),
    fail("cut at 255, any key", (CUT, "RFC 1035, 3.3"), RECORD[:255], public="", left=("all",)),
    fail("cut elsewhere", ("p= ends after 120 of its 392 characters", RECORD_RULE), f"p={P[:120]}"),
    fail("cut elsewhere, any key", (f"{CUT}90 of the key's 294 bytes",), f"p={P[:120]}", public="", left=("all",)),
    fail("cut within four characters", ("p= ends after 121 of its 392 characters",), f"p={P[:121]}"),
    # 3.6.2.2: several values
    fail("two keys", ("2 keys stand at one name", SEVERAL), RECORD, record_of(OTHER)),
    fail("two other keys", ("2 keys stand at one name", SEVERAL), record_of(SHORT), record_of(OTHER)),
    fail("two keys, any key", ("2 keys stand at one name", SEVERAL), RECORD, record_of(OTHER), public="",
         left=("all",)),
    fail("a key and something else", ("'site-verification=abc'", SEVERAL), RECORD, "site-verification=abc"),
    fail("the same, any key", ("'v=spf1 -all'", SEVERAL), f"t=s; p={P}", "v=spf1 -all", public=""),
    fail("no key among them", ("none of them is a key", SEVERAL), "site-verification=abc", "v=spf1 -all"),
    fail("one key as two values", ("published as 2 TXT values", SEVERAL), RECORD[:255], RECORD[255:]),
    fail("the same, any key", ("published as 3 TXT values", SEVERAL), RECORD[:99], RECORD[99:200], RECORD[200:],
         public=""),
    fail("a damaged key and something else", ("'x=1'", SEVERAL), f'"{RECORD}"', "x=1"),
]
ZONE = "cases.example"


def verify(values, keys):
    """Return the verdict on each key, found in one run at one server that serves the TXT values under s0, s1, ..."""
    names = {f"s{number}._domainkey.{ZONE}": {"TXT": value} for number, value in enumerate(values)}
    top = {ZONE: {"NS": [f"ns.{ZONE}."]}, f"ns.{ZONE}": {"A": ["127.0.0.1"]}}
    with Nameserver({ZONE: top | names}) as server, Lookup([server.server], authority_port=server.port) as lookup:
        return verify_dkim(lookup, keys, "yes").verdicts


def key_of(number, case):
    return Key(ZONE, f"s{number}", case.public, case.identity)


@pytest.fixture(scope="module")
def verdicts():
    # An RSA key of the same domain would hide that an Ed25519 key stands alone: each has a run of its own.
    rsa_cases = [(number, case) for number, case in enumerate(CASES) if case.public != ED]
    values = [list(case.values) for case in CASES]
    found = dict(zip([number for number, _case in rsa_cases], verify(values, [key_of(*item) for item in rsa_cases])))
    for number, case in enumerate(CASES):
        if case.public == ED:
            (found[number],) = verify(values, [key_of(number, case)])
    return found


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_case(verdicts, number):
    case, verdict = CASES[number], verdicts[number]
    assert verdict.status == case.status, verdict
    assert [part for part in case.cause if part not in verdict.cause] == [], verdict.cause
    assert bool(verdict.cause) == bool(verdict.mend) == (case.status != "ok"), verdict
    assert SECRET[40:80] not in str(verdict) and SECRET_PEM[40:80] not in str(verdict)
    assert verdict.status == "ok" or "RFC " in verdict.cause


def mended(mend):
    """Return the value that a mend has published, None where it wants another key."""
    _words, found, value = mend.partition(f".{ZONE}. TXT ")
    return unquoted(value.partition(" and ")[0]).decode("utf-8") if found and '"' in value else None


def test_every_mend_mends(verdicts):
    """The record that is named in a mend is published in turn, and found good."""
    values = {number: mended(verdict.mend) for number, verdict in verdicts.items() if not verdict.ok}
    numbers_of = [number for number, value in values.items() if value is not None]
    assert len(numbers_of) > 50
    again = verify([[values[number]] for number in numbers_of],
                   [Key(ZONE, f"s{at}", CASES[number].public, CASES[number].identity)
                    for at, number in enumerate(numbers_of)])
    for number, verdict in zip(numbers_of, again):
        assert verdict.ok or CASES[number].left, (CASES[number].name, verdict)
    for number in values.keys() - numbers_of:
        wants = verdicts[number].mend
        open_ended = (FRESH, f"publish the key's record at s{number}.", f"leave one key at s{number}.")
        assert any(words in wants for words in open_ended), (CASES[number].name, wants)
