# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory says of the agent becomes its configuration and Postfix' layers; mistakes are told with paths."""

from __future__ import annotations

import datetime
import re

import pytest
from mailfleet import fetching, refusal, tokens, unsigned

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_settings import agent_of, suppression
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_units import SERVICES
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_bounces import TOKEN, UNSIGNED, bounces_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import postfix_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_layers import resolve
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_bounces import MARKER, is_ours
from ansible_collections.mailfleet.sending.plugins.plugin_utils.agent_program import judge, return_path, sources

DOMAINS = [{"name": "example.com", "bounce_domain": "e.example.com"}, {"name": "example.us"}]
ONE = {"mta1": {"sending_addresses": [{"address": "198.51.100.10", "helo": "mta1.example.com"}]}}
TWO = {**ONE, "mta2": {"sending_addresses": [{"address": "198.51.100.20", "helo": "mta2.example.com"}]}}
SHARED = {"postgresql": "host=db1.example.com dbname=mailfleet"}


def fleet(agent: object, hosts=None, **variables):
    return read_fleet({"sending_domains": DOMAINS, "sending_agent": agent, **variables}, hosts or ONE, judge=judge)


def told(agent: object, hosts=None, **variables) -> dict[str, str]:
    """The mistakes by their paths."""
    with pytest.raises(Mistakes) as caught:
        fleet(agent, hosts, **variables)
    return {mistake.path: str(mistake).partition(": ")[2] for mistake in caught.value.mistakes}


class TestNone:
    @pytest.mark.parametrize("agent", [None, {}])
    def test_without_it_nothing_asks_and_bounce_domains_are_local(self, agent):
        made = fleet(agent)
        layer = postfix_layer(made, made.servers[0])
        assert made.agent is None and agent_of(made, made.servers[0]) == {} == bounces_layer(made, made.servers[0])
        assert layer["parameters"]["mydestination"] == "mta1.example.com, localhost, e.example.com"
        assert "check_policy_service" not in str(layer)


class TestSettings:
    def test_a_single_server_has_a_file_and_several_share_a_database(self):
        one, two = fleet({"store": {"sqlite": True}}), fleet({"store": SHARED}, TWO)
        assert agent_of(one, one.servers[0])["settings"]["store"] == {"sqlite": "/var/lib/mailfleet-agent/mailfleet.db"}
        found = [agent_of(two, server)["settings"] for server in two.servers]
        assert [each["store"] for each in found] == [SHARED, SHARED]
        assert [each["host"] for each in found] == ["mta1.example.com", "mta2.example.com"]

    def test_each_domain_with_return_paths_is_a_stream_where_none_are_named(self):
        made = fleet({"store": {"sqlite": True}})
        assert agent_of(made, made.servers[0])["settings"]["streams"] == {
            "example.com": {"bounce_domains": ["e.example.com"], "senders": ["example.com"]}}
        named = {"all": {"bounce_domains": ["e.example.com"], "senders": ["example.com", "example.us"]}}
        made = fleet({"store": {"sqlite": True}, "streams": named})
        assert agent_of(made, made.servers[0])["settings"]["streams"] == named

    def test_services_are_those_that_there_is_work_for(self):
        plain = fleet({"store": {"sqlite": True}})
        assert agent_of(plain, plain.servers[0])["services"] == {
            "agent": ["policy"], "bounces": ["bounces"], "maillog": []}
        made = fleet(
            {
                "store": {"sqlite": True},
                "webhooks": {"app": {"url": "https://app.example.com/events"}},
                "mailboxes": {"old": {"protocol": "pop3", "host": "pop.example.com", "user": "b"}},
            },
            {"mta1": {**ONE["mta1"], "sending_submission": False}},
            sending_agent_secrets={"webhooks": {"app": "s" * 16}, "mailboxes": {"old": "password"}},
        )
        found = agent_of(made, made.servers[0])
        # Its port 25 asks, too, for whoever relays there.
        assert found["services"] == {
            "agent": ["policy", "events"], "bounces": ["bounces", "fetch"], "maillog": []}
        assert all(SERVICES[name].role == role for role, names in found["services"].items() for name in names)
        assert "password" not in str(found["settings"]) and "s" * 16 not in str(found["settings"])

    @pytest.mark.parametrize(("feedback", "services"), [
        ({"sources": ["feedback.example"]}, ["bounces", "verify"]), ({"sources": []}, ["bounces"]), ({}, ["bounces"]),
        ({"sources": ["feedback.example"], "authserv_id": "filter.example.com"}, ["bounces"]),
    ])
    def test_sources_of_complaints_are_verified_unless_somebody_elses_filter_does(self, feedback, services):
        made = fleet({"store": {"sqlite": True}, "feedback": feedback})
        assert agent_of(made, made.servers[0])["services"]["bounces"] == services


