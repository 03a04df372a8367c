# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DNS lookups of a whole run through one object: cached, in parallel, with a deadline, each with a typed outcome."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_wire
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Held, Kind, Mx, Outcome, Server

try:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype
    import dns.resolver
except ImportError:
    DNSPYTHON_ERROR: str | None = traceback.format_exc()
else:
    DNSPYTHON_ERROR = None

WORKERS = 64
MAXIMUM_CHAIN = 10
# One run is one view of DNS: a TTL of 0 would otherwise cost a question for every address of the fleet.
MINIMUM_HOLD = 5
# What a module that asks DNS takes: documented by the fragment mailfleet.sending.lookup.
OPTIONS = {
    "resolvers": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 5.0},
    "deadline": {"type": "float", "default": 60.0},
}
# Besides, of those that ask authoritative servers, or wait: fragments mailfleet.sending.lookup.authoritative, .wait.
AUTHORITATIVE = {"authoritative": {"type": "str", "choices": ["yes", "no", "auto"], "default": "auto"}}
WAIT = {"wait": {"type": "float", "default": 0.0}}


@dataclass(frozen=True)
class Authorities:
    """The authoritative servers of a name.

    Attributes: C(zone) the name of the zone, empty where it was not found; C(servers) one for each address of each
    name server; C(silent) the outcomes that kept the list from being whole.
    """

    zone: str
    servers: tuple[Server, ...]
    silent: tuple[Outcome, ...] = ()


def system_resolvers() -> list[Server]:
    """Return the resolvers that this system is configured with.

    Raises: ValueError where there are none.
    """
    try:
        return [Server.parse(str(address)) for address in dns.resolver.Resolver().nameservers]
    except (dns.exception.DNSException, OSError) as error:
        raise ValueError(f"this system has no resolver: {error}; name one in resolvers") from error


def absolute(name: str) -> str:
    """Return the name as DNS compares it: absolute and in lower case.

    Raises: ValueError where it is no domain name (RFC 1035, 2.3.4: labels of 1 to 63 bytes, 255 in all).
    """
    try:
        return dns.name.from_text(name.encode("utf-8")).to_text().lower()
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"{name!r} is no domain name: {error}") from error


