# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signed return paths: what is made is believed, of its recipient, for its days, in whatever form it comes back."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from agent_world import KEYS, TODAY
from hypothesis import given
from hypothesis import strategies as st
from mailfleet.tokens import ALPHABET, POSTFIX, Keys, Result

DOMAIN, OTHER = "e.example.com", "e.example.us"
KEYRING = Keys(KEYS, "a", (DOMAIN, OTHER), 30)
ADDRESSES = st.builds(lambda local, host: f"{local}@{host}.example",
                      st.text("abcXYZ019.+_=-'\u00e9\u0130\u00df", min_size=1, max_size=40),
                      st.text("abcXYZ", min_size=1, max_size=10))
FENCES = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/return-paths.md"


def made(recipient="u@acme.test", domain=DOMAIN, today=TODAY, keys=KEYRING) -> str:
    return keys.new(recipient, domain, today)


def later(days: int) -> datetime.date:
    return TODAY + datetime.timedelta(days=days)


@given(ADDRESSES, st.sampled_from([DOMAIN, OTHER]), st.integers(0, 30))
def test_what_is_made_is_valid_and_its_recipients(recipient, domain, age):
    address = made(recipient, domain)
    assert re.fullmatch(r"b\+[a-z2-7]{26}@" + re.escape(domain), address)
    assert len(address.partition("@")[0]) <= 30
    checked = KEYRING.check(address, later(age))
    assert (checked.result, checked.domain) == (Result.VALID, domain)
    assert checked.day == (TODAY - datetime.date(1970, 1, 1)).days
    assert KEYRING.recipient(checked, ["x@acme.test", recipient]) == recipient.translate(
        {each: each + 32 for each in range(65, 91)})
    assert KEYRING.recipient(checked, ["x@acme.test", f"x{recipient}"]) == ""


def test_the_recipient_is_bound_whatever_its_case():
    checked = KEYRING.check(made("User@Acme.Test"), TODAY)
    assert KEYRING.recipient(checked, ["<uSER@aCME.tEST>"]) == "user@acme.test"
    assert made("User@Acme.Test") == made("user@acme.test")


def srs0(address: str, host: str = "fwd.example", separator: str = "=") -> str:
    local, _at, domain = address.partition("@")
    return f"SRS0{separator}x9+/=2N={domain}={local}@{host}"


def srs1(address: str) -> str:
    local, _at, host = srs0(address).partition("@")
    return f"SRS1=kQ3z={host}={local[4:]}@second.example"


@pytest.mark.parametrize("form", [
    str, str.upper, str.title, lambda each: f"<{each}>", lambda each: f" {each}. ", srs0, srs1,
    lambda each: srs0(each).upper(), lambda each: srs1(each).lower(), lambda each: srs0(each, separator="+"),
    lambda each: srs0(each, separator="-"),
])
def test_it_is_read_in_every_form_in_which_it_comes_back(form):
    checked = KEYRING.check(form(made()), TODAY)
    assert (checked.result, checked.domain) == (Result.VALID, DOMAIN)
    assert KEYRING.recipient(checked, ["u@acme.test"]) == "u@acme.test"


@pytest.mark.parametrize("wrong", [
    "", "b+", "u@acme.test", "b+abc@e.example.com", "b@e.example.com", "x" * 5000, made().replace("b+", "b-"),
    made().replace("b+", "bb+"), made().replace("@", "2@"), "SRS0=a=b=c@d", "SRS1=a=b==c=d@e", "\x00@\ud800",
])
def test_what_has_not_the_form_is_malformed(wrong):
    assert KEYRING.check(wrong, TODAY).result is Result.MALFORMED


@given(st.integers(0, 25), st.sampled_from(ALPHABET))
def test_no_character_of_it_can_be_changed(place, character):
    local, _at, domain = made().partition("@")
    changed = f"{local[:2 + place]}{character}{local[3 + place:]}@{domain}"
    wrong = Result.WRONG_MAC if place or character in KEYS else Result.UNKNOWN_KEY
    assert KEYRING.check(changed, TODAY).result is (Result.VALID if changed == made() else wrong)


