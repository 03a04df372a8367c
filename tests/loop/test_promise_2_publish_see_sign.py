# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish, see, sign: a key signs only once every authoritative server was seen to serve it, and nothing else leaves.

The runs build on one another: new keys that the secondary does not serve, the same with ``sending_unsigned: allow``,
and the same again once it serves them.
"""

from __future__ import annotations

import time

import breaking
import lab_world as lab
import pytest

EVERY_SERVER = pytest.mark.parametrize("server", lab.SERVERS)
PREFIX = "z"  # of the new selectors
NEW = "news.example.com"  # a domain that has never signed
BEHIND = "ns2.lab.test. (198.51.100.3)"


@pytest.fixture(scope="module")
def rollover(tmp_path_factory):
    """An inventory with new selectors and one domain more, while the secondary takes over nothing new."""
    copy = breaking.copy_of_the_inventory(tmp_path_factory.mktemp("rollover"))
    variables = copy.read()
    user, *others = variables["sending_users"]
    copy.write(
        sending_dkim_selector=PREFIX,
        sending_dns_wait=10,  # in which the secondary takes over the other zones, on a busy machine too
        sending_domains=[*variables["sending_domains"], {"name": NEW, "bounce_domain": f"e.{NEW}"}],
        sending_users=[{**user, "domains": [*user["domains"], NEW]}, *others],
    )
    with breaking.zones_put_back(), breaking.frozen("example.com"):
        yield copy
    breaking.prove_all()
    breaking.forget_keys(*breaking.selectors(copy, PREFIX))


@pytest.fixture(scope="module")
def unseen(rollover):
    """A run whose keys the primary serves, and the secondary does not."""
    return lab.play(inventory=rollover.path)


@pytest.fixture(scope="module")
def allowed(rollover, unseen):
    """The same with the user's choice to send unsigned meanwhile."""
    return lab.play(inventory=rollover.path, variables={"sending_unsigned": "allow"})


@pytest.fixture(scope="module")
def seen(rollover, allowed):
    """The run after both servers serve the keys."""
    breaking.thaw("example.com")
    return lab.play(inventory=rollover.path)


def test_the_run_says_which_server_does_not_serve_the_key(rollover, unseen):
    assert unseen.status != 0 and "NOT PROVED" in unseen.output
    (selector,) = breaking.selectors(rollover, PREFIX)
    for domain in ("example.com", NEW):
        owner = f"{selector}._domainkey.{domain}."
        assert lab.answer(owner, "TXT") and not lab.answer(owner, "TXT", lab.SECONDARY)
        verdict = rollover.verdicts("dkim")[owner]
        assert verdict["status"] == "absent"
        good, bad = verdict["cause"].split("; ")
        assert BEHIND in bad and "no such name" in bad and BEHIND not in good
    # Where the secondary takes over as usual, the new key is served and seen.
    assert rollover.verdicts("dkim")[f"{selector}._domainkey.example.us."]["status"] == "ok"


@EVERY_SERVER
def test_a_domain_that_signs_keeps_its_old_key_until_the_new_one_is_seen(rollover, unseen, server):
    breaking.assert_up(server)
    told = rollover.verdicts("signing")[f"example.com on {server}"]
    assert told["status"] == "warn" and told["expected"].removeprefix("signed with ") in told["cause"]


@EVERY_SERVER
def test_a_key_that_is_seen_does_not_wait_for_those_of_other_domains(rollover, unseen, server):
    arrived = lab.received("probe@gmail.com", breaking.submit(server, "news@example.us"))
    assert lab.results(arrived)["dkim"] == "pass"
    assert breaking.signature(arrived) == ("example.us", *breaking.selectors(rollover, PREFIX))


@EVERY_SERVER
def test_a_domain_whose_first_key_is_not_seen_is_deferred(rollover, unseen, server):
    code, text = breaking.refusal(server, f"first@{NEW}")
    assert code == 451
    assert f"{NEW}: its DKIM key has not been seen in DNS yet" in text
    assert rollover.verdicts("signing")[f"{NEW} on {server}"]["status"] == "fail"


@EVERY_SERVER
def test_allow_lets_it_leave_unsigned_and_warns(rollover, allowed, server):
    told = rollover.verdicts("signing")[f"{NEW} on {server}"]
    assert (told["status"], "sending_unsigned" in told["found"]) == ("warn", True)
    assert allowed.status != 0, "an unsigned message is no proof"
    arrived = lab.received("probe@gmail.com", breaking.submit(server, f"first@{NEW}"))
    assert breaking.signature(arrived) is None
    breaking.assert_up(server)  # the choice is about first keys: example.com still signs


@EVERY_SERVER
def test_keys_sign_as_soon_as_every_server_was_seen_to_serve_them(rollover, seen, server):
    assert "\nPROVED: " in seen.ok().output
    (selector,) = breaking.selectors(rollover, PREFIX)
    for domain in ("example.com", NEW):
        arrived = lab.received("probe@gmail.com", breaking.submit(server, f"first@{domain}"))
        assert lab.results(arrived)["dkim"] == "pass"
        assert breaking.signature(arrived) == (domain, selector)


@EVERY_SERVER
def test_a_dead_milter_defers_and_nothing_leaves_unsigned(server):
    local = lab.nonce(lab.message())
    note = f"From: cron@example.com\nTo: probe@gmail.com\nSubject: loop {local}\n\nfrom the server itself\n"
    sender = f"b+{local}@e.example.com"
    lab.ssh(server, "systemctl", "stop", "opendkim")
    try:
        code, text = breaking.refusal(server, "news@example.com")
        assert code in (451, 454), text
        lab.ssh(server, "sendmail", "-i", "-f", sender, "probe@gmail.com", stdin=note.encode(), check=False)
        # What was deferred before may be tried again meanwhile: only this message is looked at.
        breaking.until(lambda: breaking.queue_ids(server, sender), "the server has it in hand", lab.PATIENCE)
        time.sleep(3)
        assert breaking.deliveries(server, sender) == []
        assert lab.received("probe@gmail.com", local, timeout=0) is None
    finally:
        lab.ssh(server, "systemctl", "start", "opendkim")
    lab.ssh(server, "postkick", "public", "pickup", "W")
    # Where the milter is not there yet, Postfix looks again a minute later.
    arrived = lab.received("probe@gmail.com", local, 3 * lab.PATIENCE)
    assert arrived is not None, "what waited was lost"
    assert lab.results(arrived)["dkim"] == "pass"
    # The receiver has it before the sender logs that, and the journal has it later still.
    breaking.until(lambda: breaking.deliveries(server, sender), "the journal tells of it", lab.PATIENCE)
    assert len(breaking.deliveries(server, sender)) == 1
    after = lab.received("probe@gmail.com", breaking.submit(server))
    assert lab.results(after)["dkim"] == "pass"
