# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of OpenDKIM's configuration, tables and policy, and the probes that prove them."""
from __future__ import annotations

import re

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils import opendkim_conf, opendkim_policy, opendkim_probe
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_dkim import dkim_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.opendkim_policy import Policy, PolicyMistakes, Signing

POLICY = Policy(
    signing=(Signing("example.com", "m1", subdomains=True), Signing("example.us", "m2")),
    deferred=("example.net",),
    unsigned=("example.org",),
    logins={"shop": ("example.com",), "probe": ("*",)},
    networks={"198.51.100.0/24": ("example.us",), "2001:db8:61::/64": ("*",)},
    notices=("mta1.example.us",),
)


def settings(generation):
    return dict(line.split(" ", 1) for line in generation.conf.splitlines() if not line.startswith("#"))


def test_the_key_table_names_every_key_and_the_one_that_is_none():
    assert opendkim_policy.key_table(POLICY, "/etc/dkimkeys").splitlines() == [
        "m1._domainkey.example.com example.com:m1:/etc/dkimkeys/example.com/m1.pem",
        "m2._domainkey.example.us example.us:m2:/etc/dkimkeys/example.us/m2.pem",
        "refused refused.invalid:none:none",
    ]


def test_the_configuration():
    generation = opendkim_conf.generation(POLICY)
    found = settings(generation)
    assert found["Mode"] == "s" and found["Canonicalization"] == "relaxed/relaxed" and found["UMask"] == "007"
    assert found["PidFile"].startswith("/run/") and found["RequireSafeKeys"] == "yes" and found["UserID"] == "opendkim"
    assert found["Socket"] == "local:/var/spool/postfix/opendkim/opendkim.sock"
    assert found["OversignHeaders"] == "From" and found["SignatureAlgorithm"] == "rsa-sha256"
    assert not {"BodyLengths", "MaximumSignedBytes", "KeyFile", "Domain", "SigningTable"} & set(found)
    assert found["KeyTable"] == f"file:/etc/opendkim/{generation.name}/KeyTable"


@pytest.mark.parametrize("header", ["From", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID", "MIME-Version",
                                    "Content-Type", "Content-Transfer-Encoding", "Message-ID", "Date", "Reply-To"])
def test_what_must_be_under_the_signature(header):
    assert header in settings(opendkim_conf.generation(POLICY))["SignHeaders"].split(",")


@pytest.mark.parametrize("header", ["Received", "Return-Path", "Bcc", "DKIM-Signature", "Authentication-Results"])
def test_what_changes_on_the_way_is_not_signed(header):
    assert header not in opendkim_conf.SIGNED_HEADERS


def test_ed25519_has_its_own_algorithm():
    assert settings(opendkim_conf.generation(POLICY, "ed25519"))["SignatureAlgorithm"] == "ed25519-sha256"


def test_a_generation_has_the_name_of_its_content():
    same, other = opendkim_conf.generation(POLICY), opendkim_conf.generation(Policy(deferred=("example.com",)))
    assert same == opendkim_conf.generation(POLICY)
    assert re.fullmatch("[0-9a-f]{16}", same.name) and same.name != other.name


def test_the_milter_of_the_layer_is_the_socket_of_the_configuration():
    parameters = dkim_layer()["parameters"]
    path = parameters["smtpd_milters"].removeprefix("unix:")
    assert f"/var/spool/postfix/{path}" == opendkim_conf.SOCKET and parameters["non_smtpd_milters"] == f"unix:{path}"


def test_the_layer_sends_the_macros_that_the_policy_asks_for():
    parameters = dkim_layer()["parameters"]
    assert {"{mailfleet_sender}", "{auth_authen}", "{auth_type}"} <= set(parameters["milter_mail_macros"].split())
    assert parameters["milter_macro_defaults"] == "mailfleet_sender=policy@mailfleet.invalid"
    assert settings(opendkim_conf.generation(POLICY))["SenderMacro"] == "{mailfleet_sender}"
    assert parameters["milter_default_action"] == "tempfail"


