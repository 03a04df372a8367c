# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lanes on a node: Postfix instances beside the main one, made, kept and given up without losing mail.

A new lane is up before the main Postfix passes mail to it. One that nobody passes mail to any more runs on until its
queue is empty, and goes then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import pwd
import shutil
import ssl
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.mailfleet.sending.plugins.module_utils.layer_lane import FINGERPRINT, IDENTITY, instance
from ansible_collections.mailfleet.sending.plugins.module_utils.owned_files import Owner, hold_folder, write
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_apply import Failed, Run
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_control import NO_LIMIT
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_proof import Proving
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_warmup import Warmups, gate_file
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

HOME = "/var/lib/mailfleet/lanes"
QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")
ROOT = Owner(0, 0)
# How many lanes are judged and installed side by side: mostly they wait for Postfix' programs.
AT_ONCE = 4
DAYS = "36500"  # of the identity, which is known by its fingerprint and by nothing else

# As Debian 13 has it for its instances, and likewise on Debian 12, whose own unit wants its instances in main.cf.
UNIT_FILE = "/etc/systemd/system/mailfleet-lane@.service"
UNIT = f"""\
# Written by mailfleet: a Postfix of its own for the mail of one provider.
[Unit]
Description=Postfix for the mail of one provider (%i)
Documentation=man:postfix(1)
After=network.target nss-lookup.target
PartOf=postfix.service
AssertPathExists=/etc/postfix-%i/main.cf

[Service]
Type=forking
Environment=MAIL_CONFIG=/etc/postfix-%i
ExecStartPre=+/usr/sbin/postfix check
ExecStart=/usr/lib/postfix/sbin/master -w
ExecStop=/usr/sbin/postfix stop
ExecReload=/usr/sbin/postfix reload
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_SETGID CAP_SETUID CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH
CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER CAP_KILL
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=full
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
# Addresses that are warmed up are counted by the log, which must not leave anything out.
{NO_LIMIT}
[Install]
WantedBy=multi-user.target
"""


def unit(name: str) -> str:
    """The systemd unit of a lane."""
    return f"mailfleet-lane@{name}.service"


def base(name: str) -> str:
    """What a lane's main.cf says before any layer: whose folders these are."""
    own = instance(name)
    return (
        "# Made by mailfleet: the mail of one provider waits here. What is said here is replaced by the next run.\n"
        f"queue_directory = /var/spool/{own}\n"
        f"data_directory = /var/lib/{own}\n"
        f"syslog_name = {own}\n"
        "compatibility_level = 3.6\n"
    )


