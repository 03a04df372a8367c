# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables that the desired state does not depend on, what all of them are called, and the files that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.mailfleet.sending.plugins.module_utils import inventory_names
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_mailboxes import read_mailboxes
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader

ROOT = Path(__file__).resolve().parents[2]
IMAP = {"host": "imap.gmail.com", "user": "me", "password_file": "/secret/gmail"}
MAILBOX = {"address": "me@gmail.com", "authserv_id": "MX.google.com", "imap": IMAP}
VARIABLES = {
    "sending_domains": [{"name": "example.com"}],
    "sending_probe_mailboxes": [MAILBOX],
    "sending_probe_wait": 60,
    "sending_dns_resolvers": ["198.51.100.4", "[2001:db8::4]:5353"],
    "sending_dns_authoritative": "auto",
    "sending_dns_adopt": ["_dmarc.example.com."],
    "sending_dns_wait": "0",
    "sending_tls_ca": "/tls/ca.crt",
    "sending_blocklists": [{"name": "spamcop"}, {"name": "mine", "zone": "k3y.list.test", "kinds": ["domain"]}],
    "sending_ptr_is_helo": "true",
    "sending_verify_deployed": False,
    "sending_verify_matrix": "",
    "sending_verify_report": "~/verify.json",
    "sending_report": "/report.json",
    "sending_state": "/state",
    "sending_secrets": "/secrets",
}
HOST = {
    "sending_addresses": [{"address": "198.51.100.10", "helo": "mta1.example.com"}],
    "sending_tls_certificate": "/tls/mta1.crt",
    "sending_tls_key": "/tls/mta1.key",
}
CERTIFICATE = "subject=CN = mta1\n-----BEGIN CERTIFICATE-----\nMIIB\n"
FILES = {
    "/tls/ca.crt": CERTIFICATE.replace("BEGIN", "BEGIN TRUSTED"),
    "/tls/mta1.crt": CERTIFICATE,
    "/tls/mta1.key": "-----BEGIN PRIVATE KEY-----\nhunter2\n",
    "/secret/gmail": "hunter2\n",
}


def test_yaml_may_read_yes_and_no_as_truth():
    for value in (True, False, "yes", "no"):
        read_fleet({**VARIABLES, "sending_dns_authoritative": value}, {"mta1": HOST})


def told(inventory=None, files=None, host=None, **variables) -> dict[str, str]:
    """The mistakes, by path, that changed variables make."""
    with pytest.raises(Mistakes) as caught:
        read_fleet({**VARIABLES, **variables}, {"mta1": {**HOST, **(host or {})}}, inventory, files)
    paths = [mistake.path for mistake in caught.value.mistakes]
    assert len(paths) == len(set(paths)), paths
    return {mistake.path: str(mistake) for mistake in caught.value.mistakes}


def on_disk(**changes: str | Exception):
    """A controller with FILES, but for some: `mta1_key` stands for the one that ends so. An error is raised."""
    def read(path: str, _vaulted: bool) -> str:
        found = next((what for name, what in changes.items() if path.endswith(name.replace("_", "."))), None)
        if isinstance(found, Exception):
            raise found
        return FILES[path] if found is None else found

    return read


def test_all_of_them_are_read_without_a_mistake():
    assert read_fleet(VARIABLES, {"mta1": HOST}, {"mta1": {**VARIABLES, **HOST}}, on_disk())


BOX = "sending_probe_mailboxes[0]"


