# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""main.cf and master.cf: what is not touched stays byte for byte, and what is set reads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils.main_cf import MainCf, line
from ansible_collections.mailfleet.sending.plugins.module_utils.master_cf import MasterCf, formatted, tokens

MAIN = """\
# See /usr/share/postfix/main.cf.dist for a commented, more complete version

smtpd_banner = $myhostname ESMTP
biff=no
mydestination = $myhostname,
# a comment within
   localhost,

\tlocalhost.localdomain
relayhost =
inet_interfaces = all"""
MASTER = """\
# service type  private unpriv  chroot  wakeup  maxproc command + args
smtp      inet  n       -       y       -       -       smtpd
#submission inet n       -       y       -       -       smtpd
#  -o syslog_name=postfix/submission
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=${multi_instance_name?{$multi_instance_name}:{postfix}}/$service_name
#       -o smtp_helo_timeout=5 -o smtp_connect_timeout=5
odd       unix  -       -       y       -       -       smtp -o { smtp_helo_name = a b } -osmtp_bind_address= -v
uucp      unix  -       n       n       -       -       pipe
  flags=Fqhu user=uucp argv=uux -r -o nothing -z -a$sender - $nexthop!rmail ($recipient)
"""
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
VALUES = st.text("abc$,{}#=:/[] ", max_size=12).map(lambda text: " ".join(text.split()))
IDLE = st.sampled_from(["\n", "# note\n", "  # indented note\n", "   \n"])


@st.composite
def main_texts(draw) -> str:
    parts = []
    for _index in range(draw(st.integers(0, 6))):
        name, value = draw(NAMES), draw(VALUES)
        parts.append(f"{name}{draw(st.sampled_from([' = ', '=', ' =']))}{value}\n")
        for _line in range(draw(st.integers(0, 2))):
            parts.append(draw(st.one_of(IDLE, VALUES.map(lambda v: f"  x{v}\n"))))
    return "".join(draw(st.lists(IDLE, max_size=2)) + parts)


def test_main_values() -> None:
    values = MainCf.parse(MAIN).values
    assert values["mydestination"] == "$myhostname, localhost, localhost.localdomain"
    assert (values["biff"], values["relayhost"]) == ("no", "")


def test_main_put_keeps_places_and_comments() -> None:
    new = MainCf.parse(MAIN).put({"biff": "biff = yes\n", "relayhost": None, "added": "added = 1\n"})
    assert str(new) == MAIN.replace("biff=no", "biff = yes").replace("relayhost =\n", "") + "\nadded = 1\n"


def test_main_same_value_keeps_its_form() -> None:
    assert str(MainCf.parse(MAIN).put({"biff": "biff = no\n"})) == MAIN


def test_main_last_of_several_counts_and_one_remains() -> None:
    both = MainCf.parse("a = 1\nb = 2\na = 3\n")
    assert both.values["a"] == "3"
    assert str(both.put({"a": "a = 3\n"})) == "a = 3\nb = 2\n"


@pytest.mark.parametrize("text, words", [
    ("  indented = 1\n", "line 1: a setting must not begin with white space"),
    ("a = 1\nno setting here\n", "line 2: found 'no setting here'"),
])
def test_main_faults(text, words) -> None:
    with pytest.raises(ValueError, match=words):
        MainCf.parse(text)


@given(main_texts())
def test_main_round_trip(text) -> None:
    assert str(MainCf.parse(text)) == text


@given(main_texts(), st.dictionaries(NAMES, VALUES, max_size=4))
def test_main_put_then_put_back(text, wanted) -> None:
    before = MainCf.parse(text)
    after = MainCf.parse(str(before.put({name: line(name, value) for name, value in wanted.items()})))
    assert {name: after.values[name] for name in wanted} == wanted
    assert {n: v for n, v in after.values.items() if n not in wanted} == \
        {n: v for n, v in before.values.items() if n not in wanted}
    assert after.put({name: line(name, value) for name, value in wanted.items()}) == after
    back = after.put({name: before.text_of(name) for name in wanted})
    assert back.values == before.values


def test_master_services() -> None:
    services = MasterCf.parse(MASTER).services
    assert list(services) == ["smtp/inet", "relay/unix", "odd/unix", "uucp/unix"]
    assert services["odd/unix"].options == (("smtp_helo_name", "a b"), ("smtp_bind_address", ""))
    assert services["odd/unix"].arguments == ("-v",)
    assert dict(services["relay/unix"].options)["syslog_name"].endswith("/$service_name")
    assert "-o" in services["uucp/unix"].arguments and not services["uucp/unix"].options


def test_master_round_trip_and_put() -> None:
    master = MasterCf.parse(MASTER)
    assert str(master) == MASTER
    throttle = formatted("throttle/unix", ["-", "-", "-", "-", "1"], "smtp", {})
    assert throttle.text == "throttle unix - - - - 1 smtp\n"
    new = master.put({"throttle/unix": throttle.text})
    assert str(new) == MASTER + throttle.text
    assert str(new.put({"throttle/unix": None})) == MASTER


def test_master_same_service_keeps_its_form() -> None:
    same = formatted("smtp/inet", ["n", "-", "y", "-", "-"], "smtpd", {})
    assert str(MasterCf.parse(MASTER).put({"smtp/inet": same.text})) == MASTER
    one = formatted("x/unix", ["-"] * 5, "smtp", {"a": "1", "b": "2"})
    other = formatted("x/unix", ["-"] * 5, "smtp", {"b": "2", "a": "1"})
    assert str(MasterCf.parse(one.text).put({"x/unix": other.text})) == one.text


@given(st.dictionaries(NAMES, st.text("ab$,#=:/[] ", max_size=8).map(lambda t: " ".join(t.split())), max_size=4))
def test_master_options_read_back(options) -> None:
    written = formatted("x/unix", ["-"] * 5, "smtp", options)
    (read,) = MasterCf.parse(written.text).services.values()
    assert dict(read.options) == options


def test_tokens_and_braces() -> None:
    assert tokens("a {b c} ${d?{e f}:{g}}/h") == ["a", "{b c}", "${d?{e f}:{g}}/h"]
    with pytest.raises(ValueError, match="brace"):
        tokens("a {b c")


def test_master_faults_name_the_line() -> None:
    with pytest.raises(ValueError, match="line 2: found 3 fields"):
        MasterCf.parse("# x\nsmtp inet n\n")