@dataclasses.dataclass
class Lanes:
    """The lanes of one node."""

    programs: Programs
    scratch: str | None = None
    proving: Proving = dataclasses.field(default_factory=Proving)

    def __post_init__(self) -> None:
        self.warmups = Warmups(self.programs, self.scratch)

    def bring_up(self, wanted: t.Sequence[t.Mapping[str, t.Any]], check: bool) -> list[dict[str, t.Any]]:
        """Bring lanes to what is wanted of them; those that are not wanted stay as they are.

        :arg wanted: for each lane its C(name), C(layer) and C(warmup).
        :returns: for each lane its C(name), and what ``postfix_config`` returns of it.
        :raises Refused: where a lane's configuration is wrong; of that lane nothing was touched.
        :raises Failed: where it was installed and is gone again.
        """
        if wanted and not check:
            self._identity()
            self._unit()
        self.warmups.before(wanted, check)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda lane: self._lane(lane["name"], lane["layer"], check), wanted))

    def give_up(self, wanted: t.Sequence[t.Mapping[str, t.Any]], check: bool) -> dict[str, list[str]]:
        """Remove lanes that are not wanted and hold no mail.

        :arg wanted: those that are wanted, as of ``bring_up``.
        :returns: C(removed) lanes, and C(waiting) ones, each with its number of messages.
        """
        done: dict[str, list[str]] = {"removed": [], "waiting": []}
        for name in sorted(set(self.names()) - {lane["name"] for lane in wanted}):
            if count := self._messages(name):
                done["waiting"].append(f"{name}: {count} messages wait in it; the first run that finds none removes it")
                continue
            done["removed"].append(name)
            if not check:
                self._remove(name)
        self.warmups.after(wanted, set(self.names()) - set(done["removed"]), check)
        return done

    def names(self) -> list[str]:
        """The lanes that this node has."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(entry.name for entry in os.scandir(HOME) if entry.is_dir())
        return []

    def _lane(self, name: str, layer: t.Mapping[str, t.Any], check: bool) -> dict[str, t.Any]:
        if not check:
            self._prepare(name)
        run = Run(
            self.programs, f"/etc/{instance(name)}", f"{HOME}/{name}", dataclasses.replace(self.proving, queue=False),
            self.scratch, unit(name), (gate_file(name),) if check else (),
        )
        try:
            return {"name": name, **run.apply({"lane": _filled(layer, fingerprint(IDENTITY))}, check)}
        except Failed as error:
            raise Failed(f"lane {name}: {error}") from error

    def _prepare(self, name: str) -> None:
        """Give a lane its folders and the two files that layers are laid over."""
        own = instance(name)
        account = pwd.getpwnam("postfix")
        hold_folder(Path(HOME) / name, 0o700, ROOT)
        for path, mode, owner in (
            (f"/etc/{own}", 0o755, ROOT),
            (f"/var/spool/{own}", 0o755, ROOT),
            (f"/var/lib/{own}", 0o700, Owner(account.pw_uid, account.pw_gid)),
        ):
            hold_folder(Path(path), mode, owner)
        for file, text in (("master.cf", ""), ("main.cf", base(name))):
            path = Path("/etc") / own / file
            if not path.exists():
                write(path, text.encode(), 0o644, ROOT)
        self._must(["systemctl", "enable", "--quiet", unit(name)])

    def _identity(self) -> None:
        """Make what the main Postfix shows to lanes: a key that never leaves the node, and a certificate of it."""
        path = Path(IDENTITY)
        hold_folder(path.parent, 0o700, ROOT)
        if path.exists():
            return
        made = self._must([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "-",
            "-out", "-", "-days", DAYS, "-subj", "/CN=mailfleet",
        ])
        write(path, made.stdout, 0o600, ROOT, replace=False)

    def _unit(self) -> None:
        path = Path(UNIT_FILE)
        if path.exists() and path.read_text(encoding="utf-8") == UNIT:
            return
        write(path, UNIT.encode(), 0o644, ROOT)
        self._must(["systemctl", "daemon-reload"])

    def _messages(self, name: str) -> int:
        spool = Path("/var/spool") / instance(name)
        return sum(len(files) for queue in QUEUES for _folder, _folders, files in os.walk(spool / queue))

    def _remove(self, name: str) -> None:
        own = instance(name)
        self._must(["systemctl", "disable", "--quiet", "--now", unit(name)])
        if count := self._messages(name):
            # Something came in meanwhile.
            self._must(["systemctl", "enable", "--quiet", "--now", unit(name)])
            raise Failed(f"lane {name}: {count} messages came in while it was given up: run again")
        for path in (f"/etc/{own}", f"/var/spool/{own}", f"/var/lib/{own}", f"{HOME}/{name}"):
            shutil.rmtree(path)

    def _must(self, command: t.Sequence[str]) -> t.Any:
        done = self.programs(command)
        if done.status:
            raise Failed(f"{' '.join(command)}: {done.err.strip() or done.out.strip()}")
        return done


def fingerprint(path: str) -> str:
    """The SHA-256 fingerprint of the certificate in a PEM file, as Postfix writes it; zeros where there is no file."""
    try:
        with open(path, encoding="ascii") as file:
            text = file.read()
    except FileNotFoundError:
        return ":".join(["00"] * 32)
    begin = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[begin:end] + "\n")).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _filled(layer: t.Mapping[str, t.Any], shown: str) -> dict[str, t.Any]:
    """A layer with the node's own fingerprint in it."""
    parameters = {
        name: value.replace(FINGERPRINT, shown) if isinstance(value, str) else value
        for name, value in layer["parameters"].items()
    }
    return {**layer, "parameters": parameters}
