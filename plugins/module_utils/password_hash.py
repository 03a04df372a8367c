# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hashes of passwords are taken: salted ones that the Dovecot of Debian 12 and that of 13 both check."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake

# A line of a passwd-file is parted by colons. Dovecot 2.4 refuses what it calls weak, such as crypt(5)'s $1$.
TEXT = "[!-9;-~]+"
HASH = re.compile(
    rf"""
    ( \{{ ( CRYPT | SHA512-CRYPT | SHA256-CRYPT | BLF-CRYPT ) \}} )? \$ ( 2[aby] | 5 | 6 | 7 | y | gy | sha1 ) \$ {TEXT}
    | \{{ ( ARGON2I | ARGON2ID | PBKDF2 ) \}} \$ {TEXT}
    | \{{ ( SSHA | SSHA256 | SSHA512 ) ( \.HEX | \.B64 )? \}} {TEXT}
    | \{{ SCRAM-SHA- ( 1 | 256 ) \}} {TEXT}
    """,
    re.VERBOSE,
)
EXPECTED = (
    "a salted hash: {SHA512-CRYPT}…, {BLF-CRYPT}…, {ARGON2ID}…, {PBKDF2}…, {SSHA512}… or the like,"
    " or crypt(5)'s $6$…, $5$…, $2y$… or $y$…"
)


def hash_mistake(path: str, value: t.Any) -> Mistake | None:
    """Check a password's hash.

    :arg path: where it stands.
    :arg value: what stands there: a hash in Dovecot's form, ``{SCHEME}...``, or in that of crypt(5), ``$id$...``.
    :returns: the mistake, which holds nothing of the value; None where there is none.
    """
    if isinstance(value, str) and HASH.fullmatch(value):
        return None
    found = "something else (not shown)" if isinstance(value, str) else "no text"
    return Mistake(path, found, EXPECTED, "make one with `doveadm pw -s SHA512-CRYPT` or `openssl passwd -6`")
