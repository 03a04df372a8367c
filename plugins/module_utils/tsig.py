# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys that sign messages of DNS (TSIG, RFC 8945): which algorithms and secrets are taken."""

from __future__ import annotations

import base64
import binascii
import typing as t

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1", "hmac-md5")


def secret_fault(secret: t.Any) -> str:
    """What is wrong with a secret.

    :arg secret: what was given; a text in base64 is wanted.
    :returns: words that hold nothing of it, such as ``not base64``; empty where nothing is wrong.
    """
    if not isinstance(secret, str):
        return "no text"
    try:
        return "" if base64.b64decode(secret, validate=True) else "empty"
    except (binascii.Error, ValueError):
        return "not base64"