class Lookup:
    """Asks DNS for a whole run. All methods may be called from any thread.

    Arguments: C(resolvers) are asked in their order, the next where one does not say, the system's where none is
    given; C(timeout) seconds for one question to one server with its retransmissions; C(deadline) seconds for the
    whole run, after which every outcome is SILENT; C(authority_port) where authoritative servers listen.
    Raises: ValueError where there is no resolver.
    """

    def __init__(self, resolvers: Iterable[Server] = (), timeout: float = 5.0, deadline: float = 60.0,
                 authority_port: int = 53) -> None:
        self.resolvers = tuple(resolvers) or tuple(system_resolvers())
        self.timeout = timeout
        self.deadline = deadline
        self.authority_port = authority_port
        self._end = time.monotonic() + deadline
        self._lock = threading.Lock()
        self._cache: dict[tuple, tuple[float, tuple[Outcome, str]]] = {}
        self._flying: dict[tuple, Future] = {}
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="lookup")

    def __enter__(self) -> Lookup:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def each(self, function: Callable, items: Iterable) -> list:
        """Return function(item) of every item, in order, run by up to 64 threads. May be nested."""
        work = [(self._pool.submit(function, item), item) for item in items]
        # What no thread has begun is done by the caller, which may be a worker itself: so none waits for a free one.
        return [function(item) if future.cancel() else future.result() for future, item in work]

    def forget(self) -> None:
        """Drop all answers, so that the next question is asked again."""
        with self._lock:
            self._cache.clear()

    def held(self, name: str, rdtype: str) -> list[Held]:
        """Return the negative answers to the question that this lookup was given and that have not run out.

        A CNAME is followed: what does not exist may be where it leads.
        """
        with self._lock:
            kept = [(key, *entry) for key, entry in self._cache.items()]
        found = []
        names = [absolute(name)]
        for at in names:
            for (server, recursive, asked, asked_type), until, (outcome, target) in kept:
                if (asked, asked_type) != (at, rdtype):
                    continue
                if target and target not in names:
                    names.append(target)
                left = until - max(outcome.ttl, MINIMUM_HOLD) + outcome.ttl - time.monotonic()
                if outcome.kind in (Kind.NO_NAME, Kind.NO_DATA) and left > 0:
                    found.append(Held(at, rdtype, outcome.kind, str(server), time.time() + left, round(left),
                                      not recursive))
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
        first = self._ask_one_of(at, rdtype, server)
        outcome, target = first
        while target:
            chain += [step for step in outcome.chain if step not in chain]
            if target in (at, *chain[:-1]) or len(chain) > MAXIMUM_CHAIN:
                cause = f"CNAMEs lead in a loop or through over {MAXIMUM_CHAIN} names: {' > '.join((at, *chain))}"
                return Outcome(at, rdtype, Kind.SILENT, server=outcome.server, cause=cause)
            outcome, target = self._ask_one_of(target, rdtype, None)
        if outcome is first[0]:
            return outcome
        chain += [step for step in outcome.chain if step not in chain]
        said_by = first[0].server if outcome.said else outcome.server
        return replace(outcome, name=at, chain=tuple(chain), server=said_by, ttl=min(first[0].ttl, outcome.ttl))

    def authorities(self, name: str) -> Authorities:
        """Return the authoritative servers of the zone that holds the name, found through the resolvers."""
        at = absolute(name)
        while True:
            names = self.ask(at, "NS")
            if not names.said:
                return Authorities("", (), (names,))
            if names.kind is Kind.VALUES and not names.chain:
                break
            if at == ".":
                return Authorities("", (), (replace(names, kind=Kind.SILENT, cause="no zone was found"),))
            parent = at.partition(".")[2] or "."
            # A negative answer names its zone, which saves the steps between.
            at = names.zone if not names.chain and names.zone and f".{parent}".endswith(f".{names.zone}") else parent
        found = self.each(lambda host: [self.ask(host, rdtype) for rdtype in ("A", "AAAA")], names.values)
        servers, silent = [], []
        for host, outcomes in zip(names.values, found):
            addresses = [address for outcome in outcomes for address in outcome.values]
            servers += [Server(address, self.authority_port, host) for address in addresses]
            silent += [replace(outcome, server=f"{outcome.server} for {host}") for outcome in outcomes
                       if not outcome.said]
            if not addresses and all(outcome.said for outcome in outcomes):
                silent.append(Outcome(host, "A", Kind.SILENT, server=host, cause="the name server has no address"))
        return Authorities(at, tuple(servers), tuple(silent))

    def ask_authorities(self, name: str, rdtype: str) -> list[Outcome]:
        """Return the outcome of each authoritative server of the name, and those of servers that were not found.

        An address of a family that this machine cannot reach is left out where the same server answers at another.
        """
        authorities = self.authorities(name)
        outcomes = self.each(lambda server: self.ask(name, rdtype, server), authorities.servers)
        hosts = {server.name for server, outcome in zip(authorities.servers, outcomes) if outcome.said}
        return [outcome for server, outcome in zip(authorities.servers, outcomes)
                if not (outcome.unroutable and server.name in hosts)] + list(authorities.silent)

    def ask_by(self, authoritative: str, name: str, rdtype: str) -> tuple[list[Outcome], str]:
        """Return the outcomes of all who were asked, and why the resolvers were asked instead, where they were.

        Arguments: C(authoritative) is "yes" to ask every authoritative server, "no" to ask the resolvers, "auto" to
        ask them only where no authoritative server says anything, as behind a firewall.
        """
        if authoritative == "no":
            return [self.ask(name, rdtype)], ""
        outcomes = self.ask_authorities(name, rdtype)
        if authoritative == "yes" or any(outcome.said for outcome in outcomes):
            return outcomes, ""
        from_resolver = self.ask(name, rdtype)
        if not from_resolver.said:
            return outcomes, ""
        silent = "; ".join(map(str, outcomes)) or "none was found"
        return [from_resolver], f"no authoritative server could be asked ({silent}), {from_resolver.server} was instead"

    def _ask_one_of(self, name: str, rdtype: str, server: Server | None) -> tuple[Outcome, str]:
        """Return what the given server, or the first resolver that says anything, says, and the CNAME to follow."""
        if server:
            return self._once(name, rdtype, server, False)
        silent: list[Outcome] = []
        for resolver in self.resolvers:
            answer = self._once(name, rdtype, resolver, True)
            if answer[0].said:
                return answer
            silent.append(answer[0])
        if len(silent) == 1:
            return silent[0], ""
        causes = "; ".join(f"{outcome.server}: {outcome.cause}" for outcome in silent)
        servers = ", ".join(outcome.server for outcome in silent)
        return Outcome(name, rdtype, Kind.SILENT, server=servers, cause=causes), ""

    def _once(self, name: str, rdtype: str, server: Server, recursive: bool) -> tuple[Outcome, str]:
        """Return the answer from the cache, from the query that another thread has under way, or from the server."""
        key = (server, recursive, name, rdtype)
        with self._lock:
            until, answer = self._cache.get(key, (0.0, None))
            if until > time.monotonic():
                return answer
            flying = self._flying.get(key)
            if not flying:
                mine = self._flying[key] = Future()
        if flying:
            return flying.result()
        try:
            answer = self._query(name, rdtype, server, recursive)
            with self._lock:
                self._cache[key] = (time.monotonic() + max(answer[0].ttl, MINIMUM_HOLD), answer)
            mine.set_result(answer)
            return answer
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._flying[key]

    def _query(self, name: str, rdtype: str, server: Server, recursive: bool) -> tuple[Outcome, str]:
        """Ask the server itself."""
        silent = Outcome(name, rdtype, Kind.SILENT, server=str(server))
        query = dns.message.make_query(dns.name.from_text(name), rdtype, use_edns=0, payload=dns_wire.PAYLOAD,
                                       flags=dns.flags.RD if recursive else 0)
        try:
            answer = self._exchange(query, server)
            if answer.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS):
                query.use_edns(False)  # a server older than EDNS, RFC 6891, 7
                answer = self._exchange(query, server)
        except dns_wire.Silence as error:
            return replace(silent, cause=str(error), unroutable=error.unroutable), ""
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return replace(silent, cause=dns.rcode.to_text(answer.rcode())), ""
        if not recursive and not answer.flags & dns.flags.AA:
            return replace(silent, cause="lame: it does not answer with authority"), ""
        return _read(answer, replace(silent, kind=Kind.VALUES))

    def _exchange(self, query: dns.message.Message, server: Server) -> dns.message.Message:
        """Return the server's answer to the query. Raises: dns_wire.Silence."""
        if not self.time_left():
            raise dns_wire.Silence(f"the deadline of {self.deadline:g} s for the whole run had passed")

        def parse(data: bytes) -> dns.message.Message:
            try:
                answer = dns.message.from_wire(data)
            except (dns.exception.DNSException, ValueError, IndexError) as error:
                raise ValueError("it sent what is no DNS message") from error
            if not query.is_response(answer):
                raise ValueError("it answered another question")
            return answer

        return dns_wire.exchange(server, query.to_wire(), parse, min(self.timeout, self.time_left()))


