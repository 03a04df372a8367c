# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether mail to a domain arrives: replies to a sending domain, bounces to a bounce domain (RFC 5321, 5.1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import agree, combine
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Mx, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_inbound import questions, verify_inbound
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Lack, Waiting, is_bad

CHECK = "mx"
LOOKED_AT = 20  # hosts of one domain, those that mail goes to first: there may be thousands
# What a module takes for one domain.
RECEIVER = {
    "domain": {"type": "str", "required": True},
    "hosts": {"type": "list", "elements": "str", "default": []},
}
# What nobody outside reaches (RFC 6890). Addresses of documentation are not among them.
INSIDE = tuple(map(ipaddress.ip_network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "198.18.0.0/15", "224.0.0.0/3", "::/127", "::ffff:0:0/96", "100::/64", "fc00::/7", "fe80::/10", "ff00::/8")))


@dataclass(frozen=True)
class Receiver:
    """A domain that should take mail. C(hosts) are those that its MX records should name; empty where any will do.

    Raises: ValueError where a name cannot be one.
    """

    domain: str
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        domain, *hosts = collect(absolute_name, (self.domain, *self.hosts))
        object.__setattr__(self, "domain", domain)
        object.__setattr__(self, "hosts", tuple(dict.fromkeys(hosts)))


@dataclass(frozen=True)
class _Problem:
    """One thing that is wrong with where mail goes."""

    status: Status
    cause: str
    mend: str
    source: str = ""


def read_receivers(items: Iterable[Mapping[str, object]], path: str) -> list[Receiver]:
    """Return the domains of a module's option (RECEIVER), which C(path) names. Raises: ValueError with all mistakes."""
    return collect(lambda item: Receiver(**item), items, path)


def verify_mx(lookup: Lookup, receivers: Sequence[Receiver], authoritative: str = "no") -> list[Verdict]:
    """Return a verdict on each domain.

    It is ok where every host that its MX records name has an address and is a host of the fleet, where such are given.
    C(warn) where mail arrives yet something is wrong, as an alias (RFC 2181, 10.3) or no MX record at all (RFC 5321,
    5.1); C(fail) where it does not, as with a null MX (RFC 7505); C(absent) where there is nothing to deliver to.

    Arguments: C(authoritative) see Lookup.ask_by; it holds for the MX records, and for the hosts of the fleet.
    """
    hosts = _Hosts(lookup, authoritative, {host for receiver in receivers for host in receiver.hosts})

    def verify(receiver: Receiver) -> Verdict:
        outcomes, instead = lookup.ask_by(authoritative, receiver.domain, "MX")
        verdict = combine(outcomes, lambda outcome: _judge(hosts, receiver, outcome), instead)
        return _with_hosts(hosts, receiver, outcomes, verdict)

    # Whom the records should name is known before they are found, so that all is asked for at once.
    verdicts, _asked = lookup.each(lambda act: act(), (
        lambda: lookup.each(verify, dict.fromkeys(receivers)), lambda: hosts.look_up(hosts.own)))
    return verdicts


def verify_receivers(lookup: Lookup, receivers: Sequence[Receiver], authoritative: str = "no", inbound: bool = True,
                     waiting: Waiting | None = None) -> list[Verdict]:
    """Return the verdicts of verify_mx, and with C(inbound) those of verify_inbound behind them.

    Arguments: C(authoritative) holds for verify_mx; C(waiting) the patience, without which all is asked for once.
    """
    def check(items: list[Receiver | str]) -> list[Sequence[Verdict]]:
        names = [item for item in items if isinstance(item, str)]
        found = verify_mx(lookup, [item for item in items if not isinstance(item, str)], authoritative)
        policies = verify_inbound(lookup, names)
        return [[verdict] for verdict in found] + list(zip(policies[::2], policies[1::2]))

    def lack(item: Receiver | str, verdicts: Sequence[Verdict]) -> Lack:
        bad = [verdict for verdict in verdicts if is_bad(verdict)]
        if isinstance(item, str):
            return [question for verdict in bad for question in questions(verdict.check, item)]
        hosts = [(host, rdtype) for host in item.hosts for rdtype in ("A", "AAAA")]
        return [(item.domain, "MX"), *hosts] if bad else []

    domains = [receiver.domain for receiver in receivers] if inbound else []
    found = (waiting or Waiting()).each_good(lookup, [*receivers, *domains], check, lack)
    return [verdict for verdicts in found.values() for verdict in verdicts]


