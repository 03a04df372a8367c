# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's configuration on Debian 12 and 13 side by side: the same settings, and nobody uses another's domains."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from types import SimpleNamespace

import certificates
import pytest
from postfix_node import Node
from servers import SUITES, Controller, Server

from ansible_collections.mailfleet.sending.plugins.module_utils import fleet as model
from ansible_collections.mailfleet.sending.plugins.module_utils.dovecot_auth import ssha512
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_dkim import dkim_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import postfix_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_throttle import throttle_layer

EVERY_RELEASE = pytest.mark.parametrize("suite", SUITES.values())
PASSWORDS = {"shop": "Pa55-of-shop", "news": "Pa55-of-news"}
ELSEWHERE = "somebody@elsewhere.test"
# What smtpd(8) answers to MAIL FROM and RCPT TO: the first refusal, or the code of the last answer.
SAY = """
import json, smtplib, ssl, sys
host, port, sender, recipient, login = json.loads(sys.argv[1])
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with smtplib.SMTP(host, port, "test", 30) as smtp:
    if port == 587:
        smtp.starttls(context=context)
    if login:
        smtp.login(*login)
    for ask in (lambda: smtp.mail(sender), lambda: smtp.rcpt(recipient)):
        code, text = ask()
        if code != 250:
            break
    print(code, text.decode())
"""
# What differs by design, and why.
ALLOWED = {
    # Postfix 3.9 converts 8-bit mail before it is signed; 3.7 cannot, and refuses it instead.
    "force_mime_input_conversion": (None, "yes"),
    "mime_header_checks": ("pcre:/etc/postfix/mailfleet/eight_bit.", "pcre:/etc/postfix/mailfleet/long_lines."),
    "smtpd_discard_ehlo_keyword_address_maps": ("static:{dsn, 8bitmime}", ""),
}
# What Debian's packages say where documents are, and for a library of logins that is not used here.
PACKAGING = {"readme_directory", "cyrus_sasl_config_path"}
# Where Debian's two releases have other defaults, and what else decides how mail is taken, signed and sent.
MEASURED = ("milter_default_action", "smtpd_forbid_bare_newline", "compatibility_level", "default_database_type",
            "smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_security_level", "smtp_tls_security_level",
            "smtp_tls_CApath", "smtp_tls_CAfile", "smtp_tls_connection_reuse", "smtp_bind_address_enforce",
            "qmgr_message_active_limit", "smtpd_relay_restrictions", "default_transport", "relayhost",
            "sender_dependent_default_transport_maps", "default_destination_rate_delay",
            "default_destination_recipient_limit", "default_destination_concurrency_failed_cohort_limit",
            "maillog_file")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A server of each release with the layers of one and the same server of a fleet; the layers, and the network that
    this host is in for them."""
    folder = tmp_path_factory.mktemp("controller")
    servers: dict[str, Server] = {}
    try:
        for release, suite in SUITES.items():
            servers[suite] = Server(f"both{release}", release)
        nodes = {suite: Node(server, Controller(tmp_path_factory.mktemp(suite))) for suite, server in servers.items()}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
            route.connect((servers["trixie"].address, 25))
            here = route.getsockname()[0]
        pair = certificates.pair()
        (folder / "mta1.crt").write_text(pair.certificate)
        (folder / "mta1.key").write_text(pair.key)
        layers = fleet_layers(here, folder)
        users = [{"name": name, "password_hash": ssha512(word, b"a salt of test")} for name, word in PASSWORDS.items()]
        for node in nodes.values():
            # A Dovecot that serves mailboxes is refused.
            node.server.shell("dpkg --purge dovecot-imapd")
            node.controller.play({"mailfleet.sending.submission_auth": {"users": users, "probe_login": False}},
                                 node.server)
            node.apply({**layers, "dkim": {}})
        yield SimpleNamespace(nodes=nodes, layers=layers, pair=pair)
    finally:
        for server in servers.values():
            server.stop()


def fleet_layers(network: str, folder) -> dict:
    """The layers of a server of a fleet with two domains, two networks and two logins, each with one of the domains."""
    server = model.Server("mta1", (model.Address("198.51.100.10", "mta1.example.com", "198.51.100.10"),), True,
                          str(folder / "mta1.crt"), str(folder / "mta1.key"))
    fleet = model.Fleet(
        (server,),
        (model.Domain("example.com", "0", "e.example.com"), model.Domain("example.us", "1", "e.example.us")),
        (model.Provider("throttle", ("orange.fr", "wanadoo.fr"), 1, "1s"),),
        # The wider one is another's: the narrowest network counts.
        (model.Network(f"{network}/32", ("example.com",)), model.Network("10.255.0.0/16", ("example.us",))),
        (model.User("shop", ("example.com",)), model.User("news", ("example.us",))),
    )
    return {"postfix": postfix_layer(fleet, server), "dkim": dkim_layer(), "throttle": throttle_layer(fleet, server)}


def said(host: str, sender: str, recipient: str = ELSEWHERE, port: int = 25, login: str = "",
         inside: Server | None = None) -> str:
    """What Postfix says to a sender and a recipient, asked from this host or from inside of a server."""
    wanted = json.dumps([host, port, sender, recipient, [login, PASSWORDS[login]] if login else None])
    where = ["podman", "exec", inside.name, "python3"] if inside else [sys.executable]
    done = subprocess.run([*where, "-c", SAY, wanted], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@EVERY_RELEASE
@pytest.mark.parametrize("sender, answer", [
    ("a@example.com", "250 "),
    ("b+token@e.example.com", "250 "),
    ("a@example.us", "554 "),
    ("b+token@e.example.us", "554 "),
    ("a@sub.example.com", "554 "),
    ("a@foreign.test", "554 "),
    ("", "554 "),
])
def test_a_listed_network_relays_for_its_own_domains_only(both, suite, sender, answer):
    assert said(both.nodes[suite].server.address, sender).startswith(answer)


@EVERY_RELEASE
def test_the_server_itself_relays_for_all_of_the_fleets_domains_only(both, suite):
    server = both.nodes[suite].server
    for sender in ("a@example.com", "a@example.us", "b+token@e.example.us", ""):
        assert said("127.0.0.1", sender, inside=server).startswith("250 "), sender
    assert said("127.0.0.1", "a@foreign.test", inside=server).startswith("554 ")


@EVERY_RELEASE
def test_a_stranger_relays_for_nobody_and_mail_for_the_fleet_itself_is_taken(both, suite):
    """The other of the two servers is a stranger: no listed network has its address."""
    host = both.nodes[suite].server.address
    (stranger,) = (node.server for name, node in both.nodes.items() if name != suite)
    for sender in ("a@example.com", "a@foreign.test", ""):
        answer = said(host, sender, inside=stranger)
        assert answer.startswith("554 ") and "Relay access denied" in answer
    assert said(host, "a@foreign.test", "postmaster@e.example.com", inside=stranger).startswith("250 ")
    assert said(host, "a@example.com", port=587, inside=stranger).startswith("554 ")


@EVERY_RELEASE
@pytest.mark.parametrize("login, sender, answer", [
    ("shop", "a@example.com", "250 "),
    ("shop", "b+token@e.example.com", "250 "),
    ("news", "a@example.us", "250 "),
    ("news", "a@example.com", "553 5.7.1 <a@example.com>: Sender address rejected: not owned by user news"),
    ("news", "b+token@e.example.com", "553 "),
    ("shop", "a@example.us", "553 5.7.1 <a@example.us>: Sender address rejected: not owned by user shop"),
    ("news", "a@foreign.test", "553 "),
    ("shop", "probe+ip-198-51-100-10@e.example.com", "553 "),
])
def test_a_login_uses_its_own_domains_only(both, suite, login, sender, answer):
    assert said(both.nodes[suite].server.address, sender, port=587, login=login).startswith(answer)


@EVERY_RELEASE
def test_the_certificate_is_shown_where_mail_comes_in_and_where_it_is_submitted(both, suite):
    node = both.nodes[suite]
    node.apply({"more": {"parameters": {"smtp_connect_timeout": "29s"}}})
    assert node.controller.outcome["proof"]["certificates"] == dict.fromkeys(
        ("127.0.0.1:25", "127.0.0.1:587", "127.0.0.1:10026"), both.pair.fingerprint)
    node.apply({"more": {}})


def values(node: Node, names: set[str], *options: str) -> dict[str, str | None]:
    """What parameters are for a Postfix; None for one that it does not know."""
    lines = node.shell(f"postconf {' '.join([*options, *sorted(names)])} 2>/dev/null").splitlines()
    known = {name: value.strip() for name, _equals, value in (line.partition(" =") for line in lines)}
    return {name: known.get(name) for name in names}


@pytest.fixture
def signing(both):
    """With the milter's layer besides, which nothing answers here: so nothing is proved."""
    for node in both.nodes.values():
        node.apply({"dkim": both.layers["dkim"]}, prove=False)
    yield both
    for node in both.nodes.values():
        node.apply({"dkim": {}}, prove=False)


