# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether all servers that were asked one question say the same, and one verdict of what they say.

A check asks with Lookup.ask_by and judges what comes with C(combine), which judges each different answer once:

    outcomes, instead = lookup.ask_by(authoritative, name, "TXT")
    verdict = combine(outcomes, judge, instead)      # judge(outcome) -> Verdict, SILENT included

Where one value has to be gone on with (the forward names of a PTR, the tree of an SPF record), C(agree) has them:
C(agree(outcomes, instead).answers), each an outcome with the servers that say it.

At names that others share, as TXT at a domain's apex, a check says with C(reads) which values it reads: servers that
differ in the others only agree, and that is no more than a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_silence import CUT_OFF
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

SAME_VERSION = "make all name servers serve the same version of the zone"
LET_ASK = ("let this machine ask the authoritative servers (port 53, UDP and TCP), or set authoritative to no "
           "(sending_dns_authoritative in an inventory)")
SHOWN = 3  # values of others in a note, and characters of each
SHORT = 60

# Takes an outcome, and returns those of its values that a check is about.
Reads = Callable[[Outcome], tuple]


@dataclass(frozen=True)
class Said:
    """One answer, or one reason for none, and the servers that gave it.

    C(forms) are the different answers that are this one for who reads some of the values only, the first included.
    """

    outcome: Outcome
    servers: tuple[str, ...]
    forms: tuple[tuple[Outcome, tuple[str, ...]], ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        what = str(self.outcome) if self.outcome.said else f"did not say: {self.outcome.cause}"
        return f"{', '.join(self.servers)}: {what}"


@dataclass(frozen=True)
class Agreement:
    """What the servers say.

    Attributes: C(answers) the different answers in the order in which they were first given (values are compared, not
    TTLs or the names that CNAMEs led through); C(silent) the servers that did not say, by cause; C(instead) why the
    resolvers were asked instead of the authoritative servers, where they were; C(note) in words, where servers agree in
    what is read and differ in other values of the name.
    """

    answers: tuple[Said, ...]
    silent: tuple[Said, ...] = ()
    instead: str = ""
    note: str = ""

    @property
    def groups(self) -> tuple[Said, ...]:
        """Return all that was said and was not said."""
        return (*self.answers, *self.silent)

    @property
    def same(self) -> bool:
        """Return whether all who said anything said the same, and anybody did."""
        return len(self.answers) == 1

    @property
    def differ(self) -> bool:
        """Return whether two servers contradict each other."""
        return len(self.answers) > 1

    @property
    def servers(self) -> tuple[str, ...]:
        """Return all who were asked."""
        return tuple(dict.fromkeys(server for group in self.groups for server in group.servers))

    @property
    def statement(self) -> str:
        """Return what is not as it should be, in words; empty where every server said the same."""
        return self.told({})

    @property
    def mend(self) -> str:
        """Return the change that has the silent servers answer, empty where there are none."""
        silent = ", ".join(server for group in self.silent for server in group.servers)
        if not silent:
            return ""
        unless = ", or take it out of the zone's NS records" if self.answers else ", then check again"
        return f"make {silent} answer{unless}"

    def told(self, words: dict[Said, str]) -> str:
        """Return the statement with other words for what a group says."""
        if len(self.groups) < 2 and not self.silent:
            return self.instead
        parts = [f"{', '.join(group.servers)}: {words[group]}" if words.get(group) else str(group)
                 for group in self.groups]
        text = "; ".join(parts)
        if self.differ:
            text = f"the name servers differ: {text}"
        elif self.answers:
            text = f"not every name server answers: {text}"
        return f"{text} ({self.instead})" if self.instead else text


def agree(outcomes: Iterable[Outcome], instead: str = "", reads: Reads | None = None) -> Agreement:
    """Return what the servers say.

    Arguments: C(instead) as Lookup.ask_by returns it. That nobody could be asked at all is told once for the whole run.
    C(reads) see Reads; all values without it.
    """
    groups: dict[tuple, dict[tuple, tuple[Outcome, dict[str, None]]]] = {}
    for outcome in outcomes:
        values = reads(outcome) if reads else outcome.values
        # Of what is read there is nothing where only values of others stand.
        kind = Kind.NO_DATA if outcome.kind is Kind.VALUES and not values else outcome.kind
        forms = groups.setdefault((kind, values, "" if outcome.said else outcome.cause), {})
        forms.setdefault(outcome.values, (outcome, {}))[1][outcome.server] = None
    said = [_said(forms.values()) for forms in groups.values()]
    return Agreement(tuple(group for group in said if group.outcome.said),
                     tuple(group for group in said if not group.outcome.said), "" if instead == CUT_OFF else instead,
                     _note(said, reads) if reads else "")


def _said(forms: Iterable[tuple[Outcome, Iterable[str]]]) -> Said:
    whole = tuple((outcome, tuple(servers)) for outcome, servers in forms)
    return Said(whole[0][0], tuple(dict.fromkeys(chain.from_iterable(servers for _outcome, servers in whole))), whole)


def _note(said: Iterable[Said], reads: Reads) -> str:
    """Return in what servers differ that agree in what is read, empty where they do not."""
    parts, asked = [], ""
    for outcome, servers in chain.from_iterable(group.forms for group in said if len(group.forms) > 1):
        asked = f"{outcome.name} {outcome.rdtype}"
        others = [value for value in outcome.values if value not in reads(outcome)]
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        shown = ", ".join(repr(value if len(value) <= SHORT else f"{value[:SHORT]}…") for value in others[:SHOWN])
        parts.append(f"{', '.join(servers)}: {shown or 'none'}{more}")
    return f"the name servers differ in other values of {asked}: {'; '.join(parts)}" if parts else ""


def combine(outcomes: Iterable[Outcome], judge: Callable[[Outcome], Verdict], instead: str = "",
            reads: Reads | None = None, good: str = "") -> Verdict:
    """Return one verdict on what all servers say: the worst of those on their answers, its cause naming who says what.

    It is at least C(warn) where servers differ, even in answers that are good each, and where the resolvers were asked
    instead of the authoritative servers.

    Arguments: C(judge) makes the verdict on one outcome, be it SILENT; C(instead) as Lookup.ask_by returns it; C(reads)
    see Reads; C(good) what a good answer says in words, where that is not what the verdict found.
    Raises: ValueError where there are no outcomes.
    """
    agreed = agree(outcomes, instead, reads)
    if not agreed.groups:
        raise ValueError("no outcome to judge")
    judged = {group: max(((judge(outcome), outcome) for outcome, _servers in group.forms),
                         key=lambda each: each[0].status.rank) for group in agreed.groups}
    verdicts = {group: verdict for group, (verdict, _outcome) in judged.items()}
    decisive = max(verdicts, key=lambda group: verdicts[group].status.rank)
    worst, outcome = judged[decisive]
    right = [group for group in agreed.answers if verdicts[group].ok]
    status, cause, mend = worst.status, worst.cause, worst.mend
    if len(verdicts) > 1:
        cause = agreed.told({group: _words(agreed, group, verdict, good) for group, verdict in verdicts.items()})
        if agreed.differ and right:
            bad = [group for group in agreed.answers if group not in right]
            mend = _follow(bad, right) + (f", or {mend}" if mend else "") if bad else SAME_VERSION
        elif decisive in agreed.silent:
            mend = agreed.mend
    elif agreed.instead:
        cause = f"{cause} ({agreed.instead})" if cause else agreed.instead
    if status is Status.OK and (agreed.instead or len(verdicts) > 1):
        status = Status.WARN
        mend = mend or LET_ASK
    asked = replace(agreed.groups[0].outcome, server=", ".join(agreed.servers)).source
    # What the judge asked besides stands around the question of its own.
    before, own, behind = worst.source.partition(outcome.source)
    source = f"{before}{asked}{behind}" if own else asked
    found = f"{worst.found}; note: {agreed.note}" if agreed.note else worst.found
    return replace(worst, status=status, found=found, cause=cause, mend=mend, source=source)


def _words(agreed: Agreement, group: Said, verdict: Verdict, good: str) -> str:
    """Return what a server says as its verdict puts it; of a silent one, why it did not."""
    if not group.outcome.said:
        return ""
    # Beside silence only, what is right needs no words, and the cause is the same for all that was asked.
    return verdict.cause or ("answers" if verdict.ok and not agreed.differ else good or verdict.found)


def _follow(bad: Sequence[Said], good: Sequence[Said]) -> str:
    """Return the words that have servers serve what others do."""
    behind, ahead = (", ".join(server for group in groups for server in group.servers) for groups in (bad, good))
    return f"make {behind} serve the same version of the zone as {ahead}"
