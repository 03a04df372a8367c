# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an auxiliary domain gains and loses by `include` or `redirect` of a main one's SPF record, by its effect."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import Audit
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Result
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_nodes import Term

# RFC 7208, 5.2: what include makes of the result of the other record; None is "no match, the next term is read".
BY_INCLUDE: dict[Result, Result | None] = {
    Result.PASS: Result.PASS,
    Result.FAIL: None,
    Result.SOFTFAIL: None,
    Result.NEUTRAL: None,
    Result.TEMPERROR: Result.TEMPERROR,
    Result.PERMERROR: Result.PERMERROR,
    Result.NONE: Result.PERMERROR,
}
# RFC 7208, 6.1: redirect takes the result as it is, but for none.
BY_REDIRECT: dict[Result, Result] = {result: result for result in Result} | {Result.NONE: Result.PERMERROR}


@dataclass(frozen=True)
class Reference:
    """How one domain's record takes in another's, and what would differ the other way.

    Attributes: C(term) the include or redirect; C(named) the result of an address that the main record passes;
    C(others) of one that neither names; C(others_of_main) what the main record says of it itself; C(lookups) what the
    term costs, by either way; C(explained) that the main record has an exp= that include leaves unused; C(doubt) why
    the effect is likely not what is meant, else empty; C(instead) the terms that have the effect which likely is.
    """

    auxiliary: str
    main: str
    term: str
    named: Result
    others: Result
    others_of_main: Result
    lookups: int
    explained: bool = False
    doubt: str = ""
    instead: str = ""

    def __str__(self) -> str:
        return explain(self)


def references(auxiliary: Audit, mains: dict[str, Audit]) -> list[Reference]:
    """Return how the auxiliary domain's record takes in those of the given main domains (by name in lower case)."""
    if not auxiliary.node.record:
        return []
    return [_reference(auxiliary, mains[term.target], term) for term in auxiliary.node.terms
            if term.leads and term.target in mains and term.target != auxiliary.domain]


def _reference(auxiliary: Audit, main: Audit, term: Term) -> Reference:
    theirs, ours = main.walk4.result, auxiliary.walk4.result
    by_include = term.name == "include"
    qualifier = getattr(term.source, "qualifier", "+")
    named = {"+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}[qualifier]
    record = main.node.record
    explained = bool(by_include and record and record.exp and theirs is Result.FAIL)
    doubt = instead = ""
    others = [each for each in auxiliary.node.terms if each is not term and each.name != "all"]
    own_all = next((each.text for each in auxiliary.node.terms if each.name == "all"), "")
    if by_include and qualifier != "+":
        doubt = (f"{term.text} makes {named.value} of every address that {main.domain} passes; the qualifier of an "
                 "include is that of its match (4.6.2, 5.2)")
        instead = f"include:{main.domain}"
    elif by_include and ours is Result.NEUTRAL and theirs in (Result.FAIL, Result.SOFTFAIL):
        written = f"by {own_all}" if own_all else "since it ends without all"
        doubt = (f"an include takes over who passes, not what becomes of the others: they are {theirs.value} at "
                 f"{main.domain}, and neutral here {written} (5.2, 4.7)")
        instead = f"redirect={main.domain}" if not others else f"include:{main.domain} {_all_of(theirs)}"
    elif by_include and not main.walk4.before and not main.walk6.broken and _passes_nobody(main):
        doubt = f"{main.domain} passes no address: the include never matches, and costs {auxiliary.cost_of(term).terms}"
    return Reference(auxiliary.domain, main.domain, term.text, named, ours, theirs,
                     auxiliary.cost_of(term).terms, explained, doubt, instead)


def _passes_nobody(main: Audit) -> bool:
    return bool(main.node.record) and all(term.name == "all" for term in main.node.terms) \
        and main.walk4.result is not Result.PASS


def _all_of(result: Result) -> str:
    return {Result.FAIL: "-all", Result.SOFTFAIL: "~all"}[result]


def explain(reference: Reference) -> str:
    """Return the effect of the reference, and that of the other way, in words."""
    main, auxiliary = reference.main, reference.auxiliary
    by_include = not reference.term.lower().startswith("redirect")
    include = (f"include:{main}: whom {main} passes gets {reference.named.value if by_include else 'pass'}; its other "
               f"results only mean that the next term of {auxiliary} is read (5.2)")
    if by_include:
        include += f", which ends in {reference.others.value}"
        if reference.explained:
            include += f"; the exp= of {main} is not used"
    redirect = (f"redirect={main}: {auxiliary} has every result of {main} that no term of its own decides, "
                f"{reference.others_of_main.value} for all whom {main} does not name, with its exp= (6.1); an all of "
                f"{auxiliary} would make it void")
    return (f"{include}. {redirect}. Both cost {reference.lookups} of 10 lookups, and give permerror where {main} has "
            "no record or a wrong one")


def brief(reference: Reference) -> str:
    """Return the effect of a reference that is as it should be, and what the other way would change, in few words."""
    main, here, there = reference.main, reference.others.value, reference.others_of_main.value
    if not reference.term.lower().startswith("redirect"):
        otherwise = f"as by redirect={main}" if here == there else f"by redirect={main} they would get {there}"
        return f"whom {main} passes, passes; all others get {here} by this record, {otherwise} (5.2, 6.1)"
    return (f"every result of {main} holds here, {there} for all others; by include:{main} only its pass would, and "
            "all others would get what this record says of them (5.2, 6.1)")
