# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts of this server as Prometheus' text format (version 0.0.4), for node_exporter's textfile collector.

Counters begin with the database and never go back while it is there. Labels are provider, reason, outcome, sending
address, service and state: names of the configuration and of ours, so that there are few, and no recipient and no token
among them. What is not known is left out, and not told as 0.
"""

from __future__ import annotations

import os
import tempfile
import typing as t

from ..event import clean
from .queues import Depth

_HELP = {
    "outcomes_total": ("counter", "Outcomes of recipients in the mail log; a deferral is one attempt."),
    "tls_delivered_total": ("counter", "Recipients delivered to over TLS."),
    "lines_total": ("counter", "Lines of the mail log by service."),
    "unknown_lines_total": ("counter", "Lines of the mail log of no known kind, by service."),
    "cut_lines_total": ("counter", "Lines over 1 MiB, which were read in pieces."),
    "lost_stretches_total": ("counter", "Stretches of the mail log that may be lost."),
    "behind_bytes": ("gauge", "Bytes of the mail log that were not read yet."),
    "committed_timestamp_seconds": ("gauge", "When counts were last committed."),
    "written_timestamp_seconds": ("gauge", "When this file was written."),
    "waiting": ("gauge", "Whether the log waits for something: the store of events, or leave to read it."),
    "queue_messages": ("gauge", "Messages in Postfix' queues."),
    "queue_recipients": ("gauge", "Recipients in Postfix' queues, by provider."),
    "queue_oldest_deferred_timestamp_seconds": ("gauge", "When the message came that is deferred the longest."),
    "queue_unknown": ("gauge", "Instances of Postfix that did not say what is in their queues."),
}
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
MOST_LABEL = 100  # characters

Samples = t.Iterable[tuple[t.Mapping[str, str], float]]


def text(sums: t.Mapping[str, t.Mapping[tuple[str, ...], int]], *, lost: int, cut: int, behind: int, committed: float,
         now: float, waiting: bool, depth: Depth | None) -> str:
    """The whole file.

    :arg sums: what ``Counts.sums`` returns.
    :arg depth: what the queues said, None where they were not asked yet.
    """
    found: dict[str, Samples] = {
        "outcomes_total": _labelled(sums.get("outcomes", {}), ("provider", "reason", "outcome", "address")),
        "tls_delivered_total": _labelled(sums.get("tls", {}), ("provider",)),
        "lines_total": _labelled(sums.get("lines", {}), ("service",)),
        "unknown_lines_total": _labelled(sums.get("unknown", {}), ("service",)),
        "cut_lines_total": [({}, cut)],
        "lost_stretches_total": [({}, lost)],
        "behind_bytes": [({}, behind)],
        "committed_timestamp_seconds": [({}, committed)] if committed else [],
        "written_timestamp_seconds": [({}, now)],
        "waiting": [({}, int(waiting))],
    }
    if depth is not None:
        if not depth.failed:
            found["queue_messages"] = [({"state": state}, many) for state, many in depth.messages.items()]
            found["queue_recipients"] = _labelled(depth.recipients, ("state", "provider"))
            found["queue_oldest_deferred_timestamp_seconds"] = [({}, depth.oldest)] if depth.oldest else []
        found["queue_unknown"] = [({}, len(depth.failed))]
    return "".join(_family(name, samples) for name, samples in found.items())


def _labelled(counts: t.Mapping[tuple[str, ...], int], names: t.Sequence[str]) -> Samples:
    """Counts by values of some labels, in one line and bounded; those that are the same then are one."""
    found: dict[tuple[str, ...], int] = {}
    for values, many in sorted(counts.items()):
        key = tuple(clean(each, MOST_LABEL) for each in values)
        found[key] = found.get(key, 0) + many
    return [(dict(zip(names, values)), many) for values, many in found.items()]


def _family(name: str, samples: Samples) -> str:
    kind, told = _HELP[name]
    name = f"mailfleet_log_{name}"
    lines = [f"{name}{_labels(labels)} {_number(value)}\n" for labels, value in samples]
    return "".join([f"# HELP {name} {told}\n# TYPE {name} {kind}\n", *lines]) if lines else ""


def _labels(labels: t.Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def write(path: str, content: str) -> None:
    """Write it for everybody to read: whole or not at all, since the collector may read at any moment.

    It need not survive a power cut: the next one comes soon. The collector reads files that end in ``.prom`` only.
    """
    handle, staged = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".mailfleet-", suffix=".new")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
        os.rename(staged, path)
    except BaseException:
        os.unlink(staged)
        raise