def table(name, policy=POLICY):
    return re.search(rf"^local {name} = (.*)$", opendkim_policy.setup_script(policy), re.MULTILINE).group(1)


def test_networks_are_texts_of_bits():
    assert '["4110001100011001101100100"] = {["example.us"] = true}' in table("networks")
    assert f'["6{0x20010DB800610000:064b}"] = {{["*"] = true}}' in table("networks")
    assert '["401111111"] = {["*"] = true}' in table("networks")


def test_loopback_can_be_narrowed():
    policy = Policy(signing=POLICY.signing, networks={"127.0.0.0/8": ("example.us",)})
    assert '["401111111"] = {["example.us"] = true}' in table("networks", policy)


def test_a_login_is_text_and_never_program():
    policy = Policy(signing=POLICY.signing, logins={'"] = 1} os.exit(1) --\n\\ü': ("example.com",)})
    assert table("logins", policy) == (
        r'{["\034\093\032\061\0321\125\032os.exit\0401\041\032--\010\092\195\188"] = {["example.com"] = true}}')


def test_domains_of_ours_and_those_above_names():
    assert table("names") == (
        '{["example.com"] = "example.com", ["example.net"] = "example.net", ["example.org"] = "example.org", '
        '["example.us"] = "example.us", ["mta1.example.us"] = "example.us"}')
    assert table("below") == '{["example.com"] = true}'
    assert table("deferred") == '{["example.net"] = true}'


@pytest.mark.parametrize("policy, said", [
    (Policy(signing=POLICY.signing, deferred=("example.com",)), "example.com: found 2 times"),
    (Policy(logins={"shop": ("example.net",)}), "logins.shop: found the domain 'example.net', which is none of"),
    (Policy(networks={"198.51.100.1/24": ("*",)}), "198.51.100.1/24 has host bits set"),
    (Policy(signing=POLICY.signing, notices=("mta1.example.edu",)), "found 'mta1.example.edu', which is in no domain"),
])
def test_what_contradicts_itself(policy, said):
    with pytest.raises(PolicyMistakes, match=said):
        opendkim_policy.setup_script(policy)


def test_all_mistakes_at_once():
    with pytest.raises(PolicyMistakes) as caught:
        opendkim_policy.check(Policy(logins={"a": ("x.example", "y.example")}, networks={"none": ()}, notices=("z",)))
    assert len(caught.value.mistakes) == 4


def test_the_longest_domain_owns_a_name():
    domains = ["example.com", "b.example.com", "c.example.com"]
    assert opendkim_policy.owner_of("a.b.example.com", domains) == "b.example.com"
    assert opendkim_policy.owner_of("xample.com", ["example.com"]) is None
    assert opendkim_policy.owner_of("notexample.com", ["example.com"]) is None


def test_everything_promised_is_probed():
    assert [(probe.about, probe.action, probe.reply) for probe in opendkim_probe.probes(POLICY)] == [
        ("From example.com", "accept", ""),
        ("From example.us", "accept", ""),
        ("From example.net, whose key is not seen yet", "tempfail", "451 4.7.5"),
        ("From example.org, allowed unsigned", "accept", ""),
        ("From this server's own mta1.example.us", "accept", ""),
        ("From a domain that is not ours", "reject", "550 5.7.1"),
        ("From with two addresses", "reject", "550 5.7.1"),
        ("login shop with From example.us", "reject", "550 5.7.1"),
        ("client 198.51.100.0 with From example.com", "reject", "550 5.7.1"),
    ]


def test_a_client_whose_first_address_is_in_a_narrower_network_is_not_probed():
    policy = Policy(signing=POLICY.signing, networks={"198.51.100.0/24": ("example.us",), "198.51.100.0/25": ("*",)})
    assert not [probe for probe in opendkim_probe.probes(policy) if probe.about.startswith("client")]