@pytest.mark.parametrize(("variables", "path", "words"), [
    ({"sending_probe_mailboxes": [{**MAILBOX, "imap": None}]}, f"{BOX}.imap", "add imap"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "imap": "hunter2"}]}, f"{BOX}.imap", "a text (not shown)"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "adress": "x"}]}, f"{BOX}.adress", "did you mean address?"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "address": "me"}]}, f"{BOX}.address", "an address such as"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "authserv_id": 5}]}, f"{BOX}.authserv_id", "in quotes"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "authserv_id": ""}]}, f"{BOX}.authserv_id", "add authserv_id"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "received_by": [""]}]}, f"{BOX}.received_by[0]", "a text"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "expect": "dkim"}]}, f"{BOX}.expect", "a list"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "expect": ["dkmi"]}]}, f"{BOX}.expect[0]", "did you mean dkim?"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "families": ["ip4"]}]}, f"{BOX}.families[0]", "did you mean ipv4?"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "imap": {**IMAP, "pasword": 1}}]}, f"{BOX}.imap.pasword", "password?"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "imap": {**IMAP, "port": 0}}]}, f"{BOX}.imap.port", "from 1 to 65535"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "imap": {**IMAP, "host": "a:993"}}]}, f"{BOX}.imap.host", "its own key"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "imap": {**IMAP, "tls_name": "a_b"}}]}, f"{BOX}.imap.tls_name", "host"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "imap": {**IMAP, "password": 13579}}]}, f"{BOX}.imap.password",
     "found a number (not shown), expected a text on one line; put it in quotes"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "imap": {"host": "h"}}]}, f"{BOX}.imap.password", "or password_file"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "imap": {**IMAP, "password_file": 5}}]}, f"{BOX}.imap.password_file",
     "a path on the controller"),
    ({"sending_probe_mailboxes": [{**MAILBOX, "imap": {**IMAP, "ca_file": "ca.crt"}}]}, f"{BOX}.imap.ca_file",
     'begin it with "{{ inventory_dir }}/"'),
    ({"sending_probe_mailboxes": [{**MAILBOX, "imap": {**IMAP, "password_file": "hunter2"}}]},
     f"{BOX}.imap.password_file", "found a text (not shown), expected a path from the root"),
    ({"sending_probe_mailboxes": MAILBOX}, "sending_probe_mailboxes", "a list"),
    ({"sending_probe_nobody_at": "nowhere"}, "sending_probe_nobody_at", "a domain name"),
    ({"sending_probe_nobody_at": ["gmail.com"]}, "sending_probe_nobody_at", "a domain name"),
    ({"sending_probe_nobody_at": "gmail.com"}, "sending_probe_nobody_at", "sending_agent beside it"),
    ({"sending_probe_wait": -1}, "sending_probe_wait", "from 0 to 86400"),
    ({"sending_dns_wait": "soon"}, "sending_dns_wait", "a whole number"),
    ({"sending_dns_resolvers": ["ns1.example.com"]}, "sending_dns_resolvers[0]", "expected an address"),
    ({"sending_dns_resolvers": ["198.51.100.4:0"]}, "sending_dns_resolvers[0]", "expected an address"),
    ({"sending_dns_resolvers": [4]}, "sending_dns_resolvers[0]", "a text on one line"),
    ({"sending_dns_resolvers": "198.51.100.4"}, "sending_dns_resolvers", "put - before each item"),
    ({"sending_dns_authoritative": "yess"}, "sending_dns_authoritative", "did you mean yes?"),
    ({"sending_dns_adopt": ["a..b"]}, "sending_dns_adopt[0]", "'a..b' is not a domain name"),
    ({"sending_dns_adopt": [True]}, "sending_dns_adopt[0]", "is not a domain name"),
    ({"sending_dns_ttl": 2**31}, "sending_dns_ttl", "from 0 to 2147483647"),
    ({"sending_tls_ca": 5}, "sending_tls_ca", "a path on the controller"),
    ({"sending_tls_ca": "ca.crt"}, "sending_tls_ca", "found 'ca.crt', expected a path from the root"),
    ({"sending_blocklists": [{"name": "spamcopp"}]}, "sending_blocklists[0]", "expected one of spamcop, psbl"),
    ({"sending_blocklists": [{"zone": "k3y"}]}, "sending_blocklists[0].name", "add name"),
    ({"sending_blocklists": [{"name": ["x"]}]}, "sending_blocklists[0].name", "a text"),
    ({"sending_blocklists": [{"name": "mine", "zone": "k3y..x"}]}, "sending_blocklists[0]", "its zone is no domain"),
    ({"sending_blocklists": [{"name": "mine", "zone": "z.test", "kinds": ["ip"]}]}, "sending_blocklists[0].kinds[0]",
     "one of ip4, ip6, domain"),
    ({"sending_blocklists": ["k3y"]}, "sending_blocklists[0]", "a text (not shown)"),
    ({"sending_ptr_is_helo": "maybe"}, "sending_ptr_is_helo", "true or false"),
    ({"sending_verify_deployed": 1}, "sending_verify_deployed", "true or false"),
    ({"sending_verify_matrix": "m.csv"}, "sending_verify_matrix", "from the root"),
    ({"sending_verify_report": ["x"]}, "sending_verify_report", "a path on the controller"),
    ({"sending_report": "a\nb"}, "sending_report", "on one line"),
    ({"sending_state": ""}, "sending_state", "a path on the controller"),
    ({"sending_secrets": "secrets"}, "sending_secrets", "from the root"),
    ({"host": {"sending_tls_key": "-----BEGIN PRIVATE KEY-----\nhunter2\n"}}, "mta1: sending_tls_key", "(not shown)"),
    ({"host": {"sending_tls_key": False}}, "mta1: sending_tls_key", "a path on the controller"),
    ({"host": {"sending_tls_key": ""}}, "mta1: sending_tls_key", "the other half is given"),
])
def test_a_mistake_is_told_with_its_path(variables, path, words):
    found = told(**variables)
    assert list(found) == [path]
    assert words in found[path]
    assert not any(secret in found[path] for secret in ("hunter2", "13579", "k3y"))


@pytest.mark.parametrize("value", [None, 1, "x", [1], [[]], {"a": 1}, [{"name": {"x": 1}, "imap": 3, "address": 4}],
                                   [{**MAILBOX, "imap": [1]}], [{"name": "x", "zone": 3, "kinds": 3}]])