class TestLayers:
    def layers(self, **agent):
        made = fleet({"store": {"sqlite": True}, **agent},
                     sending_networks=[{"network": "10.1.0.0/16", "domains": ["example.com"]}])
        return postfix_layer(made, made.servers[0]), bounces_layer(made, made.servers[0]), suppression(made)

    def test_every_way_in_asks_but_for_what_comes_to_the_server_itself(self):
        postfix, _bounces, asks = self.layers()
        assert asks.startswith("permit_auth_destination, check_policy_service { unix:mailfleet/policy, ")
        assert asks.endswith("default_action=DUNNO }")
        assert postfix["parameters"]["smtpd_recipient_restrictions"] == asks
        assert postfix["services"]["submission/inet"]["options"]["smtpd_recipient_restrictions"] == asks
        assert self.layers(policy={"unsure": "closed"})[2].endswith("default_action=DEFER_IF_PERMIT }")

    def test_at_bounce_domains_is_what_comes_back_and_nothing_else(self):
        postfix, bounces, _asks = self.layers(feedback_addresses=["fbl"])
        assert postfix["parameters"]["mydestination"] == "mta1.example.com, localhost"
        assert bounces["parameters"]["virtual_mailbox_domains"] == "e.example.com"
        assert int(bounces["parameters"]["queue_minfree"]) == fetching.SPARE
        patterns = [re.compile(pattern.strip("/"), re.IGNORECASE)
                    for pattern, _ok in bounces["tables"]["return_paths"]["entries"]]

        def taken(local: str) -> bool:
            return any(pattern.match(f"{local}@e.example.com") for pattern in patterns)

        token = "b+" + "a2" * 13
        assert all(map(taken, [token, token.upper(), "postmaster", "Abuse", "fbl", "probe+x-mta1"]))
        assert not any(map(taken, ["b", "b+", token[:-1], token + "a", "root", "xpostmaster", "fbl+x", "postmasterx"]))

    def test_what_comes_from_outside_is_taken_as_it_is_where_nobody_sends_from_there(self):
        made = fleet({"store": {"sqlite": True}}, {"mta1": {"sending_addresses": [
            {"address": "198.51.100.10", "helo": "mta1.example.com", "bind": "10.0.0.10"},
            {"address": "2001:db8::10", "helo": "mta1.example.com"}]}})
        services = bounces_layer(made, made.servers[0])["services"]
        assert services["smtp/inet"] is None
        places = {key: each["options"] for key, each in services.items() if each and key.endswith("/inet")}
        assert list(places) == ["127.0.0.1:smtp/inet", "[::1]:smtp/inet", "10.0.0.10:smtp/inet",
                                "[2001:db8::10]:smtp/inet"]
        inside, outside = list(places.values())[:2], list(places.values())[2:]
        assert inside == [{}, {}] and all(f"{each['cleanup_service_name']}/unix" in services for each in outside)
        assert all(each["smtpd_relay_restrictions"] == "reject_unauth_destination" for each in outside)
        assert not any("inet" in key for key in self.layers()[1]["services"]), "networks send to the same addresses"

    def test_the_form_of_return_paths_is_the_programs(self):
        assert TOKEN == tokens.POSTFIX
        assert UNSIGNED.format("bounces") == unsigned.pattern("bounces")

    def test_return_paths_that_postfix_makes_are_taken_where_they_are_wanted(self):
        plain, wanted = self.layers()[1], self.layers(intake={"unsigned": "my.bounces"})[1]
        assert not any("verp" in name for name in plain["parameters"])
        assert wanted["parameters"]["smtpd_authorized_verp_clients"] == "static:all"
        assert wanted["parameters"]["default_verp_delimiters"] == "+="
        assert wanted["tables"]["return_paths"]["entries"][-1] == [r"/^my\.bounces\+[^@]+=[a-z0-9.-]+@/", "OK"]
        assert "my.bounces=/var/spool/mailfleet/bounces/" in wanted["services"]["bounces/unix"]["options"]["alias_maps"]

    def test_only_root_may_hand_in_mail_that_nobody_is_asked_about(self):
        assert self.layers()[1]["parameters"]["authorized_submit_users"] == "root"
        named = self.layers(sendmail_users=["root", "www-data"])[1]
        assert named["parameters"]["authorized_submit_users"] == "root, www-data"
        assert self.layers(sendmail_users=[])[1]["parameters"]["authorized_submit_users"] == "!static:all"

    @pytest.mark.parametrize("version", [(3, 7, 11), (3, 10, 4)])
    def test_the_layers_are_taken_together(self, version):
        postfix, bounces, _asks = self.layers()
        wanted = resolve({"postfix": postfix, "bounces": bounces}, version, "/etc/postfix/mailfleet")
        assert wanted.source["services.bounces/unix"] == "bounces"
        assert not any("return_paths" in text for text in wanted.unused)


