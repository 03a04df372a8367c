# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postfix_config on both Debian versions: what it installs, what it refuses, and every way to be cut off."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time

import pytest
import servers
from servers import ROOT, Controller, Server, run

from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_generations import STEPS

MODULE = "mailfleet.sending.postfix_config"
UTILS = "plugins/module_utils"
STATE = "/var/lib/mailfleet/postfix"
TRANSPORT = {"type": "hash", "entries": [["orange.fr", "throttle:"], ["wanadoo.fr", "throttle:"]]}
BASE = {
    "parameters": {"myhostname": "mta1.example.com", "transport_maps": "{table:transport}"},
    "tables": {"transport": {"type": "hash", "entries": []}},
}
THROTTLE = {
    "parameters": {"throttle_destination_rate_delay": "1s"},
    "services": {"throttle/unix": {"maxproc": "1", "command": "smtp"}},
    "tables": {"transport": TRANSPORT},
}
# A receiver that takes `delay` seconds over the end of each message, and counts them.
RECEIVER = """
import socketserver, sys, time
class Slow(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda text: self.wfile.write(text.encode() + b"\\r\\n")
        say("220 slow")
        data = False
        for line in self.rfile:
            word = line[:4].upper().strip()
            if data and line == b".\\r\\n":
                time.sleep(float(sys.argv[1]))
                open("/root/received", "a").write("one\\n")
                data = False
                say("250 taken")
            elif data: pass
            elif word == b"DATA":
                data = True
                open("/root/open", "a").write("one\\n")
                say("354 go on")
            elif word == b"QUIT":
                say("221 bye")
                return
            else: say("250 yes")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", 2525), Slow).serve_forever()
"""
# Applies layers by the module's own code and dies by SIGKILL at a step: behind its note, or before it.
CRASH = """
import json, os, signal, sys
sys.path.insert(0, "/root/collections")
from ansible_collections.mailfleet.sending.plugins.module_utils import (
    postfix_apply, postfix_control, postfix_generations)
step, when, layers = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
note, close = postfix_generations.Store.note, postfix_generations.Store.close
def noting(self, name, **facts):
    if (name, when) == (step, "before"): die()
    note(self, name, **facts)
    if (name, when) == (step, "behind"): die()
def closing(self):
    if step == "close": die()
    close(self)
postfix_generations.Store.note, postfix_generations.Store.close = noting, closing
if step == "stopped": postfix_control.Control._service = lambda self, verb: die()
print(json.dumps(postfix_apply.Run().apply(layers, False)))
"""


def image(release: str) -> str:
    """Return the name of an image with Postfix and its table types, which is made where there is none."""
    name = f"localhost/mailfleet-test-postfix{release}"
    if run("podman", "image", "exists", name, check=False).returncode:
        with tempfile.TemporaryDirectory() as folder:
            archive = f"{folder}/root.tar"
            packages = ",".join([*servers.PACKAGES, "postfix-pcre", "postfix-lmdb"])
            run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", servers.SUITES[release], archive)
            run("podman", "import", archive, name)
    return name


