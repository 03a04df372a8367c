# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe's message and its plan; sending and reading are tested against real servers."""

from __future__ import annotations

import contextlib
import email
import email.policy

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils import mailbox, probe, probe_message
from ansible_collections.mailfleet.sending.plugins.module_utils.mailbox import Account
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_paths import Outlet
from ansible_collections.mailfleet.sending.plugins.module_utils.submission import Endpoint, Login, Reply

PROBE = probe_message.Probe("abcdef0123456789", 7, "example.com", "probe@gmail.com", "mta1", "198.51.100.10")
PATHS = [
    probe.Path("mta1", "ip-198-51-100-10", "198.51.100.10", "mta1.example.com"),
    probe.Path("mta1", "ip-2001-db8--10", "2001:db8::10", "mta1.example.com"),
]
DOMAINS = [probe.Domain("example.com", "e.example.com"), probe.Domain("example.us", "e.example.us")]


def target(address: str, **more) -> probe.Target:
    return probe.Target(address, Account("imap.test", "probe", "secret"), "mx.test", ("mx.test",), ("dkim",), **more)


def test_the_message_is_complete_and_plain():
    raw = probe_message.build(PROBE, 1795464000.0)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert not message.defects and raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"") and max(map(len, raw.split(b"\r\n"))) < 78
    assert message["From"].addresses[0].addr_spec == "probe@example.com"
    assert message["To"].addresses[0].addr_spec == "probe@gmail.com"
    assert message["Date"].datetime.timestamp() == 1795464000.0
    assert message["Message-ID"] == "<probe.abcdef0123456789-7@example.com>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Unsubscribe"].startswith("<https://example.com/")
    assert "abcdef0123456789-7" in message["Subject"]
    assert probe_message.nonce_of(raw) == PROBE.nonce == "abcdef0123456789-7"


def test_eight_bits_are_sent_as_they_are():
    raw = probe_message.build(PROBE, 0.0, "Grüße\nzwei Zeilen")
    assert "Grüße\r\nzwei Zeilen\r\n".encode() in raw
    assert email.message_from_bytes(raw)["Content-Transfer-Encoding"] == "8bit"


def test_a_nonce_counts_once_and_in_the_header_alone():
    raw = probe_message.build(PROBE, 0.0)
    line = b"X-Mailfleet-Probe: abcdef0123456789-7\r\n"
    assert probe_message.nonce_of(raw.replace(line, b"") + line) == ""
    assert probe_message.nonce_of(line + raw) == ""
    assert probe_message.nonce_of(b"X-Mailfleet-Probe: (x)\r\n\r\n") == ""


def test_every_address_domain_and_mailbox_gets_a_message_of_its_own():
    outcome = probe.plan(
        "abcdef0123456789", PATHS, DOMAINS, [target("a@x.test"), target("b@x.test", families=("ipv4",))]
    )
    assert [(j.sender, j.target.address) for j in outcome.journeys] == [
        ("probe+ip-198-51-100-10@e.example.com", "a@x.test"),
        ("probe+ip-198-51-100-10@e.example.us", "a@x.test"),
        ("probe+ip-198-51-100-10@e.example.com", "b@x.test"),
        ("probe+ip-198-51-100-10@e.example.us", "b@x.test"),
        ("probe+ip-2001-db8--10@e.example.com", "a@x.test"),
        ("probe+ip-2001-db8--10@e.example.us", "a@x.test"),
    ]
    assert len({journey.probe.nonce for journey in outcome.journeys}) == 6
    assert outcome.not_checked == ["2001:db8::10 to b@x.test: the mailbox takes no mail over ipv6"]
    assert "secret" not in repr(outcome)


POOL = probe.PoolPath("mta1", "bulk", "probe@e.example.us", (
    Outlet("198.51.100.11", "mta1b.example.com"), Outlet("198.51.100.12", "mta1c.example.com")))


