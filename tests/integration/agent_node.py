# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server with Postfix and the agent, for tests of both."""

from __future__ import annotations

import json
import time

from mailbox_server import NOTICE
from postfix_node import Node
from servers import Server

from ansible_collections.mailfleet.sending.plugins.module_utils import agent_settings
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_bounces import bounces_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import postfix_layer

CONFIG, SERVICE = "mailfleet.sending.agent_config", "mailfleet.sending.agent_service"
# Says how each step of a session was answered, as JSON.
SESSION = """
import json, smtplib, sys
host, sender, recipient, text = json.load(sys.stdin)
with smtplib.SMTP(host, 25) as smtp:
    smtp.ehlo("probe.example.com")
    answers = [smtp.mail(sender), smtp.rcpt(recipient)]
    if text and answers[-1][0] == 250: answers.append(smtp.data(text.replace("\\n", "\\r\\n").encode("latin-1")))
print(json.dumps([f"{code} {said.decode()}" for code, said in answers]))
"""
# What a notice may be beside what we send ourselves, by a replacement in NOTICE.
ODD_FORMS = {
    "8-bit field": ("Subject: Undelivered", "Subject: Unzustellbar: Gr\xfc\xdfe"),
    "8-bit text": ("be delivered.", "be delivered: Gr\xfc\xdfe."),
    "long line": ("be delivered.", "be delivered." + "x" * 5000),
    "NUL": ("be delivered.", "be delivered.\0"),
    "long field": ("MIME-Version:", "X-Long:" + "\n ".join(["", *["x" * 97] * 700]) + "\nMIME-Version:"),
    "8bit": ("text/plain\n", "text/plain\nContent-Transfer-Encoding: 8bit\n"),
}


def fleet(server: Server, more=None, **agent):
    """A fleet of the one server; `more` variables are its whole group's."""
    variables = {**(more or {}), "sending_domains": [{"name": "example.com", "bounce_domain": "e.example.com"}],
                 "sending_agent": {"store": {"sqlite": True}, "feedback_addresses": ["fbl"], **agent}}
    addresses = [{"address": server.address, "helo": "mta1.example.com"}]
    return read_fleet(variables, {"mta1": {"sending_addresses": addresses}})


class Agent:
    """A server with Postfix and the agent."""

    def __init__(self, node: Node, release: str) -> None:
        self.node, self.release = node, release
        self.secrets = node.controller.folder / "secrets"
        self.shown = ""  # what the last play printed

    def play(self, task: dict, *options: str) -> dict:
        self.shown = self.node.controller.play(task, self.node.server, options).stdout
        return self.node.controller.outcome

    def config(self, *options: str, made=None, secrets=None, **changes) -> dict:
        made = made or fleet(self.node.server)
        settings = {**agent_settings.agent_of(made, made.servers[0])["settings"], **changes}
        return self.play({CONFIG: {"settings": settings, "secrets": secrets or {},
                                   "secrets_directory": str(self.secrets)}, "ignore_errors": True}, *options)

    def services(self, role: str, *names: str, options=()) -> dict:
        return self.play({SERVICE: {"role": role, "names": list(names)}}, *options)

    def postfix(self, made=None, **layers: dict) -> dict:
        made = made or fleet(self.node.server)
        path = self.node.controller.folder / "layers.json"
        layers |= {"postfix": postfix_layer(made, made.servers[0]), "bounces": bounces_layer(made, made.servers[0])}
        path.write_text(json.dumps(layers))
        # Out of a file, lest Ansible fills in its braces.
        return self.node.apply(f"{{{{ lookup('ansible.builtin.file', '{path}') | from_json }}}}")

    def session(self, sender: str, recipient: str, text: str = "", host: str = "127.0.0.1") -> list[str]:
        """How Postfix answers a session of the host itself, at an address of it."""
        asked = json.dumps([host, sender, recipient, text])
        self.node.server.write("/root/session.json", asked)
        return json.loads(self.node.shell("python3 /root/session.py < /root/session.json"))

    def path(self, recipient: str) -> str:
        return self.node.shell(f"mailfleet token new --recipient {recipient} --domain e.example.com").strip()

    def bounce(self, path: str, recipient: str) -> None:
        """Bring a bounce to a return path, as a stranger's server does."""
        answers = self.session("", path, NOTICE.format(path=path, recipient=recipient), self.node.server.address)
        assert answers[-1].startswith("250 2.0.0"), answers

    def wait(self, script: str, expected: str, seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while expected not in (found := self.node.shell(f"{script} 2>&1 || :")) and time.monotonic() < end:
            time.sleep(0.3)
        assert expected in found, f"{found}\n{self.log()}"
        return found

    def answered(self, expected: str, sender: str, recipient: str, seconds: float = 60) -> str:
        """Wait until Postfix answers a session with what begins so: what it goes by may be of before for a moment."""
        end = time.monotonic() + seconds
        while not (said := self.session(sender, recipient)[-1]).startswith(expected) and time.monotonic() < end:
            time.sleep(0.3)
        assert said.startswith(expected), f"{said}\n{self.log()}"
        return said

    def log(self) -> str:
        return self.node.shell("journalctl -q -o cat -n 60 -u 'mailfleet-*' -u 'postfix*'; postqueue -p")
