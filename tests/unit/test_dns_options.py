# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the verifying modules are told: every mistake in it is named, all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.mailfleet.sending.plugins.module_utils.blocklists import named
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key
from ansible_collections.mailfleet.sending.plugins.module_utils.domain_facts import Question
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import from_options
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect, every
from ansible_collections.mailfleet.sending.plugins.module_utils.records import plain_address
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_blocklists import verify_blocklists
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_mx import Receiver
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import Address

ROLE = Path(__file__).resolve().parents[2] / "roles" / "sending"
RIGHT = {"resolvers": ["192.0.2.1"], "timeout": 5.0, "deadline": 60.0}


def test_options_of_every_module():
    with from_options(RIGHT | {"wait": 300.0}) as lookup:
        assert (lookup.timeout, lookup.deadline, lookup.time_left() > 300) == (5.0, 360.0, True)


def test_the_inventory_says_whom_every_verifying_task_asks():
    tasks = [task for path in sorted(ROLE.glob("tasks/*.yml")) for task in yaml.safe_load(path.read_text("utf-8"))]
    asking = {name: options for task in tasks for name, options in task.items()
              if name.startswith("mailfleet.sending.") and name.endswith("_verify")}
    assert len(asking) == 4
    for name, options in asking.items():
        assert options["resolvers"] == "{{ sending_dns_resolvers }}", name
        assert options["authoritative"] == "{{ sending_dns_authoritative }}", name


@pytest.mark.parametrize("options, told", [
    ({"timeout": 0.0, "deadline": -1.0, "wait": -1.0, "resolvers": ["192.0.2.1", "ns.example.com", "192.0.2.1:0"]}, [
        "timeout: found 0, expected more than 0 and at most 86,400 seconds",
        "deadline: found -1, expected more than 0 and at most 86,400 seconds",
        "wait: found -1, expected at least 0 and at most 86,400 seconds",
        "resolvers[1]: resolver 'ns.example.com': expected", "resolvers[2]: resolver '192.0.2.1:0': expected"]),
    # A play would wait for ever, or stumble over a time that no clock shows.
    ({"timeout": float("inf"), "deadline": 1e300, "wait": float("nan")}, [
        "timeout: found inf", "deadline: found 1e+300", "wait: found nan"]),
])
def test_mistakes_in_options(options, told):
    with pytest.raises(ValueError) as caught:
        from_options(RIGHT | options)
    assert all(text in str(caught.value) for text in told)


def test_mistakes_have_their_path_and_are_told_together():
    with pytest.raises(ValueError) as caught:
        every(lambda: collect(int, ["1", "x", "3", "y"], "numbers"), lambda: 1, lambda: collect(float, ["z"]))
    assert str(caught.value) == (
        "numbers[1]: invalid literal for int() with base 10: 'x'; "
        "numbers[3]: invalid literal for int() with base 10: 'y'; could not convert string to float: 'z'")
    assert every(lambda: collect(int, ["1"], "numbers"), lambda: 2) == [[1], 2]


@pytest.mark.parametrize("make, told", [
    (lambda: Receiver("a..b", ("c..d", "h.example.com", "")), ["'a..b' is not", "'c..d' is not", "'' is not"]),
    (lambda: Question("example.com", ("a_b", "s", "-")), ["selector 'a_b'", "selector '-'"]),
    (lambda: Key("example.com", "a_b", "xx", "example.net"), [
        "selector 'a_b'", "p= is not base64", "identity 'example.net': expected example.com or a sub-domain"]),
    (lambda: Address("fe80::1%eth0", "a..b"), ["'fe80::1%eth0': an address without a zone", "'a..b' is not"]),
    (lambda: Subject("a..b", "", ("", "c..d"), "v=DMARC1; p=all"), [
        "'a..b' is no domain name", "dkim[0]: '' is no", "dkim[1]: 'c..d' is no",
        "a..b: dmarc 'v=DMARC1; p=all': at character"]),
    (lambda: named("mine", "k3y..example"), ["blocklist 'mine': its zone is no domain name"]),
    (lambda: verify_blocklists(None, [], ["fe80::1%eth0"]), ["'fe80::1%eth0': an address without a zone"]),
])
def test_all_that_is_wrong_with_one_item(make, told):
    with pytest.raises(ValueError) as caught:
        make()
    assert all(text in str(caught.value) for text in told)
    assert "k3y" not in str(caught.value)  # the zone of a blocklist may hold a customer's key


@pytest.mark.parametrize("text, address", [(" 192.0.2.1\n", "192.0.2.1"), ("2001:DB8:0::1", "2001:db8::1")])
def test_addresses(text, address):
    assert plain_address(text) == address


@pytest.mark.parametrize("text", ["fe80::1%eth0", "::ffff:192.0.2.1", "192.0.2.01", "192.0.2.0/24", "", "a.example"])
def test_addresses_that_no_packet_bears(text):
    with pytest.raises(ValueError, match=f"^{text!r}"):
        plain_address(text)
