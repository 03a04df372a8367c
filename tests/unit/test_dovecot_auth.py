# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins for Dovecot: files, diffs, and the protocol of its auth socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils import dovecot_auth
from ansible_collections.mailfleet.sending.plugins.module_utils.dovecot_auth import Answer, Login
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes

# `doveadm pw -t` of Dovecot 2.3 and 2.4 verifies this one for the password "password".
KNOWN = "{SSHA512}9ZxHVj4YomwqqFiYKcIjExMLx2ZblYfXRGc4KMqbgvHq2+HOgwiTIi+eO/Uam/8D0beDAkGpvx14+UFlfBskLnNhbHRzYWx0"


def test_the_hash_is_one_that_dovecot_verifies():
    assert dovecot_auth.ssha512("password", b"saltsalt") == KNOWN


def test_the_passwd_file_is_sorted_and_names_each_scheme():
    logins = dovecot_auth.read_logins(
        [{"name": "probe", "password_hash": "{SSHA512}abc="}, {"name": "app", "password_hash": "$6$salt$hash/."}]
    )
    assert dovecot_auth.passwd_file(logins).splitlines() == [
        dovecot_auth.MARK,
        "app:{CRYPT}$6$salt$hash/.",
        "probe:{SSHA512}abc=",
    ]
    assert "hash/." not in repr(logins)


def test_all_mistakes_are_told_at_once_and_no_hash():
    with pytest.raises(Mistakes) as caught:
        dovecot_auth.read_logins(
            [
                {"name": "a b", "password_hash": "{SSHA512}x"},
                {"name": "c", "password_hash": "plainly"},
                {"name": "c", "password_hash": "{PLAIN}plainly"},
                {"name": "d", "password_hash": "$6$x\nroot:plainly"},
                {"name": "e", "password_hash": "$6$x:0:0"},
            ]
        )
    assert [mistake.path for mistake in caught.value.mistakes] == [
        "users[0].name",
        "users[1].password_hash",
        "users[2].name",
        "users[2].password_hash",
        "users[3].password_hash",
        "users[4].password_hash",
    ]
    assert "plainly" not in str(caught.value)


def test_a_diff_shows_names_alone():
    before = dovecot_auth.passwd_file([Login("a", "{X}1"), Login("b", "{X}2"), Login("c", "{X}3")])
    after = dovecot_auth.passwd_file([Login("b", "{X}2"), Login("c", "{X}4"), Login("d", "{X}5")])
    assert dovecot_auth.shown_logins(before, after) == ("a\nb\nc\n", "b\nc (another password)\nd\n")
    assert dovecot_auth.shown_logins("", "") == ("", "")


@pytest.mark.parametrize(
    "version, has, has_not",
    [
        ("2.3.19.1", "args = scheme=CRYPT username_format=%u /etc/dovecot/u\n", "dovecot_config_version"),
        ("2.4.1-4", "passwd_file_path = /etc/dovecot/u\n", "args ="),
        ("2.5.0", "dovecot_config_version = 2.4.0\n", "args ="),
    ],
)
def test_each_version_has_its_syntax(version, has, has_not):
    text = dovecot_auth.configuration(version, "/etc/dovecot/u")
    assert has in text and has_not not in text
    assert dovecot_auth.is_ours(text) and "\nprotocols =\n" in text


@pytest.mark.parametrize("version", ["2.2.36", "", "new"])
def test_other_versions_are_refused(version):
    with pytest.raises(ValueError, match=r"2\.3 or later"):
        dovecot_auth.configuration(version, "/etc/dovecot/u")


@pytest.mark.parametrize(
    "line, answer",
    [
        (b"VERSION\t1\t2\n", None),
        (b"MECH\tPLAIN\tplaintext\n", None),
        (b"DONE\n", None),
        (b"OK\t2\tuser=x\n", None),
        (b"OK\t1\tuser=x\n", Answer(True)),
        (b"FAIL\t1\tuser=x\treason=no such user\n", Answer(False, reason="no such user")),
        (b"FAIL\t1\tuser=x\ttemp\n", Answer(False, broken=True)),
        (b"FAIL\t1\tuser=x\tcode=temp_fail\ttemp\n", Answer(False, True, "temp_fail")),
    ],
)
def test_lines_of_the_protocol(line, answer):
    assert dovecot_auth.read_answer(line) == answer


@pytest.mark.parametrize("line", [b"", b"OK\t1", b"VERSION\t2\t0\n", b"VERSION\n", b"CONT\t1\t\n"])
def test_lines_that_end_the_talk(line):
    with pytest.raises(dovecot_auth.ProtocolError):
        dovecot_auth.read_answer(line)


@given(st.binary(max_size=60))
def test_any_line_is_an_answer_or_none_or_a_typed_error(line):
    try:
        answer = dovecot_auth.read_answer(line + b"\n")
    except dovecot_auth.ProtocolError:
        return
    assert answer is None or isinstance(answer, Answer)


def test_a_secret_is_read_back():
    text = dovecot_auth.write_secret("p" * 20, b"12345678")
    assert dovecot_auth.read_secret(text) == ("p" * 20, b"12345678")


@pytest.mark.parametrize(
    "text",
    ["", "password: x\n", "password: short\nsalt: 0011223344556677\n", "password: " + "p" * 20 + "\nsalt: zz\n"],
)
def test_what_is_no_secret_is_a_typed_error_that_holds_nothing_of_it(text):
    with pytest.raises(ValueError, match="expected") as caught:
        dovecot_auth.read_secret(text)
    assert "pppp" not in str(caught.value)
