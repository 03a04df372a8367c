# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which services of the program run on a server, and whether those that are asked answer."""

from __future__ import annotations

import dataclasses
import os
import socket
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils import milter_client
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_node import DEAD, Failed, restart, state_of
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_settings import QUEUE, SOCKET
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_units import SERVICES, VERIFYING
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

# What nobody's list has: the answer must let it pass, whatever the list says (SMTPD_POLICY_README).
QUESTION = (b"request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nsender=probe@proof.invalid\n"
            b"recipient=nobody@proof.invalid\nclient_address=127.0.0.1\n\n")
# What nobody signed: OpenDKIM must say so.
UNSIGNED = milter_client.Message((("From", "probe@proof.invalid"),), b"", "", ("nobody@proof.invalid",), "192.0.2.1")
PATIENCE = 10.0  # seconds


@dataclasses.dataclass(frozen=True)
class Done:
    """The services that ran before and that run after, and the difference, by their short names."""

    before: list[str]
    after: list[str]

    @property
    def started(self) -> list[str]:
        """Those that did not run before."""
        return [name for name in self.after if name not in self.before]

    @property
    def stopped(self) -> list[str]:
        """Those that run no more."""
        return [name for name in self.before if name not in self.after]


def keep(programs: Programs, role: str, names: t.Sequence[str], check: bool = False) -> Done:
    """Have those services of a role run that are wanted, and no other.

    :arg role: ``agent``, ``bounces`` or ``maillog``.
    :arg names: the services that are wanted.
    :arg check: whether only to tell what would be done.
    :raises ValueError: where one of them is another role's.
    :raises Failed: where one does not start, or does not answer.
    """
    ours = {name: service for name, service in SERVICES.items() if service.role == role}
    if strange := [name for name in names if name not in ours]:
        raise ValueError(f"names: found {', '.join(strange)}, expected services of {role}: {', '.join(ours)}")
    before = [name for name, service in ours.items() if _runs(programs, service.unit, wanted=name in names)]
    done = Done(before, [name for name in ours if name in names])
    if check:
        return done
    for name in done.stopped:
        _must(programs, ["systemctl", "disable", "--quiet", "--now", ours[name].unit])
    for name in done.started:
        _must(programs, ["systemctl", "enable", "--quiet", ours[name].unit])
        restart(programs, ours[name].unit)
    if "policy" in done.after and (wrong := unanswered(f"{QUEUE}/{SOCKET}")):
        raise Failed(f"{ours['policy'].unit}: {wrong}; see journalctl -u {ours['policy'].unit}")
    if "verify" in done.after and (wrong := unverified(VERIFYING)):
        raise Failed(f"{ours['verify'].unit}: {wrong}; see journalctl -u opendkim -u {ours['verify'].unit}")
    return done


def unanswered(place: str) -> str:
    """What is wrong with the answer at the socket that Postfix asks; empty where it is right."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.settimeout(PATIENCE)
            asked.connect(place)
            asked.sendall(QUESTION)
            answer = b""
            while b"\n\n" not in answer and (more := asked.recv(4096)):
                answer += more
    except OSError as error:
        return f"{place} does not answer: {error.strerror or error}"
    # A list that is not known yet may have mail wait: that is an answer.
    known = answer.startswith((b"action=DUNNO", b"action=450"))
    return "" if known else f"{place} answered {os.fsdecode(answer)[:80]!r}, expected action=DUNNO"


def unverified(place: str) -> str:
    """What is wrong with what the verifying OpenDKIM says of a message without signature; empty where it is right."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.settimeout(PATIENCE)
            asked.connect(place)
            outcome = milter_client.submit(asked, UNSIGNED)
    except (OSError, milter_client.MilterError) as error:
        return f"{place} does not answer: {getattr(error, 'strerror', '') or error}"
    said = " ".join(value for name, value in outcome.headers if name.lower() == "authentication-results")
    return "" if "dkim=none" in said else f"{place} answered {said or outcome.action!r}, expected dkim=none"


def _runs(programs: Programs, unit: str, wanted: bool) -> bool:
    """Whether a service runs, and will after the next boot.

    Of one that is not wanted, whether there is anything to end: it may fail again and again, or come with a boot.
    """
    state, enabled = state_of(programs, unit), not programs(["systemctl", "--quiet", "is-enabled", unit]).status
    return state == "active" and enabled if wanted else state not in DEAD or enabled


def _must(programs: Programs, command: t.Sequence[str]) -> None:
    done = programs(command)
    if done.status:
        raise Failed(f"{' '.join(command)}: {done.err.strip() or done.out.strip()}")
