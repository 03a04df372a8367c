# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to change in a zone, from what is live, what is wanted and what we published before.

Ours is what we published and what equals, to the octet, what we want. All else is somebody else's: it stays, unless
its owner is adopted; then the merged value is written, which weakens nothing. At a TXT owner each kind (SPF, DMARC,
DKIM) has one string that may be ours, and no other value is looked at.

`published` always holds our own part, never a merged value: so a later merge can tell what to take out.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.mailfleet.sending.plugins.module_utils.dns_merge import merge_dmarc, merge_spf
from ansible_collections.mailfleet.sending.plugins.module_utils.records import (
    Record,
    canonical,
    kind,
    order,
    quoted,
    to_bytes,
    to_text,
    unquoted,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import (
    MAX_ANSWER,
    MAX_LOOKUPS,
    answer_size,
    lookups,
    rr_size,
)

PHASES = ("expand", "contract")
_UNIQUE = ("spf", "dmarc", "dkim")  # kinds of which an owner has one, RFC 7208 4.5, RFC 9989, RFC 6376 3.6.2.2
_ONE_NAME = ("PTR", "CNAME")  # types that name one thing: a merge of two would be wrong

Key = tuple[str, str]
Unfit = Callable[[str, str], str]


@dataclass(frozen=True)
class RRset:
    """The values of one type at one owner, as they are live: `values` as a zone file has them, `ttl` in seconds."""

    owner: str
    type: str
    ttl: int
    values: tuple[str, ...]

    def text(self) -> str:
        return "".join(f"{self.owner} {self.ttl} IN {self.type} {value}\n" for value in sorted(self.values))


@dataclass(frozen=True)
class Change:
    """One RRset before and after; either may be None, where there is no such RRset."""

    before: RRset | None
    after: RRset | None

    @property
    def key(self) -> Key:
        rrset = self.before or self.after
        return rrset.owner, rrset.type

    def _values(self, rrset: RRset | None) -> tuple[str, ...]:
        return rrset.values if rrset else ()

    @property
    def removed(self) -> tuple[str, ...]:
        return tuple(value for value in self._values(self.before) if value not in self._values(self.after))

    @property
    def added(self) -> tuple[str, ...]:
        return tuple(value for value in self._values(self.after) if value not in self._values(self.before))

    @property
    def new_ttl(self) -> bool:
        return bool(self.before and self.after and self.before.ttl != self.after.ttl)


@dataclass(frozen=True)
class Conflict:
    """A live value that is not ours where we want one: what was found, what is wanted, and what would serve both, which
    is nothing where there is no such value."""

    owner: str
    type: str
    kind: str
    found: tuple[str, ...]
    wanted: tuple[str, ...]
    merged: tuple[str, ...]
    mend: str
    reason: str = ""

    def to_dict(self) -> dict[str, object]:
        """For output: octets that are not UTF-8 are shown escaped."""
        shown = {name: [_shown(value) for value in getattr(self, name)] for name in ("found", "wanted", "merged")}
        rest = {name: getattr(self, name) for name in ("owner", "type", "kind", "mend", "reason")}
        return {**rest, **shown}


@dataclass(frozen=True)
class Crowded:
    """An answer with our SPF value that is larger than it should be (RFC 7208 3.4): `octets` of the whole answer, and
    the values in it that are not ours alone, each with the octets that it takes, the largest first."""

    owner: str
    octets: int
    others: tuple[tuple[str, int], ...]

    def to_dict(self) -> dict[str, object]:
        """For output, as that of a conflict."""
        others = [{"value": _shown(value), "octets": octets} for value, octets in self.others]
        return {"owner": self.owner, "octets": self.octets, "others": others}


@dataclass(frozen=True)
class Plan:
    """What to change, what is somebody else's, what will have been published when the changes are made, and which
    answers then are too large."""

    changes: tuple[Change, ...]
    conflicts: tuple[Conflict, ...]
    published: tuple[Record, ...]
    crowded: tuple[Crowded, ...] = ()


@dataclass
class _Draft:
    """The plan of one RRset in the making; values are in canonical form."""

    add: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    published: list[Record] = field(default_factory=list)


def too_many_terms(owner: str, value: str) -> str:
    """Why a merged SPF value is not to be published, as `plan` asks: told by its own terms, whatever they include."""
    return over_the_limit(lookups(value, {})) if lookups(value, {}) > MAX_LOOKUPS else ""


def over_the_limit(count: int, why: str = "") -> str:
    """The mend of a merged value that takes so many lookups; `why` they are so many."""
    return f"take terms out of the live value: merged it takes {count} lookups, {MAX_LOOKUPS} are allowed{why}"


def questions(wanted: Iterable[Record], published: Iterable[Record]) -> list[Key]:
    """The owners and types whose live values `plan` needs."""
    return sorted({(record.owner, record.type) for record in [*wanted, *published]})


def plan(
    live: Mapping[Key, RRset],
    wanted: Iterable[Record],
    published: Iterable[Record] = (),
    *,
    adopt: Collection[str] = (),
    phase: str = "expand",
    unfit: Unfit = too_many_terms,
) -> Plan:
    """The changes that bring a zone from what is live to what is wanted.

    Arguments:
      live: RRsets by owner and type, as read; also `(owner, "CNAME")` where a CNAME stands in the way.
      wanted: our records; in phase `expand` SPF values that accept the old and the new addresses.
      published: what we published before.
      adopt: owners (absolute, lower case) at which somebody else's value may be replaced by the merged one.
      phase: `expand` adds, and replaces what accepts old and new alike; `contract` removes, too, what we published and
        no longer want.
      unfit: says of an owner and its merged SPF value why nobody should publish that, and the mend; "" where it is fit.
    Raises ValueError for an unknown phase and for two wanted values where there can be one.
    """
    if phase not in PHASES:
        raise ValueError(f"phase is {phase!r}: one of {', '.join(PHASES)} is expected")
    wanted, published = list({record.key: record for record in wanted}.values()), list(published)
    changes, conflicts, after, crowded = [], [], [], []
    for key in questions(wanted, published):
        ours = [record for record in wanted if (record.owner, record.type) == key]
        before = [record for record in published if (record.owner, record.type) == key]
        rrset, alias = live.get(key), live.get((key[0], "CNAME"))
        adopted = key[0] in adopt
        if ours and alias and key[1] != "CNAME":
            draft = _Draft(published=before, conflicts=[_alias_conflict(ours, alias)])
        elif key[1] == "TXT":
            draft = _plan_txt(rrset, ours, before, adopted, phase, unfit)
        else:
            draft = _plan_set(rrset, ours, before, adopted, phase)
        change = _change(key, rrset, ours, draft)
        changes += [change] if change else []
        conflicts += draft.conflicts
        after += draft.published
        crowded += [] if draft.conflicts else _crowded(change.after if change else rrset, ours)
    return Plan(tuple(changes), tuple(conflicts), tuple(sorted(after, key=order)), tuple(crowded))


def _plan_txt(rrset, wanted, published, adopted, phase, unfit) -> _Draft:
    live = [_plain("TXT", value) for value in rrset.values] if rrset else []
    draft = _Draft()
    for each in (*_UNIQUE, "other"):
        ours = [record for record in wanted if record.kind == each]
        before = [record for record in published if record.kind == each]
        owner = (wanted or published)[0].owner
        found = [value for value in live if kind(value, owner) == each]
        if each == "other":
            _plan_values(draft, found, ours, before, phase)
        elif ours or before:
            _plan_unique(draft, each, found, ours, before, adopted, phase, unfit)
    return draft


def _plan_unique(draft: _Draft, each: str, found, ours, before, adopted: bool, phase: str, unfit: Unfit) -> None:
    """One string of a kind at an owner: ours, or ours merged into somebody else's."""
    if len(ours) > 1:
        raise ValueError(f"{ours[0].owner} TXT: {len(ours)} values of kind {each} are wanted, there can be one")
    value = ours[0].value if ours else None
    mine = {record.value for record in before} | {value}
    foreign = [text for text in found if text not in mine]
    contract = phase == "contract"
    if not ours and not contract:
        draft.published += before
        return
    if each == "dkim" and value and any(_key(text) != _key(value) for text in found):
        # A selector has one key. Another one under it would break what is signed with the first.
        foreign = found
    if foreign:
        # In expand nothing is taken out, neither from a merged value nor of an own one beside it.
        taken_out = [record.value for record in before] if contract else []
        live = [*foreign, *(text for text in found if text not in foreign)]
        target = _merged(each, live, value, taken_out)
        # What takes our part out of a value is no merge: it is what they had.
        why = unfit(ours[0].owner, target) if each == "spf" and ours and [target] != found else ""
        if [target] != found and (why or not adopted):
            draft.conflicts.append(_conflict(ours or before, each, found, [value] if value else [], [target], why))
            draft.published += before
            return
        # A merged value that equals ours holds nothing of before that a later merge would have to take out.
        kept = [] if contract or target == value else [record for record in before if record.value != value]
        draft.published += [*ours, *kept]
    else:
        target = value
        draft.published += ours
    draft.remove += [text for text in found if text != target]
    draft.add += [target] if target is not None and target not in found else []


def _merged(each: str, live: Sequence[str], wanted: str | None, published: Sequence[str]) -> str:
    if each == "spf":
        return merge_spf(live, wanted, published)
    if each == "dmarc":
        return merge_dmarc(live, wanted, published)
    same_key = wanted is None or all(_key(value) == _key(wanted) for value in live)
    return live[0] if same_key else wanted


def _key(value: str) -> str:
    """What a DKIM value has as its key: the tag p without white space."""
    tags = dict(part.partition("=")[::2] for part in "".join(value.split()).split(";"))
    return tags.get("p", "")


def _plan_values(draft: _Draft, found, ours, before, phase: str) -> None:
    """Values that stand beside those of others without touching them."""
    wanted = [record.value for record in ours]
    draft.add += [value for value in wanted if value not in found]
    draft.published += ours
    stale = [record for record in before if record.value in found and record.value not in wanted]
    if phase == "contract":
        draft.remove += [record.value for record in stale]
    else:
        draft.published += stale


def _plan_set(rrset, wanted, published, adopted: bool, phase: str) -> _Draft:
    """Values that act together: a foreign one among them is a conflict as soon as one of ours is missing."""
    draft = _Draft()
    rtype = (wanted or published)[0].type
    found = [_plain(rtype, value) for value in rrset.values] if rrset else []
    ours = [record.value for record in wanted]
    before = [record.value for record in published]
    foreign = [value for value in found if value not in ours and value not in before]
    one_name = rtype in _ONE_NAME
    if foreign and any(value not in found for value in ours) and not adopted:
        merged = ours if one_name else [*foreign, *ours]
        draft.conflicts.append(_conflict(wanted, rtype.lower(), found, ours, merged))
        draft.published += published
        return draft
    _plan_values(draft, found, wanted, published, phase)
    at_once = phase == "contract" or rtype == "CNAME"  # a CNAME cannot stand beside another
    if ours and adopted and one_name and at_once:
        draft.remove += foreign
    if rtype == "CNAME" and draft.add:
        draft.remove += [value for value in found if value not in draft.remove]
        draft.published = list(wanted)
    return draft


def _plain(rtype: str, value: str) -> str:
    """A value as read from a zone in the form that records have."""
    if rtype == "TXT":
        return to_text(unquoted(value))
    try:
        return canonical(rtype, value)
    except ValueError:
        return value  # somebody else's value, in a form that we never write


def _change(key: Key, rrset: RRset | None, wanted: Sequence[Record], draft: _Draft) -> Change | None:
    """The RRset after the draft, its untouched values as they were read."""
    owner, rtype = key
    read = {value: _plain(rtype, value) for value in rrset.values} if rrset else {}
    kept = [value for value, plain in read.items() if plain not in draft.remove]
    values = (*kept, *(quoted(to_bytes(value)) if rtype == "TXT" else value for value in draft.add))
    ttl = min((record.ttl for record in wanted), default=0)
    if rrset and not {*map(read.get, kept), *draft.add} <= {record.value for record in wanted}:
        ttl = rrset.ttl  # the TTL of an RRset is one (RFC 2181 5.2): where others have a part in it, it is theirs
    after = RRset(owner, rtype, ttl, values) if values else None
    new_ttl = rrset and after and rrset.ttl != after.ttl
    return Change(rrset, after) if draft.add or draft.remove or new_ttl else None


def _crowded(rrset: RRset | None, wanted: Sequence[Record]) -> list[Crowded]:
    """The answer, where our SPF value is in it and others make it too large: ours alone was composed to fit."""
    if not rrset or not any(record.kind == "spf" for record in wanted):
        return []
    values = [_plain("TXT", value) for value in rrset.values]
    octets = answer_size(rrset.owner, values)
    others = [(value, rr_size(value)) for value in values if value not in {record.value for record in wanted}]
    if octets < MAX_ANSWER or not others:
        return []
    return [Crowded(rrset.owner, octets, tuple(sorted(others, key=lambda each: (-each[1], each[0]))))]


def _conflict(records: Sequence[Record], each: str, found, wanted, merged, unfit: str = "") -> Conflict:
    owner = records[0].owner
    what = "writes the merged value" if each != "dkim" else "replaces the key, and breaks what is signed with it"
    mend = f"publish the merged value by hand, or add {owner} to sending_dns_adopt, which {what}"
    if each == "dkim":
        mend = (
            "give the new key a selector of its own (sending_dkim_selector), or add "
            f"{owner} to sending_dns_adopt, which {what}"
        )
    if unfit:
        mend, merged = unfit, ()  # what nobody should publish is not shown as what to publish
    return Conflict(owner, records[0].type, each, tuple(found), tuple(wanted), tuple(merged), mend, records[0].reason)


def _alias_conflict(records: Sequence[Record], alias: RRset) -> Conflict:
    wanted = tuple(record.value for record in records)
    mend = f"remove the CNAME at {alias.owner}: beside it no other record can stand (RFC 1034 3.6.2)"
    return Conflict(alias.owner, records[0].type, "cname", alias.values, wanted, (), mend, records[0].reason)


def _shown(value: str) -> str:
    return to_bytes(value).decode("utf-8", "backslashreplace")
