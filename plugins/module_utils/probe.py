# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A message from every address for every domain to every mailbox, and what became of each."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ansible_collections.mailfleet.sending.plugins.module_utils import judgement, probe_message
from ansible_collections.mailfleet.sending.plugins.module_utils.mailbox import Account, Found, Mailbox, MailboxError
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_paths import Domain, Path, PoolPath
from ansible_collections.mailfleet.sending.plugins.module_utils.submission import (
    Endpoint,
    Envelope,
    Login,
    Reply,
    submit,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

# At so many servers messages are submitted at once.
CONNECTIONS = 4
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.5, 10.0, 1.5
SHOWN_EVERY = 5.0  # seconds
NAMED = 3  # as many of what is awaited are named in a line, the rest is counted


@dataclass(frozen=True)
class Target:
    """A mailbox that probes are sent to, and what its receiver says about itself."""

    address: str
    account: Account
    authserv_id: str
    receivers: tuple[str, ...]
    methods: tuple[str, ...]
    families: tuple[str, ...] = ("ipv4", "ipv6")


@dataclass
class Journey:
    """One message on its way: planned, then submitted, then found. Times are monotonic seconds."""

    probe: probe_message.Probe
    path: Path | PoolPath
    domain: Domain
    target: Target
    reply: Reply | None = None
    submitted: float = 0.0
    arrived: float = 0.0
    found: Found | None = None

    @property
    def subject(self) -> str:
        """Return how verdicts name it."""
        return f"{self.path.server} {self.path.name} {self.domain.domain} {self.target.address}"

    @property
    def sender(self) -> str:
        """Return the envelope sender, by which the server chooses the way."""
        return self.path.sender(self.domain.bounce_domain)


@dataclass
class Outcome:
    """All journeys of a run, the mailboxes that could not be read with the reason, and what was left out."""

    journeys: list[Journey]
    unreadable: dict[str, str] = field(default_factory=dict)
    not_checked: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Look:
    """What is known after one look into the mailboxes.

    Attributes: `after` seconds since all messages were handed in; `sent` how many servers took, `refused` how many not;
    `awaited` what verdicts call those that have not arrived; `unreadable` the mailboxes that could not be read, with
    the reason; `pause` the seconds until the next look, None after the last.
    """

    after: float
    sent: int
    refused: int
    awaited: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    pause: float | None = None

    def __str__(self) -> str:
        """Return the look as one line for people."""
        parts = [f"after {self.after:.1f} s: {self.sent - len(self.awaited)} of {self.sent} have arrived"]
        if self.refused:
            parts.append(f"{self.refused} were not taken")
        if self.awaited:
            more = f" and {len(self.awaited) - NAMED} more" if len(self.awaited) > NAMED else ""
            parts.append(f"awaited: {', '.join(self.awaited[:NAMED])}{more}")
            parts += [f"{address} cannot be read: {reason}" for address, reason in self.unreadable]
            parts.append("the time is up" if self.pause is None else f"next look in {self.pause:.1f} s")
        return "; ".join(parts)


def plan(
    run: str,
    paths: Iterable[Path],
    domains: Iterable[Domain],
    targets: Iterable[Target],
    pools: Iterable[tuple[PoolPath, Domain]] = (),
) -> Outcome:
    """Return the journeys, in the order of paths, domains and mailboxes. `run` begins the nonce of each message.

    Each of `pools` is proved with the one domain that it comes with.
    """
    outcome, domains, targets = Outcome([]), list(domains), list(targets)
    for path, own in [*((path, domains) for path in paths), *((path, [domain]) for path, domain in pools)]:
        for target in targets:
            if path.family and path.family not in target.families:
                outcome.not_checked.append(
                    f"{path.name} to {target.address}: the mailbox takes no mail over {path.family}"
                )
                continue
            for domain in own:
                probe = probe_message.Probe(
                    run, len(outcome.journeys), domain.domain, target.address, path.server, path.name
                )
                outcome.journeys.append(Journey(probe, path, domain, target))
    return outcome


def travel(
    outcome: Outcome,
    endpoints: Mapping[str, Endpoint],
    login: Login,
    timeout: float,
    text: str = "",
    show: Callable[[Look], None] | None = None,
) -> None:
    """Submit all messages, wait until they arrived or `timeout` seconds are over, and delete what arrived.

    A mailbox that cannot be opened gets no message. `endpoints` are the submission servers by the name of the server.
    `show` takes a look now and then while something is awaited, and the last one.
    """
    with contextlib.ExitStack() as stack:
        boxes: dict[Target, Mailbox] = {}
        for target in dict.fromkeys(journey.target for journey in outcome.journeys):
            try:
                boxes[target] = stack.enter_context(Mailbox(target.account))
            except MailboxError as error:
                outcome.unreadable[target.address] = str(error)
        journeys = [journey for journey in outcome.journeys if journey.target in boxes]
        _submit_all(journeys, endpoints, login, text)
        _await_all(journeys, boxes, timeout, outcome.unreadable, show)
        for target, box in boxes.items():
            # What cannot be deleted stays in the mailbox; the verdicts are about the messages, and hold all the same.
            with contextlib.suppress(MailboxError):
                box.delete([journey.found for journey in journeys if journey.target is target and journey.found])


def _submit_all(journeys: list[Journey], endpoints: Mapping[str, Endpoint], login: Login, text: str) -> None:
    servers: dict[str, list[Journey]] = {}
    for journey in journeys:
        servers.setdefault(journey.path.server, []).append(journey)

    def work(server: str) -> None:
        now = time.time()
        envelopes = [
            Envelope(journey.sender, journey.target.address, probe_message.build(journey.probe, now, text))
            for journey in servers[server]
        ]
        for journey, reply in zip(servers[server], submit(endpoints[server], login, envelopes)):
            journey.reply, journey.submitted = reply, time.monotonic()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(work, servers))


