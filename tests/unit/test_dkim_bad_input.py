# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DKIM records of anything, 64 kB long: a verdict in bounded time and of bounded length, never a traceback."""

from __future__ import annotations

import base64
import shutil
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from host import PROGRAMS
from hypothesis import example, given
from hypothesis import strategies as st
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils import der, dkim_damage, dkim_deployed, dkim_keys
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key, judge
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import parse_record, record_of
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dkim import verify_dkim

PRIVATE = rsa.generate_private_key(65537, 2048)
P = base64.b64encode(PRIVATE.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).decode()
RECORD = record_of(P)
OURS, ANY = Key("example.com", "m1", P), Key("example.com", "m1")
LONG = 65_000


def answer(*values):
    return Outcome(OURS.owner, "TXT", Kind.VALUES, values)


def judged(*values):
    verdicts = [judge(key, answer(*values)) for key in (OURS, ANY)]
    for verdict in verdicts:
        assert len(verdict.cause) < 3000 and len(verdict.found) < 700
        assert verdict.ok == (not verdict.cause) == (not verdict.mend)
        assert all(char.isprintable() for char in verdict.found)
    return verdicts


pieces = st.sampled_from([
    "v=DKIM1", "v=dkim1", "k=rsa", "k=ed25519", "p=", f"p={P}", P, P[:100], "t=y", "t=s:y", "h=sha256", "h=", "s=email",
    "g=", "n=", ";", "; ", " ", ",", "\\", '"', '" "', "(", ")", "TXT", "IN TXT ( ",
    "-----BEGIN PUBLIC KEY-----", "-----END", "=", "==", "\0",
    "\xe9", "\u200b", "\n", "\t", ":", "*",
])


@given(st.lists(pieces, max_size=12).map("".join) | st.text(max_size=300) | st.binary(max_size=300).map(
    lambda data: data.decode("latin-1")))
@example("")
@example("p=")
def test_any_text_ends_in_a_verdict(text):
    judged(text)


@given(st.lists(st.lists(pieces, max_size=6).map("".join), min_size=2, max_size=6, unique=True))
def test_any_texts_end_in_a_verdict(texts):
    assert {verdict.status for verdict in judged(*texts)} == {Status.FAIL}


@given(st.lists(pieces, max_size=12).map("".join))
def test_what_is_undone_is_a_record(text):
    damage = dkim_damage.undo(text)
    if damage and damage.record:
        again = parse_record(damage.record.without())
        assert again.identity == damage.record.identity and again.tags[0] == ("v", "DKIM1")


@pytest.mark.parametrize("unit", [
    ";", " ", "\\", '"', '" ', '"\\', "=", "p=", "a=b;", "p=A;", "- ", "-", "--BEGIN ", ", ", ",", "A", "A ", "A=",
    " k=", "(", "( ",
    "\0", "\u200b", "\xe9", "TXT ", "TXT(", "t=y:", "v=DKIM1;", "h=a:", "\t\r\n", "'", "=;", "; ;", '";"',
    "vvv", "\u00a0",
])
@pytest.mark.parametrize("begin", ["", "v=DKIM1; p=", "p=", "h=", "v=", "k=", "n="])
def test_64_kb_take_no_longer_than_64_kb(begin, unit):
    text = (begin + unit * LONG)[:LONG]
    started = time.process_time()
    judged(text)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("count", [3, 20, 500])
def test_many_values(count):
    started = time.process_time()
    judged(*(f"p={P[:90]}{number}" for number in range(count)))
    judged(RECORD, *(P[number:] for number in range(1, count)))
    assert time.process_time() - started < 2


def test_a_key_of_half_a_million_bits():
    """Never measured by multiplying: DNS chooses the size."""
    number = b"\x7f" * 48_000
    inner = b"\x02\x82" + len(number).to_bytes(2, "big") + number + b"\x02\x03\1\0\1"
    data = b"\x30\x82" + len(inner).to_bytes(2, "big") + inner
    _ours, anyone = judged(f"p={base64.b64encode(data).decode()}")
    assert anyone.status is Status.WARN and "over 4096" in anyone.cause