def test_both_end_with_the_same_settings(signing):
    names = {*MEASURED, *(name for layer in signing.layers.values() for name in layer["parameters"])}
    for node in signing.nodes.values():
        names |= {line.partition(" =")[0] for line in node.shell("postconf -n").splitlines()}
    names -= PACKAGING
    twelve, thirteen = (values(signing.nodes[suite], names, "-x") for suite in SUITES.values())
    differing = {name: (twelve[name], thirteen[name]) for name in names if twelve[name] != thirteen[name]}
    assert differing.keys() == ALLOWED.keys(), differing
    for name, found in differing.items():
        for value, expected in zip(found, ALLOWED[name], strict=True):
            assert value == expected or (expected and value and value.startswith(expected)), (name, value)
    assert "may" == twelve["smtp_tls_security_level"] == thirteen["smtp_tls_security_level"]
    assert None not in thirteen.values() and len(names) > 60


def test_their_defaults_would_not_be_the_same(signing):
    names = {"milter_default_action", "smtpd_forbid_bare_newline"}
    twelve, thirteen = (values(signing.nodes[suite], names, "-d") for suite in SUITES.values())
    assert [name for name in sorted(names) if twelve[name] == thirteen[name]] == []


def test_both_end_with_the_same_services(signing):
    keys = {key for layer in signing.layers.values() for key in layer["services"]}
    assert {"submission/inet", "throttle/unix", "ip-198-51-100-10/unix"} <= keys
    found = []
    for node in signing.nodes.values():
        lines = {key: " ".join(node.shell(f"postconf -M {key}").split()) for key in keys}
        found.append((lines, sorted(line for key in keys for line in node.shell(f"postconf -P {key}").splitlines())))
    assert found[0] == found[1] and len(found[0][1]) > 10
    for node in signing.nodes.values():
        assert not node.apply(signing.layers, "--check", prove=False)["changed"]