def _await_all(
    journeys: list[Journey],
    boxes: Mapping[Target, Mailbox],
    timeout: float,
    unreadable: dict[str, str],
    show: Callable[[Look], None] | None,
) -> None:
    """Look into every mailbox in which something is missing, with growing pauses; note those that cannot be read."""
    waiting = {journey.probe.nonce: journey for journey in journeys if journey.reply and journey.reply.accepted}
    sent, began, pause = len(waiting), time.monotonic(), FIRST_PAUSE
    shown: float | None = None
    while waiting:
        for target in dict.fromkeys(journey.target for journey in waiting.values()):
            try:
                messages = boxes[target].find(journeys[0].probe.run)
            except MailboxError as error:
                unreadable[target.address] = str(error)
                continue
            unreadable.pop(target.address, None)
            for message in messages:
                journey = waiting.get(probe_message.nonce_of(message.message))
                # A nonce in another mailbox than the one that it was sent to proves nothing.
                if journey and journey.target is target:
                    journey.found, journey.arrived = message, time.monotonic()
                    del waiting[journey.probe.nonce]
        after = time.monotonic() - began
        last = not waiting or after >= timeout
        due = not last if shown is None else last or after - shown >= SHOWN_EVERY
        if show and due:
            awaited = tuple(journey.subject for journey in waiting.values())
            told = tuple((address, reason) for address, reason in unreadable.items())
            show(Look(after, sent, len(journeys) - sent, awaited, told, None if last else min(pause, timeout - after)))
            shown = after
        if last:
            return
        time.sleep(min(pause, timeout - after))
        pause = min(pause * GROWTH, LONGEST_PAUSE)


