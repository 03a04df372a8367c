# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The DKIM key record: rules of RFC 6376, 3.2 and 3.6.1, keys told by DER, and dkimpy as an oracle."""

from __future__ import annotations

import base64

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils import der
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import (
    DkimRecordError,
    format_record,
    owner,
    parse_record,
    record_of,
)


def public(key, form=serialization.PublicFormat.SubjectPublicKeyInfo):
    return base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, form)).decode()


KEY = rsa.generate_private_key(65537, 1024)
RSA = public(KEY)
PKCS1 = public(KEY, serialization.PublicFormat.PKCS1)
# The same in every process: parameters of tests are their names, and several processes run them.
ED25519 = base64.b64encode(
    ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()).decode()
CURVE = public(ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.parametrize("bits", [1024, 2048, 3072, 4096])
def test_size_of_rsa_keys_in_both_forms(bits):
    key = rsa.generate_private_key(65537, bits)
    numbers = key.public_key().public_numbers()
    spki = parse_record(format_record(public(key)))
    pkcs1 = parse_record(f"p={public(key, serialization.PublicFormat.PKCS1)}")
    assert spki.bits == pkcs1.bits == bits
    assert spki.identity == pkcs1.identity == ("rsa", (numbers.n, numbers.e))
    assert spki.identity != parse_record(format_record(RSA)).identity


def test_what_is_published():
    assert format_record(RSA) == record_of(RSA) == f"v=DKIM1; k=rsa; p={RSA}"
    assert record_of(ED25519) == format_record(f" {ED25519}\n", "ed25519") == f"v=DKIM1; k=ed25519; p={ED25519}"
    assert parse_record(record_of(ED25519)).bits == 256


def test_every_tag():
    record = parse_record(f"v=DKIM1;h=sha1 : sha256;k=rsa;n=a note;p={RSA};s=email:*;t= y:s ;x_new=1;g=*")
    assert (record.hashes, record.services, record.flags, record.notes) == (
        ("sha1", "sha256"),
        ("email", "*"),
        ("y", "s"),
        "a note",
    )
    assert record.testing and record.strict and record.for_email and record.sha256 and not record.revoked
    assert record.unknown == ("x_new",)


def test_defaults():
    record = parse_record(f"p={RSA}")
    assert (record.key_type, record.hashes, record.services, record.flags) == ("rsa", (), ("*",), ())
    assert record.for_email and record.sha256 and not record.testing and not record.strict


@pytest.mark.parametrize(
    "text, attribute",
    [
        ("v=DKIM1; p=", "revoked"),
        ("p=", "revoked"),
        ("v=DKIM1; p= ;", "revoked"),
        ("t=y; p=", "testing"),
        ("t=s:y; p=", "strict"),
    ],
)
def test_flags(text, attribute):
    assert getattr(parse_record(text), attribute)


@pytest.mark.parametrize(
    "text, attribute",
    [
        ("h=sha1; p=", "sha256"),
        ("s=other; p=", "for_email"),
        ("t=Y; p=", "testing"),
        ("t=; p=", "strict"),
    ],
)
def test_flags_that_are_not_set(text, attribute):
    assert not getattr(parse_record(text), attribute)


@pytest.mark.parametrize(
    "text, position, message",
    [
        ("", 0, "'' is no tag=value"),
        ("v=DKIM1", 7, "there is no p= tag"),
        ("v=DKIM1; P=", 11, "there is no p= tag"),
        ("v=DKIM2; p=", 2, "v= is 'DKIM2'; expected DKIM1 as the first tag, or none"),
        ("v=dkim1; p=", 2, "v= is 'dkim1'; expected DKIM1 as the first tag, or none"),
        ("k=rsa; v=DKIM1; p=", 9, "v= is 'DKIM1'; expected DKIM1 as the first tag, or none"),
        ("p=; p=", 3, "the tag p= stands twice"),
        ("p=;;", 3, "'' is no tag=value"),
        ("p=;rubbish", 3, "'rubbish' is no tag=value"),
        ("=x; p=", 0, "'' is no tag name"),
        ("1=x; p=", 0, "'1' is no tag name"),
        ("x-new=1; p=", 0, "'x-new' is no tag name"),
        ('"v=DKIM1; p="', 0, "'\"v' is no tag name"),
        ("v=DKIM1; n=caf\u00e9; p=", 14, "the value of n= holds '\u00e9'"),
        ("v=DKIM1; n=\0; p=", 11, "the value of n= holds '\\x00'"),
        ("k=; p=", 2, "k= is ''; expected the name of a key type, such as rsa"),
        ("h=sha1:; p=", 2, "h= holds ''; expected names separated by colons"),
        ("p=MIIB", 2, "p= holds no rsa key: "),
        ("p=MIIBI", 2, "p= is not base64: "),
        ("p=AAAA\\;", 2, "p= is not base64: found '\\\\' at its character 5"),
        (
            f"k=ed25519; p={RSA}",
            13,
            "p= holds no ed25519 key: it has 162 bytes; RFC 8463 wants the 32 of the key itself",
        ),
        (f"k=rsa; p={ED25519}", 9, "p= holds no rsa key: "),
        (f"p={CURVE}", 2, "p= holds no rsa key: it is a key of another algorithm"),
        (f"p={RSA[:-40]}", 2, "p= holds no rsa key: "),
    ],
)
def test_what_is_no_record(text, position, message):
    with pytest.raises(DkimRecordError) as caught:
        parse_record(text)
    assert str(caught.value).startswith(message) and caught.value.position == position


def test_another_key_type_is_read_but_not_measured():
    record = parse_record("k=falcon; p=AAAA")
    assert (record.key_type, record.bits, record.public) == ("falcon", 0, b"\0\0\0")


@pytest.mark.parametrize(
    "value, key_type", [("", "rsa"), (" ", "ed25519"), ("x", "rsa"), (PKCS1[:-4], "rsa"), (RSA, "ed25519")]
)
def test_what_cannot_be_published(value, key_type):
    with pytest.raises(DkimRecordError):
        format_record(value, key_type)


@pytest.mark.parametrize(
    "selector, domain, name",
    [
        ("M20261123", "Example.COM", "m20261123._domainkey.example.com."),
        ("a.b", "example.com.", "a.b._domainkey.example.com."),
    ],
)
def test_owner(selector, domain, name):
    assert owner(selector, domain) == name


@pytest.mark.parametrize(
    "selector, domain",
    [
        ("", "example.com"),
        ("a_b", "example.com"),
        ("-a", "example.com"),
        ("a..b", "example.com"),
        ("a" * 64, "example.com"),
        ("a", ""),
        ("a", "a..b"),
        ("a", ".".join(["b" * 60] * 4)),
        ("é", "example.com"),
    ],
)
def test_what_is_no_owner(selector, domain):
    with pytest.raises(ValueError):
        owner(selector, domain)


@given(st.text(max_size=200) | st.text('v=DKIM1;kprsath: \t"\\AB/+\n*', max_size=60))
def test_any_text_is_a_record_or_a_mistake_with_its_position(text):
    try:
        parse_record(text)
    except DkimRecordError as error:
        assert 0 <= error.position <= len(text)


@pytest.mark.parametrize("modulus, exponent", [(2**1023 + 1, 1), (2**1023 + 1, 4), (2**1023, 3)])
def test_numbers_that_are_no_key(modulus, exponent):
    content = b"\x02\x81\x81\0" + modulus.to_bytes(128, "big") + b"\x02\x01" + bytes([exponent])
    with pytest.raises(der.DerError, match="its numbers are no key"):
        der.rsa(b"\x30\x81" + bytes([len(content)]) + content)


@pytest.mark.parametrize("bits", [1024, 2048])
def test_one_form_made_of_the_other(bits):
    key = rsa.generate_private_key(65537, bits)
    pkcs1 = base64.b64decode(public(key, serialization.PublicFormat.PKCS1))
    assert base64.b64encode(der.rsa_spki(pkcs1)).decode() == public(key)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: base64.b64decode(RSA)[:60] + tail))
def test_any_bytes_are_a_key_or_a_mistake(data):
    for read in (der.spki, der.rsa_pkcs1, der.elements):
        try:
            read(data)
        except der.DerError:
            pass
    try:
        parse_record(f"p={base64.b64encode(data).decode()}")
    except DkimRecordError as error:
        assert error.position == 2


tags = st.lists(st.sampled_from(["n=x", "h=sha256", "s=email", "t=s", "x=1", "k=rsa", ""]), unique=True, max_size=4)


@given(tags, st.sampled_from([RSA, PKCS1]), st.integers(1, 60), st.sampled_from(["", " ", "\t"]))
def test_dkimpy_reads_the_same_key(others, key, width, white):
    folded = white.join(key[at : at + width] for at in range(0, len(key), width)) if white else key
    text = "; ".join(["v=DKIM1", *filter(None, others), f"p={folded}"]) + (";" if "" in others else "")
    record = parse_record(text)
    theirs, bits, _kind, _seqtlsrpt = dkim.evaluate_pk(b"name", text.encode())[:4]
    assert (record.bits, record.identity[1]) == (bits, (theirs["modulus"], theirs["publicExponent"]))
