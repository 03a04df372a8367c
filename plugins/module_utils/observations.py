# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was observed of recipient domains: where their MX point, and how many messages went there.

It is one dated file of the state, ``observations.json``, which only ``observe.yml`` writes. It holds facts alone: which
provider an MX belongs to is asked of the inventory anew by whoever reads it, so that a provider which joins the
inventory has its domains at once, and one that leaves it loses them.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.reading import domain_name, show
from ansible_collections.mailfleet.sending.plugins.module_utils.state import State, StateError

FILE = "observations.json"
# What stands in place of a host where a domain takes no mail (RFC 7505).
NULL = "."
# The provider of what has none, in counts of messages.
NONE = "-"
Counts = dict[str, dict[str, dict[str, int]]]  # server -> day -> provider -> messages


@dataclasses.dataclass(frozen=True)
class Observed:
    """One recipient domain.

    ``mx`` are its most preferred MX hosts in lower case, without their final dots: the domain itself where it has no
    MX records (RFC 5321 5.1), NULL alone with a null MX, nothing where there is no such domain, None where DNS never
    said. ``silent`` is who did not say the last time, ``seen`` the last day on which mail went there (by the log).
    """

    mx: tuple[str, ...] | None
    silent: str = ""
    seen: str = ""

    def to_dict(self) -> dict[str, t.Any]:
        """The domain as plain data, without what there is nothing to say of."""
        mx = None if self.mx is None else list(self.mx)
        return {"mx": mx, **{name: each for name in ("silent", "seen") if (each := getattr(self, name))}}


@dataclasses.dataclass(frozen=True)
class Observations:
    """The file: when it was made (a date in UTC, empty for never), the domains, and messages by day.

    ``others`` are parts of it that are other subjects', and stay as they are.
    """

    date: str = ""
    domains: t.Mapping[str, Observed] = dataclasses.field(default_factory=dict)
    messages: t.Mapping[str, t.Mapping[str, t.Mapping[str, int]]] = dataclasses.field(default_factory=dict)
    others: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, t.Any]:
        """The content of the file."""
        domains = {name: observed.to_dict() for name, observed in self.domains.items()}
        return {**self.others, "date": self.date, "domains": domains, "messages": self.messages}


def observations(state: State) -> Observations:
    """Read the file of a state; without one, nothing was observed yet.

    :raises StateError: where it holds anything else, with its path and the mend.
    """
    content = state.read(FILE, {})
    try:
        return _read(content) if content else Observations()
    except ValueError as error:
        raise StateError(
            f"{state.directory / FILE}: {error}; "
            "restore the file from version control, or remove it and run observe.yml"
        ) from None


def _read(content: dict[str, t.Any]) -> Observations:
    others = {name: each for name, each in content.items() if name not in ("date", "domains", "messages")}
    domains = _mapping(content, "domains")
    return Observations(
        _day("date", content["date"]) if "date" in content else "",
        {name: _observed(f"domains.{name}", name, entry) for name, entry in domains.items()},
        _messages(_mapping(content, "messages")),
        others,
    )


def _observed(path: str, name: str, entry: t.Any) -> Observed:
    if domain_name(name) != name:
        raise ValueError(f"{path}: found {show(name)}, expected a domain name in lower case")
    if not isinstance(entry, dict) or not set(entry) <= {"mx", "silent", "seen"} or "mx" not in entry:
        raise ValueError(f"{path}: found {show(entry)}, expected mx, with silent or seen beside it")
    mx = entry["mx"]
    if mx is not None and not (isinstance(mx, list) and all(isinstance(host, str) for host in mx)):
        raise ValueError(f"{path}.mx: found {show(mx)}, expected a list of hosts")
    silent = entry.get("silent", "")
    if not isinstance(silent, str):
        raise ValueError(f"{path}.silent: found {show(silent)}, expected a text")
    seen = _day(f"{path}.seen", entry["seen"]) if "seen" in entry else ""
    return Observed(None if mx is None else tuple(mx), silent, seen)


def _messages(servers: dict[str, t.Any]) -> Counts:
    for server, days in servers.items():
        for day in _mapping(servers, server, "messages."):
            _day(f"messages.{server}", day)
            for provider, count in _mapping(days, day, f"messages.{server}.").items():
                if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                    path = f"messages.{server}.{day}.{provider}"
                    raise ValueError(f"{path}: found {show(count)}, expected a number of messages")
    return servers


def _mapping(content: dict[str, t.Any], name: str, path: str = "") -> dict[str, t.Any]:
    found = content.get(name, {})
    if not isinstance(found, dict):
        raise ValueError(f"{path}{name}: found {show(found)}, expected a mapping")
    return found


def _day(path: str, value: t.Any) -> str:
    try:
        return datetime.date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise ValueError(f"{path}: found {show(value)}, expected a date such as 2026-11-28") from None