class _Hosts:
    """The addresses of hosts, looked up once: many domains name the same few. It may be used by any thread.

    Arguments: C(own) the hosts of the fleet, which are asked of whom C(authoritative) says.
    """

    def __init__(self, lookup: Lookup, authoritative: str, own: set[str]) -> None:
        self.own = own
        self._lookup, self._authoritative = lookup, authoritative
        self._found: dict[str, tuple[list[Outcome], str]] = {}

    def look_up(self, names: Iterable[str]) -> None:
        """Look up those that are not known yet, all at once."""
        def ask(question: tuple[str, str]) -> tuple[list[Outcome], str]:
            return self._lookup.ask_by(self._authoritative if question[0] in self.own else "no", *question)

        names = [name for name in dict.fromkeys(names) if name not in self._found]
        found = self._lookup.each(ask, [(name, rdtype) for name in names for rdtype in ("A", "AAAA")])
        for name, (of_a, why), (of_aaaa, why_not) in zip(names, found[::2], found[1::2]):
            self._found[name] = _together(of_a, of_aaaa), why or why_not

    def addresses(self, name: str) -> tuple[list[Outcome], str]:
        """Return what DNS says of its addresses of both families, an outcome for each server that was asked, and why
        the resolvers were, as Lookup.ask_by does."""
        self.look_up([name])
        return self._found[name]

    def disputed(self, name: str) -> bool:
        """Return whether servers that were asked for the host do not all say the same."""
        agreed = agree(*self.addresses(name))
        return len(agreed.groups) > 1 or bool(agreed.instead)


def _together(of_a: Iterable[Outcome], of_aaaa: Iterable[Outcome]) -> list[Outcome]:
    """Return what each server says of addresses. One that is silent about one family only leaves the other."""
    by_server: dict[str, list[Outcome]] = {}
    for outcome in (*of_a, *of_aaaa):
        by_server.setdefault(outcome.server, []).append(outcome)
    made = []
    for said in by_server.values():
        # The first silence, where there are no addresses; else the first answer.
        first = next((each for each in said if not each.said), said[0])
        values = tuple(value for each in said for value in each.values)
        chain = next((each.chain for each in said if each.chain), ())
        types = " and ".join(dict.fromkeys(each.rdtype for each in said))
        made.append(replace(first, rdtype=types, kind=Kind.VALUES, values=values, chain=chain, cause="") if values
                    else replace(first, rdtype=types))
    return made


def _judge(hosts: _Hosts, receiver: Receiver, outcome: Outcome) -> Verdict:
    """Return the verdict on what one server said of the domain."""
    problems = list(_problems(hosts, receiver, outcome))
    status = max((problem.status for problem in problems), key=lambda status: status.rank, default=Status.OK)
    wanted = ", ".join(receiver.hosts)
    return Verdict(
        CHECK,
        (receiver.domain,),
        status,
        _found(outcome),
        f"MX records that name {wanted}" if wanted else "MX records that name hosts with addresses",
        "; ".join(problem.cause for problem in problems),
        "; ".join(dict.fromkeys(problem.mend for problem in problems)),
        "; ".join(dict.fromkeys([outcome.source, *(problem.source for problem in problems if problem.source)])),
    )


def _problems(hosts: _Hosts, receiver: Receiver, outcome: Outcome) -> Iterator[_Problem]:
    publish = f"publish {' and '.join(f'{receiver.domain} MX 10 {host}' for host in receiver.hosts)}"
    if not receiver.hosts:
        publish = f"publish {receiver.domain} MX 10 with the name of the host that takes its mail"
    if not outcome.said:
        yield _Problem(Status.UNKNOWN, str(outcome), f"make {outcome.server} answer, then check again")
    elif outcome.kind is not Kind.VALUES:
        yield from _without(hosts, receiver, outcome, publish)
    elif any(mx.exchange == "." for mx in outcome.values):
        cause = "a null MX says that the domain takes no mail (RFC 7505, 3): receivers may refuse mail from it (4.2)"
        if len(outcome.values) > 1:
            cause = "a null MX stands beside other MX records, which RFC 7505, 3 forbids"
        null = [mx for mx in outcome.values if mx.exchange == "."][0]
        yield _Problem(Status.FAIL, cause, f"remove {receiver.domain} MX {null.preference} .; {publish}")
    else:
        yield from _of_hosts(hosts, receiver, outcome.values)
        yield from _of_fleet(receiver, outcome.values, publish)


def _without(hosts: _Hosts, receiver: Receiver, outcome: Outcome, publish: str) -> Iterator[_Problem]:
    """Judge a domain without MX records, to whose own addresses mail then goes (RFC 5321, 5.1)."""
    found, _why = hosts.addresses(receiver.domain)
    sources = "; ".join(each.source for each in found)
    if addresses := list(dict.fromkeys(value for each in found for value in each.values)):
        shown = _enumerated(addresses)
        cause = f"{outcome.kind.value}: mail goes to the domain's own address, {shown} (RFC 5321, 5.1)"
        if is_inside(addresses):
            cause += ", which nobody outside reaches"
        status = Status.FAIL if receiver.hosts or is_inside(addresses) else Status.WARN
        yield _Problem(status, cause, publish, sources)
    elif silent := [each for each in found if not each.said]:
        yield _Problem(Status.UNKNOWN, str(silent[0]), f"make {silent[0].server} answer, then check again", sources)
    else:
        cause = f"{outcome.kind.value}, and no address: receivers may refuse a sender that takes no mail"
        yield _Problem(Status.ABSENT, cause, publish, sources)