def test_a_pool_gets_one_message_for_its_own_domain_by_the_sender_that_it_takes():
    outcome = probe.plan("abcdef0123456789", PATHS[:1], DOMAINS, [target("a@x.test")], [(POOL, DOMAINS[1])])
    assert [(j.sender, j.subject) for j in outcome.journeys][2:] == [
        ("probe@e.example.us", "mta1 pool bulk example.us a@x.test")]


@pytest.mark.parametrize("address, helo, origin, greeting", [
    ("198.51.100.11", "mta1b.example.com", "ok", "ok"),
    ("198.51.100.12", "mta1c.example.com", "ok", "ok"),
    ("198.51.100.12", "mta1b.example.com", "ok", "fail"),
    ("198.51.100.10", "mta1.example.com", "fail", "fail"),
])
def test_mail_of_a_pool_must_leave_from_one_of_its_addresses(address, helo, origin, greeting):
    (journey,) = probe.plan("abcdef0123456789", [], DOMAINS, [target("a@x.test")], [(POOL, DOMAINS[1])]).journeys
    journey.reply = Reply(True, "250 2.0.0 Ok: queued as 4ZxYw1")
    field = f"Received: from {helo} ({helo} [{address}])\r\n\tby mx.test with ESMTPS id 1 for <a@x.test>; now\r\n\r\n"
    journey.found = mailbox.Found("INBOX", False, "1", field.encode())
    verdicts = {verdict.check: verdict for verdict in probe.verdicts(journey, {}, 5)}
    assert (verdicts["origin"].status.value, verdicts["helo"].status.value) == (origin, greeting)
    assert origin == "ok" or verdicts["origin"].expected == "198.51.100.11 or 198.51.100.12"


def test_a_row_says_unknown_of_what_nobody_saw():
    journey, *_others = probe.plan("abcdef0123456789", PATHS, DOMAINS, [target("a@x.test")]).journeys
    journey.reply = Reply(False, "554 5.7.1 no")
    (refused,) = probe.verdicts(journey, {}, 5)
    assert (refused.check, refused.status.value, refused.found) == ("submission", "fail", "554 5.7.1 no")
    journey.reply = Reply(True, "250 2.0.0 Ok: queued as 4ZxYw1")
    (missing,) = probe.verdicts(journey, {}, 5)
    assert (missing.status.value, missing.found) == (
        "fail",
        "did not arrive within 5 s",
    ) and "4ZxYw1" in missing.cause
    (unread,) = probe.verdicts(journey, {"a@x.test": "searching INBOX: gone"}, 5)
    assert (unread.status.value, unread.found) == ("unknown", "searching INBOX: gone")
    row = probe.row(journey, [missing])
    assert (row["dkim"], row["spf"], row["ptr"], row["arrival"], row["address"]) == (
        "unknown",
        "",
        "unknown",
        "fail",
        "198.51.100.10",
    )


def test_the_junk_folder_is_the_marked_one_or_else_one_of_a_usual_name():
    gmail = [
        b'(\\HasNoChildren) "/" "INBOX"',
        b'(\\All \\HasNoChildren) "/" "[Gmail]/All Mail"',
        b'(\\HasNoChildren \\Junk) "/" "[Gmail]/Spam"',
    ]
    assert mailbox._folders(gmail) == [("INBOX", False), ('"[Gmail]/Spam"', True)]
    plain = [b'() "." INBOX', b'() "." Spam', b'() NIL "Bulk Mail"', b'() "." Notes', None, b"nonsense"]
    assert mailbox._folders(plain) == [("INBOX", False), ("Spam", True), ('"Bulk Mail"', True)]
    assert mailbox._folders([(b'(\\Junk) "/" {4}', b'a "b'), b""]) == [("INBOX", False), ('"a \\"b"', True)]


