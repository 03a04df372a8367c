# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DNS lookups of a whole run through one object: cached, in parallel, with a deadline, each with a typed outcome."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from ansible_collections.mailfleet.sending.plugins.module_utils import (
    dns_transport,
    dns_wire,
    lookup_authorities,
    lookup_delegation,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_wire import MAXIMUM_CHAIN, absolute
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_cache import MINIMUM_HOLD, Cache
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_delegation import Authorities, Delegation
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_silence import CUT_OFF, Silences
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect, every
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Held, Kind, Outcome, Server
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import LONGEST

try:
    import dns.exception
    import dns.resolver
except ImportError:
    DNSPYTHON_ERROR: str | None = traceback.format_exc()
else:
    DNSPYTHON_ERROR = None

WORKERS = 96  # with 64 all of them waited at the same times, and the interpreter with them (measured)
FIRST = 16  # threads besides, for what these wait for
SILENCE_HOLD = 30  # what was not said costs the whole timeout again (RFC 2308, 7, allows 300)
# What a module that asks DNS takes: documented by the fragment mailfleet.sending.lookup.
OPTIONS = {
    "resolvers": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 5.0},
    "deadline": {"type": "float", "default": 60.0},
}
# Besides, of those that ask authoritative servers, or wait: fragments mailfleet.sending.lookup.authoritative, .wait.
AUTHORITATIVE = {"authoritative": {"type": "str", "choices": ["yes", "no", "auto"], "default": "auto"}}
WAIT = {"wait": {"type": "float", "default": 0.0}}


class _Question(NamedTuple):
    """What an answer is kept by."""

    server: Server
    recursive: bool
    name: str
    rdtype: str


def system_resolvers() -> list[Server]:
    """Return the resolvers that this system is configured with.

    Raises: ValueError where there are none.
    """
    try:
        return [Server.parse(str(address)) for address in dns.resolver.Resolver().nameservers]
    except (dns.exception.DNSException, OSError) as error:
        raise ValueError(f"this system has no resolver: {error}; name one in resolvers") from error


