# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run proves: each address and domain by its receivers' own words, and nothing once DNS is broken on purpose."""

from __future__ import annotations

import base64
import itertools
import json
import re

import lab_runs
import lab_world as lab
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ansible_collections.mailfleet.sending.plugins.module_utils.judgement import Expectation, judge

DOMAINS = ("example.com", "example.us")
BOUNCES = {domain: f"e.{domain}" for domain in DOMAINS}
STAMPED = {"probe@gmail.com": {"dkim", "spf", "dmarc"}, "probe@freemail.test": {"dkim", "spf", "iprev"}}
EVERY_PATH = set(itertools.product(lab.HELO, DOMAINS, STAMPED))
SERVER = r"(ns\d\.lab\.test\. \()?(198\.51\.100\.|2001:db8:61::)[234]\b"
# A header field of the receiver, the place in its mailbox, or questions, each with who was asked.
TRACES = (
    r"Authentication-Results: mx\.(gmail\.com|freemail\.test); ",
    r"Received: from mta[12]b?\.example\.com .* by mx\.",
    r"IMAP 198\.51\.100\.4[02], message \d+ of INBOX$",
    rf"((TXT|PTR|A|AAAA) [0-9a-z._-]+\. asked of {SERVER}[^;]*(; |$))+$",
)
# What a message brings along that would like to have passed.
FORGED = "{id}; dkim=pass header.d={domain}; spf=pass smtp.mailfrom={bounce}; dmarc=pass header.from={domain}"


@pytest.fixture(scope="module")
def report(second):
    return json.loads((lab_runs.STATE / "report.json").read_text(encoding="utf-8"))


def of_paths(report: dict, method: str) -> dict[tuple[str, str, str], str]:
    """What the report says of a method, by address, domain and mailbox, where the receiver stamps it."""
    return {
        (row["address"], row["domain"], row["mailbox"]): row[method]
        for row in report["paths"]
        if method in STAMPED[row["mailbox"]]
    }


def every_path_that_stamps(method: str) -> set[tuple[str, str, str]]:
    return {path for path in EVERY_PATH if method in STAMPED[path[2]]}


@pytest.mark.parametrize("method", ["dkim", "spf", "dmarc", "iprev"])
def test_every_address_passes_for_every_domain_at_every_receiver(report, method):
    said = of_paths(report, method)
    assert set(said) == every_path_that_stamps(method) and said
    assert set(said.values()) == {"ok"}
    assert report["proved"] is True


def test_ordinary_mail_passes_as_the_probes_did(second):
    """The probes are deleted once they are read; so the receivers are asked with messages of an application."""
    sent = []
    for server, domain, recipient in itertools.product(lab.SERVERS, DOMAINS, [*STAMPED, "probe@wanadoo.fr"]):
        made = lab.message(f"news@{domain}", recipient)
        with lab.submission(server) as session:
            session.send_message(made, f"b@{BOUNCES[domain]}", recipient)
        sent.append((recipient, made))
    for recipient, made in sent:
        arrived = lab.received(recipient, lab.nonce(made))
        stamped = STAMPED.get(recipient, {"dkim", "spf", "dmarc"})
        assert lab.results(arrived) == dict.fromkeys(stamped, "pass"), arrived.as_string()


def test_every_line_of_the_report_can_be_traced(report):
    for verdict in report["verdicts"]:
        assert verdict["subjects"] and verdict["found"] and verdict["expected"], verdict
        assert any(re.match(source, verdict["source"]) for source in TRACES), verdict
    checks = {verdict["check"] for verdict in report["verdicts"]}
    assert {"dkim", "spf", "dmarc", "iprev", "origin", "helo", "ptr", "tls", "arrival"} <= checks


def test_the_printed_table_says_the_same(report, second):
    rows = re.findall(r"^  ([0-9a-f.:]+) +(example\.\w+) +(probe@\S+) +(.+)$", second.run.output, re.MULTILINE)
    assert {tuple(row[:3]) for row in rows} == EVERY_PATH
    for row in rows:
        cells = dict(zip(("dkim", "spf", "dmarc", "iprev"), row[3].split()))
        assert {name for name, cell in cells.items() if cell == "ok"} == STAMPED[row[2]]
        assert {name for name, cell in cells.items() if cell == "-"} == set(cells) - STAMPED[row[2]]
    assert re.search(r"^PROVED: \d+ ok$", second.run.output, re.MULTILINE)