def test_64_kb_over_dns():
    value = [b"v=DKIM1; p="] + [b"\xe9\0" * 127] * 240
    top = {"example.com": {"NS": ["ns.example.com."]}, "ns.example.com": {"A": ["127.0.0.1"]}}
    zone = {"example.com": top | {OURS.owner.rstrip("."): {"TXT": [value]}}}
    with Nameserver(zone) as server, Lookup([server.server], authority_port=server.port) as lookup:
        (verdict,) = verify_dkim(lookup, [OURS], "yes").verdicts
    assert verdict.status is Status.FAIL and "the value of p= holds" in verdict.cause


@given(st.binary(max_size=300))
@example(b"0")
@example(b"\x30\x82")
@example(b"\x30\xff\xff\xff\xff")
def test_any_bytes_are_measured(data):
    assert der.missing(data) >= 0
    assert der.is_private(data) in (True, False) and der.is_certificate(data) in (True, False)


@pytest.mark.parametrize("data, private", [
    ("3005 020100 3000", True),  # PKCS#8, and PKCS#1 of two primes
    ("3005 020101 3000", True),  # with the public half beside it (RFC 5958, 2), and of more primes
    ("3082ffff 020100", True),  # cut off
    ("3005 020103 3000", False),
    ("3005 3000 030100", False),
])
def test_what_a_private_key_begins_with(data, private):
    assert der.is_private(bytes.fromhex(data)) is private


# The private key that is deployed.
def pem(key, form=serialization.PrivateFormat.PKCS8, lock=None):
    return key.private_bytes(serialization.Encoding.PEM, form, lock or serialization.NoEncryption())


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_the_public_half_of_a_deployed_key(tmp_path, form):
    (tmp_path / "key").write_bytes(pem(PRIVATE, form))
    public = dkim_deployed.public_half(PROGRAMS, str(tmp_path / "key"))
    assert public == P and judge(Key("example.com", "m1", public), answer(RECORD)).ok


def test_the_public_half_of_a_deployed_ed25519_key(tmp_path):
    key = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "key").write_bytes(pem(key))
    public = dkim_deployed.public_half(PROGRAMS, str(tmp_path / "key"))
    assert base64.b64decode(public) == key.public_key().public_bytes_raw()
    assert public == dkim_keys.read_private(PROGRAMS, pem(key)).public


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "cannot be read: No such file"),
        (b"", "holds no private key"),
        (P.encode(), "holds no private key"),
        (b"$ANSIBLE_VAULT;1.1;AES256\n3365", "encrypted with ansible-vault; give its public half in public"),
        (pem(PRIVATE, lock=serialization.BestAvailableEncryption(b"x")), "protected by a passphrase"),
        (pem(PRIVATE)[:400] + b"\n-----END PRIVATE KEY-----\n", "openssl pkey refused it"),
        (b"\0" * 200_000, "holds no private key"),
    ],
)
def test_a_deployed_key_that_cannot_be_read(tmp_path, content, words):
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        dkim_deployed.public_half(PROGRAMS, str(tmp_path / "key"))
    assert str(caught.value).startswith(str(tmp_path / "key")) and words in str(caught.value)
    assert pem(PRIVATE).decode()[60:100] not in str(caught.value)


def test_a_path_that_is_none():
    for path in ("\0", "/", "/nowhere/at/all"):
        with pytest.raises(ValueError, match="cannot be read"):
            dkim_deployed.public_half(PROGRAMS, path)


def test_openssl_is_needed(tmp_path, monkeypatch):
    (tmp_path / "key").write_bytes(pem(PRIVATE))
    (tmp_path / "timeout").symlink_to(shutil.which("timeout"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="the program openssl is not installed"):
        dkim_deployed.public_half(PROGRAMS, str(tmp_path / "key"))