class Lookup:
    """Asks DNS for a whole run. All methods may be called from any thread.

    Arguments: C(resolvers) are asked in their order, the next where one does not say, the system's where none is
    given; C(timeout) seconds for one question to one server with its retransmissions, an only resolver being asked
    twice; C(deadline) seconds for the whole run, after which every outcome is SILENT; C(authority_port) where
    authoritative servers listen.
    Raises: ValueError where there is no resolver.
    """

    def __init__(self, resolvers: Iterable[Server] = (), timeout: float = 5.0, deadline: float = 60.0,
                 authority_port: int = 53) -> None:
        self.resolvers = tuple(resolvers) or tuple(system_resolvers())
        self.timeout = timeout
        self.deadline = deadline
        self.authority_port = authority_port
        self._end = time.monotonic() + deadline
        self._cache = Cache()
        self._silences = Silences()
        self._sockets = dns_transport.Sockets()
        self._delegations: dict[str, Delegation] = {}
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="lookup")
        self._first = ThreadPoolExecutor(FIRST, thread_name_prefix="lookup-first")
        # To begin a thread takes as long as to ask a question: they begin while the first answers are waited for.
        self._first.submit(self._begin)

    def __enter__(self) -> Lookup:
        return self

    def __exit__(self, *_error: object) -> None:
        for pool in (self._first, self._pool):
            pool.shutdown(wait=False, cancel_futures=True)
        self._sockets.close()

    def _begin(self) -> None:
        """Have all threads of the pool begin.

        They stay on one processor, as the thread that begins them does: the interpreter runs one of them at a time, and
        hands over from one to another there for two thirds of the work (measured).
        """
        if hasattr(os, "sched_setaffinity"):  # Linux
            os.sched_setaffinity(0, {random.choice([*os.sched_getaffinity(0)])})
        begun = threading.Event()
        with contextlib.suppress(RuntimeError):  # the run may be over by now
            for _worker in range(WORKERS):
                self._pool.submit(begun.wait)
        begun.set()

    def each(self, function: Callable, items: Iterable, first: bool = False) -> list:
        """Return function(item) of every item, in order, run by up to so many threads (WORKERS). May be nested.

        Arguments: C(first) is said of what many wait for: it has threads of its own, and is not behind their work.
        """
        items = list(items)
        pool = self._first if first else self._pool
        work = [(pool.submit(function, item), item) for item in items[:-1]]
        # The caller does the last one itself, and then what no thread has begun: it may be a worker, and many that only
        # wait would leave none to work. Threads begin at the front, and the caller at the end.
        last = [function(item) for item in items[-1:]]
        mine = {at: function(item) for at, (future, item) in reversed([*enumerate(work)]) if future.cancel()}
        return [mine[at] if at in mine else future.result() for at, (future, _item) in enumerate(work)] + last

    def forget(self) -> None:
        """Drop all answers, so that the next question is asked again, and of servers that were silent too."""
        self._cache.forget()
        self._silences.forget()

    def held(self, name: str, rdtype: str) -> list[Held]:
        """Return the negative answers to the question that this lookup was given and that have not run out.

        A CNAME is followed: what does not exist may be where it leads.
        """
        kept = [entry for entry in self._cache.items() if isinstance(entry[0], _Question)]
        found = []
        names, asked = [absolute(name)], 0
        while asked < len(names):
            at, asked = names[asked], asked + 1
            for question, until, (outcome, target) in kept:
                if (question.name, question.rdtype) != (at, rdtype):
                    continue
                if target and target not in names:
                    names.append(target)
                left = until - _hold(outcome) + outcome.ttl - time.monotonic()
                if outcome.kind in (Kind.NO_NAME, Kind.NO_DATA) and left > 0:
                    found.append(Held(at, rdtype, outcome.kind, str(question.server), time.time() + left, round(left),
                                      not question.recursive))
        return found

    def time_left(self) -> float:
        """Return the seconds until the deadline, at least 0."""
        return max(0.0, self._end - time.monotonic())

    def ask(self, name: str, rdtype: str, server: Server | None = None) -> Outcome:
        """Return the outcome of one question, CNAMEs followed.

        Arguments: C(server) an authoritative server to ask instead of the resolvers; where its answer is a CNAME to
        a name that it does not serve, the resolvers are asked for the rest.
        """
        try:
            at = absolute(name)
        except ValueError as error:
            return Outcome(name, rdtype, Kind.NO_NAME, cause=str(error))  # nobody can have published it
        chain: list[str] = []
        first = self.step(at, rdtype, server)
        outcome, target = first
        while target:
            chain += [step for step in outcome.chain if step not in chain]
            if target in (at, *chain[:-1]) or len(chain) > MAXIMUM_CHAIN:
                cause = lookup_authorities.too_long((at, *chain))
                return Outcome(at, rdtype, Kind.SILENT, server=outcome.server, cause=cause)
            outcome, target = self.step(target, rdtype)
        if outcome is first[0]:
            return outcome
        chain += [step for step in outcome.chain if step not in chain]
        said_by = first[0].server if outcome.said else outcome.server
        return replace(outcome, name=at, chain=tuple(chain), server=said_by, ttl=min(first[0].ttl, outcome.ttl))

    @property
    def why_cut_off(self) -> str:
        """Return why C(auto) gave authoritative servers up, empty where it did not."""
        return self._silences.why_cut_off

    def authorities(self, name: str) -> Authorities:
        """Return the authoritative servers of the zone that holds the name, found through the resolvers.

        Raises: ValueError where it is no domain name.
        """
        at = absolute(name)
        return self._cache.get(("zone of", at), lambda: lookup_authorities.find(self, at))

    def authorities_above(self, name: str) -> Authorities | None:
        """Return those of the nearest domain above the name, if they were found before, and not those of the name."""
        at = name
        while at:
            if found := self._cache.known(("zone of", at)):
                return found if at != name else None
            at = at.partition(".")[2]
        return None

    def delegation(self, own: Authorities, auto: bool = False, only_known: bool = False) -> Delegation | None:
        """Return what the zone above says of who serves a zone, which is asked once for each zone.

        Arguments: C(own) what the zone itself says; C(auto) see step(); C(only_known) returns None instead of asking.
        """
        def make() -> tuple[Delegation, float]:
            made = lookup_delegation.find(self, own, auto)
            self._delegations[own.zone] = made[0]
            return made

        key = "delegation", own.zone
        return self._cache.known(key) if only_known else self._cache.get(key, make)

    @property
    def delegations(self) -> list[Delegation]:
        """Return all that was found out, by zone."""
        return [self._delegations[zone] for zone in sorted(self._delegations)]

    def ask_authorities(self, name: str, rdtype: str, auto: bool = False) -> list[Outcome]:
        """Return the outcome of each authoritative server of the name, and those of servers that were not found.

        Where a CNAME leads out of the zone, its target is asked of each of the target's servers, and of the resolvers
        where none of those says anything. An address of a family that this machine cannot reach is left out where the
        same server answers at another. With C(auto) none is asked any more once this machine hears none.
        """
        try:
            return lookup_authorities.ask_each(self, absolute(name), rdtype, auto)
        except ValueError as error:
            return [Outcome(name, rdtype, Kind.NO_NAME, cause=str(error))]

    def ask_by(self, authoritative: str, name: str, rdtype: str) -> tuple[list[Outcome], str]:
        """Return the outcomes of all who were asked, and why the resolvers were asked instead, where they were.

        Arguments: C(authoritative) is "yes" to ask every authoritative server, "no" to ask the resolvers, "auto" to
        ask them only where no authoritative server says anything. Where none says anything to this machine at all, as
        behind a firewall, the rest of the run's questions go to the resolvers at once, and the reason is CUT_OFF.
        """
        if authoritative == "no":
            return [self.ask(name, rdtype)], ""
        auto = authoritative == "auto"
        cut_off = auto and self._silences.cut_off
        outcomes = [] if cut_off else self.ask_authorities(name, rdtype, auto)
        if not auto or any(outcome.said for outcome in outcomes):
            return outcomes, ""
        from_resolver = self.ask(name, rdtype)
        if cut_off or self._silences.cut_off:
            self._silences.give_up()
            return [from_resolver], CUT_OFF
        if not from_resolver.said:
            return outcomes, ""
        silent = "; ".join(map(str, outcomes)) or "none was found"
        return [from_resolver], f"no authoritative server could be asked ({silent}), {from_resolver.server} was instead"

    def step(self, name: str, rdtype: str, server: Server | None = None, auto: bool = False) -> tuple[Outcome, str]:
        """Return what the given server, or the first resolver that says anything, says, and the CNAME to follow.

        Arguments: C(name) is absolute and in lower case; with C(auto) the server is asked only while this machine may
        hear authoritative servers.
        """
        if server and auto and self._silences.cut_off:
            return Outcome(name, rdtype, Kind.SILENT, server=str(server), cause=CUT_OFF), ""
        if server:
            return self._once(_Question(server, False, name, rdtype))
        silent: list[Outcome] = []
        # Those that were silent before come last: False sorts before True, and the order stays otherwise.
        for resolver in sorted(self.resolvers, key=self._silences.suspect):
            answer = self._once(_Question(resolver, True, name, rdtype))
            if answer[0].said:
                return answer
            silent.append(answer[0])
        if len(silent) == 1:
            return silent[0], ""
        causes = "; ".join(f"{outcome.server}: {outcome.cause}" for outcome in silent)
        servers = ", ".join(outcome.server for outcome in silent)
        return Outcome(name, rdtype, Kind.SILENT, server=servers, cause=causes), ""

    def _once(self, question: _Question) -> tuple[Outcome, str]:
        """Return the answer, which is asked for once while it holds."""
        def make() -> tuple[tuple[Outcome, str], float]:
            answer = self._query(question)
            return answer, _hold(answer[0])

        return self._cache.get(question, make)

    def _query(self, question: _Question) -> tuple[Outcome, str]:
        """Ask the server itself, unless it is known to be dead."""
        server, recursive, name, rdtype = question
        outcome = Outcome(name, rdtype, Kind.VALUES, server=str(server))
        # A resolver that meets dead servers looks on when nobody waits any more, and has its answer a little later.
        tries = 2 if recursive and len(self.resolvers) == 1 else 1
        while True:
            tries -= 1
            if self._silences.suspect(server) and not self._lives(server, recursive):
                return replace(outcome, kind=Kind.SILENT, cause=self._silences.why(server)), ""
            try:
                answer = self._exchange(server, name, rdtype, recursive)
            except dns_transport.Silence as error:
                if tries and error.waited and self.time_left():
                    continue
                return replace(outcome, kind=Kind.SILENT, cause=str(error), unroutable=error.unroutable), ""
            return dns_wire.read(answer, outcome, None if recursive else server.zone)

    def _lives(self, server: Server, recursive: bool) -> bool:
        """Return whether the server answers what it has to know, whatever names it is silent about."""
        def make() -> tuple[bool, float]:
            try:
                self._exchange(server, server.zone or ".", "SOA" if server.zone else "NS", recursive)
            except dns_transport.Silence:
                return False, SILENCE_HOLD
            return True, 0

        return self._cache.get(("lives", server.address, server.port), make)

    def _exchange(self, server: Server, name: str, rdtype: str, recursive: bool) -> dns_wire.Message:
        """Return the server's answer, by whom it is known again that it answers. Raises: dns_transport.Silence."""
        for edns in (True, False):
            left = self.time_left()
            if not left:
                raise dns_transport.Silence(f"the deadline of {self.deadline:g} s for the whole run had passed")
            query = dns_wire.Query(name, rdtype, recursive, edns)
            try:
                answer = dns_transport.exchange(
                    server, query.wire, query.parse, min(self.timeout, left), self._sockets
                )
            except dns_transport.Silence as error:
                self._note(error, server, recursive, left >= self.timeout)
                raise
            self._silences.answered(server)
            if not recursive:
                self._silences.heard()
            if not dns_wire.knows_no_edns(answer):
                break
        return answer

    def _note(self, error: dns_transport.Silence, server: Server, recursive: bool, in_time: bool) -> None:
        """Note that the server did not answer. What was cut short by the deadline says nothing about it."""
        if error.waited and in_time:
            self._silences.unanswered(server, str(error))
        if error.heard and not recursive:
            self._silences.heard()
        elif not (recursive or error.unroutable or (error.waited and not in_time)):
            self._silences.unheard(server, str(error))


def _hold(outcome: Outcome) -> float:
    """Return for how many seconds an answer is kept."""
    return max(outcome.ttl, MINIMUM_HOLD) if outcome.said else SILENCE_HOLD


def resolvers(texts: Iterable[str]) -> list[Server]:
    """Return the servers of the texts.

    Raises: ValueError that names every text that is no "ip", "ip:port" or "[v6]:port".
    """
    return collect(Server.parse, texts, "resolvers")


def from_options(options: Mapping[str, object]) -> Lookup:
    """Return the lookup that a module's options ask for (OPTIONS); C(wait), where there is one, adds to the deadline.

    Raises: ValueError with all that is wrong.
    """
    def seconds(name: str, least: str) -> float:
        found = options.get(name, 0.0)
        if 0 <= found <= LONGEST and (found or least == "at least 0"):
            return found
        raise ValueError(f"{name}: found {found:g}, expected {least} and at most {LONGEST:,} seconds")

    timeout, deadline, wait, servers = every(
        lambda: seconds("timeout", "more than 0"), lambda: seconds("deadline", "more than 0"),
        lambda: seconds("wait", "at least 0"), lambda: resolvers(options["resolvers"]))
    return Lookup(servers, timeout, deadline + wait)
