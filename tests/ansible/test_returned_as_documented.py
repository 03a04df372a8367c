# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules that ask DNS return is what their documentation says: these keys, no others, of these types."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from nameserver import Nameserver

ROOT = Path(__file__).resolve().parents[2]
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
OF_EVERY_TASK = {"changed", "failed", "warnings"}
OF_A_VALUE = {"description", "type", "returned", "elements", "contains", "sample"}
NULL = ("present", "valid", "pause")  # where DNS did not say; after the last try


@pytest.fixture(scope="module")
def returned(tmp_path_factory):
    """What each module returned."""
    folder = tmp_path_factory.mktemp("returned")
    tasks = [{"name": name, f"mailfleet.sending.{name}": OPTIONS[name], "register": name} for name in OPTIONS]
    results = {name: f"{{{{ {name} }}}}" for name in OPTIONS}
    tasks.append({"name": "Hand over", "vars": {"results": results}, "ansible.builtin.copy": {
        "dest": str(folder / "results.json"), "content": "{{ results | to_json }}"}})
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", "site.json"]
    with Nameserver(ZONES, {"silent.test": "servfail"}) as server:
        defaults = {f"mailfleet.sending.{name}": {"resolvers": [str(server.server)], "timeout": 2} for name in OPTIONS}
        play = {"hosts": "all", "gather_facts": False, "module_defaults": defaults, "tasks": tasks,
                "vars": {"ansible_python_interpreter": sys.executable}}
        (folder / "site.json").write_text(json.dumps([play]))
        ran = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                             env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections")})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads((folder / "results.json").read_text())


def documented(name: str) -> dict:
    source = ast.parse((ROOT / "plugins" / "modules" / f"{name}.py").read_text())
    return yaml.safe_load(next(ast.literal_eval(node.value) for node in source.body
                               if isinstance(node, ast.Assign) and node.targets[0].id == "RETURN"))


def compare(path: str, value: object, told: dict) -> None:
    """Compare a value with what is told of it: its type, and all that it holds."""
    assert {"description", "type", "returned"} <= set(told) <= OF_A_VALUE, path
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
def test_what_is_returned_is_what_is_documented(returned, name):
    found, told = returned[name], documented(name)
    assert set(found) - OF_EVERY_TASK == set(told)
    for key in told:
        compare(key, found[key], told[key])
    if "verdicts" in found:
        assert len({verdict["status"] for verdict in found["verdicts"]}) > 1, "all is right, or all is wrong"