def verdicts(journey: Journey, unreadable: Mapping[str, str], timeout: float) -> list[Verdict]:
    """Return what is to be said about one journey: whether it was accepted, whether it arrived, and how."""
    if journey.reply and not journey.reply.accepted:
        return [
            _verdict(
                journey,
                "submission",
                Status.FAIL,
                journey.reply.text,
                "250 and a queue id",
                f"{journey.path.server} did not take the message",
                f"let the login send as {journey.sender}; the mail log of {journey.path.server} has the reason",
                f"the SMTP dialogue with {journey.path.server}",
            )
        ]
    if journey.found is None:
        return [_missing(journey, unreadable.get(journey.target.address), timeout)]
    seconds = f"after {journey.arrived - journey.submitted:.0f} s in {journey.found.folder}"
    arrival = _verdict(
        journey,
        "arrival",
        Status.WARN if journey.found.junk else Status.OK,
        seconds,
        "in the inbox",
        "the receiver took it for junk" if journey.found.junk else "",
        "see what the receiver's own header fields say about it" if journey.found.junk else "",
        f"IMAP {journey.target.account.host}, message {journey.found.uid} of {journey.found.folder}",
    )
    message, expected = journey.found.message, _expectation(journey)
    if hop := judgement.gather(message, expected).hop:
        expected = _expectation(journey, hop.address or "")
    return [arrival, *judgement.judge(message, expected)]


def row(journey: Journey, about: Iterable[Verdict]) -> dict[str, object]:
    """Return one line of the table: who, where to, and the status of each check, "" where it was not judged."""
    by_check = {verdict.check: verdict.status.value for verdict in about}
    judged = "tls" in by_check

    def status(check: str) -> str:
        wanted = check in judgement.HOP_CHECKS or check in journey.target.methods
        return by_check.get(check, Status.UNKNOWN.value if wanted and not judged else "")

    return {
        "server": journey.path.server,
        "address": journey.path.name,
        "domain": journey.domain.domain,
        "mailbox": journey.target.address,
        **{check: status(check) for check in (*judgement.METHODS, *judgement.HOP_CHECKS)},
        "arrival": by_check.get("arrival") or by_check["submission"],
        "seconds": round(journey.arrived - journey.submitted, 1) if journey.found else None,
        "queue_id": journey.reply.queue_id if journey.reply else "",
    }


def _missing(journey: Journey, unreadable: str | None, timeout: float) -> Verdict:
    account = journey.target.account
    if unreadable:
        return _verdict(
            journey,
            "arrival",
            Status.UNKNOWN,
            unreadable,
            "a mailbox that can be read",
            "nothing can be said about a message that nobody can read",
            f"check the IMAP host, user, password and CA file of {journey.target.address}",
            f"IMAP {account.host}",
        )
    queue_id = journey.reply.queue_id or "(no queue id named)"
    return _verdict(
        journey,
        "arrival",
        Status.FAIL,
        f"did not arrive within {timeout:g} s",
        f"in {journey.target.address}",
        f"last known: taken by {journey.path.server} as {queue_id}",
        f"look for {queue_id} in the mail log and the queue (mailq) of {journey.path.server}",
        f"reply of {journey.path.server}: {journey.reply.text}",
    )


def _verdict(journey: Journey, check: str, status: Status, *told: str) -> Verdict:
    return Verdict(check, (journey.subject,), status, *told)


def _expectation(journey: Journey, address: str = "") -> judgement.Expectation:
    """What is expected; of a pool, that what was seen to leave from an address has left by one of its outlets."""
    outlet = journey.path.outlet(address)
    return judgement.Expectation(
        subject=journey.subject,
        address=outlet.address,
        helo=outlet.helo,
        domain=journey.domain.domain,
        bounce_domain=journey.domain.bounce_domain,
        authserv_id=journey.target.authserv_id,
        receivers=journey.target.receivers,
        methods=journey.target.methods,
        others=journey.path.others,
    )


def not_sent(paths: Iterable[Path | PoolPath], why: str, mend: str) -> Verdict:
    """Return the verdict of a probe that did not take place: unknown, never ok."""
    return Verdict(
        "probe",
        tuple(f"{path.server} {path.name}" for path in paths),
        Status.UNKNOWN,
        why,
        "a message from every address, judged on arrival",
        "nothing was sent, so that nothing is proved",
        mend,
        "the task's options",
    )
