# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mail log as a busy server writes it, and what it says, counted while it is made and not by reading it."""

from __future__ import annotations

import collections
import heapq
import random
import time
import typing as t

START = 1_767_211_200  # 2025-12-31 20:00:00 UTC: a new year begins on the way
HOST = "mta1.example.com"

PROVIDERS = {
    "google": {"domains": ["gmail.com"], "mx": ["google.com"]},
    "orange": {"domains": ["orange.fr", "wanadoo.fr"], "mx": ["orange.fr"]},
    "yahoo": {"domains": ["yahoo.com", "aol.com"], "mx": ["yahoodns.net"]},
}
# Its services in the log, and what they send from: out-… is what this collection calls it, the others need the table.
ADDRESSES = {"ip-2001-db8--10": "2001:db8::10", "slow": "192.0.2.12"}
VIEW = {"providers": PROVIDERS, "addresses": ADDRESSES, "streams": {"example.com": "main"}}
SERVICES = (("postfix/smtp", "default"), ("postfix/ip-192-0-2-10/smtp", "192.0.2.10"),
            ("postfix/out-192-0-2-11-2/smtp", "192.0.2.11"), ("postfix/ip-2001-db8--10/smtp", "2001:db8::10"),
            ("postfix/slow/smtp", "192.0.2.12"))

# Domain, provider, MX host, whether it takes TLS.
PLACES = (
    ("gmail.com", "google", "gmail-smtp-in.l.google.com", True),
    ("hosted.example", "google", "aspmx.l.google.com", True),
    ("orange.fr", "orange", "smtp-in.orange.fr", True),
    ("yahoo.com", "yahoo", "mta7.am0.yahoodns.net", True),
    ("acme.example", "other", "mx1.acme.example", True),
    ("plain.example", "other", "mail.plain.example", False),
)
# What is said, with `{…}` for what differs from time to time: status, text, reason.
DEFERRALS = (
    ("4.7.28", "host {host}[{ip}] said: 421-4.7.28 [192.0.2.10      15] Our system has detected an unusual rate of "
     "421-4.7.28 unsolicited mail originating from your IP address. 421 4.7.28 {id} - gsmtp (in reply to end of DATA "
     "command)", "rate"),
    ("4.7.1", "host {host}[{ip}] said: 450 4.7.1 <{to}>: Recipient address rejected: Greylisted for {n} seconds "
     "(in reply to RCPT TO command)", "rate"),
    ("4.2.2", "host {host}[{ip}] said: 452 4.2.2 <{to}>: mailbox is full, {n} bytes over quota "
     "(in reply to RCPT TO command)", "mailbox-full"),
    ("4.4.1", "connect to {host}[{ip}]:25: Connection timed out", "unreachable"),
)
BOUNCES = (
    ("5.1.1", "host {host}[{ip}] said: 550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox "
     "table (in reply to RCPT TO command)", "user-unknown"),
    ("5.7.1", "host {host}[{ip}] said: 554 5.7.1 Service unavailable; Client host [192.0.2.10] blocked using "
     "zen.spamhaus.org (in reply to RCPT TO command)", "blocked"),
    # A reply that quotes what the log itself looks like.
    ("5.2.2", "host {host}[{ip}] said: 552 5.2.2 mailbox full {id}: to=<a@b.example>, "
              "relay=mx.b.example[192.0.2.99]:25, "
     "delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok) (in reply to RCPT TO command)", "mailbox-full"),
)
OURS = "550 5.7.1 <{to}>: Recipient address rejected: mailfleet-suppressed: not sent, this recipient is on our own " \
       "suppression list"


