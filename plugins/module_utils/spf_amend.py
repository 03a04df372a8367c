# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An SPF record that somebody published, changed as little as possible."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.mailfleet.sending.plugins.module_utils.dns_merge import merge_spf
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record, absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import Audit, audit
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Ask, Check, Step
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import (
    MAX_ANSWER,
    MAX_LOOKUPS,
    QUALIFIERS,
    CannotCompose,
    answer_size,
    compose,
    rr_size,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_ranges import Ranges, bounds, split
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import (
    VERSION,
    Mechanism,
    SpfRecord,
    SpfSyntaxError,
    is_spf,
    parse_record,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_rewrite import (
    edited,
    leave_out,
    meant,
    smaller,
)

_WORDS = {sign: word for word, sign in QUALIFIERS.items()}
# What spf_compose calls the records that it moves addresses to.
_PART = re.compile(r"_spfg?[0-9]+\.")


class NotOurs(ValueError):
    """The mend is somebody else's, or none that loses nothing: the text says whose."""


def amended(owner: str, text: str, missing: Sequence[str], others: Iterable[str], ask: Ask) -> list[Record]:
    """Return the records of an owner that pass more addresses, the owner's own first.

    Arguments: C(text) the record that stands there, correct, or nothing; C(missing) the mechanisms that pass the
    addresses, ip4:… and ip6:…; C(others) the other TXT values of the owner, which take room in the same answer; C(ask)
    reads what the record includes, for the limit of lookups.
    Raises: spf_compose.CannotCompose where no record keeps the limits.
    """
    if text and not missing:
        return [Record(absolute_name(owner), "TXT", text)]
    other_octets = sum(map(rr_size, others))
    addresses = [term[len("ip4:"):] for term in missing]
    # What stands first decides first, whatever follows.
    terms = text.split()[1:] if text else ["-all"]
    simple = Record(absolute_name(owner), "TXT", " ".join([VERSION, *missing, *terms]))
    record = parse_record(text or VERSION)
    if answer_size(simple.owner, [simple.value], other_octets) < MAX_ANSWER:
        return [simple]
    extra, held = [], []
    plain = all(term.qualifier == "+" for term in record.mechanisms if term.name != "all")
    for term in record.mechanisms:
        part = _own_part(term.domain, owner) if term.name == "include" else ""
        if plain and term.network:
            held.append(str(term.network))
        elif plain and part and (inside := _held(part, owner, ask)) is not None:
            held += inside
        elif term.name != "all":
            extra.append(_explicit(term, owner))
    octets = sum(len(term) + 1 for term in missing)
    if not held and octets > MAX_LOOKUPS * MAX_ANSWER:
        raise CannotCompose(f"{len(missing)} networks take {octets} octets, {MAX_LOOKUPS} answers of {MAX_ANSWER} "
                            "are possible: use addresses that form contiguous blocks", octets // MAX_ANSWER)
    costs = {name: cost.terms for name, cost in audit(owner, ask).costs.items()}
    extra += [term.text for term in (*([record.exp] if record.exp else ()), *record.others)]
    redirect = record.redirect.text.partition("=")[2] if record.redirect else None
    return compose(owner, [*addresses, *held], redirect=redirect, extra_mechanisms=extra, all=_end(record, text),
                   costs=costs, other_octets=other_octets)


def without_exceptions(text: str, addresses: Mapping[int, Ranges]) -> str:
    """Return a record without the networks that are to pass and that it gives another result.

    Arguments: C(addresses) those that are to pass, by family. Only networks all of which is to pass are left out.
    """
    def is_one(term: Mechanism) -> bool:
        if not term.network or term.qualifier == "+":
            return False
        first, last = bounds(term.network)
        inside, _rest = split(addresses[term.network.version], first, last)
        return inside == [(first, last)]

    return edited(text, gone) if (gone := {term.position: "" for term in parse_record(text).mechanisms
                                           if is_one(term)}) else text


def repaired(owner: str, check: Check, ask: Ask) -> str:
    """Return the record of an owner without what ended a check with a permerror, as far as nothing is lost by that.

    Where nothing can go, it is the record as it stands. Raises: NotOurs where somebody else's record is wrong.
    """
    found = audit(owner, ask)
    rtype, _space, question = check.source.partition(" ")
    wrong = question.split(" ")[0].removesuffix(".").lower() if rtype == "TXT" else ""
    if wrong == owner or not found.node.record:
        return readable(found)
    if wrong and any(is_spf(text) for text in ask(wrong, "TXT").values):
        raise NotOurs(leave_out(check.chain, owner, audit(wrong, ask).node))
    dead = {check.chain[-1].term} if wrong else _leading_back(check.chain, owner)
    if dead:
        # A redirect stands in place of all.
        end = ["~all"] if any(term.lower().startswith("redirect=") for term in dead) else []
        return " ".join([term for term in found.node.text.split(" ") if term not in dead] + end)
    edits = smaller(found, {}, ask)
    return edited(found.node.text, edits) if edits else found.node.text


def readable(found: Audit) -> str:
    """Return the record of a domain, where there are several or none that is right the one that is meant by them."""
    node = found.node
    if node.record and len(node.texts) == 1:
        return node.text
    return meant(found) or (_without_mistakes(node.texts) if node.texts else "")


def _leading_back(chain: Sequence[Step], owner: str) -> set[str]:
    """Return the term of the owner's record on a way that leads back to a record that it came through."""
    domains = [step.domain.lower() for step in chain]
    return {step.term for at, step in enumerate(chain[:-1])
            if domains[at] == owner and domains[at + 1] in domains[:at + 1]}


def _without_mistakes(texts: Sequence[str]) -> str:
    """Return one record of one or several, without the terms that nobody can read."""
    cleaned = [" ".join([VERSION, *_correct_terms(text)]) for text in texts]
    return cleaned[0] if len(cleaned) == 1 else merge_spf(cleaned, None)


def _correct_terms(text: str) -> list[str]:
    try:
        parse_record(text)
        wrong: set[int] = set()
    except SpfSyntaxError as error:
        wrong = {problem.position for problem in error.problems}
    return [match.group() for match in re.finditer(r"[^ ]+", text)
            if match.start() and not wrong & set(range(*match.span()))]


def _end(record: SpfRecord, text: str) -> str:
    if not text:
        return "fail"
    signs = [term.qualifier for term in record.mechanisms if term.name == "all"]
    return _WORDS.get(signs[0], "neutral") if signs else "neutral"


def _explicit(term: Mechanism, owner: str) -> str:
    """Return the term with its domain, so that it means the same in a record below."""
    if term.domain or term.name not in ("a", "mx", "ptr"):
        return term.text
    name, slash, lengths = term.text.partition("/")
    return f"{name}:{owner}{slash}{lengths}"


def _own_part(parts: tuple, owner: str) -> str:
    """Return the name that an include leads to, where it is one that spf_compose made for this owner."""
    target = parts[0].lower().removesuffix(".") if len(parts) == 1 and isinstance(parts[0], str) else ""
    return target if _PART.match(target) and target.partition(".")[2] == owner else ""


def _held(part: str, owner: str, ask: Ask) -> list[str] | None:
    """Return all networks that a part holds, through groups of parts; nothing where it holds anything else."""
    texts = [text for text in ask(part, "TXT").values if is_spf(text)]
    try:
        record = parse_record(texts[0]) if len(texts) == 1 else None
    except SpfSyntaxError:
        record = None
    if not record or record.redirect:
        return None
    held: list[str] = []
    for term in record.mechanisms:
        target = _own_part(term.domain, owner) if term.name == "include" else ""
        # A group holds parts, never itself or another group.
        nested = part.startswith("_spfg") and target and not target.startswith("_spfg")
        inside = _held(target, owner, ask) if nested else None
        if term.name == "all":
            return held if term.qualifier != "+" else None
        if term.qualifier != "+" or not (term.network or inside is not None):
            return None
        held += [str(term.network)] if term.network else inside
    return held
