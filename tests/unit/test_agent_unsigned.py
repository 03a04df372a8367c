# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Return paths that Postfix makes of the recipient: understood where the operator wants them, and trusted by nobody."""

from __future__ import annotations

import datetime
import re

import pytest
from agent_host import Host
from agent_world import DAY, TODAY, message, mistakes_of
from mailfleet import events, suppressions
from mailfleet.cli import main
from mailfleet.finding import Kind
from mailfleet.unsigned import pattern, recipient_of

PATH = "bounces+u=acme.test@e.example.com"
ON, TRUSTED = {"intake": {"unsigned": "bounces"}}, {"suppression": {"unsigned": True}}
DOMAINS = ("e.example.com", "e.example.us")


@pytest.fixture
def made(tmp_path):
    """A maker of hosts with some settings."""
    hosts = []

    def make(**changes) -> Host:
        hosts.append(Host(tmp_path, **changes))
        return hosts[-1]

    yield make
    for each in hosts:
        each.store.close()


def told(host: Host) -> list[tuple[str, str, str]]:
    return [(each.source, each.kind, each.recipient) for each in events.after(host.store, 0, 99)]


def held(host: Host) -> list[tuple[str, str, str]]:
    return [(each.stream, each.recipient, each.cause) for each in suppressions.holding(host.store, host.now)]


@pytest.mark.parametrize(("address", "recipient"), [
    (PATH, "u@acme.test"), (PATH.upper(), "u@acme.test"), (f"<{PATH}>", "u@acme.test"),
    ("bounces+a+b=c=acme.test@e.example.us", "a+b=c@acme.test"),
    ("bounces+u=acme.test@example.com", ""), ("bounces+u@e.example.com", ""), ("bounces+=acme.test@e.example.com", ""),
    ("bounces+u=@e.example.com", ""), ("bounces@e.example.com", ""), ("xbounces+u=acme.test@e.example.com", ""),
    ("bounces-u=acme.test@e.example.com", ""), ("b+u=acme.test@e.example.com", ""), ("", ""), ("@", ""),
    ("bounces+u=acme.test", ""), ("bounces+u\0=acme.test@e.example.com", ""),
    (f"bounces+{'u' * 65}=acme.test@e.example.com", ""), (f"bounces+u={'x' * 9999}@e.example.com", ""),
])
def test_a_return_path_names_its_recipient(address, recipient):
    found = recipient_of(address, "bounces", DOMAINS)
    assert found[0] == recipient and bool(found[1]) is bool(recipient)
    assert recipient_of(address.removeprefix("bounces"), "", DOMAINS) == ("", "")
    if recipient:
        assert re.search(pattern("bounces").strip("/"), address.strip("<>"), re.IGNORECASE)


def test_the_pattern_for_postfix_lets_in_no_other_form():
    wanted = re.compile(pattern("my.bounces").strip("/"), re.IGNORECASE)
    assert wanted.match("my.bounces+u=acme.test@e.example.com")
    assert not any(map(wanted.match, ("my.bounces@x", "my.bounces+u@x", "my-bounces+u=acme.test@x", "x.bounces+u=a@x")))


def test_the_program_prints_both_patterns_where_there_are_two(made, tmp_path, capsys):
    made(**ON)
    assert main(["--config", str(tmp_path / "agent.json"), "token", "pattern"]) == 0
    assert capsys.readouterr().out.splitlines() == ["/^b\\+[a-z2-7]{26}@/", "/^bounces\\+[^@]+=[a-z0-9.-]+@/"]


def test_unless_somebody_wants_them_they_are_none(made):
    host = made()
    host.put(message(to=PATH))
    host.worker.round()
    assert told(host) == [] and host.reasons() == {"no-token": "other"}


def test_what_comes_of_them_is_recorded_as_unsigned_and_suppresses_nobody(made):
    host = made(**ON)
    host.put(message(to=PATH), message("", to=PATH.replace("+u", "+v")))
    host.worker.round()
    assert sorted(told(host)) == [("unsigned", "hard", "u@acme.test"), ("unsigned", "hard", "v@acme.test")]
    event = events.after(host.store, 0, 1)[0]
    assert (event.stream, event.token, event.day) == ("news", "", -1) and held(host) == []


def test_an_operator_may_trust_them_but_for_complaints(made):
    host = made(**ON, **TRUSTED)
    host.put(message(to=PATH), message("c@acme.test", Kind.COMPLAINT, to=PATH.replace("+u", "+c")))
    host.worker.round()
    assert len(told(host)) == 2 and held(host) == [("news", "u@acme.test", "hard")]


@pytest.mark.parametrize(("trusted", "signed", "suppressed"), [
    (False, 1, False), (True, 1, True), (False, 4, False), (False, 5, True)])
def test_they_are_not_counted_with_what_is_signed_for(made, trusted, signed, suppressed):
    host = made(**ON, **(TRUSTED if trusted else {}))
    for n in range(5):
        path = host.token(day=TODAY + datetime.timedelta(days=n)) if n >= 5 - signed else PATH
        host.put(message(kind=Kind.SOFT, to=path, extra=str(n)))
        host.put(*([message(kind=Kind.DELIVERED, to=PATH, extra=str(n))] if not trusted else []))
        host.worker.round()
        host.now += DAY
    assert bool(held(host)) is suppressed


@pytest.mark.parametrize(("raw", "reason"), [
    (message("other@acme.test", to=PATH), "other-recipient"), (message(to=PATH, findings=[]), "no-token"),
    (message(to=PATH.replace("acme", "b d")), "no-token"),
    # Who forges a token has no second try.
    (message(to=f"b+{'a' * 26}@e.example.com").replace(b'[["env', f'[["x", "{PATH}"], ["env'.encode()), "wrong-mac"),
])
def test_what_else_comes_there_is_junk(made, raw, reason):
    host = made(**ON, **TRUSTED)
    host.put(raw)
    host.worker.round()
    assert told(host) == [] and host.reasons() == {reason: "other"}


def test_a_token_counts_for_more_and_nobody_takes_its_place(made):
    host = made(**ON)
    host.put(message(to=PATH))
    host.worker.round()
    raw = message(to=host.token())
    # The same delivery, by the reporter's words: it was told of before, by somebody who did not sign.
    postfix = b"Reporting-MTA: dns; mx.acme.test\nX-Postfix-Queue-ID: 4ABCDE12345\n"
    host.put(postfix + message(to=PATH), postfix + raw)
    host.worker.round()
    assert sorted(told(host)) == [("bounce", "hard", "u@acme.test"), *[("unsigned", "hard", "u@acme.test")] * 2]
    assert held(host) == [("news", "u@acme.test", "hard")]


def test_of_a_day_so_many_are_recorded(made, monkeypatch):
    monkeypatch.setattr("mailfleet.events.MOST_A_DAY", 3)
    host = made(**ON)
    for n in range(3):
        host.put(*[message(to=PATH, extra=f"{n} {m}") for m in range(2)], message(to=host.token(), extra=str(n)))
        host.worker.round()
    assert [source for source, _kind, _recipient in told(host)].count("unsigned") == 3 and len(told(host)) == 6
    assert host.spool.names() == [] and host.reasons() == {"too-many": "other"}
    host.now += DAY + 1
    host.put(message(to=PATH, extra="later"))
    host.worker.round()
    assert len(told(host)) == 7


@pytest.mark.parametrize("local", ["b", "B", "a+b", "a@b", "", "x" * 64, 3])
def test_a_local_part_of_another_form_is_a_mistake(tmp_path, local):
    assert "intake.unsigned: " in mistakes_of(tmp_path, intake={"unsigned": local})
