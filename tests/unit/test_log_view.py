# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of the inventory the program's reader of the log is given."""

from __future__ import annotations

import pytest
from mailfleet.maillog.view import View

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_settings import agent_of
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.log_view import with_log
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import shape
from ansible_collections.mailfleet.sending.plugins.plugin_utils import agent_program


def fleet(log, **more):
    agent = {"store": {"sqlite": True}, **({} if log is None else {"log": log})}
    domains = [{"name": "example.com", "bounce_domain": "e.example.com"}]
    return read_fleet(
        {"sending_domains": domains, "sending_agent": agent, **more},
        {"mta1": {"sending_addresses": [
            {"address": "198.51.100.10", "helo": "mta1.example.com", "bind": "10.0.0.10"},
            {"address": "2001:db8::10", "helo": "mta1.example.com"}]}},
        judge=agent_program.judge,
    )


def settings(made) -> dict:
    server = made.servers[0]
    return with_log(agent_of(made, server)["settings"], made, server, shape(made).of(server.name))


def test_the_log_is_followed_where_the_inventory_says_so():
    without, empty = fleet(None), fleet({})
    assert agent_of(without, without.servers[0])["services"]["maillog"] == []
    assert not {"log", "maillog"} & set(settings(without))
    assert agent_of(empty, empty.servers[0])["services"]["maillog"] == ["log"]
    assert settings(empty)["log"] == {
        "source": "journal", "counts": "/var/lib/mailfleet-agent/log.db", "queues": ["/etc/postfix"],
        "metrics": "/var/lib/mailfleet-metrics/mailfleet.prom"}
    assert settings(fleet({"source": "file", "events": ["bounced"]}))["log"].items() >= {
        "source": "file", "events": ["bounced"]}.items()


def test_providers_and_addresses_are_those_that_mail_is_shaped_by():
    made = settings(fleet({}, sending_providers=["google", {"name": "slow", "domains": ["slow.test"], "rate": "10/m"}]))
    view = View.of(made["maillog"])
    assert view.provider("gmail-smtp-in.l.google.com", "hosted.test") == "google"
    assert view.provider("", "gmail.com") == "google" and view.provider("mx.slow.test", "slow.test") == "slow"
    assert view.limits["slow"] == {"rate": "10/m"}
    assert view.address("ip-198-51-100-10") == "198.51.100.10"
    assert view.address("ip-2001-db8--10") == "2001:db8::10"
    # A delivery service of a lane sends from both families, and says not from which.
    assert view.address("out-198-51-100-10") == "198.51.100.10 2001:db8::10"
    assert made["log"]["queues"] == ["/etc/postfix", "/etc/postfix-google", "/etc/postfix-slow"]


@pytest.mark.parametrize("log, path, found", [
    ({"source": "syslog"}, "sending_agent.log.source", "syslog"),
    ({"events": ["bounced", "sent"]}, "sending_agent.log.events", "sent"),
    ({"file": "mail.log"}, "sending_agent.log.file", "mail.log"),
    ({"sorce": "file"}, "sending_agent.log", "sorce"),
    ({"counts": "/tmp/counts"}, "sending_agent.log.counts", "/tmp/counts"),
    ("journal", "sending_agent.log", "'journal'"),
])
def test_mistakes_are_told_where_they_stand(log, path, found):
    with pytest.raises(Mistakes) as caught:
        fleet(log)
    assert any(path in line and found in line for line in str(caught.value).splitlines()), caught.value
