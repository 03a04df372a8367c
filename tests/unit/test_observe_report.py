# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What observe.yml tells: who hosts what, what moved, and what nobody said, at any number of domains."""

from __future__ import annotations

from ansible_collections.mailfleet.sending.plugins.module_utils import observe_report
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import Observations, Observed

HOSTS = {"mta1": {"sending_addresses": [{"address": "198.51.100.10", "helo": "mta1.example.com"}]}}
PROVIDERS = ["google", "microsoft365"]
FLEET = read_fleet({"sending_domains": [{"name": "example.com"}], "sending_providers": PROVIDERS}, HOSTS)
GOOGLE, MICROSOFT = ("aspmx.l.google.com",), ("x.mail.protection.outlook.com",)


def observed(**domains) -> Observations:
    return Observations("2026-11-28", {f"{name}.example": each if isinstance(each, Observed) else Observed(each)
                                       for name, each in domains.items()})


def text(before: Observations, now: Observations, **options) -> str:
    return observe_report.text(observe_report.tell(FLEET, before, now, **options), now, FLEET)


def test_domains_by_provider_in_the_order_of_the_inventory():
    many = {f"g{number}": GOOGLE for number in range(7)}
    said = text(Observations(), observed(a=MICROSOFT, b=("mx.b.example",), **many))
    assert said.startswith("mailfleet.sending: 9 recipient domains observed on 2026-11-28\n\nHosted at\n"
                           "  google        7  g0.example, g1.example, g2.example, g3.example, g4.example and 2 more\n"
                           "  microsoft365  1  a.example\n"
                           "  no provider   1  b.example\n")


def test_what_there_is_nothing_of_is_not_told():
    said = text(Observations(), observed(a=GOOGLE))
    for word in ("Moved", "Take no mail", "did not say", "Mail logs", "Listed", "Without limits", "!"):
        assert word not in said


def test_moves_name_both_ends_and_their_mx():
    said = text(observed(a=GOOGLE, b=(".",)), observed(a=MICROSOFT, b=GOOGLE))
    assert ("Moved (2)\n"
            "  a.example: from google to microsoft365, by MX x.mail.protection.outlook.com instead of "
            "aspmx.l.google.com\n"
            "  b.example: from no provider to google, by MX aspmx.l.google.com instead of none (null MX)\n") in said


def test_a_long_list_is_cut_and_counted():
    names = [f"d{number:02}" for number in range(30)]
    said = text(observed(**dict.fromkeys(names, GOOGLE)), observed(**dict.fromkeys(names, MICROSOFT)))
    assert said.count(": from google to microsoft365") == 20 and "\n  and 10 more\n" in said


def test_silence_is_told_once_for_each_cause():
    why, other = "192.0.2.1 did not say: SERVFAIL", "192.0.2.1 did not say: REFUSED"
    said = text(Observations(), observed(a=Observed(GOOGLE, why), b=Observed(None, why), c=Observed((), other)))
    assert ("DNS did not say (3): these stay where they were\n"
            f"  {why}: a.example (google), b.example (no provider)\n  {other}: c.example (no provider)\n") in said


def test_who_takes_no_mail_and_what_logs_say():
    said = text(Observations(), observed(a=(), b=(".",)), logs=["mta1: not read: no route"], left_out=1200)
    assert "Take no mail\n  no such domain (1): a.example\n  null MX (1): b.example\n" in said
    assert "Mail logs\n  mta1: not read: no route\n" in said and "! 1,200 domains were left out" in said


def test_providers_that_nobody_named_are_proposed():
    said = text(Observations(), observed(a=("mx.yahoodns.net",), b=("mx.yahoodns.net",), c=("mx1.free.fr",)))
    assert "Without limits, since sending_providers does not name them: domains at yahoo 2, free 1\n" in said


class TestDiff:
    def test_it_shows_what_changes_and_no_more(self):
        why = "192.0.2.1 did not say: SERVFAIL"
        before = observed(a=GOOGLE, b=GOOGLE, c=GOOGLE, d=GOOGLE)
        now = observed(a=GOOGLE, b=MICROSOFT, c=Observed(GOOGLE, why), e=())
        assert observe_report.diff(before, now) == (
            "- b.example aspmx.l.google.com\n+ b.example x.mail.protection.outlook.com\n"
            f"- c.example aspmx.l.google.com\n+ c.example aspmx.l.google.com ({why})\n"
            "- d.example aspmx.l.google.com\n+ e.example none (no such domain)\n")
        assert observe_report.diff(now, now) == ""

    def test_the_day_of_mail_and_counts_are_no_lines_of_their_own(self):
        before = observed(a=Observed(GOOGLE, "", "2026-11-27"))
        now = Observations("2026-11-29", {"a.example": Observed(GOOGLE, "", "2026-11-28")}, {"mta1": {}})
        assert observe_report.diff(before, now) == "- date 2026-11-28\n+ date 2026-11-29\nand counts of messages\n"

    def test_a_long_one_is_cut_and_counted(self):
        now = observed(**{f"d{number}": GOOGLE for number in range(observe_report.LINES + 5)})
        said = observe_report.diff(Observations(), now)
        assert said.count("\n+ d") == observe_report.LINES and said.endswith("and 5 domains more\n")
