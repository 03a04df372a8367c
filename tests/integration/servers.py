# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throw-away servers for tests: Debian with systemd, sshd, Postfix and Dovecot in containers of this host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUITES = {"12": "bookworm", "13": "trixie"}
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "python3",
    "openssh-server",
    "iproute2",
    "procps",
    "rsyslog",
    "postfix",
    "dovecot-core",
    "dovecot-imapd",
)
LIMITS = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=30000:30000")


def run(*command: str, check: bool = True, **options) -> subprocess.CompletedProcess:
    """Run a command, its output kept as text; a failure shows what the command said."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600, check=False,
                          **options)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} gave {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def image(release: str) -> str:
    """Return the name of the image of a Debian release ("12", "13"), which is made where there is none."""
    name = f"localhost/mailfleet-test-mail{release}"
    if run("podman", "image", "exists", name, check=False).returncode:
        with tempfile.TemporaryDirectory() as folder:
            archive = os.path.join(folder, "root.tar")
            run(
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                f"--include={','.join(PACKAGES)}",
                SUITES[release],
                archive,
            )
            run("podman", "import", archive, name)
    return name


class Server:
    """A running container; stop it when it is no longer needed."""

    def __init__(self, name: str, release: str):
        self.name = f"mailfleet-test-{name}-{os.getpid()}"
        run(
            "podman",
            "--runtime",
            "runc",
            "run",
            "--detach",
            "--systemd=always",
            *LIMITS,
            "--name",
            self.name,
            image(release),
            "/lib/systemd/systemd",
        )
        (about,) = json.loads(run("podman", "inspect", self.name).stdout)
        self.address = about["NetworkSettings"]["IPAddress"]
        # The state `degraded` is as good: units that a container cannot have failed.
        for _attempt in range(100):
            if self.shell("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded"):
                return
            time.sleep(0.2)
        raise AssertionError(f"{self.name} does not come up")

    def shell(self, script: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a shell script on the server."""
        return run("podman", "exec", self.name, "sh", "-ec", script, check=check)

    def write(self, path: str, text: str) -> None:
        """Write a file on the server."""
        subprocess.run(
            ["podman", "exec", "-i", self.name, "sh", "-c", f"mkdir -p $(dirname {path}); cat > {path}"],
            input=text.encode(),
            check=True,
            timeout=60,
        )

    def read(self, path: str) -> str:
        """Return the text of a file on the server."""
        return self.shell(f"cat {path}").stdout

    def let_in(self, public_key: str) -> None:
        """Let root in over SSH with a key."""
        self.write("/root/.ssh/authorized_keys", public_key)
        self.shell("chmod 700 /root/.ssh; chmod 600 /root/.ssh/authorized_keys; chown -R root:root /root/.ssh")

    def stop(self) -> None:
        """Remove the container."""
        run("podman", "rm", "--force", "--time", "0", self.name)


class Controller:
    """A folder with an inventory and a key, and ansible-playbook in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.key = folder / "key"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        self.public_key = self.key.with_suffix(".pub").read_text()

    def play(self, task: dict, host: Server | None = None, options: tuple[str, ...] = (), check: bool = True):
        """Run one task on a server, or on the controller itself, and return how ansible-playbook ended."""
        place = (
            {"ansible_connection": "local"}
            if host is None
            else {
                "ansible_host": host.address,
                "ansible_user": "root",
                "ansible_ssh_private_key_file": str(self.key),
                "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
            }
        )
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {"localhost" if host is None else "server": place}}}))
        playbook = self.folder / "playbook.json"
        playbook.write_text(
            json.dumps(
                [
                    {
                        "hosts": "all",
                        "gather_facts": False,
                        "tasks": [
                            {"name": "The task", "register": "outcome", **task},
                            {
                                "name": "The outcome",
                                "ansible.builtin.copy": {
                                    "content": "{{ outcome | to_json }}",
                                    "dest": str(self.folder / "outcome.json"),
                                    "mode": "0600",
                                },
                                "delegate_to": "localhost",
                                "check_mode": False,
                            },
                        ],
                    }
                ]
            )
        )
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable if host is None else "/usr/bin/python3",
        }
        outcome = self.folder / "outcome.json"
        outcome.unlink(missing_ok=True)
        return run(
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(inventory),
            *options,
            str(playbook),
            check=check,
            env=environment,
            cwd=self.folder,
        )

    @property
    def outcome(self) -> dict:
        """Return what the last task returned."""
        return json.loads((self.folder / "outcome.json").read_text())