class Node:
    """A server with Postfix, reached by SSH as any other, and looked into from outside."""

    def __init__(self, server: Server, controller: Controller) -> None:
        self.server = server
        self.controller = controller

    def apply(self, layers: dict, *options: str, check: bool = True, **arguments) -> dict:
        """Run the module and return what it returned; options are those of ansible-playbook."""
        self.controller.play({MODULE: {"layers": layers, **arguments}}, self.server, options, check=check)
        return self.controller.outcome if check else {}

    def refused(self, layers: dict, **arguments) -> str:
        """Run the module, which must fail; returns what it said."""
        task = {MODULE: {"layers": layers, **arguments}, "ignore_errors": True}
        self.controller.play(task, self.server)
        assert self.controller.outcome["failed"], self.controller.outcome
        return self.controller.outcome["msg"]

    def shell(self, script: str) -> str:
        """Run a shell script on the server and return what it wrote."""
        return self.server.shell(script).stdout

    def fresh(self) -> None:
        """Bring the server back to what Debian installed, with Postfix running."""
        self.shell(
            f"rm -rf {STATE} /etc/postfix/mailfleet; cp -p /root/stock/* /etc/postfix/; sleep 1.1; "
            "touch -d '-10 seconds' /etc/postfix/main.cf; systemctl restart postfix; postsuper -d ALL >/dev/null 2>&1; "
            "rm -f /root/received /root/open"
        )
        self.up()

    def up(self) -> str:
        """Assert that Postfix answers and that a message passes; returns the banner."""
        script = (
            "import socket, time\n"
            "for i in range(50):\n"
            "  try: s = socket.create_connection(('127.0.0.1', 25), 5); break\n"
            "  except OSError: time.sleep(0.2)\n"
            "print(s.makefile().readline())"
        )
        banner = self.shell(f'python3 -c "{script}"')
        assert banner.startswith("220 ")
        nonce = f"up-{time.monotonic_ns()}"
        self.shell(f"sendmail -f '<>' -bv postmaster+{nonce}@[127.0.0.1]; for i in $(seq 50); do "
                   f"journalctl -q -g {nonce} | grep -q status= && exit; sleep 0.2; done; exit 1")
        return banner.strip()

    def state(self) -> str:
        """Return everything that a run might write, with times, owners and modes."""
        return self.shell(
            f"find /etc/postfix {STATE} -printf '%p %T@ %m %u %g %s\\n' 2>/dev/null | sort; "
            f"find /etc/postfix {STATE} -type f | sort | xargs sha256sum"
        )

    def standing(self) -> str:
        """Return what Postfix has, with times, and what a run may have left behind."""
        return self.shell(f"find /etc/postfix -printf '%p %T@ %m %u %g\\n' | sort; ls {STATE} | grep -v lock || :")

    def files(self) -> str:
        """Return the content of what Postfix reads."""
        return self.shell("sha256sum /etc/postfix/m*.cf; ls /etc/postfix/mailfleet 2>/dev/null || :")

    def cut_off(self, step: str, when: str, layers: dict) -> None:
        """Run the module's code until it dies at a step."""
        command = ["podman", "exec", self.server.name, "python3", "/root/crash.py", step, when, json.dumps(layers)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 137, f"{step} was not come by: {done.stdout}{done.stderr}"

    def receive(self, delay: float) -> None:
        """Start the slow receiver."""
        self.server.write("/root/receiver.py", RECEIVER)
        self.shell(f"systemctl reset-failed; systemd-run --quiet --unit=receiver python3 /root/receiver.py {delay}; "
                   "for i in $(seq 50); do ss -lnt | grep -q :2525 && exit; sleep 0.1; done; exit 1")

    def lines(self, path: str) -> int:
        """Return how many lines a file has, 0 where there is none."""
        return int(self.shell(f"cat {path} 2>/dev/null | wc -l"))


@pytest.fixture(scope="module", params=["12", "13"])
def machine(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "image", image)
        server = Server(f"postfix{request.param}", request.param)
    try:
        controller = Controller(tmp_path_factory.mktemp("controller"))
        server.let_in(controller.public_key)
        server.shell("mkdir -p /root/stock && cp -p /etc/postfix/main.cf /etc/postfix/master.cf /root/stock/")
        target = f"/root/collections/ansible_collections/mailfleet/sending/{UTILS}"
        server.shell(f"mkdir -p {target}")
        run("podman", "cp", f"{ROOT}/{UTILS}/.", f"{server.name}:{target}")
        server.write("/root/crash.py", CRASH)
        yield Node(server, controller)
    finally:
        server.stop()


@pytest.fixture
def node(machine):
    machine.fresh()
    return machine


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


def faulty(**parameters: str) -> dict:
    return {"parameters": {**BASE["parameters"], **parameters}, "tables": BASE["tables"]}


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
        "postfix": faulty(smtpd_banna="hi", default_transport="nobody:", mynetworks="0.0.0.0/0"),
        "throttle": {"tables": {"unbuilt": {"type": "cidr", "entries": [["300.0.0.0/8", "x"]]}},
                     "parameters": {"smtpd_client_restrictions": "check_client_access {table:unbuilt}"}},
    })
    for word in ("smtpd_banna", "transport nobody", "0.0.0.0/0", "layers.throttle.tables.unbuilt"):
        assert word in message


def test_what_does_not_come_up_is_undone(node):
    """All checks pass, but the logins' socket is not there, and smtpd hangs up: only the proof can see that."""
    node.apply({"postfix": BASE})
    before, banner = node.files(), node.up()
    options = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "private/none"}
    service = {"services": {"127.0.0.1:2600/inet": {"private": "n", "command": "smtpd", "options": options}}}
    message = node.refused({"extra": service}, prove={"timeout": 2})
    assert "no 220 banner on 127.0.0.1:2600" in message and "stands again and is up" in message
    assert node.files() == before
    assert node.up() == banner
    assert not node.apply({"postfix": BASE})["changed"]


