# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which services of the program are started and ended, by what systemd says of each."""

from __future__ import annotations

import pytest
from milter_filter import AGREED, GOES_ON, Filter, added

from ansible_collections.mailfleet.sending.plugins.module_utils import agent_run
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_node import Failed
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_run import keep
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

BOUNCES, FETCH = "mailfleet-bounces.service", "mailfleet-fetch.service"


class Systemd:
    """Services, each with its state and whether it is enabled; ``broken`` ones do not start."""

    def __init__(self, broken: tuple[str, ...] = (), **services: tuple[str, bool]) -> None:
        self.services = {f"mailfleet-{name}.service": state for name, state in services.items()}
        self.broken, self.done = broken, []

    def run_command(self, command, **_more):
        _timeout, _seconds, program, *words = command
        if program == "journalctl":
            return 0, b"the store: gone", b""
        verb, unit = next(word for word in words if not word.startswith("-")), words[-1]
        state, enabled = self.services.get(unit, ("inactive", False))
        if verb == "show":
            return 0, f"{state}\n".encode(), b""
        if verb == "is-enabled":
            return int(not enabled), b"", b""
        self.done.append((verb, unit))
        return int(verb == "restart" and unit in self.broken), b"", b"Job failed"


def kept(systemd: Systemd, *names: str, check: bool = False):
    return keep(Programs(systemd.run_command), "bounces", names, check)


@pytest.mark.parametrize(("state", "started"), [
    (("active", True), []), (("active", False), ["bounces"]), (("inactive", True), ["bounces"]),
    # It fails again and again: that is told, and not that it runs.
    (("activating", True), ["bounces"]), (("failed", True), ["bounces"]),
])
def test_what_is_wanted_runs_and_comes_back_after_a_boot(state, started):
    systemd = Systemd(bounces=state)
    done = kept(systemd, "bounces")
    assert (done.started, done.stopped) == (started, [])
    assert systemd.done == ([("enable", BOUNCES), ("restart", BOUNCES)] if started else [])


@pytest.mark.parametrize(("state", "stopped"), [
    (("inactive", False), []), (("failed", False), []), (("active", True), ["fetch"]), (("active", False), ["fetch"]),
    (("activating", False), ["fetch"]), (("inactive", True), ["fetch"]), (("failed", True), ["fetch"]),
])
def test_what_is_not_wanted_neither_runs_nor_will(state, stopped):
    systemd = Systemd(bounces=("active", True), fetch=state)
    done = kept(systemd, "bounces")
    assert (done.started, done.stopped) == ([], stopped)
    assert systemd.done == ([("disable", FETCH)] if stopped else [])


def test_check_mode_tells_the_same_and_does_nothing():
    systemd = Systemd(fetch=("activating", True))
    done = kept(systemd, "bounces", check=True)
    assert (done.started, done.stopped, systemd.done) == (["bounces"], ["fetch"], [])


def test_what_does_not_start_tells_why():
    with pytest.raises(Failed, match=f"{BOUNCES} did not start: the store: gone"):
        kept(Systemd(broken=(BOUNCES,)), "bounces")


def test_a_service_of_another_role_is_a_mistake():
    with pytest.raises(ValueError, match="found policy, expected services of bounces: bounces, fetch, verify"):
        kept(Systemd(), "policy")


RESULT = "Authentication-Results", "verifier.mailfleet.invalid; {}"


@pytest.mark.parametrize(("answers", "wrong"), [
    ([AGREED, *[GOES_ON] * 7, added(RESULT[0], RESULT[1].format("dkim=none"))], ""),
    ([AGREED, *[GOES_ON] * 7, added(RESULT[0], RESULT[1].format("dkim=pass header.d=x"))], "expected dkim=none"),
    ([AGREED, *[GOES_ON] * 7, GOES_ON], "answered 'accept'"),
    ([AGREED], "does not answer"), ([], "does not answer"),
])
def test_what_says_who_signed_a_complaint_has_to_say_that_nobody_signed_ours(tmp_path, monkeypatch, answers, wrong):
    place = str(tmp_path / "socket")
    monkeypatch.setattr(agent_run, "VERIFYING", place)
    if answers:
        Filter(answers, place)
    systemd = Systemd(bounces=("active", True), verify=("active", True))
    if not wrong:
        assert kept(systemd, "bounces", "verify").started == []
        return
    with pytest.raises(Failed, match=wrong):
        kept(systemd, "bounces", "verify")
    assert not kept(systemd, "bounces", "verify", check=True).started
