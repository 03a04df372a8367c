# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a DMARC record does not do what its owner likely means, and what changes that.

Where receivers that still go by RFC 7489 do otherwise than those of RFC 9989, the remark says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_record import (
    POLICY_TAGS,
    REMOVED,
    DmarcRecord,
    ReportUri,
    closest,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_walk import Discovery
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status

Changes = dict[str, "str | None"]
_WHOSE = {"p": "the domain", "sp": "its subdomains", "np": "names below it that do not exist"}
_OLD = "receivers of RFC 7489"


@dataclass(frozen=True)
class Remark:
    """One thing that is not as it should be; C(changes) are the tags that mend it, None for one to remove."""

    status: Status
    cause: str
    changes: Changes = field(default_factory=dict)


def remarks(found: Discovery) -> list[Remark]:
    """Return what is to be said of the record that applies; its own owner can mend it."""
    record = found.record
    rules: tuple[Callable[[Discovery, DmarcRecord], Iterator[Remark]], ...] = (
        _policies, _readable, _removed, _testing, _reports, _place)
    return [remark for rule in rules for remark in rule(found, record)]


def departures(live: DmarcRecord, wanted: DmarcRecord) -> list[Remark]:
    """Return where the live record is not as wanted: what is weaker fails, what is stricter is a warning."""
    remarks: list[Remark] = []
    told = set()
    for tag in POLICY_TAGS:
        has, should = live.applied(tag), wanted.applied(tag)
        if has is should or (has, should) in told:
            continue
        told.add((has, should))  # what subdomains fall back to is said once
        weaker = has.rank < should.rank
        changes: Changes = {name: wanted.tags.get(name) for name in (*POLICY_TAGS, "t", "pct")}
        remarks.append(Remark(
            Status.FAIL if weaker else Status.WARN,
            f"the policy for {_WHOSE[tag]} is {has.value}, {'weaker' if weaker else 'stricter'} than the wanted "
            f"{should.value}", changes))
    for tag, has, should in (("adkim", live.strict_dkim, wanted.strict_dkim),
                             ("aspf", live.strict_spf, wanted.strict_spf)):
        if has != should:
            names = {True: "strict", False: "relaxed"}
            remarks.append(Remark(Status.FAIL if should else Status.WARN,
                                  f"{tag}= is {names[has]}, wanted is {names[should]}", {tag: wanted.tags.get(tag)}))
    for tag, has, should in (("rua", live.rua, wanted.rua), ("ruf", live.ruf, wanted.ruf)):
        there = {_same(uri) for uri in has}
        if missing := [uri for uri in should if _same(uri) not in there]:
            names = ", ".join(uri.text for uri in missing)
            remarks.append(Remark(Status.FAIL, f"reports do not go to {names} ({tag}=)",
                                  {tag: _list((*has, *missing))}))
    return remarks


def notes(found: Discovery) -> list[str]:
    """Return what receivers of RFC 7489 do otherwise, where that is no fault of the record."""
    record, said = found.record, []
    if record.sound and record.nonexistent and record.requested("np") is not record.requested("sp"):
        said.append(f"{_OLD} do not know np= and apply {record.requested('sp').value} to names that do not exist")
    if found.inherited and found.at.domain.count(".") >= 2:
        said.append(f"{_OLD} take the record of the domain below the public suffix, which is {found.at.domain} only "
                    f"where {found.at.domain.partition('.')[2]} is on their list")
    return said


def _policies(found: Discovery, record: DmarcRecord) -> Iterator[Remark]:
    """RFC 9989, 4.10.1: without a valid p=, or with an sp= or np= that is none, all of it counts as p=none or less."""
    if record.sound:
        if not record.policy_second:
            yield Remark(Status.WARN, f"p= does not follow v=, and {_OLD} may ignore the record (6.4)")
        return
    effect = ("the record counts as p=none" if record.applies
              else "receivers apply no DMARC, since there is no rua= either")
    changes: Changes = {} if record.policy else {"p": _meant(record, "p") or "none"}
    changes |= {tag: _meant(record, tag) for tag in record.broken if tag != "p"}
    if record.broken:
        names = " and ".join(f"{tag}=" for tag in record.broken)
        yield Remark(Status.FAIL, f"{names} holds no policy, so {effect} (RFC 9989, 4.10.1)", changes)
    else:
        old = f", and {_OLD} require p= (6.3)" if record.applies else ""
        status = Status.WARN if record.applies else Status.FAIL
        yield Remark(status, f"p= is missing: {effect} (RFC 9989, 4.10.1){old}", changes)


def _readable(found: Discovery, record: DmarcRecord) -> Iterator[Remark]:
    """RFC 9989, 4.7: receivers discard what they cannot read, and tags that they do not know."""
    for problem in record.problems:
        changes: Changes = {}
        if problem.tag in ("rua", "ruf"):
            changes = {problem.tag: _list(getattr(record, problem.tag)) or None}
        elif problem.tag in record.tags and problem.tag not in POLICY_TAGS and "twice" not in problem.message:
            changes = {problem.tag: None}
        yield Remark(Status.WARN, f"{problem}; receivers discard it (RFC 9989, 4.7)", changes)
    if record.unknown:
        names = ", ".join(f"{name}=" for name in record.unknown)
        yield Remark(Status.WARN, f"no receiver knows {names} (RFC 9989, 4.7: unknown tags are ignored)",
                     dict.fromkeys(record.unknown))
    if "fo" in record.tags and not record.ruf:
        yield Remark(Status.WARN, "fo= means nothing without ruf= (RFC 9989, 4.7)", {"fo": None})


def _removed(found: Discovery, record: DmarcRecord) -> Iterator[Remark]:
    """RFC 9989, C.5.2: pct, rf and ri are gone. With t=y, pct=0 tells old receivers the same (RFC 7489, 6.6.4)."""
    for tag, default in REMOVED.items():
        value = record.tags.get(tag, default)
        if value.lower() == default or (tag == "pct" and value == "0" and record.testing):
            continue
        if tag != "pct":
            yield Remark(Status.WARN, f"{tag}= is gone (RFC 9989, C.5.2): only {_OLD} know it", {tag: None})
        elif any(record.requested(name).rank for name in POLICY_TAGS):
            yield Remark(Status.WARN,
                         f"pct={value} is gone (RFC 9989, A.6): the policy applies to all mail; {_OLD} apply it to "
                         f"{value} % and the next weaker one to the rest",
                         {"t": "y"} if value == "0" else {"pct": None})


def _testing(found: Discovery, record: DmarcRecord) -> Iterator[Remark]:
    """RFC 9989, 4.7: t=y asks for the policy one level below; receivers of RFC 7489 do not know it."""
    if record.testing and record.tags.get("pct") != "0":
        policies = {record.requested(tag): None for tag in POLICY_TAGS if record.requested(tag).rank}
        if policies:
            names = " and ".join(policy.value for policy in policies)
            yield Remark(Status.WARN, f"t=y asks for the next weaker policy (RFC 9989, 4.7), but {_OLD} do not know it "
                                      f"and apply {names} in full; pct=0 tells them the same (6.6.4)", {"pct": "0"})


def _reports(found: Discovery, record: DmarcRecord) -> Iterator[Remark]:
    """RFC 9989, 4.7 and C.4: what receivers must support is mailto:, and sizes are gone."""
    for tag in ("rua", "ruf"):
        uris: tuple[ReportUri, ...] = getattr(record, tag)
        if sized := [uri for uri in uris if uri.size]:
            yield Remark(Status.WARN, f"{tag}= has a size {sized[0].size}, which is gone (RFC 9989, C.4): reports of "
                                      "any size are sent", {tag: _list(uris)})
        if uris and not any(uri.scheme == "mailto" for uri in uris):
            yield Remark(Status.WARN, f"{tag}= has no mailto: address; receivers need not support {uris[0].scheme}: "
                                      "(RFC 9989, 4.7)")


def _place(found: Discovery, record: DmarcRecord) -> Iterator[Remark]:
    """What the place of the record in the tree makes of it (RFC 9989, 4.7 and 4.10)."""
    walk, at = found.walk, found.at
    if record.psd == "y" and not found.inherited:
        yield Remark(Status.WARN, f"psd=y says that {at.domain} is a public suffix: no subdomain of it is aligned with "
                                  "it (RFC 9989, 4.10.2)", {"psd": None})
    elif record.psd == "y":
        yield Remark(Status.WARN, f"the record is that of the public suffix {at.domain}; {_OLD} do not look there, "
                                  "and apply no DMARC")
    elif walk.organization and "." not in walk.organization:
        yield Remark(Status.WARN, f"the record of {walk.organization} lacks psd=y, so that all domains below it are "
                                  f"one organization (RFC 9989, 4.10.2), to {_OLD} never", {"psd": "n"})
    unused = [tag for tag in ("sp", "np") if tag in record.tags]
    if unused and not found.inherited and record.psd == "u" and walk.organization not in ("", at.domain):
        names = " and ".join(f"{tag}=" for tag in unused)
        yield Remark(Status.WARN, f"{names} means nothing here: for other names receivers go by the record of the "
                                  f"Organizational Domain {walk.organization} (RFC 9989, 4.7)", dict.fromkeys(unused))


def _meant(record: DmarcRecord, tag: str) -> str | None:
    return closest(record.tags[tag]) if tag in record.tags else None


def _same(uri: ReportUri) -> str:
    """Return what is equal for two addresses of the same place; local parts keep their case."""
    local, at, host = uri.text.rpartition("@")
    return f"{local}{at}{host.lower()}"


def _list(uris: tuple[ReportUri, ...]) -> str:
    return ",".join(uri.text for uri in uris)
