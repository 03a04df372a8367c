# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys that nobody knows: unknown each, and no alignment by DKIM is said of a domain that has none."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from dmarc_world import DOMAIN, P, World
from test_desired import DATE, HOSTS, PUBLIC

from ansible_collections.mailfleet.sending.plugins.module_utils.desired import desired_state
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_unknown import (
    CAUSE,
    MEND,
    UnknownKey,
    read_unknown_keys,
    verify_unknown,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_fleet import Wanted, verify_fleet

DOMAINS = {"sending_domains": [{"name": "example.com"}, {"name": "example.us"}]}
SERVERS = {**DOMAINS, "sending_dkim_scope": "server"}
# A key whose record stands in no zone: what is verified here is what is not known.
OTHER = Key(DOMAIN, "old", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")


def entry(public=PUBLIC, server=None, seen=None):
    return {"public": public, "created": "2026-11-23", "scope": "server" if server else "fleet", "server": server,
            "seen": seen}


@pytest.mark.parametrize("variables, known, unknown", [
    (DOMAINS, {}, [("example.com", "", "m[0-9]{8}"), ("example.us", "", "m[0-9]{8}")]),
    (DOMAINS, {"example.com": {"m20261123": entry()}}, [("example.us", "", "m[0-9]{8}")]),
    (DOMAINS, {"example.com": {"m20261123": entry(public="")}, "example.us": {"m20261123": entry()}},
     [("example.com", "", "m[0-9]{8}")]),
    (DOMAINS, {name: {"m20261123": entry()} for name in ("example.com", "example.us")}, []),
    # The key that signs now is known, the one that should is not.
    ({**DOMAINS, "sending_dkim_selector": "k"}, {name: {"m20261123": entry(seen="2026-11-23")} for name in (
        "example.com", "example.us")}, [("example.com", "", "k[0-9]{8}"), ("example.us", "", "k[0-9]{8}")]),
    (SERVERS, {}, [(domain, f"mta{n}", f"m[0-9]{{8}}-mta{n}") for domain in ("example.com", "example.us")
                   for n in (1, 2)]),
    (SERVERS, {"example.com": {f"m20261123-mta{n}": entry(server=f"mta{n}") for n in (1, 2)},
               "example.us": {"m20261123-mta1": entry(server="mta1")}},
     [("example.us", "mta2", "m[0-9]{8}-mta2")]),
])
def test_keys_of_which_the_state_knows_no_public_half(variables, known, unknown):
    for dns_only in (True, False):
        made = desired_state(read_fleet(variables, HOSTS), known, (), DATE, dns_only)["unknown_keys"]
        assert [tuple(key.values()) for key in made] == unknown
        assert [(key.domain, key.server, key.selector) for key in read_unknown_keys(made)] == unknown


@pytest.mark.parametrize("key, known, subject, cause", [
    (UnknownKey("Example.com."), (), "example.com", CAUSE),
    (UnknownKey("example.com", "mta2", "m[0-9]{8}-mta2"), (), "example.com on mta2", CAUSE),
    (UnknownKey("example.com", "mta2", "m[0-9]{8}-mta2"), ["example.com"], "example.com on mta2",
     f"{CAUSE} on mta2 with a selector like m[0-9]{{8}}-mta2"),
    (UnknownKey("example.com", "", "k[0-9]{8}"), ["example.com"], "example.com",
     f"{CAUSE} with a selector like k[0-9]{{8}}"),
    (UnknownKey("example.com", "mta2"), ["example.com"], "example.com on mta2", f"{CAUSE} on mta2"),
])
def test_each_is_unknown_and_says_why(key, known, subject, cause):
    (verdict,) = verify_unknown([key, key], known)
    assert (verdict.check, verdict.subjects, verdict.status) == ("dkim", (subject,), Status.UNKNOWN)
    assert (verdict.cause, verdict.mend, verdict.source) == (cause, MEND, "keys.json in the folder sending_state")


def test_mistakes_are_told_with_their_places():
    with pytest.raises(ValueError, match=r"unknown_keys\[1\]: 'a\.\.b'"):
        read_unknown_keys([{"domain": "a.b"}, {"domain": "a..b"}])


@pytest.fixture
def world():
    with ExitStack() as stack:
        yield lambda records, **options: World(stack, records, **options)


@pytest.mark.parametrize("bounce, dkim, status, found, cause, mend", [
    ("e.example.com", [DOMAIN], "unknown", "SPF e.example.com aligned (relaxed); DKIM example.com not known (relaxed)",
     CAUSE, MEND),
    ("e.example.net", [DOMAIN], "unknown", "SPF e.example.net not aligned (relaxed); DKIM example.com not known "
     "(relaxed)", CAUSE, f"{MEND}; use example.com or a subdomain of it as bounce domain"),
    # A signature of another domain, whose key is known, carries the mail.
    (DOMAIN, ["m.example.com", DOMAIN], "ok", "SPF example.com aligned (relaxed); DKIM m.example.com aligned "
     "(relaxed); DKIM example.com not known (relaxed)", "", ""),
])
def test_a_domain_whose_keys_nobody_knows_is_not_aligned_by_dkim(world, bounce, dkim, status, found, cause, mend):
    run = world({DOMAIN: f"{P}none"})
    verdict = run.one("alignment", Subject(DOMAIN, bounce, tuple(dkim), keyless=(DOMAIN,)))
    assert (verdict.status, verdict.found, verdict.cause, verdict.mend) == (status, found, cause, mend)


# What is wanted; what is to be said besides of SPF, which aspf=s keeps away. The mode of DKIM is not known to do that.
@pytest.mark.parametrize("wanted, spf", [
    ("", 'use example.com as bounce domain, or publish _dmarc.example.com. TXT "{P}none; adkim=s" instead of "{live}"'),
    ("{P}none; adkim=s", 'publish _dmarc.example.com. TXT "{P}none; adkim=s" instead of "{live}"'),
    ("{live}", "use example.com as bounce domain, or leave aspf=s out of the record that the inventory wants"),
])
def test_a_key_that_nobody_knows_changes_no_record_that_is_proposed(world, wanted, spf):
    words = {"P": P, "live": f"{P}none; adkim=s; aspf=s"}
    run = world({DOMAIN: words["live"]})
    subject = Subject(DOMAIN, "e.example.com", ("m.example.com",), wanted.format(**words), keyless=("m.example.com",))
    verdict = run.one("alignment", subject)
    assert (verdict.status, verdict.cause, verdict.mend) == ("unknown", CAUSE, f"{MEND}; {spf.format(**words)}")


def test_what_dns_did_not_say_is_told_beside_it(world):
    run = world({DOMAIN: f"{P}none"}, faults={"_dmarc.e.example.net": "servfail"})
    verdict = run.one("alignment", Subject(DOMAIN, "e.example.net", keyless=(DOMAIN,)))
    assert verdict.status == "unknown" and verdict.cause.endswith(f"SERVFAIL; {CAUSE}")
    assert verdict.mend == f"make {run.server.server} answer, then check again; {MEND}"


@pytest.mark.parametrize("keys, aligned", [([], "unknown"), ([OTHER], "ok")])
def test_a_fleet_with_an_unknown_key_is_not_proved(world, keys, aligned):
    run = world({DOMAIN: f"{P}none"})
    wanted = Wanted(policies=[Subject(DOMAIN)], keys=keys, unknown_keys=[UnknownKey(DOMAIN, "", "m[0-9]{8}")])
    found = {(verdict.check, verdict.subjects[0]): verdict.status for verdict in verify_fleet(
        run.lookup, wanted, "no").verdicts}
    assert found["dkim", DOMAIN] == "unknown" and found["alignment", DOMAIN] == aligned
