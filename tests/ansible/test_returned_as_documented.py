# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules that ask DNS return is what their documentation says: these keys, no others, of these types."""

from __future__ import annotations

import importlib
import inspect
import json

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs
from ansible_collections.mailfleet.sending.plugins.plugin_utils.run_command import run_command

MODULES = "ansible_collections.mailfleet.sending.plugins.modules"
SPF = "v=spf1 ip4:198.51.100.10 -all"
NET = "100.51.198.in-addr.arpa"
KEY = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
ZONES = {
    "example.com": {
        "example.com": {"A": ["198.51.100.10"], "TXT": [SPF], "MX": ["10 mta1.example.com."]},
        "mta1.example.com": {"A": ["198.51.100.10"]},
        "m1._domainkey.example.com": {"TXT": [KEY]},
        "_dmarc.example.com": {"TXT": ["v=DMARC1; p=none"]},
    },
    "example.net": {"example.net": {"TXT": ["v=spf1 -all", "v=spf1 ~all"], "A": ["198.51.100.11"]}},
    NET: {f"10.{NET}": {"PTR": ["mta1.example.com."]}},
    "list.example": {f"{name}.list.example": {"A": ["127.0.0.2"]} for name in ("2.0.0.127", "11.100.51.198")},
}
ADDRESSES = [{"address": f"198.51.100.{number}", "helo": "mta1.example.com"} for number in (10, 11)]
KEYS = [{"domain": "example.com", "selector": "m1"}, {"domain": "example.net"}]
DOMAINS = [{"domain": "example.com"}, {"domain": "example.net"}]
LISTS = [{"name": "ours", "zone": "list.example"}]
# Each has something that is right, and something that is wrong.
OPTIONS = {
    "dkim_verify": {"keys": KEYS, "authoritative": "no"},
    "dmarc_verify": {"domains": DOMAINS, "authoritative": "no"},
    "dnsbl_verify": {"addresses": [item["address"] for item in ADDRESSES], "lists": LISTS},
    "domain_info": {"domains": [
        {"domain": "example.com", "selectors": ["m1"]}, {"domain": "example.net"}, {"domain": "silent.test"}]},
    "fleet_verify": {"addresses": ADDRESSES, "domains": ["example.com"], "keys": KEYS, "policies": DOMAINS,
                     "receivers": DOMAINS, "blocklists": LISTS, "authoritative": "no"},
    "mx_verify": {"domains": DOMAINS, "authoritative": "no"},
    "ptr_verify": {"addresses": ADDRESSES, "authoritative": "no"},
    "spf_verify": {"addresses": ADDRESSES, "domains": ["example.com", "example.net"], "authoritative": "no"},
}
TYPES = {"str": str, "bool": bool, "int": int, "float": (int, float), "list": list, "dict": dict}
# Of these each value is what is documented, by the names that were asked about.
BY_NAME = ("domains", "domains.dkim")
NULL = ("present", "valid", "pause")  # where DNS did not say; after the last try


@pytest.fixture(scope="module")
def server():
    with Nameserver(ZONES, {"silent.test": "servfail"}) as started:
        yield started


def compare(path: str, value: object, told: dict) -> None:
    """Compare a value with what is told of it: its type, and all that it holds."""
    if value is None:
        assert path.rpartition(".")[2] in NULL, path
        return
    assert isinstance(value, TYPES[told["type"]]), (path, value)
    if told["type"] == "list":
        assert "elements" in told, path
        for item in value:
            compare(path, item, {**told, "type": told["elements"]})
    elif "contains" in told:
        for part in value.values() if path in BY_NAME else [value]:
            assert set(part) == set(told["contains"]), path
            for key, held in part.items():
                compare(f"{path}.{key}", held, told["contains"][key])


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_returned_is_what_is_documented(server, name):
    module = importlib.import_module(f"{MODULES}.{name}")
    given = {"resolvers": [str(server.server)], "timeout": 2, **json.loads(json.dumps(OPTIONS[name]))}
    options = ArgumentSpecValidator(module.ARGUMENTS).validate(given).validated_parameters
    besides = {"run": Programs(run_command), "check_mode": False}
    wanted = inspect.signature(module.result).parameters
    made = module.result(options, **{name: value for name, value in besides.items() if name in wanted})
    returned, told = json.loads(json.dumps(made)), yaml.safe_load(module.RETURN)
    assert set(returned) - {"warnings", "changed"} == set(told)
    for key in told:
        compare(key, returned[key], told[key])
    if "verdicts" in returned:
        assert len({verdict["status"] for verdict in returned["verdicts"]}) > 1, "all is right, or all is wrong"
