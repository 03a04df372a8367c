# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The suppression list as a file: CSV with a header, JSON lines, or plain addresses, one a line."""

from __future__ import annotations

import csv
import datetime
import io
import json
import typing as t

from .errors import Trouble
from .event import clean
from .recipients import wanted
from .rules import Entry

COLUMNS = ("stream", "recipient", "cause", "detail", "since", "until")
MOST_TOLD = 20  # mistakes


def write(entries: t.Iterable[Entry], kind: str, out: t.TextIO) -> None:
    """Write entries as ``csv`` or ``jsonl``; what holds for ever has an empty ``until``, in JSON null."""
    rows = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    if kind == "csv":
        rows.writeheader()
    for entry in entries:
        row = {"stream": entry.stream, "recipient": entry.recipient, "cause": entry.cause, "detail": entry.detail,
               "since": _text(entry.since), "until": _text(entry.until) if entry.until else None}
        if kind == "csv":
            rows.writerow(row)
        else:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def read(text: str, where: str, stream: str, now: int, known: t.Callable[[str, str], str]) -> list[Entry]:
    """Read a list; raises Trouble with all that is wrong in it.

    Only ``recipient`` has to be there. What ended before now is left out.

    :arg stream: of what names none.
    :arg known: gives the stream that is meant by a text, and where that stands; raises Trouble where it is none.
    """
    made: dict[tuple[str, str], Entry] = {}
    wrong: list[str] = []
    for number, row in _rows(text, where, wrong):
        try:
            entry = _entry(row, f"{where}:{number}", stream, now, known)
        except Trouble as error:
            wrong.append(str(error))
            continue
        if entry.until == 0 or entry.until > now:
            made[entry.stream, entry.recipient] = entry
    if wrong:
        more = [f"and {len(wrong) - MOST_TOLD} more"] if len(wrong) > MOST_TOLD else []
        raise Trouble(where, "\n".join(["nothing was imported:", *(f"  {each}" for each in wrong[:MOST_TOLD] + more)]))
    return list(made.values())


def _rows(text: str, where: str, wrong: list[str]) -> t.Iterator[tuple[int, dict[str, t.Any]]]:
    lines = text.removeprefix("\ufeff").splitlines()
    first = next((line for line in lines if line.strip()), "")
    if first.lstrip()[:1] == "{":
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError) as error:
                wrong.append(f"{where}:{number}: no JSON: {error}")
                continue
            if isinstance(row, dict):
                yield number, row
            elif row is not None:
                wrong.append(f"{where}:{number}: {line[:60]!r}; expected a JSON object")
    elif "@" in first.split(",", 1)[0]:
        yield from ((number, {"recipient": line}) for number, line in enumerate(lines, 1) if line.strip())
    elif first:
        table = csv.DictReader(io.StringIO("\n".join(lines)))
        try:
            if "recipient" not in (names := table.fieldnames or ()):
                wrong.append(f"{where}:1: the columns {', '.join(names)}; expected recipient among them")
                return
            for row in table:
                yield table.line_num, row
        except csv.Error as error:
            wrong.append(f"{where}:{table.line_num}: no CSV: {error}; perhaps a quotation mark before it has no second")


def _entry(row: t.Mapping[str, t.Any], where: str, stream: str, now: int,
           known: t.Callable[[str, str], str]) -> Entry:
    def text(name: str) -> str:
        found = row.get(name)
        if found is not None and not isinstance(found, str):
            raise Trouble(f"{where}: {name}", repr(found)[:60], "a text")
        return clean(found or "")

    # White space within an address is a mistake of who wrote it, not of ours to mend.
    recipient = row.get("recipient")
    key = wanted(recipient if isinstance(recipient, str) else repr(recipient), f"{where}: recipient")
    own = text("stream")
    stream = known(own, f"{where}: stream") if own else stream
    return Entry(stream, key, text("cause") or "import", text("detail")[:300], "",
                 _moment(text("since"), f"{where}: since") or now, _moment(text("until"), f"{where}: until"))


def _text(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str, where: str) -> int:
    if not text:
        return 0
    try:
        found = datetime.datetime.fromisoformat(text)
        # What is beyond the year 9999 in UTC could not be shown again.
        found = found.astimezone(datetime.UTC) if found.tzinfo else found.replace(tzinfo=datetime.UTC)
        return max(1, int(found.timestamp()))
    except (ValueError, OverflowError) as error:
        raise Trouble(where, repr(text[:60]), "a date or a time of RFC 3339, such as 2027-01-31T12:00:00Z") from error