def _of_hosts(hosts: _Hosts, receiver: Receiver, values: Sequence[Mx]) -> Iterator[_Problem]:
    """Judge each host that the records name. One that mail reaches makes what is wrong with the others a warning."""
    names = list(dict.fromkeys(mx.exchange for mx in values))
    if len(names) > LOOKED_AT:
        cause = f"it names {len(names):,} hosts, of which the first {LOOKED_AT} were looked at"
        yield _Problem(Status.WARN, cause, f"leave a few MX records of {receiver.domain}")
    names = names[:LOOKED_AT]
    hosts.look_up(name for name in names if not _is_address(name))
    judged = [_of_host(hosts, receiver, name) for name in names]
    reached = any(problem is None or problem.status is Status.WARN for problem in judged)
    for problem in filter(None, judged):
        if reached and problem.status is Status.FAIL:
            problem = _Problem(Status.WARN, problem.cause, problem.mend, problem.source)
        yield problem


def _of_host(hosts: _Hosts, receiver: Receiver, name: str) -> _Problem | None:
    instead = f"publish {receiver.domain} MX with the name of a host instead of {name}"
    if _is_address(name):
        return _Problem(Status.FAIL, f"{name} is an address, an MX names a host (RFC 1035, 3.3.9)", instead)
    if hosts.disputed(name):
        return None  # told by itself
    verdict = _of_addresses(receiver, name, hosts.addresses(name)[0][0])
    return None if verdict.ok else _Problem(verdict.status, verdict.cause, verdict.mend, verdict.source)


def _of_addresses(receiver: Receiver, name: str, found: Outcome) -> Verdict:
    """Return the verdict on what one server said of a host."""
    def verdict(status: Status, cause: str = "", mend: str = "") -> Verdict:
        return Verdict(CHECK, (name,), status, _enumerated(found.values), "", cause, mend, found.source)

    if not found.said:
        return verdict(Status.UNKNOWN, str(found), f"make {found.server} answer, then check again")
    if not found.values:
        return verdict(Status.FAIL, f"{name} has no address: {found}", f"publish {name} A with its address")
    if is_inside(found.values):
        return verdict(Status.FAIL, f"{name} points to {_enumerated(found.values)}, which nobody outside reaches",
                       f"publish {name} A with its public address")
    if found.chain:
        return verdict(Status.WARN, f"{name} is an alias of {found.chain[-1]}, which an MX must not name (RFC 2181, "
                       f"10.3)", f"publish {receiver.domain} MX with {found.chain[-1]} instead of {name}")
    return verdict(Status.OK)


def _with_hosts(hosts: _Hosts, receiver: Receiver, outcomes: Iterable[Outcome], verdict: Verdict) -> Verdict:
    """Return the verdict on a domain with what is wrong where the name servers of a host of the fleet are not at one.

    Where the records name other hosts too, mail arrives there meanwhile.
    """
    names = dict.fromkeys(mx.exchange for outcome in outcomes for mx in outcome.values if mx.exchange in hosts.own)
    both = [verdict]
    for name in filter(hosts.disputed, names):
        found, instead = hosts.addresses(name)
        one = combine(found, lambda each, name=name: _of_addresses(receiver, name, each), instead)
        both.append(replace(one, status=Status.WARN) if one.status is Status.FAIL and len(names) > 1 else one)
    worst = max(both, key=lambda each: each.status.rank)
    texts = {part: dict.fromkeys(getattr(each, part) for each in both if getattr(each, part))
             for part in ("cause", "mend", "source")}
    return replace(verdict, status=worst.status, **{part: "; ".join(found) for part, found in texts.items()})


def _of_fleet(receiver: Receiver, values: Sequence[Mx], publish: str) -> Iterator[_Problem]:
    """Compare with the hosts that mail should go to."""
    if not receiver.hosts:
        return
    names = {mx.exchange for mx in values}
    if foreign := sorted(names - set(receiver.hosts)):
        cause = f"mail goes to {_enumerated(foreign)} too, which is no host of the fleet"
        if names.isdisjoint(receiver.hosts):
            cause = f"mail goes to {_enumerated(foreign)}, and to no host of the fleet"
        mend = f"remove {' and '.join(f'{receiver.domain} MX to {name}' for name in foreign[:LOOKED_AT])}"
        yield _Problem(Status.FAIL, cause, f"{mend}; {publish}")
    elif missing := [host for host in receiver.hosts if host not in names]:
        mend = f"publish {' and '.join(f'{receiver.domain} MX 10 {host}' for host in missing)}"
        yield _Problem(Status.WARN, f"no MX record names {', '.join(missing)}", mend)


def is_inside(addresses: Sequence[str]) -> bool:
    """Return whether nobody outside reaches any of the addresses."""
    return all(any(ipaddress.ip_address(address) in network for network in INSIDE) for address in addresses)


def _enumerated(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - LOOKED_AT:,} more" if len(texts) > LOOKED_AT else ""
    return ", ".join(texts[:LOOKED_AT]) + more


def _found(outcome: Outcome) -> str:
    if outcome.kind is Kind.VALUES:
        return _enumerated([f"{mx.preference} {mx.exchange}" for mx in outcome.values])
    return str(outcome) if outcome.said else "no answer"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removesuffix("."))
    except ValueError:
        return False
    return True