def submit(domain: str) -> bytes:
    """A message from mta1 that brings forged results along, as it lies in the mailbox."""
    forged = FORGED.format(id="mx.gmail.com", domain=domain, bounce=BOUNCES[domain])
    made = lab.message(f"news@{domain}", Authentication_Results=forged)
    with lab.submission("mta1.example.com") as session:
        session.send_message(made, f"b@{BOUNCES[domain]}", "probe@gmail.com")
    return lab.received("probe@gmail.com", lab.nonce(made)).as_bytes()


def judged(message: bytes, domain: str) -> dict[str, str]:
    """Check -> status, as a probe judges a message from mta1."""
    expected = Expectation(
        "forged", "198.51.100.10", "mta1.example.com", domain, BOUNCES[domain], "mx.gmail.com", ("mx.gmail.com",)
    )
    return {verdict.check: verdict.status.value for verdict in judge(message, expected)}


@pytest.fixture(scope="module")
def without_spf(second, tmp_path_factory):
    """No server may send, says SPF of every From domain and bounce domain."""
    owners = [*DOMAINS, *BOUNCES.values()]
    foreign = [value for value in lab_runs.read("example.com", "TXT") if "v=spf1" not in value]
    nobody = [(owner, "TXT", ['"v=spf1 -all"', *(foreign if owner == "example.com" else [])]) for owner in owners]
    with lab_runs.changed(*nobody):
        run, report = lab_runs.probe(tmp_path_factory.mktemp("without-spf"))
        return run, report, submit("example.com")


@pytest.fixture(scope="module")
def without_dkim(second, tmp_path_factory):
    """Under each selector stands another key."""
    public = rsa.generate_private_key(65537, 2048).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    value = lab.quote("v=DKIM1; k=rsa; p=" + base64.b64encode(der).decode())
    keys = json.loads((lab_runs.STATE / "keys.json").read_text(encoding="utf-8"))
    owners = [f"{selector}._domainkey.{domain}" for domain, selectors in keys.items() for selector in selectors]
    with lab_runs.changed(*((owner, "TXT", [value]) for owner in owners)):
        run, report = lab_runs.probe(tmp_path_factory.mktemp("without-dkim"))
        return run, report, submit("example.us")


@pytest.mark.parametrize(("broken", "whole"), [("spf", "dkim"), ("dkim", "spf")])
def test_dmarc_passes_by_one_where_the_other_is_broken(broken, whole, request):
    run, report, _forged = request.getfixturevalue(f"without_{broken}")
    for method, status in ((broken, "fail"), (whole, "ok"), ("dmarc", "ok")):
        said = of_paths(report, method)
        assert set(said) == every_path_that_stamps(method)
        assert set(said.values()) == {status}, method


@pytest.mark.parametrize("broken", ["spf", "dkim"])
def test_what_is_broken_is_not_proved(broken, request):
    run, report, _forged = request.getfixturevalue(f"without_{broken}")
    assert report["proved"] is False
    assert run.status != 0 and "NOT PROVED" in run.output
    faults = [fault for fault in report["faults"] if fault["check"] == broken]
    assert sum(len(fault["subjects"]) for fault in faults) == len(every_path_that_stamps(broken))
    assert all(fault["mend"] and f"{broken}=fail" in fault["source"] for fault in faults)


@pytest.mark.parametrize(("broken", "domain"), [("spf", "example.com"), ("dkim", "example.us")])
def test_a_forged_result_does_not_count(broken, domain, request):
    _run, _report, message = request.getfixturevalue(f"without_{broken}")
    whole = {"dkim": "ok", "spf": "ok", "dmarc": "ok"}
    assert judged(message, domain).items() >= {**whole, broken: "fail"}.items()
    # And where a receiver lets it stand, as some do: below its own Received field, in any order of the header.
    forged = f"Authentication-Results: {FORGED.format(id='mx.gmail.com', domain=domain, bounce=BOUNCES[domain])}\r\n"
    head, mark, rest = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").partition(b"DKIM-Signature:")
    assert mark and head.count(b"Received: from") >= 1
    assert judged(head + forged.encode() + mark + rest, domain).items() >= {**whole, broken: "fail"}.items()
