# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading lines into counts: ``LogReader``.

Five million lines are to take seconds: so lines stay bytes, only what tells of an outcome is looked at closely, and
what a name, a relay or a reply means is looked up once and kept, within bounds.
"""

from __future__ import annotations

import json
import typing as t

from ..event import clean
from ..finding import Kind, Scope
from ..reasons import UNDETERMINED
from . import kinds, lines
from .counting import Counting, Row, Wanted, domain_of
from .log_event import BOUNCED, DEFERRED, DELIVERED, EXPIRED, REJECTED, SUPPRESSED, LogEvent
from .sources import Source, Sources
from .stamps import Clock
from .totals import OTHER, Totals
from .totals import Row as RowKey
from .view import LOCAL, NONE, View
from .waiting import Last, Waiting
from .why import Why, shown

MOST_SENDERS = 20_000
MOST_PROCESSES = 4_096  # of a host, whose TLS connections are known
_MOST_RELAYS = 4_096  # of a service
_FLUSH = 100_000  # lines

_OUTCOMES = {b"deferred": DEFERRED, b"bounced": BOUNCED, b"SOFTBOUNCE": DEFERRED}
_PROBES = (b"deliverable", b"undeliverable", b"undeliverable-but-not-cached")
_SUPPRESSED = "suppressed"


class LogReader:
    """Counts what the lines of a log say.

    :arg view: what of the inventory it is read with.
    :arg host: the myhostname of the server whose log it is.
    :arg events: whether ``take`` returns events, too.
    :arg reference: what a time stamp without a year is told by (see Clock).
    :arg wanted: which outcomes are counted; None for all.
    """

    def __init__(self, view: View, *, host: str, events: bool = False, reference: float | None = None,
                 wanted: Wanted | None = None) -> None:
        self.host = host
        self.waiting = Waiting()
        self.counting = Counting(wanted)
        # Deliveries by processes of which it is not known yet whether they had TLS, by host, process and relay: only
        # of a part of a log that is read beside others (parts.py), else None.
        self.unsure: dict[tuple[bytes, bytes, bytes], dict[str, int]] | None = None
        self._why, self._with_events = Why(view), events
        self._clock = Clock(reference)
        self._sources = Sources(view, {
            "delivery": self._delivery, "qmgr": self._qmgr, "smtpd": self._smtpd, "cleanup": self._cleanup,
            "opendkim": self._opendkim, "others": self._others})
        self._senders: dict[bytes, bytes] = {}
        self._removed = self._signed = 0
        self._stamp, self._at, self._unflushed, self._space = b"", -1, 0, 15

    def feed(self, block: bytes) -> None:
        """Read whole lines, each of them ended by LF."""
        found = block.split(b"\n")
        if not found[-1]:
            found.pop()
        known = self._sources.known
        space = self._space
        for line in found:
            # Most stamps are as long as the one before.
            bracket = line.find(b"[", 16)
            source = known.get(line[space:bracket])
            if source is None:
                space = line.find(b" ", 15)
                source = known.get(line[space:bracket]) or self._sources.of(line, space, bracket)
            source.lines += 1
            if handle := source.handle:
                handle(line, space, bracket, source)
        self._space = space
        self._unflushed += len(found)
        if self._unflushed > _FLUSH:
            self._unflushed = 0
            self.counting.flush()

    def take(self) -> tuple[Totals, list[LogEvent]]:
        """What was counted since it was taken last, and the events of it where they were asked for."""
        totals = self.counting.totals
        self._sources.flush(totals)
        totals.counts["removed"] += self._removed
        totals.counts["signed"] += self._signed
        self._removed = self._signed = 0
        totals.counts["forgotten"] += self.waiting.forgotten
        self.waiting.forgotten = 0
        self._stamp = b""
        return self.counting.take()

    def refer(self, reference: float | None) -> None:
        """Go on with lines that are to be told by another moment (see Clock)."""
        self._clock, self._stamp = Clock(reference), b""

    def state(self) -> bytes:
        """What has to be known of the lines before to go on: messages that are open, and connections."""
        return json.dumps({
            "version": 1, "waiting": self.waiting.as_json(),
            "senders": [[key.decode("latin-1"), each.decode("latin-1")] for key, each in self._senders.items()],
            "tls": [[host.decode("latin-1"), process.decode("latin-1"), relay.decode("latin-1")]
                    for host, found in self.tls.items() for process, relay in found.items()],
        }, separators=(",", ":")).encode("ascii")

    def restore(self, state: bytes) -> None:
        """Go on from a state; raises ValueError where it is none."""
        try:
            found = json.loads(state)
            if found["version"] != 1:
                raise ValueError(f"version {found['version']!r}; expected 1")
            self.waiting.read(found["waiting"])
            self._senders = {key.encode("latin-1"): each.encode("latin-1") for key, each in found["senders"]}
            for host, process, relay in found["tls"]:
                self.tls.setdefault(host.encode("latin-1"), {})[process.encode("latin-1")] = relay.encode("latin-1")
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"found no state of a log: {type(error).__name__} {error}") from error

    @property
    def tls(self) -> dict[bytes, dict[bytes, bytes]]:
        """By host and process, the relay that it has a TLS connection to, as the log has it; empty for none."""
        return self._sources.tls

    def _time(self, line: bytes, space: int) -> int:
        """The moment of a line in seconds of UTC; -1 where its stamp is none."""
        stamp = line[:15] if space == 15 else line[:19] + line[space - 6 : space]
        if stamp != self._stamp:
            self._tick(stamp)
        return self._at

    def _tick(self, stamp: bytes) -> None:
        self._stamp, self._at = stamp, self._clock.read(stamp)
        if self._at >= 0:
            self.counting.tick(self._at)

    def _delivery(self, line: bytes, space: int, bracket: int, source: Source) -> None:
        """A line of what delivers: smtp, lmtp, local, virtual, pipe, error, retry, discard, relay."""
        end = line.find(b"]: ", bracket) + 3
        # The first colon is Postfix' own: behind others of `host … said: …` a receiver may say `to=…`.
        colon = line.find(b": ", end, end + 60)
        match = lines.DELIVERY.match(line, colon + 2) if colon > 0 else None
        fields = match.groups() if match else self._rarer(line, space, bracket, source, end, colon)
        if fields is None:
            return
        recipient, original, relay, delay, stages, dsn, status, text, rest = fields
        stamp = line[:15] if space == 15 else line[:19] + line[space - 6 : space]
        if stamp != self._stamp:
            self._tick(stamp)
        if self._at < 0:
            source.unknown += 1
            return
        if status != b"sent":
            self._failed(source, line[end:colon], fields)
            return
        # What follows is most of what a log tells.
        at = recipient.rfind(b"@")
        domain = recipient[at + 1 :] if at >= 0 else b""
        row = source.sent.get(relay) or source.sent.get((relay, domain))
        if row is None:
            row = self._row_of(source, relay, domain)
            if row is None:
                wanted = self.counting.wanted
                if wanted is None or wanted.takes(self._at, self._why.provider("", domain), domain):
                    self.counting.totals.counts["handed_over"] += 1
                self.waiting.done(source.prefix + line[end:colon], recipient)
                return
        counting = self.counting
        if counting.wanted is not None and not counting.wanted.takes(self._at, row.key[0], domain):
            self.waiting.done(source.prefix + line[end:colon], recipient)
            return
        if not row.domains:
            counting.touched.append(row)
        row.domains.append(domain)
        row.stages.append(stages)
        row.whole.append(delay)
        over = source.tls.get(line[bracket + 1 : end - 3])
        if over == relay:
            row.over_tls += 1
        elif over is None and self.unsure is not None and not source.local:
            self._unsure(line, space, bracket, relay, row.key[0])
        key = source.prefix + line[end:colon]
        if self.unsure is not None or key in self.waiting.messages:
            self.waiting.done(key, recipient)
        if self._with_events:
            self._tell(DELIVERED, row.key, key, recipient, (dsn, b"", relay, original or b"", delay), "")

    def _rarer(self, line: bytes, space: int, bracket: int, source: Source, end: int, colon: int) -> t.Any:
        """A line of what delivers that DELIVERY does not know: the fields of a delivery in a rarer form, or None."""
        if (at := line.find(b" TLS connection ", end, end + 40)) > 0 and (to := line.find(b" to ", at, at + 40)) > 0:
            if len(source.tls) >= MOST_PROCESSES:
                del source.tls[next(iter(source.tls))]
            process = line[bracket + 1 : end - 3]
            source.tls.pop(process, None)
            source.tls[process] = line[to + 4 : line.find(b": ", to)]
            self.counting.totals.counts["tls_lines"] += 1
        elif line.startswith((b"SSL_connect error", b"Cannot start TLS"), end):
            source.tls[line[bracket + 1 : end - 3]] = b""
        elif colon > 0 and (fields := lines.delivery(line, colon + 2)):
            return fields
        else:
            self._others(line, space, bracket, source)
        return None

    def _row_of(self, source: Source, relay: bytes, domain: bytes) -> Row | None:
        """The row of what was sent to a relay; None where it was passed on within this host only."""
        local = source.local or b"[private/" in relay
        if not local and lines.LOOPBACK.match(relay):
            return None
        host = relay.partition(b"[")[0].decode("utf-8", "replace")
        by_host = LOCAL if local else self._why.of_host(host)
        provider = by_host or self._why.provider(host, domain)
        address = LOCAL if local else self._address(source)
        row = self.counting.row((provider, address, DELIVERED, "", Kind.DELIVERED.value, ""))
        if len(source.sent) >= _MOST_RELAYS:
            source.sent.clear()
        source.sent[relay if by_host else (relay, domain)] = row
        return row

    @staticmethod
    def _address(source: Source) -> str:
        return LOCAL if source.local else NONE if source.unsent else source.address

    def _unsure(self, line: bytes, space: int, bracket: int, relay: bytes, provider: str) -> None:
        host = line[space + 1 : line.find(b" ", space + 1)]
        process = line[bracket + 1 : line.find(b"]", bracket)]
        found = self.unsure.setdefault((host, process, relay), {})  # type: ignore[union-attr]
        found[provider] = found.get(provider, 0) + 1

    def _failed(self, source: Source, queue_id: bytes, fields: t.Sequence[bytes | None]) -> None:
        """A recipient that was not delivered to."""
        recipient, original, relay, delay, _stages, dsn, status, text, rest = fields
        outcome = _OUTCOMES.get(status)
        if outcome is None:
            source.unknown += status not in _PROBES
            return
        text = text or rest or b""
        meaning, host = self._why.meaning(text, dsn)
        if relay != b"none" and not source.local:
            host = relay.partition(b"[")[0].decode("utf-8", "replace")
        domain = domain_of(recipient)
        provider = LOCAL if source.local else self._why.provider(host, domain)
        if meaning.reason == _SUPPRESSED:
            outcome = SUPPRESSED
        row = (provider, self._address(source), outcome, meaning.reason, meaning.kind, meaning.scope)
        key = source.prefix + queue_id
        if not self.counting.count(row, self._at, domain, text, meaning.gist):
            if outcome != DEFERRED:
                self.waiting.done(key, recipient)
            return
        self.heard(row, domain, meaning.rule, self._at, text)
        last: tuple[t.Any, ...] = (row,)
        if self._with_events:
            last = (row, *(each.decode("latin-1") for each in (dsn, meaning.gist, original or b"")), meaning.rule)
            self._tell(outcome, row, key, recipient, (dsn, text, relay, original or b"", delay), meaning.rule)
        if outcome == DEFERRED:
            arrived = max(0, self._at - int(_seconds(delay)))
            if self.waiting.put(key, arrived, provider, recipient, last):
                deferred = self.counting.totals.deferred
                deferred[provider] = deferred.get(provider, 0) + 1
        else:
            self.waiting.done(key, recipient)

    def heard(self, row: RowKey, domain: bytes, rule: str, at: int, text: bytes) -> None:
        """What was said of a recipient that was not delivered to: for those who want to know more than counts."""

    def _qmgr(self, line: bytes, space: int, bracket: int, source: Source) -> None:
        """qmgr and postsuper: a message comes, goes, or is given up."""
        if not self._with_events and line.endswith(b" (queue active)"):
            return
        end = line.find(b"]: ", bracket) + 3
        if line.endswith(b": removed"):
            key = source.prefix + line[end:-9]
            self._removed += 1
            if self.unsure is not None or key in self.waiting.messages:
                self.waiting.removed(key)
            if self._with_events:
                self._senders.pop(key, None)
            return
        if line.endswith(b": requeued"):
            self.waiting.removed(source.prefix + line[end:-10])  # it gets another queue id
            return
        colon = line.find(b": ", end)
        if line.startswith(b"from=<", colon + 2):
            if line.endswith((b"status=expired, returned to sender", b"status=force-expired, returned to sender")):
                self._expired(line, space, source, source.prefix + line[end:colon])
            elif self._with_events and (size := line.find(b">, size=", colon)) > 0:
                if len(self._senders) >= MOST_SENDERS:
                    del self._senders[next(iter(self._senders))]
                self._senders[source.prefix + line[end:colon]] = line[colon + 8 : size]
        else:
            self._others(line, space, bracket, source)

    def _expired(self, line: bytes, space: int, source: Source, key: bytes) -> None:
        """All recipients who still waited for a message are given up; where none is known, one is."""
        if self._time(line, space) < 0:
            source.unknown += 1
            return
        found = self.waiting.expired(key, self._at)
        for recipient, last, arrived in [(b"", None, self._at)] if found is None else found:
            self.give_up(key, recipient, last, arrived, self._at)

    def give_up(self, key: bytes, recipient: bytes, last: Last | None, arrived: int, at: int) -> None:
        """Count one recipient whose message expired, with what was last said of it, None where that is not known."""
        row = last[0] if last else (OTHER, NONE, "", UNDETERMINED, Kind.SOFT.value, Scope.MESSAGE.value)
        row = (*row[:2], EXPIRED, *row[3:])
        self.counting.tick(at)
        if self.counting.count(row, at, domain_of(recipient)) and self._with_events and last and len(last) > 1:
            dsn, gist, original, rule = last[1:]
            status, text, original = (each.encode("latin-1") for each in (dsn, gist, original))
            self._tell(EXPIRED, row, key, recipient, (status, text, b"", original, b"%d" % (at - arrived)), rule)

    def _smtpd(self, line: bytes, space: int, bracket: int, source: Source) -> None:
        if line.find(b": client=", bracket, bracket + 60) > 0:
            return
        end = line.find(b"]: ", bracket) + 3
        if line.startswith((b"connect from ", b"disconnect from "), end):
            return
        colon = line.find(b": ", end)
        if source.service == b"smtpd" and line.startswith((b"reject: ", b"milter-reject: "), colon + 2):
            self._refused(line, space, source, line[end:colon], colon + 2)
        elif line.startswith(b"proxy-reject: ", end):
            self._refused(line, space, source, b"", end)
        else:
            self._others(line, space, bracket, source)

    def _cleanup(self, line: bytes, space: int, bracket: int, source: Source) -> None:
        if line.find(b": message-id=", bracket, bracket + 60) > 0:
            return
        end = line.find(b"]: ", bracket) + 3
        colon = line.find(b": ", end)
        if line.startswith((b"milter-reject: ", b"reject: "), colon + 2):
            self._refused(line, space, source, line[end:colon], colon + 2)
        else:
            self._others(line, space, bracket, source)

    def _refused(self, line: bytes, space: int, source: Source, queue_id: bytes, at: int) -> None:
        """A message or a recipient that this host did not take."""
        found = lines.refusal(line, at)
        if found is None or self._time(line, space) < 0:
            source.unknown += 1
            return
        status, text, sender, recipient = found
        meaning, _host = self._why.meaning(text, status)
        outcome = SUPPRESSED if meaning.reason == _SUPPRESSED else REJECTED
        domain = domain_of(recipient)
        row = (self._why.provider("", domain), NONE, outcome, meaning.reason, meaning.kind, meaning.scope)
        if self.counting.count(row, self._at, domain, text, meaning.gist) and self._with_events:
            key = source.prefix + (b"" if queue_id == b"NOQUEUE" else queue_id)
            self._tell(outcome, row, key, recipient, (status, text, b"", b"", b"0"), meaning.rule, sender)

    def _opendkim(self, line: bytes, _space: int, bracket: int, source: Source) -> None:
        if line.find(b": DKIM-Signature field added", bracket, bracket + 90) > 0:
            self._signed += 1
            return
        end = line.find(b"]: ", bracket) + 3
        colon = line.find(b": ", end)
        if any(fault in line for fault in kinds.OPENDKIM_FAULTS):
            self.counting.totals.counts["signing_errors"] += 1
        elif not (line.startswith(kinds.OPENDKIM_ALWAYS, end) or line.startswith(kinds.OPENDKIM, colon + 2)):
            source.unknown += 1

    @staticmethod
    def _others(line: bytes, _space: int, bracket: int, source: Source) -> None:
        """A line that counts nothing: is its kind known?"""
        end = line.find(b"]: ", bracket) + 3
        if end < 3 or not line.startswith(source.begins, end):
            colon = line.find(b": ", end)
            known = 3 <= end < colon and line.startswith(kinds.OF_MESSAGE, colon + 2) and line[end:colon].isalnum()
            source.unknown += not known

    def _tell(self, outcome: str, row: RowKey, key: bytes, recipient: bytes, said: tuple[bytes, ...], rule: str,
              sender: bytes | None = None) -> None:
        if outcome == SUPPRESSED:
            return
        dsn, text, relay, original, delay = said
        if sender is None:
            sender = self._senders.get(key, b"")
        names = [clean(each.decode("utf-8", "replace"), 320) for each in (recipient, original, sender, relay)]
        queue_id, status = (each.decode("ascii", "replace") for each in (key.rpartition(b" ")[2], dsn))
        self.counting.events.append(LogEvent(
            self.host, queue_id, self._at, outcome, names[0], names[1], names[2], row[0], row[1], names[3], status,
            row[3], row[4], row[5], shown(text), rule, _seconds(delay)))


def _seconds(text: bytes) -> float:
    """A delay as the log has it; what is none, or beyond all measure, counts as 0."""
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if 0 <= found < 1e9 else 0.0
