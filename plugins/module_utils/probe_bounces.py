# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The round trip of a bounce: mail to nobody comes back, its recipient is suppressed, every server refuses the next.

The recipient is new with each run. So nothing but the bounce of this message can have put it on the list at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_units import COMMAND
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs
from ansible_collections.mailfleet.sending.plugins.module_utils.submission import (
    Endpoint,
    Envelope,
    Login,
    Reply,
    ask,
    submit,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "bounces"
MARKER = "mailfleet-suppressed"  # the program's, which never changes
REFUSAL = "550 5.7.1 "
EXPECTED = f"{REFUSAL}... {MARKER}, after the bounce of the message was taken for hard"
CONNECTIONS = 4
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 1.0, 10.0, 1.5  # seconds
LINES = 2000  # so many of the last events are looked through
NOTHING_TAKEN = "no server took the message, so that nothing came back"


@dataclass
class Trip:
    """A message to nobody: which ``server`` took it, and how each server answered RCPT for the next one.

    ``replies`` are those to the message itself; ``answers`` the last ones to RCPT, ``refused`` after how many seconds
    a server refused, where it did.
    """

    sender: str
    recipient: str
    server: str = ""
    replies: dict[str, Reply] = field(default_factory=dict)
    answers: dict[str, Reply] = field(default_factory=dict)
    refused: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """What the program on a server says of the recipient; ``failure`` is why it says less than all."""

    host: str
    events: tuple[Mapping[str, Any], ...] = ()
    suppressed: bool = False
    failure: str = ""


def nobody(run: str, domain: str) -> str:
    """Return a recipient that does not exist, unlike those of all other runs."""
    return f"mailfleet-probe-{run}@{domain}"


def is_ours(text: str) -> bool:
    """Return whether a reply is the refusal of a recipient that is on the fleet's own list."""
    return text.startswith(REFUSAL) and MARKER in text


def travel(
    trip: Trip,
    message: bytes,
    endpoints: Mapping[str, Endpoint],
    login: Login,
    timeout: float,
    show: Callable[[str], None] | None = None,
) -> None:
    """Hand the message in at the first server that takes it, and ask all of them until they refuse the recipient.

    They are asked for `timeout` seconds at most. `show` takes a line each time.
    """
    for server, endpoint in endpoints.items():
        (trip.replies[server],) = submit(endpoint, login, [Envelope(trip.sender, trip.recipient, message)])
        if trip.replies[server].accepted:
            trip.server = server
            break
    else:
        return
    began, pause = time.monotonic(), FIRST_PAUSE
    while waiting := [server for server in endpoints if server not in trip.refused]:
        left = timeout - (time.monotonic() - began)
        if trip.answers and left <= 0:
            return
        time.sleep(max(0.0, min(pause, left)))
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            found = pool.map(lambda server: ask(endpoints[server], login, trip.sender, trip.recipient), waiting)
            trip.answers |= dict(zip(waiting, found))
        after = time.monotonic() - began
        trip.refused |= {server: after for server in waiting if is_ours(trip.answers[server].text)}
        if show:
            show(f"after {after:.1f} s: {len(trip.refused)} of {len(endpoints)} servers refuse {trip.recipient}")
        pause = min(pause * GROWTH, LONGEST_PAUSE)


def look(programs: Programs, recipient: str) -> dict[str, Any]:
    """Ask the program on this server what it knows of a recipient, and have it forget that.

    Returns C(events), C(suppressed) and C(failure), as Told has them.
    """
    tail = programs([COMMAND, "events", "tail", "--lines", str(LINES)])
    why = programs([COMMAND, "suppress", "why", recipient])
    forget = programs([COMMAND, "forget", recipient])
    asked = (("events tail", tail, (0,)), ("suppress why", why, (0, 1)), ("forget", forget, (0,)))
    failures = [done.err.strip() or f"{what}: status {done.status}"
                for what, done, good in asked if done.status not in good]
    return {"events": list(of_recipient(tail.out, recipient)), "suppressed": why.status == 0,
            "failure": "; ".join(dict.fromkeys(failures))}


def of_recipient(lines: str, recipient: str) -> Iterator[dict[str, Any]]:
    """Return the events about a recipient among JSON lines; what is none is passed over."""
    for line in lines.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("recipient") == recipient:
            yield event


def not_sent(servers: Iterable[str], why: str, mend: str) -> Verdict:
    """Return the verdict of a round trip that did not take place: unknown, never ok."""
    return Verdict(CHECK, tuple(servers), Status.UNKNOWN, why, EXPECTED, "nothing was sent, so that nothing is proved",
                   mend, "the task's options")


def verdicts(trip: Trip, told: Told, timeout: float) -> list[Verdict]:
    """Return a verdict on each server that was to refuse the recipient."""
    if not trip.server:
        return [
            Verdict(CHECK, (server,), Status.FAIL, reply.text, EXPECTED, NOTHING_TAKEN,
                    f"let the login send as {trip.sender}; the mail log of {server} has the reason",
                    f"the SMTP dialogue with {server}")
            for server, reply in trip.replies.items()
        ]
    return [_of_server(trip, told, timeout, server) for server in trip.answers]


def _of_server(trip: Trip, told: Told, timeout: float, server: str) -> Verdict:
    event = told.events[-1] if told.events else None
    came = "{kind}, {reason} {status} (rule {rule})".format_map({**_NONE, **event}) if event else ""
    source = f"RCPT TO:<{trip.recipient}> at {server}; mailfleet events tail at {told.host}"
    answer = trip.answers[server].text

    def verdict(status: Status, found: str, cause: str = "", mend: str = "") -> Verdict:
        return Verdict(CHECK, (server,), status, found, EXPECTED, cause, mend, source)

    if server in trip.refused:
        found = f"{answer}, after {trip.refused[server]:.0f} s"
        if event and not told.failure:
            hard = event.get("kind") == "hard"
            return verdict(Status.OK if hard else Status.FAIL, f"{found}; {came}", "" if hard else _NOT_HARD,
                           "" if hard else _ANOTHER)
        cause = told.failure or f"none of the last {LINES} events is about it"
        return verdict(Status.WARN, found, f"what came back could not be looked at, or not be forgotten: {cause}",
                       f"look yourself, and take it off the list: mailfleet forget {trip.recipient}")
    if told.failure:
        return verdict(Status.UNKNOWN, answer, f"what came back could not be looked at: {told.failure}",
                       f"have mailfleet events tail answer at {told.host}")
    if event is None:
        queue_id = trip.replies[trip.server].queue_id or "(no queue id named)"
        cause = f"no bounce was taken in within {timeout:g} s; {trip.server} took the message as {queue_id}"
        return verdict(Status.UNKNOWN, answer, cause, f"look for {queue_id} in the mail log of {trip.server}, then for"
                       " the bounce in journalctl -u mailfleet-bounces and mailfleet bounces quarantine; if it comes"
                       f" later: mailfleet forget {trip.recipient}")
    if event.get("kind") != "hard":
        return verdict(Status.FAIL, f"{answer}; {came}: {event.get('text') or ''}", _NOT_HARD, _ANOTHER)
    if not answer[:1].isdigit():
        return verdict(Status.UNKNOWN, answer, "the bounce was taken in, and the server did not answer",
                       f"make {server} answer at its submission port, then probe again")
    return verdict(Status.FAIL, f"{answer}; {came}", "the bounce was taken in, and the server does not refuse the next"
                   " message" + ("" if told.suppressed else ": it is not on the list"),
                   f"see journalctl -u mailfleet-policy at {server}, and that neither policy.logins nor policy.ports of"
                   " sending_agent lets the probe through")


_NONE = {"kind": "?", "reason": "?", "status": "", "rule": "?"}
_NOT_HARD = "the message came back, and what came back says nothing of a recipient that does not exist"
_ANOTHER = "name a domain in sending_probe_nobody_at whose server refuses unknown recipients with 550 5.1.1"
