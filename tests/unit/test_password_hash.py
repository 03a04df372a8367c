# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hashes are taken: Dovecot 2.3.19 and 2.4.1 were asked, and both let the right password in."""

from __future__ import annotations

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.password_hash import hash_mistake

TAKEN = [
    "$6$flEcJkkqpaZX.k4z$Yd7ViwP.auelHa",
    "$5$IjSxHCCKTMR/XnJI$majgEtHH.MpgZ7",
    "$2y$05$abcdefghijklmnopqrstuuWG29K",
    "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSY",
    "{SHA512-CRYPT}$6$x$y",
    "{BLF-CRYPT}$2y$05$57V7SRXah78R.BKv",
    "{CRYPT}$2y$05$ZcZrFwRiLDJknVcMAYPe",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$c2FsdA$aGFzaA",
    "{PBKDF2}$1$5MUXduu7n3.MT0pR$5000$c0",
    "{SSHA512}9ZxHVj4YomwqqFiYKcIjExMLx2Zb+/=",
    "{SSHA512.HEX}f59c47563e18a26c2aa85",
    "{SCRAM-SHA-256}4096,jdWFuFnuj4BHHLzg==,a=,b=",
]
REFUSED = [
    "hunter2",
    "",
    "$hunter2",
    "$6$",
    "$6$x$y\nroot:hunter2",
    "$6$x$y:0:0",
    "$6$x$ y",
    "{SHA512-CRYPT}hunter2",
    "{SHA512-CRIPT}$6$x$y",
    "{SSHA512}",
    "{PLAIN}hunter2",
    "{CLEARTEXT}hunter2",
    "{SHA512}sQnzu7wkTrgkQZF+0G1hi5AI3Q",
    "{CRAM-MD5}9186d855e11eba527a7a52ca",
    # Dovecot 2.4 denies them for weak, crypt(3) of both does not know the last.
    "$1$Y.hhB8Oi$zK7jDr6sNG0qPH2Li8Fn20",
    "{CRYPT}$1$Y.hhB8Oi$zK7jDr6sNG0qPH2Li8Fn20",
    "{MD5-CRYPT}$1$DvaBBZl0$6HQSLX1VjAJ",
    "{SMD5}N8tBMqopX07LZRBhdqdohIe9C8U=",
    "$apr1$NOS19ax.$zPr8fu5zVLuEBAwOkNc",
    12345,
    None,
    True,
    b"$6$x$y",
]


@pytest.mark.parametrize("value", TAKEN)
def test_a_hash_is_taken(value):
    assert hash_mistake("here", value) is None


@pytest.mark.parametrize("value", REFUSED)
def test_anything_else_is_told_and_not_shown(value):
    told = str(hash_mistake("here", value))
    assert told.startswith("here: found ") and "doveadm pw" in told
    assert "hunter2" not in told and "12345" not in told
