# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a check says about its subjects: one typed value for every check of the collection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum


class Status(str, Enum):
    """The outcome of a check, from best to worst.

    C(absent) means that DNS said there is no such thing; C(unknown) that it did not say, or that it cannot be tested.
    """

    OK = "ok"
    WARN = "warn"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    FAIL = "fail"

    @property
    def rank(self) -> int:
        """Return the place in the order from best (0) to worst."""
        return list(Status).index(self)


@dataclass(frozen=True)
class Verdict:
    """One statement of a check.

    Attributes: C(check) names the check ("spf"); C(subjects) what was checked; C(found) and C(expected) the values as
    text; C(cause) why the status is not ok; C(mend) the smallest change that makes it ok; C(source) the query or
    header that it came from. They hold what strangers wrote into DNS and mail, so that characters which would act on a
    terminal, or hide, stand in them as escapes.
    """

    check: str
    subjects: tuple[str, ...]
    status: Status
    found: str = ""
    expected: str = ""
    cause: str = ""
    mend: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.subjects, str):
            raise TypeError(f"subjects is the text {self.subjects!r}; expected a sequence of texts")
        object.__setattr__(self, "subjects", tuple(map(printable, self.subjects)))
        object.__setattr__(self, "status", Status(self.status))
        for name in ("found", "expected", "cause", "mend", "source"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    @property
    def ok(self) -> bool:
        """Return whether nothing needs to be done."""
        return self.status is Status.OK

    def to_dict(self) -> dict[str, object]:
        """Return the verdict as plain data for JSON."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        return data | {"subjects": list(self.subjects), "status": self.status.value}

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> Verdict:
        """Return the verdict that C(to_dict) wrote.

        Raises: ValueError where a key is missing, unknown or no text, or the status is none of Status.
        """
        known = {field.name for field in fields(cls)}
        missing = {"check", "subjects", "status"} - set(data)
        if missing or set(data) - known:
            wrong = [f"{name} is missing" for name in sorted(missing)]
            wrong += [f"{name} is unknown" for name in sorted(set(data) - known)]
            raise ValueError(f"not a verdict: {', '.join(wrong)}")
        if not isinstance(data["subjects"], (list, tuple)):
            raise ValueError(f"not a verdict: subjects is {data['subjects']!r}, expected a list")
        others = {**data, **{f"subjects[{at}]": subject for at, subject in enumerate(data["subjects"])}, "subjects": ""}
        if wrong := [f"{name} is {value!r}, expected a text" for name, value in others.items()
                     if not isinstance(value, str)]:
            raise ValueError(f"not a verdict: {', '.join(wrong)}")
        return cls(**data)


def printable(text: str) -> str:
    """Return the text with all that cannot be seen as Python writes it: \\x1b, \\n, \\u202e."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def group(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts with those that differ in nothing but their subjects made into one.

    The order is that of first appearance, for verdicts and for the subjects in them; no subject stands twice.
    """
    subjects: dict[Verdict, dict[str, None]] = {}
    for verdict in verdicts:
        subjects.setdefault(replace(verdict, subjects=()), {}).update(dict.fromkeys(verdict.subjects))
    return [replace(verdict, subjects=tuple(names)) for verdict, names in subjects.items()]


def faults(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts that are not ok, the worst first, otherwise in their order."""
    return sorted((verdict for verdict in verdicts if not verdict.ok), key=lambda verdict: -verdict.status.rank)


def worst(verdicts: Iterable[Verdict]) -> Status:
    """Return the worst status; of nothing C(unknown), since nothing was proved."""
    return max((verdict.status for verdict in verdicts), key=lambda status: status.rank, default=Status.UNKNOWN)


def counted(verdicts: Iterable[Verdict]) -> Counter[Status]:
    """Return how many subjects have which status."""
    counts: Counter[Status] = Counter()
    for verdict in verdicts:
        counts[verdict.status] += len(verdict.subjects)
    return counts


def summary(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Return how many subjects have each status; every status is named."""
    counts = counted(verdicts)
    return {status.value: counts[status] for status in Status}


def as_result(verdicts: Iterable[Verdict], counts: Mapping[Status, int] | None = None) -> dict[str, object]:
    """Return what every verifying module returns: C(verdicts) (grouped), C(faults) of them, C(summary) of subjects.

    Arguments: C(counts) how many have which status, where one subject stands for many.
    """
    grouped = group(verdicts)
    return {
        "verdicts": [verdict.to_dict() for verdict in grouped],
        "faults": [verdict.to_dict() for verdict in faults(grouped)],
        "summary": summary(grouped) if counts is None else {status.value: counts.get(status, 0) for status in Status},
    }
