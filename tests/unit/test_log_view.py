# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of the inventory the program's reader of the log is given."""

from __future__ import annotations

import pytest
import yaml
from mailfleet.maillog import advise
from mailfleet.maillog.reader import LogReader
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


def test_shipped_providers_are_known_where_the_inventory_has_nothing_to_say():
    plain = View.of(settings(fleet({}))["maillog"])
    assert plain.provider("aspmx.l.google.com", "hosted.test") == plain.of_host("aspmx.l.google.com") == "google"
    assert plain.provider("", "gmail.com") == "google" and plain.provider("mx.slow.test", "slow.test") == "other"
    assert {"google", "orange", "other"} <= plain.names and plain.limits == {}
    # An entry of the operator's own comes first, by MX as by domains.
    own = [{"name": "slow", "domains": ["orange.fr", "wanadoo.fr"], "connections": 1},
           {"name": "hosted", "mx": ["google.com"], "domains": ["hosted.test"], "rate": "10/s"}]
    view = View.of(settings(fleet({}, sending_providers=own))["maillog"])
    assert view.provider("smtp-in.orange.fr", "wanadoo.fr") == "slow"
    assert view.provider("smtp-in.orange.fr", "other.test") == "orange"
    assert view.provider("aspmx.l.google.com", "gmail.com") == view.of_host("aspmx.l.google.com") == "hosted"
    assert view.of_host("smtp-in.orange.fr") == "", "that is for the domain to say"


def test_of_one_relay_each_domain_is_counted_at_its_own_provider():
    made = fleet({}, sending_providers=[{"name": "slow", "domains": ["orange.fr"], "rate": "9/m"}])
    found = LogReader(View.of(settings(made)["maillog"]), host="mta1")
    for recipient in ("a@hosted.test", "a@orange.fr", "b@hosted.test"):
        found.feed(b"Nov 28 13:03:15 mta1 postfix/smtp[1]: A1: to=<%b>, relay=smtp-in.orange.fr[192.0.2.1]:25, "
                   b"delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)\n" % recipient.encode())
    rows = found.take()[0].rows
    assert {row[0]: many for row, many in rows.items()} == {"orange": 2, "slow": 1}


def test_a_throttle_is_advised_for_who_hosts_a_domain_and_the_inventory_takes_it():
    view = View.of(settings(fleet({}))["maillog"])
    listener = advise.Listener(view, host="mta1")
    for number in range(50):
        said = "250 ok" if number % 5 else "421-4.7.28 Our system has detected an unusual rate of unsolicited mail"
        status = "dsn=2.0.0, status=sent" if number % 5 else "dsn=4.7.28, status=deferred"
        listener.feed(b"Nov 28 13:03:15 mta1 postfix/smtp[1]: A%d: to=<a@hosted.test>, relay=aspmx.l.google.com"
                      b"[192.0.2.1]:25, delay=1, delays=0/0/0/1, %b (%b)\n" % (number, status.encode(), said.encode()))
    totals = listener.take()[0]
    told = yaml.safe_load(advise.text(advise.advise(listener, totals, view), listener))
    assert told == {"sending_providers": [{"name": "google", "rate": "32/h"}]}
    (provider,) = fleet({}, **told).providers
    assert (str(provider.rate), provider.connections) == ("32/h", 5) and "gmail.com" in provider.domains


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
