# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""dkimpy, another program, signs and verifies under generated records: who is right about them?

What our verdict lets pass, dkimpy verifies. What our verdict fails, dkimpy does not verify, but for the rules that it
does not know, each of which is named below with its section.
"""

from __future__ import annotations

import base64
import logging

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key, judge
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import record_of
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status

DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM
FORMS = serialization.PublicFormat
MESSAGE = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: s\r\n\r\nbody\r\n"
IGNORED = logging.getLogger("dkim.oracle")
IGNORED.disabled = True

RSA = {bits: rsa.generate_private_key(65537, bits) for bits in (1024, 2048)}
ED = SigningKey(bytes(32))  # the same in every process: parameters of tests are their names
ED_PUBLIC = base64.b64encode(bytes(ED.verify_key)).decode()


def pem(key):
    return key.private_bytes(PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())


def public(key, form=FORMS.SubjectPublicKeyInfo):
    return base64.b64encode(key.public_key().public_bytes(DER, form)).decode()


def sign(identity=b"@example.com"):
    """Return the message signed with each key, by the name of the key."""
    signed = {bits: dkim.sign(MESSAGE, b"m1", b"example.com", pem(key), identity=identity) + MESSAGE
              for bits, key in RSA.items()}
    signed["ed"] = dkim.sign(MESSAGE, b"m1", b"example.com", base64.b64encode(bytes(ED)), identity=identity,
                             signature_algorithm=b"ed25519-sha256") + MESSAGE
    return signed


SIGNED, SIGNED_BELOW = sign(), sign(b"@news.example.com")
PUBLIC = {**{bits: public(key) for bits, key in RSA.items()}, "ed": ED_PUBLIC}


def dkimpy(text, message):
    """Return whether dkimpy verifies the message under a record, None where it breaks down over it."""
    try:
        return dkim.verify(message, logger=IGNORED, dnsfunc=lambda name, timeout=5: text.encode("utf-8"))
    except (UnicodeError, ValueError, TypeError, KeyError, IndexError):
        return None


def ours(text, public_half, identity=""):
    key = Key("example.com", "m1", public_half, identity)
    return judge(key, Outcome(key.owner, "TXT", Kind.VALUES, (text,)))


KEYS = {
    "rsa": (2048, f"p={PUBLIC[2048]}", "rsa"),
    "short rsa": (1024, f"p={PUBLIC[1024]}", "rsa"),
    "pkcs1": (2048, f"p={public(RSA[2048], FORMS.PKCS1)}", "rsa"),
    "folded": (2048, f"p={PUBLIC[2048][:80]} {PUBLIC[2048][80:]}", "rsa"),
    "ed25519": ("ed", f"p={ED_PUBLIC}", "ed25519"),
    "other": (2048, f"p={PUBLIC[1024]}", "rsa"),
    "revoked": (2048, "p=", "rsa"),
    "cut": (2048, f"p={PUBLIC[2048][:200]}", "rsa"),
    "none": (2048, "n=no key", "rsa"),
    "wrapped": ("ed", "p=" + base64.b64encode(bytes.fromhex("302a300506032b6570032100") + bytes(ED.verify_key)
                                              ).decode(), "ed25519"),
}
good = st.lists(st.sampled_from(["n=a note", "h=sha256", "h=sha1:sha256", "s=email", "s=*", "t=s", "t=y", "x=1",
                                 "g=*"]), max_size=3, unique_by=lambda tag: tag[0])


@given(st.sampled_from(sorted(KEYS)), good, st.sampled_from(["; ", ";", " ; ", ";\t"]), st.booleans(), st.booleans(),
       st.booleans())
def test_both_agree_on_what_verifies(name, tags, between, version, last, below):
    key, published, key_type = KEYS[name]
    text = between.join([*(["v=DKIM1"] if version else []), *tags, f"k={key_type}", published]) + (";" if last else "")
    verdict = ours(text, PUBLIC[key], "news.example.com" if below else "")
    verified = dkimpy(text, (SIGNED_BELOW if below else SIGNED)[key])
    if verdict.status in (Status.OK, Status.WARN):
        assert verified, (text, verdict)
    elif below and "t=s" in tags and verdict.cause.startswith("t=s"):
        return  # RFC 6376, 3.6.1: dkimpy does not compare i= with d= under t=s
    else:
        assert not verified, (text, verdict)


@pytest.mark.parametrize(
    "text, rule",
    [
        (f"k=rsa; p={PUBLIC[2048]}; v=DKIM1", "RFC 6376, 3.6.1"),  # v= first
        (f"h=sha1; p={PUBLIC[2048]}", "RFC 8301, 3.1"),  # h= is not looked at
        (f'v=DKIM1; p="{PUBLIC[2048]}"', "RFC 6376, 3.6.1"),  # what is not base64 is skipped
        (f"v=DKIM1; p={PUBLIC[2048]}\\", "RFC 6376, 3.6.1"),
        (f"v=DKIM1; p={PUBLIC[2048]}\0", "RFC 6376, 3.2"),
        (f"v=DKIM1; k-x=1; p={PUBLIC[2048]}", "RFC 6376, 3.2"),  # the end of a tag's name is not looked at
    ],
)
def test_rules_that_dkimpy_does_not_know(text, rule):
    """They stay faults here: other verifiers keep to them."""
    verdict = ours(text, PUBLIC[2048])
    assert verdict.status is Status.FAIL and rule in verdict.cause
    assert dkimpy(text, SIGNED[2048])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=DKIM2; p=" + PUBLIC[2048],
        "v=dkim1; p=" + PUBLIC[2048],
        f"v=DKIM1\\; k=rsa\\; p={PUBLIC[2048]}",
        f'"v=DKIM1; k=rsa; p={PUBLIC[2048]}"',
        f"v=DKIM1 k=rsa p={PUBLIC[2048]}",
        f"v=DKIM1; p={PUBLIC[2048]}; p={PUBLIC[2048]}",
        f"v=DKIM1;; p={PUBLIC[2048]}",
        f"v=DKIM1; k=falcon; p={PUBLIC[2048]}",
        f"v=DKIM1; k=ed25519; p={PUBLIC[2048]}",
        f"v=DKIM1; s=tlsrpt; p={PUBLIC[2048]}",
        PUBLIC[2048],
        record_of(ED_PUBLIC),
    ],
)
def test_faults_on_which_both_agree(text):
    assert ours(text, PUBLIC[2048]).status is Status.FAIL
    assert not dkimpy(text, SIGNED[2048])


@given(st.sampled_from(sorted(KEYS)), st.integers(0, 600), st.sampled_from(' ";\\=\0\u00e9Ax1:*\n'), st.booleans())
def test_what_passes_with_a_character_changed_verifies(name, position, character, replace):
    """A record with one character put in or changed: whatever passes here, dkimpy verifies."""
    key, published, key_type = KEYS[name]
    text = f"v=DKIM1; k={key_type}; {published}"
    position = min(position, len(text))
    text = text[:position] + character + text[position + replace:]
    verdict = ours(text, PUBLIC[key])
    if verdict.status in (Status.OK, Status.WARN):
        assert dkimpy(text, SIGNED[key]), (text, verdict)
