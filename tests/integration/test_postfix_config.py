# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postfix_config on both Debian versions: what it installs, and what it refuses."""

from __future__ import annotations

import pytest
from postfix_node import BASE, MODULE, STATE, THROTTLE, TRANSPORT, faulty


def test_recipe_to_the_letter(node):
    result = node.apply({"postfix": BASE, "throttle": THROTTLE}, "--diff")
    assert result["changed"] and result["reloaded"] and not result["restarted"]
    assert result["proof"]["banners"]["127.0.0.1:25"].startswith("220 mta1.example.com ")
    assert "deliverable" in result["proof"]["queue"]
    assert "throttle unix - - - - 1 smtp" in node.shell("cat /etc/postfix/master.cf").splitlines()
    assert " ".join(node.shell("postconf -M throttle/unix").split()) == "throttle unix - - - - 1 smtp"
    assert node.shell("postconf throttle_destination_rate_delay") == "throttle_destination_rate_delay = 1s\n"
    table = node.shell("postconf -h transport_maps").strip()
    assert node.shell(f"postmap -q orange.fr {table}; postmap -q wanadoo.fr {table}") == "throttle:\nthrottle:\n"
    assert node.shell(f"cat {table.partition(':')[2]}") == "orange.fr throttle:\nwanadoo.fr throttle:\n"


def test_second_run_writes_nothing(node):
    options = {"syslog_name": "postfix/bound", "smtp_helo_name": "mta1.example.com", "inet_protocols": "ipv4"}
    bound = {"bound/unix": {"command": "smtp", "options": options}}
    layers = {"postfix": {**BASE, "services": bound}, "throttle": THROTTLE}
    node.apply(layers)
    before = node.state()
    assert not node.apply(layers)["changed"]
    assert not node.apply({"throttle": THROTTLE})["changed"], "a layer that is not passed stays"
    assert not node.apply(layers, "--check")["changed"]
    assert node.state() == before


def test_check_mode_tells_what_the_run_does(node):
    layers = {"postfix": BASE, "throttle": THROTTLE}
    before = node.state()
    told = node.apply(layers, "--check", "--diff")
    assert node.state() == before
    done = node.apply(layers, "--diff")
    for key in ("changed", "diff", "reloaded", "restarted", "started", "unused", "postfix_version"):
        assert told[key] == done[key], key


def test_in_check_mode_a_user_may_be_made_before(node):
    node.apply({"postfix": BASE})
    layers = {"owner": {"services": {"owner/unix": {"command": "local", "unprivileged": "n",
                                                    "options": {"default_privs": "nobody-yet"}}}}}
    told = node.apply(layers, "--check")
    assert told["unverified"] == ["services owner/unix: parameter default_privs: unknown user name value: nobody-yet"]
    assert "unknown user name value: nobody-yet, expected" in node.refused(layers)


def test_removed_layer_leaves_no_trace(node):
    stock = node.files()
    node.apply({"postfix": BASE})
    base = node.files()
    node.apply({"throttle": THROTTLE})
    node.apply({"throttle": {}})
    assert node.files() == base
    node.apply({"postfix": {}})
    assert node.files() == stock


def test_drift_is_set_back_and_foreign_settings_stay(node):
    node.apply({"postfix": BASE})
    node.shell("sed -i 's/^myhostname.*/myhostname = other.example.com/' /etc/postfix/main.cf; "
               "printf '# by hand\\ndelay_warning_time = 4h\\n' >> /etc/postfix/main.cf")
    result = node.apply({}, "--diff")
    assert result["changed"]
    assert "-myhostname" not in result["diff"][0]["after"]
    assert "myhostname = other.example.com" in result["diff"][0]["before"]
    assert node.shell("postconf -h myhostname delay_warning_time") == "mta1.example.com\n4h\n"
    assert "# by hand\n" in node.shell("cat /etc/postfix/main.cf")