def _read(answer: dns.message.Message, outcome: Outcome) -> tuple[Outcome, str]:
    """Return the outcome that the answer holds, and the name to go on at where it ends in a CNAME."""
    rdtype = dns.rdatatype.from_text(outcome.rdtype)
    sets = {(rrset.name, rrset.rdtype): rrset for rrset in answer.answer if rrset.rdclass == dns.rdataclass.IN}
    at = answer.question[0].name
    chain: list[str] = []
    ttl = 2**31
    while (at, rdtype) not in sets and (alias := sets.get((at, dns.rdatatype.CNAME))) and len(chain) <= MAXIMUM_CHAIN:
        at = alias[0].target
        chain.append(_text(at))
        ttl = min(ttl, alias.ttl)
    outcome = replace(outcome, chain=tuple(chain))
    if len(chain) > MAXIMUM_CHAIN:
        return outcome, _text(at)
    if found := sets.get((at, rdtype)):
        # A set has no order, and servers shuffle it: sorted, the same answer reads the same.
        return replace(outcome, values=tuple(sorted(_value(item) for item in found)), ttl=min(ttl, found.ttl)), ""
    zones = [rrset for rrset in answer.authority if rrset.rdtype == dns.rdatatype.SOA and at.is_subdomain(rrset.name)]
    if zones:
        ttl = min(ttl, zones[0].ttl, zones[0][0].minimum)  # RFC 2308, 5
        outcome = replace(outcome, zone=_text(zones[0].name))
    elif chain and answer.rcode() == dns.rcode.NOERROR:
        return replace(outcome, ttl=ttl), _text(at)
    elif any(rrset.rdtype == dns.rdatatype.NS for rrset in answer.authority):
        return replace(outcome, kind=Kind.SILENT, cause="it refers to other servers instead of answering"), ""
    else:
        ttl = 0
    kind = Kind.NO_NAME if answer.rcode() == dns.rcode.NXDOMAIN else Kind.NO_DATA
    return replace(outcome, kind=kind, ttl=ttl), ""