def test_port_that_another_program_holds_is_refused(node):
    """master(8) would end over it, and with it all of Postfix."""
    node.shell('systemd-run --quiet --unit=taken python3 -c "import socket, time; '
               "s = socket.create_server(('127.0.0.1', 2600)); time.sleep(60)\"; sleep 0.5")
    service = {"services": {"127.0.0.1:2600/inet": {"private": "n", "command": "smtpd"}}}
    message = node.refused({"extra": service})
    node.shell("systemctl stop taken")
    assert "layers.extra.services.127.0.0.1:2600/inet: found 127.0.0.1:2600: Address already in use" in message
    node.up()


MOMENTS = [(step, when) for step in STEPS for when in ("before", "behind")] + [("close", ""), ("stopped", "")]


@pytest.mark.parametrize("step, when", MOMENTS)
def test_cut_off_and_recovered(node, step, when):
    node.apply({"postfix": BASE, "throttle": THROTTLE})
    after = {"postfix": faulty(smtpd_banner="$myhostname new"), "throttle": {}}
    if step in ("restart", "stopped"):
        after["interfaces"] = {"parameters": {"inet_interfaces": "127.0.0.1"}}
    node.cut_off(step, when, after)
    node.up()
    result = node.apply(after)
    assert result["changed"]
    # Before the first note nothing of the configuration had been touched, so there is nothing to recover.
    assert bool(result["recovered"]) == ((step, when) != ("tables", "before"))
    assert node.up() == "220 mta1.example.com new"
    assert "throttle" not in node.shell("cat /etc/postfix/master.cf /etc/postfix/main.cf")
    assert not node.shell(f"ls {STATE} | grep -E 'journal|stage-' || :")
    assert len(node.shell("ls -A /etc/postfix/mailfleet").split()) == 2, "one table, and what postmap built of it"
    assert not node.apply(after)["changed"]


def test_cut_off_goes_back_to_what_stood(node):
    """A run that asks for nothing else than before finds, and leaves, the old configuration."""
    before = {"postfix": BASE, "throttle": THROTTLE}
    node.apply(before)
    files = node.files()
    node.cut_off("prove", "behind", {"postfix": faulty(smtpd_banner="$myhostname new"), "throttle": {}})
    assert "cut off at step prove" in node.apply(before)["recovered"]
    assert node.files() == files


def slow_delivery(node, delay: float) -> None:
    """Have one message in the middle of its delivery."""
    node.receive(delay)
    table = {"type": "hash", "entries": [["slow.test", "smtp:[127.0.0.1]:2525"]]}
    node.apply({"postfix": {**BASE, "tables": {"transport": table}}})
    node.shell("echo body | sendmail -f '<>' someone@slow.test; "
               "for i in $(seq 100); do [ -e /root/open ] && exit; sleep 0.1; done; exit 1")


@pytest.fixture
def receiving(node):
    yield node
    node.shell("systemctl stop receiver")


def test_restart_waits_for_open_deliveries(receiving):
    node = receiving
    slow_delivery(node, 5)
    result = node.apply({"interfaces": {"parameters": {"inet_interfaces": "127.0.0.1"}}})
    assert result["restarted"] and not result["reloaded"]
    assert node.lines("/root/received") == 1
    time.sleep(2)
    assert node.lines("/root/open") == 1, "the message was delivered again"
    assert "0.0.0.0:25" not in node.shell("ss -lnt")


def test_restart_that_cannot_wait_is_undone(receiving):
    node = receiving
    slow_delivery(node, 8)
    before = node.files()
    message = node.refused({"interfaces": {"parameters": {"inet_interfaces": "127.0.0.1"}}}, prove={"restart_wait": 1})
    assert "1 deliveries were still open" in message
    assert node.files() == before
    node.up()
    for _attempt in range(60):
        if node.lines("/root/received"):
            break
        time.sleep(0.2)
    assert (node.lines("/root/received"), node.lines("/root/open")) == (1, 1)


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


def test_generations_are_kept_to_five(node):
    for index in range(7):
        node.apply({"postfix": faulty(smtpd_banner=f"$myhostname {index}")}, check=True, prove=False)
    kept = node.shell(f"ls {STATE}/generations").split()
    assert len(kept) == 5 and node.shell(f"readlink {STATE}/current").strip() == f"generations/{max(map(int, kept))}"


def test_milter_that_is_dead_fails_the_proof(node):
    message = node.refused({"dkim": {"parameters": {"non_smtpd_milters": "unix:opendkim/none.sock",
                                                    "milter_default_action": "tempfail"}}})
    assert "milter does not answer" in message and "stands again" in message
    assert not node.shell("ls /var/spool/postfix/maildrop")
