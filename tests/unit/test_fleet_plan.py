# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan: limits with their sources, shares, rates and what may wait; pools, MX, DNS, and what speaks against it."""

from __future__ import annotations

import datetime
import json

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils import fleet_plan, shaping_plan
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import Observations, Observed
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import OVERHEAD

DATE = datetime.date(2026, 11, 28)
HOSTS = {
    "mta1": [("198.51.100.10", "mta1"), ("2001:db8::10", "mta1"), ("198.51.100.11", "mta1b"),
             ("198.51.100.12", "mta1c")],
    "mta2": [("198.51.100.20", "mta2"), ("198.51.100.21", "mta2b")],
}
BULK = {"name": "bulk", "senders": ["example.us"],
        "addresses": [{"address": "198.51.100.11", "weight": 2}, "198.51.100.12", "198.51.100.21"]}
FREE = {"name": "free", "connections": 1}
ACME = {"name": "acme", "domains": ["acme.test"], "connections": 2}
RECIPE = {"name": "throttle", "domains": ["orange.fr", "wanadoo.fr"], "connections": 1, "delay": "1s"}
SEEN = Observations("2026-11-28", {"acme.test": Observed(("mx.acme.test",))})


def fleet(*providers, pools=()):
    servers = {
        name: {"sending_addresses": [{"address": each, "helo": f"{helo}.example.com"} for each, helo in addresses]}
        for name, addresses in HOSTS.items()
    }
    return read_fleet({"sending_domains": [{"name": "example.com"}, {"name": "example.us"}],
                       "sending_providers": list(providers), "sending_pools": list(pools)}, servers)


def plan(*providers, pools=(), observed=SEEN, records=(), published=()):
    return fleet_plan.plan(fleet(*providers, pools=pools), observed, records, published, DATE)


def text(*providers, **options) -> str:
    return fleet_plan.text(plan(*providers, **options))


def days(provider: str, *counts: int, server: str = "mta1") -> Observations:
    """Observations of so many messages on days in a row."""
    messages = {f"2026-11-{day:02}": {provider: count} for day, count in enumerate(counts, 1)}
    return Observations("2026-11-28", {}, {server: messages})


def row(made, server="mta1"):
    return next(each for each in made.rows if each.server == server)


class TestProviders:
    def test_limits_with_their_sources_shares_rates_and_what_may_wait(self):
        said = text(FREE, ACME, pools=[BULK])
        assert "  1 connection an address  by the inventory\n" in said
        assert "  100/h from an address    by pages of third parties, 2026-11, anecdotal\n" in said
        assert ("  on mta1\n    share    3 addresses, each with 1 message in 36 s\n"
                "    rate     5/min at most, 4.73/min where it takes 2 s for a message\n"
                "    waiting  34,073 messages leave within 5 days at the slower rate\n") in said
        assert ("    share    2 addresses, each with 2 connections at a time, 1 message on each\n"
                "    rate     as fast as the provider answers; 2/s where it takes 2 s for a message\n") in said
        assert "  on all servers together\n    rate     8.33/min at most, 7.89/min where" in said

    def test_servers_that_are_alike_are_told_once(self):
        said = text(ACME)
        assert "  on mta1, mta2, each\n    share    1 address with 2 connections at a time" in said

    def test_of_the_fleets_limit_each_server_has_its_share(self):
        made = plan({"name": "acme", "domains": ["acme.test"], "connections": 9, "fleet": {"connections": 5}})
        assert [each.share.split(" at")[0] for each in made.rows] == [
            "1 address with 3 connections", "1 address with 2 connections"]

    def test_the_rate_is_the_one_that_lanes_have(self):
        made = plan({**ACME, "rate": "2/s"}, pools=[BULK])
        assert row(made).rate == pytest.approx(6 / (1 + OVERHEAD))
        assert row(made).slow == pytest.approx(6 / (3 + OVERHEAD))
        assert row(made).backlog == int(row(made).slow * 5 * 86400)

    def test_no_provider_is_told(self):
        assert "No provider has limits" in text()

    def test_connections_that_carry_one_message_are_told(self):
        limited = {"name": "acme", "domains": ["acme.test", "acme.example"], "connections": 2, "messages": 20}
        assert "a connection carries one message, since its mail has several next hops" in text(limited)
        assert "a connection carries one" not in text({**limited, "domains": ["acme.test"]})