@given(st.text(max_size=80) | st.text("srSR01=+-@b2a", max_size=80))
def test_whatever_is_checked_has_a_result(text):
    assert not KEYRING.check(text, TODAY)
    assert not KEYRING.check(f"{text}@{DOMAIN}", TODAY)


@pytest.mark.parametrize(("age", "result"), [
    (-2, Result.EXPIRED), (-1, Result.VALID), (30, Result.VALID), (31, Result.EXPIRED), (4000, Result.EXPIRED)])
def test_it_is_believed_for_its_days(age, result):
    assert KEYRING.check(made(), later(age)).result is result


@pytest.mark.parametrize(("address", "result"), [
    (made().replace(DOMAIN, OTHER), Result.OTHER_DOMAIN),
    (made().replace(DOMAIN, "e.example.net"), Result.OTHER_DOMAIN),
    (srs0(made()).replace(DOMAIN, OTHER), Result.OTHER_DOMAIN),
    (made(keys=Keys({"a": "z" * 32}, "a", (DOMAIN,))), Result.WRONG_MAC),
    (made(keys=Keys({"c": "z" * 32}, "c", (DOMAIN,))), Result.UNKNOWN_KEY),
])
def test_what_is_not_ours_is_told_apart(address, result):
    checked = KEYRING.check(address, TODAY)
    assert checked.result is result
    assert KEYRING.recipient(checked, ["u@acme.test"]) == ""


def test_keys_rotate_with_overlap():
    old = made()
    turned = Keys(KEYS, "b", (DOMAIN,), 30)
    assert turned.check(old, TODAY) and turned.check(made(keys=turned), TODAY)
    assert made(keys=turned)[2] == "b"
    dropped = Keys({"b": KEYS["b"]}, "b", (DOMAIN,), 30)
    assert dropped.check(old, TODAY).result is Result.UNKNOWN_KEY


def test_a_day_that_a_token_has_no_room_for_is_refused():
    made(today=datetime.date(2109, 9, 18))
    for day in (datetime.date(2019, 12, 31), datetime.date(2109, 9, 19)):
        with pytest.raises(ValueError, match="a token has room for"):
            made(today=day)


@given(ADDRESSES)
def test_the_pattern_for_postfix_lets_in_what_is_made(recipient):
    pattern = re.compile(POSTFIX.strip("/"), re.IGNORECASE)
    assert pattern.search(made(recipient)) and pattern.search(made(recipient).upper())
    assert not pattern.search(made(recipient).replace("@", "a@"))
    assert not pattern.search("x" + made(recipient))


def example(language: str) -> str:
    return next(body for name, body in FENCES.findall(DOCUMENT.read_text()) if name == language)


CALLS = {
    "python": ([sys.executable, "-c"], "import sys\n{}\nprint(return_path(*sys.argv[1:]))"),
    "sh": (["sh", "-c"], '{}\nreturn_path "$0" "$@"'),
    "php": (["php", "-r"], "{}\necho return_path(...array_slice($argv, 1));"),
    "ruby": (["ruby", "-e"], "{}\nputs return_path(*ARGV)"),
}


@pytest.mark.parametrize("language", CALLS)
def test_the_documented_lines_make_the_same(language):
    command, frame = CALLS[language]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    source = frame.replace("{}", example(language).removeprefix("<?php\n"))
    if language == "sh" and not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    for recipient in ("u@acme.test", "J.O'Neil+\u00c9@Acme.Test"):
        before = datetime.datetime.now(datetime.UTC).date()
        found = subprocess.run([*command, source, "b", KEYS["b"], DOMAIN, recipient],
                               capture_output=True, text=True, check=True).stdout.strip()
        keys = Keys(KEYS, "b", (DOMAIN,), 30)
        assert found in (made(recipient, today=each, keys=keys)
                         for each in (before, datetime.datetime.now(datetime.UTC).date()))
