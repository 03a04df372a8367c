# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules that ask DNS, in plays: their examples as printed, and what they say to mistakes in their options."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from host import PROGRAMS
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_deployed import public_half
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import record_of

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("dkim_verify", "dmarc_verify", "dnsbl_verify", "domain_info", "fleet_verify", "mx_verify", "ptr_verify",
           "spf_verify")
WAITING = ("dkim_verify", "dmarc_verify", "mx_verify", "ptr_verify", "spf_verify")
# The resolvers of the examples, as this test has them.
RESOLVERS = ('["198.51.100.4", "[2001:db8:61::4]:53"]', "[198.51.100.4]")
NET4, NET6 = "100.51.198.in-addr.arpa", "1.6.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
SPF = "v=spf1 ip4:198.51.100.10 ip6:2001:db8:61::10 -all"
TEST_ENTRIES = ("2.0.0.127", "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20)
WORLD = {
    "": {"": {"NS": ["ns.example.com."]}},
    "example.com": {
        "example.com": {"TXT": [SPF], "A": ["198.51.100.10"], "MX": [(10, "mta1.example.com.")]},
        "e.example.com": {"TXT": [SPF], "MX": [(10, "mta1.example.com."), (20, "mta2.example.com.")]},
        "mta1.example.com": {"A": ["198.51.100.10"], "AAAA": ["2001:db8:61::10"], "TXT": [SPF]},
        "mta2.example.com": {"A": ["198.51.100.20"]},
        "_dmarc.example.com": {"TXT": ["v=DMARC1; p=none; rua=mailto:dmarc@example.com"]},
    },
    "example.us": {"_dmarc.example.us": {"TXT": ["v=DMARC1; p=none"]}, "e.example.us": {"TXT": [SPF]}},
    NET4: {f"10.{NET4}": {"PTR": ["mta1.example.com."]}},
    NET6: {f"0.1{'.0' * 18}.{NET6}": {"PTR": ["mta1.example.com."]}},
    **{zone: {f"{entry}.{zone}": {"A": ["127.0.0.2"]} for entry in TEST_ENTRIES}
       for zone in ("bl.spamcop.net", "zen.spamhaus.org")},
    "dbl.spamhaus.org": {"dbltest.com.dbl.spamhaus.org": {"A": ["127.0.1.2"]},
                         "example.com.dbl.spamhaus.org": {"A": ["127.0.1.2"]}},
}
PEM = rsa.generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Plays:
    """Plays on two servers, one after the other, whose names in DNS a server of this process has."""

    def __init__(self, folder: Path, server: Nameserver) -> None:
        self.folder, self.server = folder, server

    def run(self, tasks: list[dict], *options: str) -> subprocess.CompletedProcess[str]:
        defaults = {"resolvers": [str(self.server.server)], "authoritative": "no"}
        few = {"resolvers": defaults["resolvers"]}
        play = {"hosts": "all", "gather_facts": False, "serial": 1, "tasks": tasks, "module_defaults": {
            f"mailfleet.sending.{name}": few if name in ("dnsbl_verify", "domain_info") else defaults
            for name in MODULES}}
        (self.folder / "site.json").write_text(json.dumps([play]))
        (self.folder / "hosts").write_text("one ansible_connection=local\ntwo ansible_connection=local\n")
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts", "site.json", *options,
                   "-e", json.dumps({"ansible_python_interpreter": sys.executable})]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"), "ANSIBLE_NOCOLOR": "1",
                       "ANSIBLE_HOME": str(self.folder / "home")}
        return subprocess.run(command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120)


