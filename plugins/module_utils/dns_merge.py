# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One SPF or DMARC value made of somebody else's and ours, which weakens nothing that stands there.

What is live is the ground: its terms stay where and as they are, what is missing of ours is added, and of what we added
earlier (`published`) the part that is no longer wanted is taken out. A value that needs no change comes back as it was,
to the octet; so a merge that was written earlier is found complete.
"""
from __future__ import annotations

import ipaddress
from collections.abc import Sequence

_POLICIES = ("none", "quarantine", "reject")  # by strictness; RFC 9989, tag p
_FALLBACK = {"np": "sp", "sp": "p"}
_ALL_STRICTNESS = "+?~-"


def merge_spf(live: Sequence[str], wanted: str | None, published: Sequence[str] = ()) -> str:
    """The SPF value (RFC 7208) that holds every mechanism of `live`, in their order, and those of `wanted`.

    Ours stand before `all`. The live `all` (of several the strictest) or `redirect` stays; a `redirect` of ours becomes
    an `include`. What a live network already covers is not added. `published`: values of ours whose terms, as far as
    they are not wanted, go. At least one live value is expected.
    """
    ours = _mechanisms(wanted) if wanted else []
    keep = {_folded(term) for term in ours}
    gone = {_folded(term) for value in published for term in _mechanisms(value)} - keep
    terms = [term for term in live[0].split() if _folded(term) not in gone]
    for other in live[1:]:
        ours = [*(term for term in _mechanisms(other) if _folded(term) not in gone), *ours]
    strictest = max((term for value in live for term in value.split() if _is_all(term)), key=_all_rank, default=None)
    end = next((at for at, term in enumerate(terms) if _is_all(term)), len(terms))
    if end < len(terms) and _all_rank(strictest) > _all_rank(terms[end]):
        terms[end] = strictest
    at = next((at for at, term in enumerate(terms[:end]) if at and _is_modifier(term)), end)
    for term in ours:
        if not _covered(term, terms[1:end]):
            terms.insert(at, term)
            at, end = at + 1, end + 1
    return live[0] if terms == live[0].split() else " ".join(terms)


def _mechanisms(value: str) -> list[str]:
    """The terms that count, up to `all`; a redirect that counts as an include at the end."""
    found = []
    for term in value.split()[1:]:
        if _is_all(term):
            return [each for each in found if not _is_modifier(each)]
        found.append(term)
    return [
        *(term for term in found if not _is_modifier(term)),
        *("include:" + term[len("redirect=") :] for term in found if term.lower().startswith("redirect=")),
    ]


def _is_modifier(term: str) -> bool:
    return "=" in term.split(":")[0]


def _is_all(term: str) -> bool:
    return term.lower().lstrip("+-~?") == "all"


def _all_rank(term: str) -> int:
    return _ALL_STRICTNESS.find(term[0]) if term[0] in _ALL_STRICTNESS else 0


def _folded(term: str) -> str:
    return term.lower().removeprefix("+")


def _network(term: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if not _folded(term).startswith(("ip4:", "ip6:")):
        return None
    try:
        return ipaddress.ip_network(_folded(term)[4:], strict=False)
    except ValueError:
        return None


def _covered(term: str, terms: Sequence[str]) -> bool:
    """Whether what the term lets pass, one of the terms lets pass already."""
    if _folded(term) in map(_folded, terms):
        return True
    ours = _network(term)
    theirs = filter(None, map(_network, terms)) if ours else ()
    return any(ours.version == net.version and ours.subnet_of(net) for net in theirs)


def merge_dmarc(live: Sequence[str], wanted: str | None, published: Sequence[str] = ()) -> str:
    """The DMARC value (RFC 9989) that keeps the tags of `live`, the stricter policies of both, and all report targets.

    Of several live values the strictest is kept. `published`: values of ours whose report addresses, as far as they are
    not wanted, go; a policy is never lowered. At least one live value is expected.
    """
    ranked = sorted(live, key=lambda value: _policy(_tags(value), "p"), reverse=True)
    tags = _tags(ranked[0])
    ours = _tags(wanted) if wanted else {}
    changed = False
    for tag in ("p", "sp", "np"):
        strictest = max(_policy(ours, tag), *(_policy(_tags(value), tag) for value in live))
        if strictest != _policy(tags, tag):
            tags[tag] = _POLICIES[strictest]
            changed = True
    for tag in ("rua", "ruf"):
        gone = {_target(uri) for value in published for uri in _uris(_tags(value), tag)}
        gone -= {_target(uri) for uri in _uris(ours, tag)}
        targets = [uri for uri in _uris(tags, tag) if _target(uri) not in gone]
        others = [uri for value in ranked[1:] for uri in _uris(_tags(value), tag) if _target(uri) not in gone]
        for uri in [*others, *_uris(ours, tag)]:
            if _target(uri) not in map(_target, targets):
                targets.append(uri)
        if targets != _uris(tags, tag):
            changed = True
            tags[tag] = ",".join(targets)
    return "; ".join(f"{tag}={value}" for tag, value in tags.items() if value) if changed else ranked[0]


def _tags(value: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in value.split(";") if "=" in part)
    return {name.strip().lower(): text.strip() for name, _equals, text in pairs}


def _policy(tags: dict[str, str], tag: str) -> int:
    """How strict the tag's policy is; where it is missing, that of the tag it falls back to."""
    if tag in tags:
        return _POLICIES.index(tags[tag].lower()) if tags[tag].lower() in _POLICIES else 0
    return _policy(tags, _FALLBACK[tag]) if tag in _FALLBACK else 0


def _uris(tags: dict[str, str], tag: str) -> list[str]:
    return [uri.strip() for uri in tags.get(tag, "").split(",") if uri.strip()]


def _target(uri: str) -> str:
    return uri.lower().split("!")[0]
