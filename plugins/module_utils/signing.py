# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which key signs for which domain: published first, seen by every authoritative server, and only then used.

The state is plain data, kept by the caller in a file without secrets:
``{domain: {selector: {"public", "created", "scope", "server", "seen"}}}``. C(server) is the host that holds a key of
scope C(server) and None for scope C(fleet); C(seen) is the day (YYYY-MM-DD) on which every authoritative server was
first seen to serve the key, None before. The state is never changed in place: the functions return a new one.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import (
    DkimRecordError,
    parse_record,
    record_of,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.records import to_text, unquoted
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict, group

State = Mapping[str, Mapping[str, Mapping[str, Any]]]

SCOPES = ("fleet", "server")


class SigningError(ValueError):
    """The state or the keys contradict each other."""


class Answer(str, Enum):
    """What becomes of mail with a From in a domain."""

    SIGNED = "signed"
    DEFERRED = "deferred"
    ALLOWED = "allowed"


@dataclass(frozen=True)
class Key:
    """A key that exists: C(public) as p= has it, C(created) as YYYY-MM-DD, C(server) None for scope fleet.

    C(public) is empty where check mode would make the key.
    """

    domain: str
    selector: str
    public: str
    created: str
    scope: str = "fleet"
    server: str | None = None

    @property
    def owner(self) -> str:
        """Return the absolute name of its record."""
        return _owner(self.selector, self.domain)


@dataclass(frozen=True)
class Decision:
    """What a domain does on a server (None: on all of them).

    Attributes: C(selector) the key that signs, None unless C(answer) is SIGNED; C(awaited) the selector of the key that
    should, where that one is not seen yet, or None.
    """

    domain: str
    server: str | None
    answer: Answer
    selector: str | None = None
    awaited: str | None = None


def register(state: State, keys: Iterable[Key], seen: Iterable[tuple[str, str]], today: str) -> dict[str, Any]:
    """Return the state with every key in it, and the day noted on which a key was first seen.

    Arguments: C(keys) those that exist now; C(seen) the (domain, selector) pairs that every authoritative server was
    seen to serve just now; C(today) as YYYY-MM-DD, used only for keys that were never seen before.
    What was seen once stays seen: an unreachable server later is no reason to stop signing.
    Keys of the state that are not among C(keys) stay as they are, since a removal is somebody else's decision.
    Raises: SigningError where a selector has another public half or another home than the state says: signatures that
    are under way would no longer verify.
    """
    served = set(seen)
    new: dict[str, Any] = {domain: {selector: dict(entry) for selector, entry in selectors.items()}
                           for domain, selectors in state.items()}
    for key in keys:
        home = {"scope": key.scope, "server": key.server}
        if key.scope not in SCOPES or (key.scope == "server") != (key.server is not None):
            raise SigningError(f"{key.selector}._domainkey.{key.domain}: found scope {key.scope!r} with server "
                               f"{key.server!r}; expected fleet without a server, or server with one")
        entry = new.setdefault(key.domain, {}).setdefault(
            key.selector, {"public": key.public, "created": key.created, **home, "seen": None})
        for name, value in {"public": key.public, **home}.items():
            if entry[name] != value:
                raise SigningError(f"{key.selector}._domainkey.{key.domain}: found {name} {_short(value)}, the state "
                                   f"says {_short(entry[name])}; a new key needs a new selector")
        if entry["seen"] is None and (key.domain, key.selector) in served:
            entry["seen"] = today
    return new


def decide(keys: Iterable[Key], state: State, domains: Iterable[str], *, wanted: Collection[tuple[str, str]] = (),
           unsigned: str = "defer", servers: Iterable[str] = ()) -> list[Decision]:
    """Return what every domain does, for the fleet and, where keys have scope C(server), for each server.

    Arguments: C(keys) those that exist now; C(state) what C(register) returned; C(domains) that mail is sent from;
    C(wanted) the (domain, selector) pairs that the inventory asks for; C(unsigned) "defer" or "allow", for a domain of
    which no key was seen yet; C(servers) the names of all servers.
    Where C(servers) is empty there is one decision a domain, with server None; otherwise one a domain and server,
    made of the fleet's keys and that server's own.
    The wanted key signs once it was seen, until then the newest seen one, by (created, selector). So a domain that
    signs keeps its old key until a new one is seen; one whose first key is not seen yet is deferred, or let through
    where C(unsigned) says so.
    Raises: SigningError where C(unsigned) is another word, or C(keys) were not registered in the state.
    """
    if unsigned not in ("defer", "allow"):
        raise SigningError(f"unsigned is {unsigned!r}, expected defer or allow")
    without = Answer.DEFERRED if unsigned == "defer" else Answer.ALLOWED
    of_domain: dict[str, list[Key]] = {}
    for key in sorted(keys, key=lambda key: ((key.domain, key.selector) in wanted, key.created, key.selector)):
        if key.selector not in state.get(key.domain, {}):
            raise SigningError(f"{key.selector}._domainkey.{key.domain}: not in the state; register this key first")
        of_domain.setdefault(key.domain, []).append(key)
    decisions = []
    for server in list(servers) or [None]:
        for domain in domains:
            own = [key for key in of_domain.get(domain, ()) if key.server in (None, server)]
            usable = [key for key in own if state[domain][key.selector]["seen"] is not None]
            signing = usable[-1].selector if usable else None
            best = own[-1].selector if own else None
            decisions.append(Decision(
                domain, server, Answer.SIGNED if signing else without, signing, best if best != signing else None))
    return decisions


def taken(published: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the owners of records in whose place others have published something: what that is, and the mend.

    Arguments: C(published) what the module dns_records returned, with C(conflicts) and C(manual).
    """
    found = {}
    for conflict in published.get("conflicts", ()):
        shown = map("a CNAME to {}".format if conflict["kind"] == "cname" else _key, conflict["found"])
        found[conflict["owner"]] = (" and ".join(shown), conflict["mend"])
    for entry in (entry for zone in published.get("manual", ()) for entry in zone["records"]):
        if entry["status"] == Status.FAIL:
            shown = (_key(to_text(unquoted(value))) for value in entry["found"])
            mend = "give the new key a selector of its own (sending_dkim_selector), or publish it in place of the other"
            found[entry["record"]["owner"]] = (" and ".join(shown), mend)
    return found


def stops(decisions: Iterable[Decision], state: State, others: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return why no server may be changed, a sentence for each key; nothing where the run may go on.

    Arguments: C(state) what C(register) returned; C(others) what C(taken) returned.
    A key that is merely not seen yet will be. One in whose place DNS serves another never will, and a domain that does
    not sign with a key of before would have all its mail deferred, or let through unsigned, until somebody notices.
    """
    told = {}
    for decision in decisions:
        if decision.answer is Answer.SIGNED or not decision.awaited:
            continue
        owner = _owner(decision.awaited, decision.domain)
        if owner in others:
            found, mend = others[owner]
            public = state[decision.domain][decision.awaited]["public"]
            ours = _key(record_of(public)) if public else "yet to be made"
            fate = "be deferred" if decision.answer is Answer.DEFERRED else "leave unsigned"
            told[owner] = (f"{owner}: found {found}, expected our key, {ours}. Mail of {decision.domain} would {fate}, "
                           "so no server is changed. If that key is the fleet's, put back the folders of state and "
                           f"secrets that belong to it; else {mend}")
    return list(told.values())


def verdicts(decisions: Iterable[Decision]) -> list[Verdict]:
    """Return a verdict for each domain that does not sign, or not with the key that it should, on some server.

    Deferred mail is a fault, since none leaves. What may leave unsigned is the user's named choice, hence a warning; so
    is a key that is still awaited.
    """
    found = []
    for decision in decisions:
        if decision.answer is Answer.SIGNED and not decision.awaited:
            continue
        status, told = {
            Answer.SIGNED: (Status.WARN, f"signed with {decision.selector}"),
            Answer.DEFERRED: (Status.FAIL, "its mail is deferred"),
            Answer.ALLOWED: (Status.WARN, "its mail leaves unsigned, as sending_unsigned says"),
        }[decision.answer]
        record = f"{decision.awaited}._domainkey.{decision.domain}" if decision.awaited else ""
        cause = f"not every authoritative server was seen to serve {record}" if record else "there is no key for it"
        mend = f"publish {record} and run again" if record else "run again"
        expected = f"signed with {decision.awaited}" if record else "signed"
        subject = f"{decision.domain} on {decision.server}" if decision.server else decision.domain
        found.append(Verdict("signing", (subject,), status, told, expected, cause, mend, record))
    return group(found)


def _owner(selector: str, domain: str) -> str:
    return f"{selector}._domainkey.{domain}."


def _key(text: str) -> str:
    """Return a value that stands where a key should, short."""
    try:
        return str(parse_record(text))
    except DkimRecordError:
        return _short(text)


def _short(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= 24 else f"{text[:12]}…{text[-8:]}")