class LogWorld:
    """Makes lines, and ``says`` what they tell: counters by dimension.

    :arg form: ``traditional`` or ``rfc3339``.
    :arg every: seconds between two messages.
    :arg more: how many recipient domains there are besides PLACES, which get a tenth of the mail.
    """

    def __init__(self, seed: int = 1, form: str = "rfc3339", every: float = 0.05, host: str = "mta1",
                 more: int = 0) -> None:
        self.random, self.form, self.host, self._more = random.Random(seed), form, host, more
        self._now, self._every, self._order, self._ids = float(START), every, 0, 0
        self._heap: list[tuple[float, int, str, str]] = []
        self._deferred: set[str] = set()
        self.says: dict[str, collections.Counter[t.Any]] = collections.defaultdict(collections.Counter)

    def lines(self, many: int) -> t.Iterator[bytes]:
        """So many lines at least, until all messages have ended."""
        made = 0
        while made < many:
            self._now += self._every
            self._message()
            while self._heap and self._heap[0][0] <= self._now:
                made += 1
                yield self._line(*heapq.heappop(self._heap))
        while self._heap:
            yield self._line(*heapq.heappop(self._heap))

    def text(self, many: int) -> bytes:
        """The same as one text."""
        return b"".join(self.lines(many))

    def _line(self, at: float, _order: int, tag: str, said: str) -> bytes:
        self.says["lines"][tag.rpartition("/")[2]] += 1
        if self.form == "traditional":
            moment = time.gmtime(at)
            stamp = time.strftime("%b ", moment) + f"{moment.tm_mday:2d}" + time.strftime(" %H:%M:%S", moment)
        else:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e6):06d}+00:00"
        process = said.partition("\0")
        return f"{stamp} {self.host} {tag}[{process[0] or '4711'}]: {process[2]}\n".encode("utf-8", "surrogateescape")

    def _write(self, at: float, tag: str, said: str, process: int = 0) -> None:
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, tag, f"{process or self._order % 900 + 1000}\0{said}"))

    def _queue_id(self) -> str:
        self._ids += 1
        short = self.random.random() < 0.5
        return f"{self._ids:010X}" if short else f"4cR{self._ids * 7919 % 2**32:08X}z{self._ids % 97:02d}"

    def count(self, at: float, provider: str, address: str, outcome: str, reason: str, domain: str) -> None:
        """Count an outcome in all dimensions."""
        self.says["rows"][provider, address, outcome, reason] += 1
        self.says["hours"][int(at) // 3600 * 3600, provider, outcome, reason] += 1
        self.says["domains"][domain, outcome] += 1

    def _message(self) -> None:
        choice, at = self.random.random(), self._now
        if choice < 0.03:
            self._refused(at)
            return
        if choice < 0.04:
            said = "statistics: max connection count 1 for (smtp:198.51.100.7) at Dec 31 20:00:00"
            self._write(at, "postfix/anvil", said)
            return
        queue_id, sender = self._queue_id(), f"b+{self._ids:026d}@e.example.com"
        client = f"app{self._ids % 9}.example.com[198.51.100.{self._ids % 250}]"
        # Applications hand over some messages on a connection.
        if self._ids % 4 == 0:
            self._write(at, "postfix/submission/smtpd", f"connect from {client}")
        said = f"{queue_id}: client={client}, sasl_method=PLAIN, sasl_username=app"
        self._write(at, "postfix/submission/smtpd", said)
        self._write(at + 0.01, "postfix/cleanup", f"{queue_id}: message-id=<{self._ids}.{int(at)}@app.example.com>")
        self._write(at + 0.02, "opendkim", f"{queue_id}: DKIM-Signature field added (s=mf2026a, d=example.com)")
        if self._ids % 4 == 3:
            self._write(at + 0.02, "postfix/submission/smtpd",
                        f"disconnect from {client} ehlo=2 starttls=1 auth=1 mail=4 rcpt=4 data=4 quit=1 commands=17")
        self.says["counts"]["signed"] += 1
        many = 1 if self.random.random() < 0.9 else self.random.randint(2, 5)
        size = 5000 + self._ids % 977
        self._write(at + 0.03, "postfix/qmgr", f"{queue_id}: from=<{sender}>, size={size}, nrcpt={many} (queue active)")
        if self.random.random() < 0.004:
            ends = self._expire(queue_id, at, many)
            self._write(ends, "postfix/qmgr", f"{queue_id}: from=<{sender}>, status=expired, returned to sender")
            self._write(ends, "postfix/bounce", f"{queue_id}: sender non-delivery notification: {self._queue_id()}")
        else:
            ends = max(self._recipient(queue_id, at, number) for number in range(many))
        self._write(ends + 0.01, "postfix/qmgr", f"{queue_id}: removed")
        self.says["counts"]["removed"] += 1

    def _place(self) -> tuple[str, str, str, bool]:
        if self._more and self.random.random() < 0.1:
            number = self.random.randrange(self._more)
            return f"d{number}.example", "other", f"mx.d{number}.example", number % 3 > 0
        return self.random.choice(PLACES)

    def _recipient(self, queue_id: str, began: float, number: int) -> float:
        """The way of one recipient; when it ended."""
        domain, provider, host, tls = self._place()
        tag, address = self.random.choice(SERVICES)
        ip = f"203.0.113.{self.random.randrange(1, 250)}"
        process = 20_000 + self.random.randrange(40)
        to = f"user{self._ids}.{number}@{domain}"
        at, choice = began + 0.1 + self.random.random(), self.random.random()
        attempts = 0 if choice < 0.95 else self.random.randint(1, 4)
        if choice < 0.02:
            self._write(at, "postfix/lane/smtp", f"{queue_id}: to=<{to}>, relay=127.64.3.9[127.64.3.9]:10025, "
                                                 f"delay=0.2, "
                        f"delays=0.1/0/0.05/0.05, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4cS{self._ids:09X})")
            self.says["counts"]["handed_over"] += 1
            return at
        if choice < 0.03:
            self._write(at, "postfix/virtual", f"{queue_id}: to=<{to}>, orig_to=<x@example.com>, relay=virtual, "
                                               f"delay=0.1, "
                        "delays=0.1/0/0/0, dsn=2.0.0, status=sent (delivered to maildir)")
            self.count(at, "local", "local", "delivered", "", domain)
            return at
        for attempt in range(attempts):
            status, text, reason = self.random.choice(DEFERRALS)
            self._attempt(at, began, tag, process, queue_id, to, host, ip, status, "deferred", text)
            self.count(at, provider, address, "deferred", reason, domain)
            at += 300 * 2 ** attempt + self.random.random()
        if choice > 0.99 or 0.93 < choice < 0.945:
            status, text, reason = self.random.choice(BOUNCES)
            self._attempt(at, began, tag, process, queue_id, to, host, ip, status, "bounced", text)
            self.count(at, provider, address, "bounced", reason, domain)
            self._write(at, "postfix/bounce", f"{queue_id}: sender non-delivery notification: {self._queue_id()}")
            return at
        if tls:
            kind = self.random.choice(("Untrusted", "Trusted", "Verified"))
            self._write(at, tag, f"{kind} TLS connection established to {host}[{ip}]:25: TLSv1.3 with cipher "
                        "TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature ECDSA (P-256) "
                        "server-digest SHA256", process)
            self.says["counts"]["tls_lines"] += 1
            self.says["tls"][provider] += 1
        self._attempt(at, began, tag, process, queue_id, to, host, ip, "2.0.0", "sent", "250 2.0.0 Ok: queued as {id}")
        self.count(at, provider, address, "delivered", "", domain)
        self.says["sent"][provider] += 1
        return at

    def _attempt(self, at: float, began: float, tag: str, process: int, queue_id: str, to: str, host: str, ip: str,
                 status: str, outcome: str, text: str) -> None:
        number = f"{self._order:X}si{self._ids}pab.{self._ids % 300}"
        said = text.format(host=host, ip=ip, to=to, id=number, n=self._ids % 999)
        relay = "none" if text.startswith("connect") else f"{host}[{ip}]:25"
        before = at - began
        self._write(at, tag, f"{queue_id}: to=<{to}>, relay={relay}, delay={_delay(before + 0.5)}, "
                    f"delays={_delay(before)}/0.02/0.31/0.17, dsn={status}, status={outcome} ({said})", process)
        if outcome == "deferred" and queue_id not in self._deferred:
            self._deferred.add(queue_id)
            self.says["deferred"]["messages"] += 1

    def _expire(self, queue_id: str, began: float, many: int) -> float:
        """All recipients of a message are deferred until they are given up; when."""
        at = began
        for number in range(many):
            domain, provider, host, _tls = self._place()
            tag, address = self.random.choice(SERVICES)
            to, ip = f"user{self._ids}.{number}@{domain}", f"203.0.113.{number}"
            for attempt in range(3):
                status, text, reason = self.random.choice(DEFERRALS)
                at = began + 0.2 + 1000 * attempt
                self._attempt(at, began, tag, 20_100, queue_id, to, host, ip, status, "deferred", text)
                self.count(at, provider, address, "deferred", reason, domain)
            self.count(at + 0.1, provider, address, "expired", reason, domain)
        return at + 0.1

    def _refused(self, at: float) -> None:
        domain = self.random.choice(PLACES)[0]
        # No MX host is named there: only the domains of a provider tell.
        provider = next((name for name, each in PROVIDERS.items() if domain in each["domains"]), "other")
        to, choice = f"user{self._order}@{domain}", self.random.random()
        client = f"app.example.com[198.51.100.{self._order % 250}]"
        end = f"; from=<news@example.com> to=<{to}> proto=ESMTP helo=<app.example.com>"
        if choice < 0.3:
            said = f"NOQUEUE: reject: RCPT from {client}: {OURS.format(to=to)}{end}"
            outcome = reason = "suppressed"
        elif choice < 0.6:
            said = (f"NOQUEUE: reject: RCPT from {client}: 550 5.1.1 <{to}>: Recipient address rejected: User unknown "
                    f"in virtual mailbox table{end}")
            outcome, reason = "rejected", "user-unknown"
        elif choice < 0.8:
            queue_id = self._queue_id()
            self._write(at, "postfix/cleanup", f"{queue_id}: milter-reject: END-OF-MESSAGE from {client}: 5.7.1 "
                                               f"Blocked "
                        f"by SpamAssassin{end}")
            self.count(at, provider, "none", "rejected", "spam", domain)
            return
        else:
            self._write(at, "postfix/smtpd", f"NOQUEUE: reject_warning: RCPT from {client}: 553 5.7.1 <a@b.example>: "
                        f"Sender address rejected: not owned by user x{end}")
            return
        self._write(at, "postfix/smtpd", said)
        self.count(at, provider, "none", outcome, reason, domain)


def _delay(seconds: float) -> str:
    """As Postfix prints it: two significant digits, whole seconds from a hundred on."""
    return f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.2g}"