@pytest.fixture(scope="module")
def plays(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plays")
    keys = folder / ".mailfleet" / "secrets" / "dkim" / "example.com"
    keys.mkdir(parents=True)
    (keys / "m20261123.pem").write_bytes(PEM)
    public = public_half(PROGRAMS, str(keys / "m20261123.pem"))
    (folder / "m20261123.public").write_text(public)
    names = WORLD["example.com"] | {"m20261123._domainkey.example.com": {"TXT": [record_of(public)]}}
    with Nameserver(WORLD | {"example.com": names}) as server:
        yield Plays(folder, server)


def example(name: str, plays: Plays) -> list[dict]:
    """Return the tasks of a module's examples; only whom they ask, and where they write, is this test's."""
    source = ast.parse((ROOT / "plugins" / "modules" / f"{name}.py").read_text())
    text = next(ast.literal_eval(node.value) for node in source.body
                if isinstance(node, ast.Assign) and node.targets[0].id == "EXAMPLES")
    for resolvers in RESOLVERS:
        text = text.replace(resolvers, f'["{plays.server.server}"]')
    # Who asks every authoritative server asks at port 53, which is not a test's to have.
    text = text.replace('authoritative: "yes"', 'authoritative: "no"')
    return yaml.safe_load(text.replace("/tmp/spf.csv", str(plays.folder / "spf.csv")))


@pytest.mark.parametrize("options", [(), ("--check", "--diff")], ids=["run", "check mode"])
def test_examples_run_as_printed(plays, options):
    tasks = [task for name in MODULES for task in example(name, plays)]
    ran = plays.run(tasks, *options)
    assert ran.returncode == 0, ran.stdout
    assert "changed=0" in ran.stdout and "changed: [" not in ran.stdout and "WARNING" not in ran.stdout
    # Once for each batch of servers.
    assert all(ran.stdout.count(f"TASK [{task['name']}]") == 2 for task in tasks)
    assert (plays.folder / "spf.csv").exists() is (options == ())
    (plays.folder / "spf.csv").unlink(missing_ok=True)


def test_mistakes_are_told_all_at_once_and_never_by_a_traceback(plays):
    bad = {"resolvers": ["192.0.2.1:0", "ns.example.com"], "timeout": 0, "deadline": -1}
    cases = {
        "mx_verify": ({"domains": [{"domain": "a..b"}, {"domain": "b.com", "hosts": ["c..d"]}]},
                      ["domains[0]: 'a..b'", "domains[1]: 'c..d'"]),
        "ptr_verify": ({"addresses": [{"address": "fe80::1%eth0"}, {"address": "::ffff:192.0.2.1", "helo": "a..b"}]},
                       ["addresses[0]: 'fe80::1%eth0'", "addresses[1]: '::ffff:192.0.2.1'", "'a..b'"]),
        "spf_verify": ({"addresses": [{"address": "fe80::1%eth0"}, {"address": "::ffff:192.0.2.1", "helo": "a..b"}],
                        "domains": ["c..d"], "checks": [{"address": "192.0.2.1", "domain": "e..f", "helo": "g..h"}],
                        "what_if": {"i..j": "v=spf1"}},
                       ["addresses[0]: 'fe80::1%eth0'", "addresses[1]: '::ffff:192.0.2.1'", "'a..b'",
                        "domains[0]: 'c..d'", "checks[0]: 'e..f'", "'g..h'", "'i..j'"]),
        "dkim_verify": ({"keys": [{"domain": "a..b"}, {"domain": "b.com", "selector": "a_b", "public": "x"}]},
                        ["keys[0]: 'a..b'", "keys[1]: selector 'a_b'", "p= is not base64"]),
        "dmarc_verify": ({"domains": [{"domain": "a..b", "dmarc": "p=none"}], "helo": ["c..d"]},
                         ["domains[0]: 'a..b'", "dmarc 'p=none'", "helo[0]: 'c..d'"]),
        "dnsbl_verify": ({"addresses": ["192.0.2.256"], "domains": ["a..b"], "lists": [{"name": "nobodys"}]},
                         ["addresses[0]: '192.0.2.256'", "domains[0]: 'a..b'", "lists[0]: blocklist 'nobodys'"]),
        "fleet_verify": ({"addresses": [{"address": "fe80::1%eth0"}], "domains": ["a..b"], "keys": [{"domain": "c..d"}],
                          "policies": [{"domain": "e..f"}], "receivers": [{"domain": "g..h"}],
                          "unknown_keys": [{"domain": "i..j"}],
                          "blocklists": [{"name": "nobodys"}]},
                         ["addresses[0]: 'fe80::1%eth0'", "domains[0]: 'a..b'", "keys[0]: 'c..d'",
                          "policies[0]: 'e..f'", "receivers[0]: 'g..h'", "unknown_keys[0]: 'i..j'",
                          "blocklists[0]: blocklist 'nobodys'"]),
        "domain_info": ({"domains": [{"domain": "com"}, {"domain": "b.com", "selectors": ["a_b", "-"]}]},
                        ["domains[0]: 'com'", "domains[1]: selector 'a_b'", "selector '-'"]),
    }
    waits = {name: {"wait": -1} if name in WAITING else {} for name in cases}
    tasks = [{"name": "Expect mistakes",
              "block": [{"name": name, f"mailfleet.sending.{name}": arguments | bad | waits[name], "register": name}],
              "rescue": [{"name": "Go on", "ansible.builtin.debug": {"var": f"{name}.msg"}}]}
             for name, (arguments, _told) in cases.items()]
    tasks.append({"name": "Hand over", "run_once": True, "ansible.builtin.copy": {
        "dest": str(plays.folder / "said.json"), "content": "{{ said | to_json }}"}, "vars": {
            "said": {name: f"{{{{ {name}.msg }}}}" for name in cases}}})
    ran = plays.run(tasks)
    assert "Traceback" not in ran.stdout and "MODULE FAILURE" not in ran.stdout, ran.stdout
    said = json.loads((plays.folder / "said.json").read_text())
    for name, (_arguments, told) in cases.items():
        everywhere = ["resolvers[0]: ", "resolvers[1]: ", "timeout: found 0", "deadline: found -1"]
        everywhere += ["wait: found -1"] * (name in WAITING)
        assert [text for text in (*told, *everywhere) if text not in said[name]] == [], said[name]


def test_a_task_that_is_given_nothing_says_so(plays):
    empty = {"dkim_verify": "keys", "dmarc_verify": "domains", "domain_info": "domains", "mx_verify": "domains",
             "ptr_verify": "addresses", "spf_verify": "addresses", "dnsbl_verify": "domains", "fleet_verify": "domains"}
    ran = plays.run([{"name": name, f"mailfleet.sending.{name}": {option: []}} for name, option in empty.items()])
    assert ran.returncode == 0, ran.stdout
    said = " ".join(ran.stdout.split())
    assert all(f"{option} is empty" in said for option in empty.values()) and "addresses and domains are empty" in said
    assert "they are empty: addresses, domains, keys, policies, receivers" in said


def test_spf_verify_returns_the_records_with_their_trees(plays):
    sender = {"address": "198.51.100.10", "domain": "d.example.com"}
    text = "v=spf1 include:example.com a:mta2.example.com a:gone.example.com -all"
    tasks = [{"name": f"Verify with records: {records}", "register": f"spf_{records}", "mailfleet.sending.spf_verify": {
        "checks": [sender, {**sender, "domain": "example.com"}], "what_if": {"d.example.com": text},
        "records": records}} for records in (True, False)]
    tasks.append({"name": "Hand over", "run_once": True, "ansible.builtin.copy": {
        "dest": str(plays.folder / "records.json"),
        "content": "{{ [spf_True.records, spf_False.records] | to_json }}"}})
    ran = plays.run(tasks)
    assert ran.returncode == 0, ran.stdout
    (record, main), none = json.loads((plays.folder / "records.json").read_text())
    assert (none, main["owner"], main["tree"]) == ([], "example.com", "example.com: 0 of 10 lookups")
    gone = "A gone.example.com: no such name", "AAAA gone.example.com: no such name"
    assert record == {
        "owner": "d.example.com", "text": text, "lookups": 3, "exact": True, "limits": [],
        "otherwise": {"ipv4": "fail", "ipv6": "fail"},
        "tree": "\n  ".join(["d.example.com: 3 of 10 lookups", "include:example.com: 1",
                             "a:mta2.example.com: 1, finds nothing: AAAA mta2.example.com: no data",
                             f"a:gone.example.com: 1, finds nothing: {'; '.join(gone)}"]),
        "voids": [{"owner": "d.example.com", "term": "a:mta2.example.com", "ipv4": 0, "ipv6": 1, "possible": 0,
                   "found": ["AAAA mta2.example.com: no data"]},
                  {"owner": "d.example.com", "term": "a:gone.example.com", "ipv4": 1, "ipv6": 1, "possible": 0,
                   "found": list(gone)}],
    }
