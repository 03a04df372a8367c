# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may go, and what speaks against it: DNS accepts the fleet of before until the one that stays is proved."""

from __future__ import annotations

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.judgement import NOT_TOLD
from ansible_collections.mailfleet.sending.plugins.module_utils.removals import against


def verdict(check: str, status: str, subject: str = "mta1") -> dict:
    return {"check": check, "subjects": [subject], "status": status}


OK = [verdict("arrival", "ok"), verdict("ptr", "ok"), verdict("spf", "ok"), verdict("dkim", "ok")]
NO_MAILBOX = verdict("probe", "unknown")
A = {"owner": "mta1.example.com.", "type": "A", "value": "198.51.100.10", "reason": ""}


def speaking(proof: list[dict], *arguments: object, **more: object) -> list[tuple[str, str]]:
    return [(each.check, each.status.value) for each in against(proof, *arguments, **more)]


def by_hand(status: str) -> dict:
    state = {"record": A, "status": status, "found": [], "source": "query", "cause": "", "mend": "publish it"}
    return {"manual": [{"zone": "example.com.", "text": "", "records": [state]}]}


def test_nothing_speaks_against_it_where_all_is_proved():
    assert speaking([*OK, verdict("tls", "warn"), verdict("arrival", "warn")]) == []


@pytest.mark.parametrize("check", ["arrival", "submission", "dkim", "spf", "dmarc", "iprev", "ptr", "signing", "helo"])
@pytest.mark.parametrize("status", ["fail", "absent", "unknown"])
def test_whatever_is_not_proved_of_what_stays_speaks_against_it(check, status):
    assert speaking([*OK, verdict(check, status)]) == [(check, status)]


def test_where_there_is_no_way_to_probe_dns_has_to_do():
    """For want of a mailbox, or on a server that takes no logins: this would be so for ever."""
    dns = [verdict("ptr", "ok"), verdict("spf", "ok")]
    assert speaking([NO_MAILBOX, *dns]) == []
    assert speaking([NO_MAILBOX, dns[0], verdict("spf", "unknown")]) == [("spf", "unknown")]
    assert speaking([NO_MAILBOX]) == speaking([]) == [("proof", "unknown")]


def test_what_a_receiver_never_writes_is_left_to_dns():
    told = verdict("ptr", "unknown", "mta1 198.51.100.10 example.com probe@gmail.com") | {"found": NOT_TOLD}
    assert speaking([*OK, told]) == []
    assert speaking([*OK, verdict("ptr", "unknown", "198.51.100.10") | {"found": "no answer"}]) == [("ptr", "unknown")]


def test_what_could_not_be_added_speaks_against_it():
    down = {"zones": [{"name": "example.com.", "server": "198.51.100.2", "error": "no answer"}]}
    assert speaking(OK, down) == [("records", "unknown")]
    assert speaking(OK, by_hand("absent")) == [("records", "absent")]
    assert speaking(OK, by_hand("unknown")) == [("records", "unknown")]


def test_a_value_of_others_stays_and_is_judged_by_what_it_does():
    values = {"found": ["5 mx.example.net."], "wanted": ["10 mta1.example.com."], "merged": []}
    conflict = {"zone": "example.com.", "owner": "e.example.com.", "type": "MX", "mend": "", **values}
    assert speaking(OK, {"conflicts": [conflict]}) == speaking(OK, by_hand("fail")) == []
    assert speaking([*OK, verdict("spf", "fail")], by_hand("fail")) == [("spf", "fail")]


def test_in_check_mode_dns_before_an_addition_says_nothing_about_the_run():
    proof = [NO_MAILBOX, verdict("ptr", "absent"), verdict("spf", "fail")]
    assert speaking(proof, {"changed": True}, check=True) == []
    assert speaking(proof, {"changed": False}, check=True) == [("ptr", "absent"), ("spf", "fail")]
    assert speaking(proof, {"changed": True}) == [("ptr", "absent"), ("spf", "fail")]


def test_what_is_no_verdict_is_told():
    with pytest.raises(ValueError, match="not a verdict: status is missing"):
        against([{"check": "spf", "subjects": []}])