class World:
    """Servers that take everything, mailboxes into which messages come when a test says, and a clock for both."""

    def __init__(self, arrivals: dict[str, float], refused: tuple[str, ...] = (), broken: tuple[str, ...] = ()) -> None:
        self.arrivals, self.refused, self.broken = arrivals, refused, broken
        self.now, self.sent, self.slept = 0.0, [], []

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def submit(self, _endpoint, _login, envelopes) -> list[Reply]:
        self.sent += [envelope for envelope in envelopes if envelope.recipient not in self.refused]
        return [Reply(envelope.recipient not in self.refused, "250 queued as 4Zx") for envelope in envelopes]

    def mailbox(self, account: Account) -> contextlib.AbstractContextManager:
        world, seen = self, set()

        class Box(contextlib.AbstractContextManager):
            def find(self, _text):
                if account.user in world.broken:
                    raise mailbox.MailboxError("searching INBOX: gone")
                here = [
                    each
                    for each in world.sent
                    if each.recipient == account.user
                    and each.sender not in seen
                    and world.arrivals.get(each.sender, 1e9) <= world.now
                ]
                seen.update(each.sender for each in here)
                return [mailbox.Found("INBOX", False, "1", each.message) for each in here]

            def delete(self, _messages):
                pass

            def __exit__(self, *_error):
                pass

        return Box()


def looks(monkeypatch, world: World, timeout: float, *addresses: str) -> list[probe.Look]:
    """What is shown of probes from two addresses to mailboxes."""
    targets = [
        probe.Target(each, Account("imap.test", each, "secret"), "mx.test", ("mx.test",), ()) for each in addresses
    ]
    outcome = probe.plan("abcdef0123456789", PATHS, DOMAINS[:1], targets)
    for name, value in (("time", world), ("submit", world.submit), ("Mailbox", world.mailbox)):
        monkeypatch.setattr(probe, name, value)
    shown = []
    probe.travel(outcome, {"mta1": Endpoint("mta1.test")}, Login("probe", "secret"), timeout, show=shown.append)
    return shown


ONE, OTHER = ("probe+ip-198-51-100-10@e.example.com", "probe+ip-2001-db8--10@e.example.com")


def test_what_arrives_at_once_is_not_told(monkeypatch):
    assert looks(monkeypatch, World({ONE: 0, OTHER: 0}), 120, "a@x.test") == []


def test_the_first_look_that_misses_something_is_told_and_the_last(monkeypatch):
    shown = looks(monkeypatch, World({ONE: 0, OTHER: 3}), 120, "a@x.test")
    assert [str(look) for look in shown] == [
        "after 0.0 s: 1 of 2 have arrived; awaited: mta1 2001:db8::10 example.com a@x.test; next look in 0.5 s",
        "after 4.1 s: 2 of 2 have arrived",
    ]


def test_while_something_is_awaited_a_look_is_told_now_and_then_to_the_end(monkeypatch):
    world = World({ONE: 20, OTHER: 1e9})
    shown = looks(monkeypatch, world, 120, "a@x.test", "b@x.test")
    times = [look.after for look in shown]
    assert times[0] == 0 and times[-1] == world.now == 120
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert min(gaps[:-1]) >= probe.SHOWN_EVERY and max(gaps) <= probe.SHOWN_EVERY + probe.LONGEST_PAUSE
    assert len(shown) < len(world.slept)
    assert {len(look.awaited) for look in shown} == {4, 2}
    assert "0 of 4 have arrived; awaited: mta1 198.51.100.10 example.com a@x.test, " in str(shown[0])
    assert " and 1 more; next look in 0.5 s" in str(shown[0])
    assert str(shown[-1]).endswith("2001:db8::10 example.com b@x.test; the time is up")


def test_what_was_not_taken_and_what_cannot_be_read_is_told(monkeypatch):
    shown = looks(monkeypatch, World({}, refused=("a@x.test",), broken=("b@x.test",)), 5, "a@x.test", "b@x.test")
    assert "0 of 2 have arrived; 2 were not taken; awaited: mta1 198.51.100.10 example.com b@x.test" in str(shown[-1])
    assert "; b@x.test cannot be read: searching INBOX: gone; the time is up" in str(shown[-1])
    assert "secret" not in repr(shown)


def test_where_nothing_was_taken_nothing_is_awaited(monkeypatch):
    world = World({}, refused=("a@x.test",))
    assert looks(monkeypatch, world, 120, "a@x.test") == [] and not world.slept
