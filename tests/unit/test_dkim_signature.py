# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures made by dkimpy, and the example of RFC 8463, judged by our own verifier."""
from __future__ import annotations

import dkim
import pytest
from host import PROGRAMS

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_keys, dkim_signature
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import Public
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_signature import SignatureFault, verify

KEY = dkim_keys.make_private(PROGRAMS, "rsa", 2048)
PUBLIC = dkim_keys.read_private(PROGRAMS, KEY)
HEADERS = (("Received", "by x"), ("From", "A  <a@example.com>"), ("Subject", "one\r\n\ttwo  "), ("To", "b@example.org"),
           ("X-None", ""))
BODY = b"Hi \t there  \r\n\r\n \r\n\r\n"

# RFC 8463, appendix A.2 and A.3
RFC_HEADERS = (
    ("From", "Joe SixPack <joe@football.example.com>"), ("To", "Suzie Q <suzie@shopping.example.net>"),
    ("Subject", "Is dinner ready?"), ("Date", "Fri, 11 Jul 2003 21:00:37 -0700 (PDT)"),
    ("Message-ID", "<20030712040037.46341.5F8J@football.example.com>"))
RFC_BODY = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
RFC_SIGNATURE = (
    "v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==")
RFC_PUBLIC = Public("ed25519", 256, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")


def sign(headers=HEADERS, body=BODY, length=False, canonical=(b"relaxed", b"relaxed"), key=KEY):
    message = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers) + b"\r\n" + body
    signed = dkim.sign(message, b"m1", b"example.com", key, canonicalize=canonical, length=length,
                       include_headers=[b"from", b"subject", b"to", b"x-none", b"from"])
    return signed.decode().removeprefix("DKIM-Signature:").removesuffix("\r\n")


def test_a_signature_of_dkimpy_holds():
    tags = verify(PROGRAMS, sign(), HEADERS, BODY, PUBLIC)
    assert (tags["d"], tags["s"], tags["h"]) == ("example.com", "m1", "from:subject:to:x-none:from")


def test_the_example_of_rfc_8463_holds():
    assert verify(PROGRAMS, RFC_SIGNATURE, RFC_HEADERS, RFC_BODY, RFC_PUBLIC)["s"] == "brisbane"


@pytest.mark.parametrize("headers, body, said", [
    (HEADERS, BODY + b"x", "bh="),
    ((*HEADERS[:1], ("From", "other@example.com"), *HEADERS[2:]), BODY, "b="),
    ((*HEADERS, ("From", "second@example.com")), BODY, "b="),
    (HEADERS[:3] + HEADERS[4:], BODY, "b="),
])
def test_what_was_changed_is_noticed(headers, body, said):
    with pytest.raises(SignatureFault, match=said):
        verify(PROGRAMS, sign(), headers, body, PUBLIC)


def test_what_relaxed_allows_is_no_change():
    changed = (HEADERS[0], ("FROM", "  A <a@example.com>"), ("subject", "one two"), *HEADERS[3:])
    verify(PROGRAMS, sign(), changed, b"Hi there\r\n", PUBLIC)


def test_another_key_is_noticed():
    with pytest.raises(SignatureFault, match="not made by this key"):
        verify(PROGRAMS, sign(key=dkim_keys.make_private(PROGRAMS, "rsa", 2048)), HEADERS, BODY, PUBLIC)
    with pytest.raises(SignatureFault, match="not made by this key"):
        private = dkim_keys.make_private(PROGRAMS, "ed25519")
        verify(PROGRAMS, RFC_SIGNATURE, RFC_HEADERS, RFC_BODY, dkim_keys.read_private(PROGRAMS, private))


@pytest.mark.parametrize("value, said", [
    (sign(length=True), "l="),
    (sign(canonical=(b"simple", b"simple")), "c=simple/simple, expected relaxed/relaxed"),
    (sign().replace("rsa-sha256", "rsa-sha1"), "a=rsa-sha1"),
    ("v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com", "there is no bh="),
    ("v=1; a=rsa-sha256; c=relaxed/relaxed; bh=?; b=; h=from", "not base64"),
    ("nonsense", "expected tag=value"),
])
def test_what_is_no_signature_of_ours(value, said):
    with pytest.raises(SignatureFault, match=said):
        verify(PROGRAMS, value, HEADERS, BODY, PUBLIC)


@pytest.mark.parametrize("body, canonical", [
    (b"", b""), (b"\r\n\r\n", b""), (b" \r\n", b""), (b"a", b"a\r\n"), (b" a\t b \r\n\r\n", b" a b\r\n"),
    (b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
])
def test_relaxed_bodies(body, canonical):
    assert dkim_signature.relaxed_body(body) == canonical
