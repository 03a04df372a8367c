# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away server with Postfix, layers for postfix_config, and ways to cut it off."""

from __future__ import annotations

import json
import subprocess
import time

from servers import ROOT, Controller, Server, run

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
import os, socketserver, sys, time
class Slow(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda text: self.wfile.write(text.encode() + b"\\r\\n")
        say("220 slow")
        data = False
        for line in self.rfile:
            word = line[:4].upper().strip()
            if data and line == b".\\r\\n":
                time.sleep(float(sys.argv[1]))
                while os.path.exists("/root/hold"): time.sleep(0.1)
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
import json, os, signal, subprocess, sys
sys.path.insert(0, "/root/collections")
from ansible_collections.mailfleet.sending.plugins.module_utils import (
    postfix_apply, postfix_control, postfix_generations, programs)
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
def run_command(command, environ_update, **others):
    done = subprocess.run(command, capture_output=True, env={**os.environ, **environ_update})
    return done.returncode, done.stdout, done.stderr
print(json.dumps(postfix_apply.Run(programs.Programs(run_command)).apply(layers, False)))
"""


def faulty(**parameters: str) -> dict:
    return {"parameters": {**BASE["parameters"], **parameters}, "tables": BASE["tables"]}


class Node:
    """A server with Postfix, reached by SSH as any other, and looked into from outside."""

    def __init__(self, server: Server, controller: Controller) -> None:
        self.server = server
        self.controller = controller
        server.let_in(controller.public_key)
        server.shell("mkdir -p /root/stock && cp -p /etc/postfix/main.cf /etc/postfix/master.cf /root/stock/")
        target = f"/root/collections/ansible_collections/mailfleet/sending/{UTILS}"
        server.shell(f"mkdir -p {target}")
        run("podman", "cp", f"{ROOT}/{UTILS}/.", f"{server.name}:{target}")
        server.write("/root/crash.py", CRASH)

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
            "rm -f /root/received /root/open /root/hold"
        )
        self.up()

    def up(self) -> str:
        """Assert that Postfix answers and that a message passes; returns the banner."""
        script = (
            "import socket, time\n"
            "for i in range(300):\n"
            "  try: s = socket.create_connection(('127.0.0.1', 25), 5); break\n"
            "  except OSError: time.sleep(0.2)\n"
            "print(s.makefile().readline())"
        )
        banner = self.shell(f'python3 -c "{script}"')
        assert banner.startswith("220 ")
        nonce = f"up-{time.monotonic_ns()}"
        self.shell(f"sendmail -f '<>' -bv postmaster+{nonce}@[127.0.0.1]; for i in $(seq 300); do "
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
        left = f"find {STATE} -mindepth 1 2>/dev/null | sort | grep -Ev '/(lock|generations)$' || :"
        return self.shell(f"find /etc/postfix -printf '%p %T@ %m %u %g\\n' | sort; {left}")

    def files(self) -> str:
        """Return the content of what Postfix reads."""
        return self.shell("sha256sum /etc/postfix/m*.cf; ls /etc/postfix/mailfleet 2>/dev/null || :")

    def cut_off(self, step: str, when: str, layers: dict) -> None:
        """Run the module's code until it dies at a step."""
        command = ["podman", "exec", self.server.name, "python3", "/root/crash.py", step, when, json.dumps(layers)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 137, f"{step} was not come by: {done.stdout}{done.stderr}"

    def receive(self, delay: float) -> None:
        """Start the slow receiver: it takes so many seconds for a message, and as long as there is /root/hold."""
        self.server.write("/root/receiver.py", RECEIVER)
        self.shell(f"systemctl reset-failed; systemd-run --quiet --unit=receiver python3 /root/receiver.py {delay}; "
                   "for i in $(seq 600); do ss -lnt | grep -q :2525 && exit; sleep 0.1; done; exit 1")

    def lines(self, path: str) -> int:
        """Return how many lines a file has, 0 where there is none."""
        return int(self.shell(f"cat {path} 2>/dev/null | wc -l"))