class TestRecipe:
    def test_it_promises_what_was_measured(self):
        made = plan(RECIPE)
        assert row(made).rate == pytest.approx(1 / (1 + OVERHEAD)) and round(row(made).rate, 2) == 0.97
        said = fleet_plan.text(made)
        assert ("    share    one delivery at a time to each destination domain, 1 in all\n"
                "    rate     0.966/s to each destination domain at most, 0.25/s where it takes 2 s for a message\n"
                ) in said
        assert "  1 connection in all     by the inventory\n  1s after each delivery  by the inventory\n" in said
        assert "queue    that of all mail, which is delayed once 20,000 such messages wait" in said
        assert "on all servers" not in said

    def test_with_one_domain_or_more_deliveries_the_pause_alone_counts(self):
        for recipe in ({**RECIPE, "domains": ["orange.fr"]}, {**RECIPE, "connections": 5},
                       {name: each for name, each in RECIPE.items() if name != "connections"}):
            assert row(plan(recipe)).slow == pytest.approx(1 / (3 + OVERHEAD))

    def test_without_a_pause_there_is_no_rate(self):
        made = row(plan({**RECIPE, "delay": "0s"}))
        assert made.rate is None and made.slow > 0

    @pytest.mark.parametrize("text, seconds", [("5", 5), ("1s", 1), ("2m", 120), ("1h", 3600), ("1d", 86400)])
    def test_times(self, text, seconds):
        assert shaping_plan.seconds(text) == seconds
        with pytest.raises(ValueError):
            shaping_plan.seconds(f"{text}x")


class TestVolume:
    """Of `free` mta1 may send 100 messages an hour: 2,397 a day, 2,271 where each takes 2 s."""

    def warnings(self, *counts):
        return plan(FREE, observed=days("free", *counts)).warnings

    def test_what_leaves_in_time_is_no_matter(self):
        assert self.warnings(1000, 2200, 2200) == ()
        made = plan(FREE, observed=days("free", 1000, 2200, 2200))
        assert (row(made).mean, row(made).most, row(made, "mta2").mean) == (1800, 2200, None)
        assert "    observed mail to 1,800 recipients a day, 2,200 at most\n" in fleet_plan.text(made)

    def test_more_a_day_than_leaves_grows_until_it_outlasts_the_queue(self):
        (said,) = self.warnings(4000, 4000)
        # Of 4,000 a day 1,602 are left over; on day 8 more wait than leave in 5 days.
        assert said == ("free on mta1: mail to 4,000 recipients a day was seen, and 2,397 messages can leave: "
                        "from day 8 on mail would wait over 5 days (maximal_queue_lifetime) and go back")

    def test_what_only_a_slow_receiver_delays_is_told_as_such(self):
        (said,) = self.warnings(2300, 2300)
        assert "and 2,271 messages can leave where a message takes 2 s: from day" in said

    def test_one_day_may_be_too_much(self):
        (said,) = self.warnings(*[0] * 29, 30000)
        assert "mail to 30,000 recipients was seen on one day, and 11,9" in said and "can leave in 5 days" in said

    def test_days_without_mail_count(self):
        observed = Observations("2026-11-28", {}, {"mta1": {"2026-11-01": {"free": 10}, "2026-11-02": {"-": 3}}})
        assert row(plan(FREE, observed=observed)).mean == 5


class TestPools:
    def test_members_with_their_part(self):
        said = text(ACME, pools=[BULK])
        assert ("Pool bulk: mail from example.us\n"
                "  198.51.100.11  mta1b.example.com  weight 2     66.7% of its mail on mta1\n"
                "  198.51.100.12  mta1c.example.com  weight 1     33.3% of its mail on mta1\n"
                "  198.51.100.21  mta2b.example.com  weight 1    100.0% of its mail on mta2\n"
                "Pool rest: mail from all others (example.com)\n"
                "  198.51.100.10, 2001:db8::10  mta1.example.com  weight 1    100.0% of its mail on mta1\n") in said

    def test_without_any_all_mail_is_the_rests(self):
        assert list(plan(ACME).pools) == ["rest"]