@pytest.mark.parametrize("name", [*inventory_names.FLEET_WIDE, *inventory_names.OF_HOST])
def test_junk_is_a_mistake_and_not_a_traceback(name, value):
    of_host = name in inventory_names.OF_HOST
    variables, host = ({}, {name: value}) if of_host else ({name: value}, {})
    try:
        read_fleet({**VARIABLES, **variables}, {"mta1": {**HOST, **host}}, files=on_disk(x="", h="", a=""))
    except Mistakes as error:
        assert all(name in mistake.path or "domains" in mistake.path or "tls_" in mistake.path
                   for mistake in error.mistakes)


def test_a_flag_given_on_the_command_line_is_a_text():
    servers = read_fleet(VARIABLES, {"mta1": {**HOST, "sending_submission": "False"}}).servers
    assert [server.submission for server in servers] == [False]


def test_a_mailbox_is_read_in_canonical_form():
    reader = Reader()
    (target,) = read_mailboxes(reader, [MAILBOX], "mailboxes")
    assert reader.mistakes == []
    assert (target.authserv_id, target.receivers) == ("mx.google.com", ("mx.google.com",))
    assert (target.methods, target.families) == (("dkim", "spf", "dmarc"), ("ipv4", "ipv6"))
    assert (target.account.user, target.account.port) == ("me", 993)


class TestNames:
    """What the variables of hosts are called."""

    def test_a_misspelt_variable_is_told_with_the_nearest(self):
        variables = {"sending_domain": [], "sending_users": []}
        found = told(dict.fromkeys(("mta1", "mta2"), variables), sending_dns_wait=-1)
        assert list(found) == ["sending_domain", "sending_dns_wait"]
        assert found["sending_domain"].endswith("did you mean sending_domains?")

    def test_one_that_resembles_none_may_be_somebodys_own(self):
        (text,) = told({"mta1": {"sending_xyzzy_of_ours": 1}}).values()
        assert text.endswith("call it otherwise: names that begin with sending_ are the role's")

    def test_that_of_one_host_is_told_with_it(self):
        found = told({"mta1": {}, "mta2": {"sending_adresses": []}})
        assert list(found) == ["mta2: sending_adresses"]

    def test_a_value_that_differs_from_host_to_host(self):
        found = told({"mta1": {"sending_report": "/a"}, "mta2": {"sending_report": "/b"}}, sending_dns_wait=-1)
        assert list(found) == ["mta2: sending_report", "sending_dns_wait"]
        assert "the value that mta1 has" in found["mta2: sending_report"]

    def test_what_the_role_registers_is_known(self):
        registered = dict.fromkeys(inventory_names.REGISTERED, {})
        assert read_fleet(VARIABLES, {"mta1": HOST}, {"mta1": {**registered, "ansible_host": "x", "sendings": 1}})

    def test_the_lists_are_those_of_the_role(self):
        spec = yaml.safe_load((ROOT / "roles/sending/meta/argument_specs.yml").read_text())["argument_specs"]["main"]
        assert sorted((*inventory_names.OF_HOST, *inventory_names.FLEET_WIDE)) == sorted(spec["options"])
        tasks = "".join(path.read_text() for path in (ROOT / "roles/sending/tasks").glob("*.yml"))
        assert sorted(set(re.findall(r"register: (\w+)", tasks))) == sorted(inventory_names.REGISTERED)


class TestFiles:
    """Files on the controller are looked into before anything else is done."""

    def test_that_cannot_be_read(self):
        missing = FileNotFoundError(2, "No such file or directory")
        files = on_disk(mta1_crt=missing, mta1_key=ValueError("no vault secrets"), ca_crt=missing, gmail=missing)
        found = told(files=files)
        assert set(found) == {"mta1: sending_tls_certificate", "mta1: sending_tls_key", "sending_tls_ca",
                              f"{BOX}.imap.password_file"}
        assert ("found /tls/mta1.crt, which cannot be read: No such file or directory, expected a certificate"
                in found["mta1: sending_tls_certificate"])
        assert "/tls/mta1.key, which cannot be read: no vault secrets" in found["mta1: sending_tls_key"]

    @pytest.mark.parametrize("key", ["", "hunter2", CERTIFICATE, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2",
                                     "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nhunter2"])
    def test_that_hold_something_else(self, key):
        found = told(files=on_disk(mta1_key=key, ca_crt="$ANSIBLE_VAULT;1.1;AES256\n", mta1_crt="x", gmail=" \n"))
        assert len(found) == 4 and "hunter2" not in str(found)
        assert "a private key in PEM form without a passphrase" in found["mta1: sending_tls_key"]

    @pytest.mark.parametrize("kind", ["RSA ", "EC ", ""])
    def test_keys_of_every_kind(self, kind):
        files = on_disk(mta1_key=f"-----BEGIN {kind}PRIVATE KEY-----\nMIIB")
        assert read_fleet(VARIABLES, {"mta1": HOST}, files=files)

    def test_only_those_that_we_read_ourselves_may_be_in_a_vault(self):
        asked = {}
        read_fleet(VARIABLES, {"mta1": HOST}, files=lambda path, vaulted: asked.update({path: vaulted}) or FILES[path])
        assert asked == {"/tls/mta1.crt": True, "/tls/mta1.key": True, "/secret/gmail": True, "/tls/ca.crt": False}
