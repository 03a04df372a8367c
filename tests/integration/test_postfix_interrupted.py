# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postfix_config cut off at every step, and what it does about mail that is under way."""

from __future__ import annotations

import time

import pytest
from postfix_node import BASE, STATE, THROTTLE, faulty

from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_generations import STEPS

MOMENTS = [
    *(pytest.param(step, "before", marks=pytest.mark.long) for step in STEPS),
    *((step, "behind") for step in STEPS),
    ("close", ""),
    ("stopped", ""),
]


@pytest.mark.parametrize("step, when", MOMENTS)
def test_cut_off_and_recovered(node, step, when):
    node.apply({"postfix": BASE, "throttle": THROTTLE})
    after = {"postfix": faulty(smtpd_banner="$myhostname new"), "throttle": {}}
    if step in ("restart", "stopped"):
        after["interfaces"] = {"parameters": {"inet_interfaces": "127.0.0.1"}}
    node.cut_off(step, when, after)
    node.up()
    result = node.apply(after)
    assert result["changed"]
    # Before the first note nothing of the configuration had been touched, so there is nothing to recover.
    assert bool(result["recovered"]) == ((step, when) != ("tables", "before"))
    assert node.up() == "220 mta1.example.com new"
    assert "throttle" not in node.shell("cat /etc/postfix/master.cf /etc/postfix/main.cf")
    assert not node.shell(f"ls {STATE} | grep -E 'journal|stage-' || :")
    assert len(node.shell("ls -A /etc/postfix/mailfleet").split()) == 2, "one table, and what postmap built of it"
    assert not node.apply(after)["changed"]


def test_cut_off_goes_back_to_what_stood(node):
    """A run that asks for nothing else than before finds, and leaves, the old configuration."""
    before = {"postfix": BASE, "throttle": THROTTLE}
    node.apply(before)
    files = node.files()
    node.cut_off("prove", "behind", {"postfix": faulty(smtpd_banner="$myhostname new"), "throttle": {}})
    assert "cut off at step prove" in node.apply(before)["recovered"]
    assert node.files() == files


def slow_delivery(node, delay: float) -> None:
    """Have one message in the middle of its delivery."""
    node.receive(delay)
    table = {"type": "hash", "entries": [["slow.test", "smtp:[127.0.0.1]:2525"]]}
    node.apply({"postfix": {**BASE, "tables": {"transport": table}}})
    node.shell("echo body | sendmail -f '<>' someone@slow.test; "
               "for i in $(seq 600); do [ -e /root/open ] && exit; sleep 0.1; done; exit 1")


@pytest.fixture
def receiving(node):
    yield node
    node.shell("systemctl stop receiver")


def test_restart_waits_for_open_deliveries(receiving):
    node = receiving
    slow_delivery(node, 5)
    result = node.apply({"interfaces": {"parameters": {"inet_interfaces": "127.0.0.1"}}})
    assert result["restarted"] and not result["reloaded"]
    assert node.lines("/root/received") == 1
    time.sleep(2)
    assert node.lines("/root/open") == 1, "the message was delivered again"
    assert "0.0.0.0:25" not in node.shell("ss -lnt")


def test_restart_that_cannot_wait_is_undone(receiving):
    node = receiving
    node.shell("touch /root/hold")  # however long a busy machine takes to get to the restart
    slow_delivery(node, 0)
    before = node.files()
    message = node.refused({"interfaces": {"parameters": {"inet_interfaces": "127.0.0.1"}}}, prove={"restart_wait": 1})
    assert "1 deliveries were still open" in message
    assert node.files() == before
    node.up()
    node.shell("rm /root/hold")
    for _attempt in range(300):
        if node.lines("/root/received"):
            break
        time.sleep(0.2)
    assert (node.lines("/root/received"), node.lines("/root/open")) == (1, 1)
