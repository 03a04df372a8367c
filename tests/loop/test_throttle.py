# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The throttle for orange.fr and wanadoo.fr: the recipe to the letter, and what sender and receiver see of it."""

from __future__ import annotations

import re
import time

import breaking
import lab_world as lab
import pytest

EVERY_SERVER = pytest.mark.parametrize("server", lab.SERVERS)
SENDER = "mta1.example.com"


def words(text: str) -> list[str]:
    """The lines of a text, the words of each with one space between."""
    return [" ".join(line.split()) for line in text.splitlines()]


@EVERY_SERVER
def test_the_recipe_stands_on_the_server_to_the_letter(server):
    assert words(lab.ssh(server, "postconf", "-M", "throttle/unix")) == ["throttle unix - - - - 1 smtp"]
    assert words(lab.ssh(server, "grep", "^throttle", "/etc/postfix/master.cf")) == ["throttle unix - - - - 1 smtp"]
    assert lab.ssh(server, "postconf", "throttle_destination_rate_delay") == "throttle_destination_rate_delay = 1s\n"
    (table,) = lab.ssh(server, "postconf", "-h", "transport_maps").split()
    kind, _colon, path = table.partition(":")
    assert words(lab.ssh(server, "grep", "throttle", path)) == ["orange.fr throttle:", "wanadoo.fr throttle:"]
    for domain in ("orange.fr", "wanadoo.fr"):
        assert lab.ssh(server, "postmap", "-q", domain, f"{kind}:{path}") == "throttle:\n"


def at_a_time(log: str, client: str) -> tuple[int, int]:
    """How many connections of a client stood at once at most, and how many there were, as a Postfix saw it."""
    events = re.findall(rf"postfix/smtpd\[\d+\]: (connect|disconnect) from {re.escape(client)}\[", log)
    now = most = 0
    for event in events:
        now += 1 if event == "connect" else -1
        most = max(most, now)
    assert now == 0, "a connection stands, or one of before was counted"
    return most, events.count("connect")


def test_connections_at_a_time_are_counted():
    line = "Nov 27 orange postfix/smtpd[{}]: {}connect from mta1.example.com[198.51.100.10]{}\n"
    first, second = (
        (line.format(number, "", ""), line.format(number, "dis", " ehlo=2 mail=1 quit=1")) for number in (1, 2)
    )
    other = line.replace("mta1", "mta2").format(3, "", "")
    assert at_a_time(first[0] + first[1] + second[0] + other + second[1], SENDER) == (1, 2)
    assert at_a_time(first[0] + second[0] + first[1] + second[1], SENDER) == (2, 2)


def journal(node: str, tag: str, start: float) -> str:
    """What a node's Postfix logged under a tag since a time."""
    return breaking.inside(
        node, "journalctl", "--quiet", "--no-pager", "-o", "short-unix", "-t", tag, "--since", f"@{start:.3f}"
    )


def sent_to(recipient: str, start: float) -> list[str]:
    """The lines by which the server says that it sent messages to a recipient since a time."""
    lines = journal("mta1", "postfix/smtp", start).splitlines()
    return [line for line in lines if f"to=<{recipient}>" in line and "status=sent" in line]


def queued(line: str) -> float:
    """How many seconds a message stood in the queue until a delivery agent took it, as a line says."""
    return float(re.search(r"delays=[\d.]+/([\d.]+)/", line)[1])


def test_ten_messages_to_orange_leave_at_one_a_second_over_one_connection_and_gmail_is_not_held():
    slow = [lab.message(recipient="probe@orange.fr") for _number in range(10)]
    quick = lab.message(recipient="probe@gmail.com")
    start = time.time()
    with lab.submission(SENDER) as session:
        for made in slow:
            session.send_message(made, "b@e.example.com", "probe@orange.fr")
        session.send_message(quick, "b@e.example.com", "probe@gmail.com")
    assert lab.received("probe@gmail.com", lab.nonce(quick)) is not None
    for made in slow:
        assert lab.received("probe@orange.fr", lab.nonce(made)) is not None
    # The receiver has a message before the sender logs that, and the journal has it later still.
    breaking.until(lambda: len(sent_to("probe@orange.fr", start)) >= len(slow) and sent_to("probe@gmail.com", start),
                   "the journal tells of all of them", lab.PATIENCE)
    sent, others = sent_to("probe@orange.fr", start), sent_to("probe@gmail.com", start)
    assert len(sent) == len(slow)
    assert min(map(queued, others)) < max(map(queued, sent)) / 2, "gmail.com waited for orange.fr"
    times = sorted(float(line.split()[0]) for line in sent)
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert 0.9 <= sum(gaps) / len(gaps) <= 1.3, gaps
    # Postfix counts whole seconds: while other mail comes, a pause ends when the next second begins, and two pauses are
    # never shorter than a second.
    assert min(later - earlier for earlier, later in zip(times, times[2:])) >= 0.9, gaps
    workers = {line.split("postfix/smtp[")[1].split("]")[0] for line in sent}
    assert len(workers) == 1, "maxproc 1 means one delivery agent, hence one connection at a time"
    breaking.until(lambda: at_rest(start), "the receiver has seen the last connection end")
    most, connections = at_a_time(journal("orange", "postfix/smtpd", start), SENDER)
    assert most == 1, "the receiver saw several connections at once"
    # Under TLS a connection carries one message (smtp_tls_connection_reuse).
    assert 1 <= connections <= len(slow)


def at_rest(start: float) -> bool:
    """Whether the receiver sees no connection of the sender any more."""
    log = journal("orange", "postfix/smtpd", start)
    return log.count(f": connect from {SENDER}[") == log.count(f": disconnect from {SENDER}[")
