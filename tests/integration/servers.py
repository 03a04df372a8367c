# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throw-away servers for tests: Debian with systemd, sshd, Postfix and Dovecot in containers of this host."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))   # images are made there

import images
from shell import Progress

ROOT = Path(__file__).resolve().parents[2]
SUITES = {"12": "bookworm", "13": "trixie"}
PREFIX = "mailfleet-test-"
LIMITS = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=30000:30000")


def run(*command: str, check: bool = True, **options) -> subprocess.CompletedProcess:
    """Run a command, its output kept as text; a failure shows what the command said."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600, check=False,
                          **options)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} gave {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


@functools.cache
def image(release: str) -> str:
    """Return the name of the image of a Debian release ("12", "13"), which is made where there is none."""
    wanted = images.Image(f"{PREFIX}mail{release}", SUITES[release], ("test",), customize=())
    images.ensure(wanted, images.host_archive(), Progress())
    return f"localhost/{wanted.name}"


@functools.cache
def remove_left() -> None:
    """Remove the servers of test runs that were ended before they could."""
    for name in run("podman", "ps", "--all", "--format", "{{.Names}}").stdout.split():
        if name.startswith(PREFIX) and not Path("/proc", name.rpartition("-")[2]).exists():
            run("podman", "rm", "--force", "--time", "0", name)


class Server:
    """A running container, of the image of a Debian release or of another; stop it when it is no longer needed."""

    def __init__(self, name: str, release: str, made: str = ""):
        remove_left()
        self.name = f"{PREFIX}{name}-{os.getpid()}"
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
            made or image(release),
            "/lib/systemd/systemd",
        )
        (about,) = json.loads(run("podman", "inspect", self.name).stdout)
        self.address = about["NetworkSettings"]["IPAddress"]
        # The state `degraded` is as good: units that a container cannot have failed.
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if self.shell("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded"):
                # In a container on cgroup v1 nobody tells systemd that the last process of a service has ended: having
                # missed it, it waits for nothing at all, 90 s by default. Servers have cgroup v2, and no such wait.
                self.write("/etc/systemd/system/dovecot.service.d/wait.conf",
                           "[Service]\nTimeoutStartSec=8\nTimeoutStopSec=5\n")
                self.shell("systemctl daemon-reload")
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