REFUSALS = {
    "misspelt parameter": (
        faulty(smtpd_banna="hi"), ["layers.postfix.parameters.smtpd_banna", "did you mean smtpd_banner?"]),
    "bad value": (faulty(smtpd_timeout="5q"), ["smtpd_timeout: bad time value"]),
    "unknown restriction": (faulty(smtpd_client_restrictions="permit_mynetwork"), ["did you mean permit_mynetworks?"]),
    "undefined transport": ({**BASE, "tables": {"transport": TRANSPORT}}, ["(orange.fr)", "transport throttle"]),
    "undefined default transport": (faulty(default_transport="nobody:"), ["transport nobody"]),
    "table that does not build": (
        {"parameters": {"body_checks": "{table:checks}"},
         "tables": {"checks": {"type": "pcre", "entries": [["/a(/", "OK"]]}}},
        ["layers.postfix.tables.checks", "closing parenthesis"],
    ),
    "table that is not there": (faulty(virtual_alias_maps="hash:/etc/nowhere"), ["hash:/etc/nowhere"]),
    "table that cannot be read": (faulty(virtual_alias_maps="texthash:/root"), ["texthash:/root", "no file"]),
    "unknown table type": (faulty(virtual_alias_maps="mysql:/etc/x"), ["table type mysql"]),
    "key that is not there": (faulty(smtpd_tls_key_file="/etc/nowhere.key"), ["/etc/nowhere.key"]),
    "open relay": (
        faulty(smtpd_relay_restrictions="permit_mynetworks", smtpd_recipient_restrictions="permit"), ["open relay"]),
    "open network": (faulty(mynetworks="127.0.0.0/8 0.0.0.0/0"), ["0.0.0.0/0"]),
    "open service": (
        {"services": {"2525/inet": {
            "private": "n", "command": "smtpd", "options": {"smtpd_relay_restrictions": "permit"}}}},
        ["layers.postfix.services.2525/inet", "open relay"],
    ),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_refused_and_untouched(machine, fault):
    layer, words = REFUSALS[fault]
    before, banner = machine.standing(), machine.up()
    message = machine.refused({"postfix": layer})
    for word in words:
        assert word in message
    assert machine.standing() == before
    assert machine.up() == banner


def test_all_mistakes_at_once(node):
    message = node.refused({
        "postfix": {
            "parameters": {"smtpd_banna": "hi", "default_transport": "nobody:", "mynetworks": "0.0.0.0/0"},
            "tables": {"unbuilt": {"type": "cidr", "entries": [["10.0.0.0/8", "x"]]}},
        },
        "throttle": {"tables": {"unbuilt": {"type": "cidr", "entries": [["300.0.0.0/8", "x"]]}},
                     "parameters": {"smtpd_client_restrictions": "check_client_access {table:unbuilt}"}},
    })
    for word in ("smtpd_banna", "transport nobody", "0.0.0.0/0", "layers.throttle.tables.unbuilt.entries[0]: found"):
        assert word in message


def test_what_does_not_come_up_is_undone(node):
    """All checks pass, but the logins' socket is not there, and smtpd hangs up: only the proof can see that."""
    node.apply({"postfix": BASE})
    before, banner = node.files(), node.up()
    options = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "private/none"}
    service = {"services": {"127.0.0.1:2600/inet": {"private": "n", "command": "smtpd", "options": options}}}
    message = node.refused({"extra": service}, prove={"timeout": 8})
    assert "no 220 banner on 127.0.0.1:2600" in message and "stands again and is up" in message
    assert node.files() == before
    assert node.up() == banner
    assert not node.apply({"postfix": BASE})["changed"]


def test_port_that_another_program_holds_is_refused(node):
    """master(8) would end over it, and with it all of Postfix."""
    node.shell('systemd-run --quiet --unit=taken python3 -c "import socket, time; '
               "s = socket.create_server(('127.0.0.1', 2600)); time.sleep(600)\"; "
               "for i in $(seq 600); do ss -lnt | grep -q :2600 && exit; sleep 0.1; done; exit 1")
    service = {"services": {"127.0.0.1:2600/inet": {"private": "n", "command": "smtpd"}}}
    message = node.refused({"extra": service})
    node.shell("systemctl stop taken")
    assert "layers.extra.services.127.0.0.1:2600/inet: found 127.0.0.1:2600: Address already in use" in message
    node.up()


def test_first_installation_starts_postfix(node):
    node.shell("systemctl stop postfix")
    told = node.apply({"postfix": BASE}, "--check")
    done = node.apply({"postfix": BASE})
    assert told["started"] and done["started"]
    node.up()