class TestMistakes:
    def test_several_servers_with_a_file_each(self):
        assert told({"store": {"sqlite": True}}, TWO) == {"sending_agent.store.postgresql": (
            "found nothing, expected a database that all 2 servers share: what one of them takes in must have the"
            " others refuse; name one, such as host=db1.example.com dbname=mailfleet user=mailfleet"
            " sslmode=verify-full, instead of sqlite")}

    @pytest.mark.parametrize("store", [{}, {"sqlite": True, **SHARED}, {"sqlite": False}])
    def test_a_store_that_is_none_or_two(self, store):
        assert list(told({"store": store, "retention_days": 60})) == ["sending_agent.store"]

    @pytest.mark.parametrize("value", [
        "host=db password=hunter2", "password = hunter2", "postgresql://mailfleet:hunter2@db/mailfleet",
        "postgresql://db/mailfleet?user=m&password=hunter2"])
    def test_a_password_that_would_show(self, value):
        found = told({"store": {"postgresql": value}})
        assert list(found) == ["sending_agent.store.postgresql"] and "hunter2" not in str(found)
        assert "set it in sending_agent_secrets.postgresql" in found["sending_agent.store.postgresql"]

    @pytest.mark.parametrize("value", ["postgresql://mailfleet@db:5432/mailfleet", "host=db passfile=/x user=password"])
    def test_what_is_no_password(self, value):
        assert fleet({"store": {"postgresql": value}}).agent

    def test_no_domain_that_bounces_come_back_to(self):
        found = told({"store": {"sqlite": True}}, sending_domains=[{"name": "example.com"}])
        assert "e.example.com" in found["sending_domains[0].bounce_domain"]

    def test_what_the_program_says_is_told_with_the_path_in_the_inventory(self):
        found = told(
            {"store": {"sqlite": True}, "policy": {"unsure": "perhaps", "refesh": 3}, "token": {"days": 0},
             "webhooks": {"app": {"url": "ftp://example.com"}}},
            sending_agent_secrets={"webhooks": {"app": "short"}},
        )
        assert found["sending_agent.policy.unsure"] == "found 'perhaps', expected one of open, closed"
        assert found["sending_agent.policy.refesh"] == "found no such setting, expected refresh"
        assert set(found) >= {"sending_agent.token.days", "sending_agent.webhooks.app.url",
                              "sending_agent_secrets.webhooks.app"}
        assert "short" not in found["sending_agent_secrets.webhooks.app"]

    @pytest.mark.parametrize("part", ["intake", "quarantine", "policy", "token", "streams", "store", "log"])
    @pytest.mark.parametrize("value", ["text", 3, ["list"], True])
    def test_a_part_that_is_none(self, part, value):
        paths = told({"store": {"sqlite": True}, part: value})
        assert any(path.startswith(f"sending_agent.{part}") for path in paths), paths

    @pytest.mark.parametrize("agent", [
        {"intake": {"maildir": "/x"}}, {"quarantine": {"folder": "/x"}}, {"policy": {"listen": "unix:/x"}},
        {"policy": {"copy": "/x"}}, {"token": {"current": "a"}},
    ])
    def test_what_the_run_fills_in(self, agent):
        (part, values), = agent.items()
        (name, _value), = values.items()
        assert list(told({"store": {"sqlite": True}, **agent})) == [f"sending_agent.{part}.{name}"]

    @pytest.mark.parametrize("local", ["postmaster", "probe", "fbl", "b", "Bounces"])
    def test_return_paths_that_postfix_makes_at_an_address_of_something_else(self, local):
        agent = {"store": {"sqlite": True}, "feedback_addresses": ["fbl"], "intake": {"unsigned": local}}
        assert list(told(agent)) == ["sending_agent.intake.unsigned"]

    def test_a_bounce_domain_that_no_stream_has(self):
        streams = {"all": {"bounce_domains": ["e.example.us"], "senders": ["example.us"]}}
        (said,) = told({"store": {"sqlite": True}, "streams": streams}).items()
        assert said[0] == "sending_agent.streams" and "no stream with e.example.com" in str(said[1])

    def test_a_source_of_complaints_that_is_a_domain_of_the_fleet(self):
        (said,) = told({"store": {"sqlite": True}, "feedback": {"sources": ["example.com"]}}).items()
        assert said[0] == "sending_agent.feedback.sources" and "a provider's domain" in str(said[1])

    @pytest.mark.parametrize("agent", [
        "on", ["x"], {"store": "sqlite"}, {"store": {"sqlite": "/x"}}, {"feedback_addresses": ["FBL@x"]},
        {"sendmail_users": [3]}, {"retention_days": 0}, {"webhooks": []}, {"streams": {"A b": {}}}, {"nonsense": 1},
    ])
    def test_other_forms(self, agent):
        value = {"store": {"sqlite": True}, **agent} if isinstance(agent, dict) else agent
        assert all(path.startswith("sending_agent") for path in told(value))

    @pytest.mark.parametrize(("name", "value"), [("logins", ["app", "probe"]), ("ports", [587])])
    def test_a_probe_of_bounces_that_would_be_let_through(self, name, value):
        agent = {"store": {"sqlite": True}, "policy": {name: value}}
        assert list(told(agent, sending_probe_nobody_at="gmail.com")) == [f"sending_agent.policy.{name}"]
        assert fleet(agent).agent and fleet({"store": {"sqlite": True}}, sending_probe_nobody_at="gmail.com").agent

    def test_secrets_without_an_agent(self):
        assert list(told({}, sending_agent_secrets={"postgresql": "x"})) == ["sending_agent_secrets"]


def test_the_whole_program_is_laid_down():
    assert {"__init__.py", "cli.py", "tokens.py"} <= set(sources())


def test_a_probe_knows_the_programs_refusal_and_makes_its_return_paths():
    refused = f"550 5.7.1 <u@example.net>: Recipient address rejected: {refusal.TEXT.partition('5.7.1 ')[2]}"
    assert MARKER == refusal.MARKER and is_ours(refused) and not is_ours(refused.replace("550 5.7.1", "550 5.1.1"))
    today = datetime.date(2026, 11, 28)
    keys = tokens.Keys({"b": "k" * 43}, "b", ("e.example.com",))
    path = return_path("b", "k" * 43, "e.example.com", "u@example.net", today)
    assert path == keys.new("u@example.net", "e.example.com", today) and keys.check(path, today)
