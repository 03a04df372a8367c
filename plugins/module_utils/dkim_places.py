# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where DKIM keys stand that do not stand where they should, and what answers for every selector."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_damage
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name, relative_name
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

NOBODYS_SELECTOR = "mailfleet-asks-for-a-selector-that-nobody-has"


@dataclass(frozen=True)
class Place:
    """A wrong name for a key's record, what is wrong about it, and how the right one is given to a DNS panel."""

    name: str
    wrong: str
    hint: str = ""


def places(key: Key, zone: str = "") -> list[Place]:
    """Return the wrong names at which a key's record is found in practice.

    Arguments: C(zone) the zone that answered, the key's domain where that is not known.
    """
    domain = absolute_name(key.domain)
    zone = zone or domain
    relative = relative_name(key.owner, zone)
    doubled = f"the name of the zone {zone} stands twice in it, since DNS panels append it"
    hint = f"in the panel the name is {relative}, without the zone"
    found = [Place(f"{key.owner}{tail}", doubled, hint) for tail in dict.fromkeys((zone, domain))]
    found += [
        Place(f"{key.selector}.{domain}", "it lacks _domainkey"),
        Place(f"{key.selector}.domainkey.{domain}", "it lacks the underscore of _domainkey"),
        Place(f"_domainkey.{key.selector}.{domain}", "selector and _domainkey are exchanged"),
        Place(f"_domainkey.{domain}", "it lacks the selector"),
        Place(domain, "it is the domain itself, without selector and _domainkey"),
    ]
    if zone != domain:
        found.append(Place(f"{key.selector}._domainkey.{zone}", f"it is for the domain {zone}, not for {domain}"))
    names = {}
    for place in found:
        try:
            names.setdefault(absolute_name(place.name), place)
        except ValueError:
            continue  # longer than a name can be: nobody can have published it
    names.pop(key.owner, None)
    return [replace(place, name=name) for name, place in names.items()]


def find(lookup: Lookup, key: Key, verdict: Verdict, outcome: Outcome) -> Verdict:
    """Return the verdict on a key that is absent, with the wrong name at which it stands, if it does.

    Arguments: C(outcome) is the negative answer. The resolvers are asked about each of the places.
    """
    candidates = places(key, outcome.zone)
    answers = lookup.each(lambda place: lookup.ask(place.name, "TXT"), candidates)
    for place, answer in zip(candidates, answers):
        for value in answer.values:
            record = dkim_damage.read(value)
            if record and key.is_in(record):
                hint = f"; {place.hint}" if place.hint else ""
                return replace(verdict, cause=f"{verdict.cause}; the key stands at {place.name}: {place.wrong}",
                               mend=f"{key.publish('' if key.public else record.without())} and remove that at "
                                    f"{place.name}{hint}")
    return verdict


def notice_wildcard(lookup: Lookup, key: Key, verdict: Verdict, outcome: Outcome) -> Verdict:
    """Return the verdict on a key, with the word that a wildcard answers for it (RFC 4592), if one does.

    Arguments: C(outcome) is an answer with values.
    """
    nobodys = f"{NOBODYS_SELECTOR}._domainkey.{absolute_name(key.domain)}"
    answer = lookup.ask(nobodys, "TXT")
    if not answer.values or answer.values != outcome.values:
        return verdict
    cause = f"a wildcard answers the same for every selector, as for {nobodys} (RFC 4592, 2.2)"
    if verdict.status is Status.OK:
        return replace(verdict, status=Status.WARN, mend=f"{key.publish(outcome.values[0])} and remove the wildcard, "
                       "so that a key can be withdrawn and others do not count as published",
                       cause=f"{cause}: no key can be withdrawn")
    return replace(verdict, cause=f"{verdict.cause}; {cause}")