def test_before_installation(node):
    node.shell("mv /usr/sbin/postconf /usr/sbin/postconf.away")
    try:
        form = {"parameters": {"biff": {"value": "no", "since": "3.9"}}}
        told = node.apply({"postfix": BASE, "form": form}, "--check", "--diff")
        refusal = node.refused({"postfix": BASE})
    finally:
        node.shell("mv /usr/sbin/postconf.away /usr/sbin/postconf")
    assert told["changed"] and told["diff"][0]["before"] == "" and "mta1.example.com" in told["diff"][0]["after"]
    assert any("biff" in line for line in told["unverified"])
    assert "install the package postfix" in refusal


def test_secret_table_is_shown_to_nobody(node):
    layer = {"parameters": {"smtp_sasl_password_maps": "{table:relay}"},
             "tables": {"relay": {"type": "hash", "secret": True}}}
    entries = {"relay": [["[relay.test]:587", "login:Pa55-word-of-nobody"]]}
    done = node.controller.play({MODULE: {"layers": {"postfix": layer}, "secret_entries": entries}}, node.server,
                                ("--diff", "-vvv"))
    shown = "\n".join(line for line in (done.stdout + done.stderr).splitlines())
    assert "Pa55-word" not in shown
    assert "Pa55-word" not in node.shell("journalctl -q; grep -rl Pa55-word /tmp /var/tmp || :")
    table = node.shell("postconf -h smtp_sasl_password_maps").strip()
    assert node.shell(f"postmap -q '[relay.test]:587' {table}") == "login:Pa55-word-of-nobody\n"
    modes = node.shell("stat -c '%a %U %G' /etc/postfix/mailfleet/*").splitlines()
    assert modes == ["640 root postfix"] * 2


@pytest.mark.long
def test_generations_are_kept_to_five(node):
    for index in range(7):
        node.apply({"postfix": faulty(smtpd_banner=f"$myhostname {index}")}, check=True, prove=False)
    kept = node.shell(f"ls {STATE}/generations").split()
    assert len(kept) == 5 and node.shell(f"readlink {STATE}/current").strip() == f"generations/{max(map(int, kept))}"


@pytest.fixture
def filing(node):
    """A Postfix that logs to a file of its own instead of the journal (MAILLOG_README)."""
    node.shell("postconf -e maillog_file=/var/log/postfix.log; sleep 2; systemctl restart postfix")
    return node


def filed(node) -> int:
    """How many lines the file has after one line more of Postfix's."""
    node.shell("postfix reload 2>&1; sleep 1")
    return node.lines("/var/log/postfix.log")


def test_a_log_that_is_no_journal_is_told_before_anything_changes(filing):
    before = filing.standing()
    for layers, where in (({"postfix": BASE}, "main.cf maillog_file"),
                          ({"postfix": faulty(maillog_file="/var/log/x")}, "layers.postfix.parameters.maillog_file")):
        message = filing.refused(layers)
        assert f"{where}: found /var/log/" in message and "set it to an empty text in a layer" in message
    assert filing.standing() == before
    filing.apply({"postfix": BASE}, prove={"queue": False})
    assert filing.shell("postconf -h maillog_file") == "/var/log/postfix.log\n"


def test_a_layer_brings_the_log_back_to_the_journal(filing):
    layers = {"postfix": faulty(maillog_file="")}
    done = filing.apply(layers)
    assert "deliverable" in done["proof"]["queue"] and not done["restarted"]
    lines = filing.lines("/var/log/postfix.log")
    assert filed(filing) == lines and not filing.apply(layers)["changed"]
    filing.up()


def test_going_back_to_a_log_of_its_own_waits_for_no_message(filing):
    before = filing.files()
    dead = {"non_smtpd_milters": "unix:opendkim/none.sock", "milter_default_action": "tempfail"}
    message = filing.refused({"postfix": faulty(maillog_file="", **dead)})
    assert "milter does not answer" in message and "stands again and is up" in message
    assert filing.files() == before
    lines = filing.lines("/var/log/postfix.log")
    filed(filing)
    filing.shell(f"for i in $(seq 600); do [ $(wc -l < /var/log/postfix.log) -gt {lines} ] && exit; sleep 0.1; done; "
                 "exit 1")


def test_milter_that_is_dead_fails_the_proof(node):
    message = node.refused({"dkim": {"parameters": {"non_smtpd_milters": "unix:opendkim/none.sock",
                                                    "milter_default_action": "tempfail"}}})
    assert "milter does not answer" in message and "stands again" in message
    assert not node.shell("ls /var/spool/postfix/maildrop")