def _text(name: dns.name.Name) -> str:
    return name.to_text().lower()


def _value(item: dns.rdata.Rdata) -> str | Mx:
    """Return one value as str, or as Mx.

    The strings of a TXT are joined without anything between (RFC 7208, 3.3; RFC 6376, 3.6.2.2). Bytes that are not
    UTF-8 are read as Latin-1: every value can be shown, and none that is not ASCII turns into one that is.
    """
    match dns.rdatatype.to_text(item.rdtype):
        case "A" | "AAAA":
            return item.address
        case "PTR" | "NS" | "CNAME":
            return _text(item.target)
        case "MX":
            return Mx(item.preference, _text(item.exchange))
        case "TXT" | "SPF":
            joined = b"".join(item.strings)
            try:
                return joined.decode("utf-8")
            except UnicodeDecodeError:
                return joined.decode("latin-1")
    return item.to_text()


def resolvers(texts: Iterable[str]) -> list[Server]:
    """Return the servers of the texts.

    Raises: ValueError that names every text that is no "ip", "ip:port" or "[v6]:port".
    """
    return collect(Server.parse, texts)


def from_options(options: Mapping[str, object]) -> Lookup:
    """Return the lookup that a module's options ask for (OPTIONS); C(wait), where there is one, adds to the deadline.

    Raises: ValueError.
    """
    def positive(name: str) -> float:
        if options[name] > 0:
            return options[name]
        raise ValueError(f"{name}: found {options[name]:g}, expected more than 0 seconds")

    checks = [lambda: positive("timeout"), lambda: positive("deadline"), lambda: resolvers(options["resolvers"])]
    timeout, deadline, servers = collect(lambda check: check(), checks)
    return Lookup(servers, timeout, deadline + options.get("wait", 0))


def collect(make: Callable, items: Iterable) -> list:
    """Return make(item) of every item.

    Raises: ValueError with the messages of all that could not be made.
    """
    made, wrong = [], []
    for item in items:
        try:
            made.append(make(item))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
    return made