class TestMx:
    OBSERVED = Observations("2026-11-20", {
        **{f"c{number}.example": Observed(("aspmx.l.google.com",)) for number in range(6)},
        "m.example": Observed(("m.mail.protection.outlook.com",)),
        "gmail.com": Observed(("mx.yahoodns.net",)),
        "e.example.us": Observed(("mx.e.example.us",)),
    }, {"mta1": {"2026-11-19": {"gone": 7, "google": 1, "-": 2}}})

    def test_hosted_domains_are_told(self):
        made = plan("google", observed=self.OBSERVED)
        assert set(made.hosted.values()) == {"google"} and len(made.hosted) == 6
        said = fleet_plan.text(made)
        assert "  by MX    6 at google.com, googlemail.com: c0.example, c1.example, c2.example, c3.example and" in said
        assert "domains at microsoft365 1" in said
        # They have next hops of their own.
        assert "5 connections at a time, 1 message on each" in said

    def test_a_domain_that_is_listed_and_has_moved_is_warned_of(self):
        made = plan("google", "yahoo", observed=self.OBSERVED)
        said = "gmail.com: listed at google, its MX mx.yahoodns.net at yahoo"
        assert said in made.warnings and f"  {said}\n" in fleet_plan.text(made)

    @pytest.mark.parametrize("mx, words", [((), "takes no mail: it does not exist"), ((".",), "it has a null MX"),
                                           (("mx.test",), "its MX mx.test at none of sending_providers")])
    def test_a_listed_domain_that_is_nowhere_is_told(self, mx, words):
        observed = Observations("2026-11-28", {"gmail.com": Observed(mx)})
        (said,) = plan("google", observed=observed).warnings
        assert said.startswith("gmail.com: listed at google, ") and said.endswith(words)

    def test_counts_of_a_provider_that_is_gone_are_told(self):
        (said,) = (note for note in plan("google", observed=self.OBSERVED).notes)
        assert said == ("messages were counted for providers that sending_providers no longer names: gone; "
                        "their mail has no limits now")

    @pytest.mark.parametrize("observed, words", [
        (Observations(), "was never observed: run observe.yml"),
        (Observations("2026-10-01"), "was observed 58 days ago: run observe.yml again"),
        (Observations("2026-11-01"), None)])
    def test_the_age_of_observations(self, observed, words):
        notes = plan("google", observed=observed).notes
        assert (words in notes[0]) if words else notes == ()
        # Who goes by no MX needs none.
        assert plan(ACME, observed=Observations()).notes == ()


class TestDns:
    def test_what_is_added_and_removed(self):
        old, stays, new = (Record(f"{name}.example.com", "A", "198.51.100.10") for name in ("old", "stays", "new"))
        made = plan(ACME, records=[stays, new], published=[old, stays])
        assert (made.added, made.removed) == ((new,), (old,))
        said = fleet_plan.text(made)
        assert "1 record to publish, 1 to remove\n  + new.example.com. A 198.51.100.10\n  - old.example.com. A" in said

    def test_nothing(self):
        assert "DNS: nothing to publish, and nothing to remove" in text(ACME)


def test_the_end_says_whether_something_speaks_against_it():
    assert text(ACME).endswith("\n\nNothing speaks against it\n")
    said = text("google", observed=Observations())
    assert said.endswith("\n\n1 warning, in the lines marked with !\n") and said.count("! ") == 1


def test_as_data_it_is_plain_and_has_all():
    made = json.loads(json.dumps(plan("google", RECIPE, observed=TestMx.OBSERVED).to_dict()))
    assert list(made) == ["providers", "pools", "observed", "hosted", "astray", "unnamed", "dns", "warnings"]
    google, throttle = made["providers"]
    assert (google["name"], google["hosted"], [each["server"] for each in google["servers"]]) == (
        "google", 6, ["mta1", "mta2"])
    assert google["limits"][0] == {"limit": "5 connections an address",
                                   "source": "KumoMTA's shaping files, 2026-03, community"}
    assert throttle["servers"][0]["each"] == "each destination domain"
    assert made["pools"]["rest"]["members"][0]["part"] == 1.0
