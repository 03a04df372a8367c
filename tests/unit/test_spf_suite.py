# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The openspf suite for RFC 7208 over a real name server: by UDP, and again with every answer cut, so by TCP."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
import yaml
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import check_host
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compile import compile_domain

SUITE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "spf" / "rfc7208-tests.yml"
if not SUITE.exists():
    pytest.skip(f"the suite is not at {SUITE}", allow_module_level=True)
SCENARIOS = list(yaml.safe_load_all(SUITE.read_text(encoding="utf-8")))
CASES = [
    pytest.param(number, name, id=f"{scenario['description']}-{name}".replace(" ", "_"))
    for number, scenario in enumerate(SCENARIOS)
    for name in scenario["tests"]
]


def zone_and_faults(scenario):
    """Return the suite's zone data as the name server takes it: SPF doubles as TXT where a name has none."""
    names, faults = {}, {}
    for owner, entries in scenario["zonedata"].items():
        types = names.setdefault(owner, {})
        for entry in entries:
            if entry == "TIMEOUT":
                continue
            ((rdtype, value),) = entry.items()
            if value == "TIMEOUT":
                faults[owner, rdtype] = "timeout"
            elif rdtype in ("TXT", "SPF"):
                types.setdefault(rdtype, []).append(value if isinstance(value, list) else [value])
            elif not (rdtype == "TXT" and value == "NONE"):
                types.setdefault(rdtype, []).append(value)
        if "SPF" in types and "TXT" not in types:
            types["TXT"] = types["SPF"]
        types.pop("SPF", None)
        if types.get("TXT") == [["NONE"]]:
            del types["TXT"]
        if "TIMEOUT" in entries:
            faults.update(
                {(owner, rdtype): "timeout" for rdtype in ("A", "AAAA", "MX", "PTR", "TXT") if rdtype not in types}
            )
    return names, faults


@pytest.fixture(scope="module")
def servers():
    """Return a function that gives the lookup and the server of a scenario, started once for each transport."""
    started = {}

    def start(number, transport="udp"):
        if (number, transport) not in started:
            names, faults = zone_and_faults(SCENARIOS[number])
            # Short only where silence is waited for: a busy machine is no fault.
            timeout = 0.6 if faults else 5
            cut = {"*": "truncated"} if transport == "tcp" else {}
            server = Nameserver({"": names}, faults | cut).__enter__()
            started[number, transport] = Lookup([server.server], timeout=timeout).__enter__(), server
        return started[number, transport]

    yield start
    for pair in started.values():
        for item in pair:
            item.__exit__()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("number, name", CASES)
def test_case(servers, number, name, transport):
    case = SCENARIOS[number]["tests"][name]
    helo, sender = case["helo"], case["mailfrom"]
    domain = sender.rpartition("@")[2] or helo
    lookup, server = servers(number, transport)
    check = check_host(case["host"], domain, sender or f"postmaster@{helo}", helo, lookup.ask)
    expected = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert check.result.value in expected, check
    if "explanation" in case:
        wanted = case["explanation"]
        assert check.explanation == ("" if wanted == "DEFAULT" else wanted)
    # A cut answer is asked for again over TCP; what nobody answers never gets so far.
    answered = {key for key in server.asked if server.faults.get(key) != "timeout"}
    assert {key for key, times in server.tcp.items() if times} == (answered if transport == "tcp" else set())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_transport_is_used(servers, transport):
    for number, scenario in enumerate(SCENARIOS):
        lookup, server = servers(number, transport)
        owner = next(iter(scenario["zonedata"]))
        lookup.ask(owner, "SOA")
        assert server.tcp[owner.lower(), "SOA"] == (transport == "tcp")


def test_the_suite_is_whole():
    tests = [case for scenario in SCENARIOS for case in scenario["tests"].values()]
    assert len(tests) == 203
    assert sum("explanation" in case for case in tests) == 22


@pytest.mark.parametrize("number, name", CASES)
def test_case_compiled(servers, number, name):
    case = SCENARIOS[number]["tests"][name]
    helo, sender = case["helo"], case["mailfrom"] or f"postmaster@{case['helo']}"
    ask, domain, client = servers(number)[0].ask, sender.rpartition("@")[2], ipaddress.ip_address(case["host"])
    client = getattr(client, "ipv4_mapped", None) or client
    compiled = compile_domain(domain, sender, client.version, ask, [(int(client), int(client))])
    (part,) = compiled.slices
    text = str(SCENARIOS[number]["zonedata"])
    assert part.check or "ptr" in text or "%{" in text
    assert part.check in (None, check_host(case["host"], domain, sender, helo, ask, explain=False))
