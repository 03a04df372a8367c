# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Postfix' policy delegation protocol (SMTPD_POLICY_README): lines ``name=value``, an empty line, an action back."""

from __future__ import annotations

import dataclasses
import typing as t

MOST = 1 << 16  # octets of one request; Postfix' own have about a thousand


class Garbage(ValueError):
    """What came is no request; the connection is of no use any more."""


class Requests:
    """Takes octets as they come, and gives requests as they are whole."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, octets: bytes) -> list[dict[str, str]]:
        """The requests that are whole by now; raises Garbage for what can be none."""
        *whole, self._rest = (self._rest + octets).split(b"\n\n")
        if len(self._rest) > MOST or any(len(each) > MOST for each in whole):
            raise Garbage(f"a request of more than {MOST} octets")
        return [_request(each) for each in whole]


def _request(octets: bytes) -> dict[str, str]:
    found = {}
    for line in octets.decode("utf-8", "replace").split("\n"):
        name, equals, value = line.partition("=")
        if not equals or not name:
            raise Garbage(f"{line[:60]!r} where name=value was expected")
        found[name] = value
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the list: may this go from a sender to a recipient?"""

    sender: str
    recipient: str
    login: str
    port: str


def question(request: t.Mapping[str, str]) -> Question | None:
    """The question of a request; None where it is none of ours: another kind, another state of the session."""
    if request.get("request") != "smtpd_access_policy" or not request.get("recipient"):
        return None
    if request.get("protocol_state", "RCPT") != "RCPT":
        return None
    return Question(request.get("sender", ""), request["recipient"], request.get("sasl_username", ""),
                    request.get("server_port", ""))


def answer(action: str) -> bytes:
    """What Postfix reads."""
    return f"action={action}\n\n".encode()
