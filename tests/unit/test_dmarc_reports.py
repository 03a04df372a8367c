# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether others agree to take reports: a table of cases by the steps of RFC 9990, 4."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from dmarc_world import DOMAIN, P, World

from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_reports import LOOKED_AT
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject


@pytest.fixture
def world():
    with ExitStack() as stack:
        yield lambda records, **options: World(stack, records, **options)


NAME = "example.com._report._dmarc.reports.example.net"
EXTERNAL = f"{P}none; rua=mailto:x@reports.example.net"


@pytest.mark.parametrize(
    "rule, values, status, cause",
    [
        ("step 8: agreed", "v=DMARC1", "ok", ""),
        ("step 6: agreed", "v=DMARC1;", "ok", ""),
        ("step 9: another address of the same host", "v=DMARC1; rua=mailto:y@reports.example.net", "ok", ""),
        ("step 9: another host", "v=DMARC1; rua=mailto:y@example.org", "fail", "reports go to neither"),
        ("step 7: none", [], "absent", "has not agreed to take reports about example.com, so that none are sent"),
        ("step 6: what does not begin with the version", "dmarc; v=DMARC1", "fail", "has not agreed"),
        ("step 8: one of several, RFC 7489 7.1", ["v=DMARC1", "other"], "warn", "receivers of RFC 7489 (7.1)"),
    ],
)
def test_external_reports(world, rule, values, status, cause):
    verdict = world({DOMAIN: EXTERNAL, NAME: values}).one("dmarc_reports", Subject(DOMAIN))
    assert (verdict.status, verdict.subjects) == (status, ("reports about example.com to reports.example.net",)), rule
    assert verdict.expected == f'{NAME}. TXT "v=DMARC1"' and cause in verdict.cause
    if status != "ok":
        assert verdict.mend.startswith(f'the owner of reports.example.net publishes {NAME}. TXT "v=DMARC1"')


def test_reports_within_the_organization_need_no_agreement(world):
    run = world({DOMAIN: f"{P}none; rua=mailto:x@mail.example.com,https://example.org/; ruf=mailto:y@example.com"})
    assert run.verdicts("dmarc_reports", Subject(DOMAIN), Subject("a.example.com")) == []


def test_failure_reports_need_it_too_and_each_pair_once(world):
    """RFC 9991, 5. The domain is that of the record, so all who inherit it share one verdict (RFC 9990, 4, step 3)."""
    run = world({DOMAIN: f"{EXTERNAL}; ruf=mailto:z@example.org,mailto:z@reports.example.net"})
    found = run.verdicts("dmarc_reports", *[Subject(f"{name}.example.com") for name in "abc"], Subject(DOMAIN))
    assert [verdict.subjects for verdict in found] == [("reports about example.com to reports.example.net",),
                                                       ("reports about example.com to example.org",)]


def test_a_record_that_sends_reports_to_thousands_takes_few_questions(world):
    run = world({DOMAIN: f"{P}none; rua={','.join(f'mailto:x@h{n}.example.net' for n in range(2000))}"})
    *verdicts, last = run.verdicts("dmarc_reports", Subject(DOMAIN))
    assert len(verdicts) == LOOKED_AT and {verdict.status for verdict in verdicts} == {"absent"}
    assert last.status == "warn" and "2,000 other domains, of which the first 20 were looked at" in last.cause
    assert run.server.queries <= 5 + 3 * LOOKED_AT


def test_the_fleet_publishes_for_itself(world):
    """An auxiliary domain that reports to the main one: the record stands in a zone of one's own."""
    run = world({DOMAIN: f"{P}none", "example.us": f"{P}none; rua=mailto:d@example.com"})
    verdict = run.one("dmarc_reports", Subject(DOMAIN), Subject("example.us"))
    assert (verdict.status, verdict.mend) == (
        "absent", 'you publish example.us._report._dmarc.example.com. TXT "v=DMARC1"')


@pytest.mark.parametrize("silent", [NAME, "_dmarc.example.net"])
def test_external_reports_that_dns_does_not_say(world, silent):
    run = world({DOMAIN: EXTERNAL}, faults={silent: "servfail"})
    verdict = run.one("dmarc_reports", Subject(DOMAIN))
    assert verdict.status == "unknown" and str(run.server.server) in verdict.mend


def test_a_name_that_is_too_long(world):
    host = ".".join(["h" * 60] * 3 + ["example.net"])
    long = ".".join(["d" * 50, DOMAIN])
    run = world({long: f"{P}none; rua=mailto:x@{host}"})
    verdict = run.one("dmarc_reports", Subject(long))
    assert verdict.status == "fail" and "step 4" in verdict.cause
