# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services of the program on a server, as systemd has them: each may do what it is for, and nothing else."""

from __future__ import annotations

import dataclasses
import os

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_settings import (
    METRICS,
    METRICS_FILE,
    QUEUE,
    SOCKET,
    SPOOL,
    STATE,
    USER,
    VERIFIER,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_control import NO_LIMIT

VERIFYING = f"/run/{VERIFIER}/socket"
PROGRAM = "/usr/local/lib/mailfleet-agent"
COMMAND = "/usr/local/bin/mailfleet"
CONFIGURATION = "/etc/mailfleet"
SETTINGS, SECRETS = f"{CONFIGURATION}/agent.json", f"{CONFIGURATION}/secrets.json"
# Where Debian's node_exporter looks for files of metrics; a link there leads to ours.
EXPORTER = "/var/lib/prometheus/node-exporter"
EXPORTED = f"{EXPORTER}/{os.path.basename(METRICS_FILE)}"
UNITS = "/etc/systemd/system"
# Where there is an agent, Postfix listens at the server's addresses one by one (layer ``bounces``), and does not start
# at all before they are there. Debian 13 starts it earlier. And of its log every line counts: journald drops those of a
# unit that writes more than some thousands in half a minute. Debian 12 has the daemons in an instance.
POSTFIX = tuple(f"{UNITS}/{unit}.d/mailfleet.conf" for unit in ("postfix.service", "postfix@-.service"))
POSTFIX_TEXT = f"""\
# Written by mailfleet: Postfix listens at single addresses, and all that it logs is counted.
[Unit]
After=network-online.target
Wants=network-online.target

[Service]
{NO_LIMIT}"""

_UNIT = """\
# Written by mailfleet: {about}
[Unit]
Description={about}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
Group={group}
SupplementaryGroups={groups}
ExecStart={command} {arguments}
Restart=always
RestartSec={pause}
TimeoutStopSec=10
UMask=0077
{runtime}ReadWritePaths={writes}
AmbientCapabilities=
CapabilityBoundingSet=
KeyringMode=private
LimitCORE=0
LockPersonality=yes
MemoryDenyWriteExecute=yes
MemoryMax={memory}
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProcSubset={proc}
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6{families}
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""


@dataclasses.dataclass(frozen=True)
class Service:
    """A resident command: its short ``name``, the ``role`` that wants it, its ``arguments``, and where it may write.

    ``memory`` is what it may have, ``pause`` the seconds after which it is started anew, ``groups`` those by which it
    may read what is not its own, ``proc`` what it sees of /proc, ``families``
    of addresses are those that it needs besides. ``user`` it runs as; ``runtime`` is a folder in /run that it has while
    it runs, into which the program's group may look.
    """

    name: str
    role: str
    arguments: str
    about: str
    writes: tuple[str, ...]
    memory: str = "512M"
    pause: int = 5
    groups: tuple[str, ...] = ()
    proc: str = "pid"
    families: tuple[str, ...] = ()
    user: str = USER
    runtime: str = ""

    @property
    def unit(self) -> str:
        """The name of its unit."""
        return f"mailfleet-{self.name}.service"

    @property
    def file(self) -> str:
        """The file of its unit."""
        return f"{UNITS}/{self.unit}"

    @property
    def text(self) -> str:
        """Its unit."""
        runtime = f"RuntimeDirectory={self.runtime}\nRuntimeDirectoryMode=0750\n" if self.runtime else ""
        return _UNIT.format(
            about=self.about, user=self.user, group=USER, runtime=runtime, command=COMMAND, arguments=self.arguments,
            writes=" ".join(self.writes), memory=self.memory, pause=self.pause, groups=" ".join(self.groups),
            proc=self.proc, families="".join(f" {each}" for each in self.families),
        )


SERVICES = {
    service.name: service
    for service in (
        # Postfix asks twice, a second apart, before it goes on without an answer. A list of 100,000 takes 26 MiB, and
        # twice that while it is read anew.
        Service("policy", "agent", "policy serve", "Tells Postfix which recipients are not to be mailed",
                (STATE, f"{QUEUE}/{SOCKET.partition('/')[0]}"), memory="2G", pause=1),
        Service("events", "agent", "events send", "Tells applications what became of their mail", (STATE,)),
        Service("bounces", "bounces", "bounces work", "Takes in what came back", (SPOOL, STATE)),
        Service("fetch", "bounces", "bounces fetch", "Empties the mailboxes elsewhere that bounces come to",
                (SPOOL, STATE)),
        # It has no key and no secret, so it has a user of its own.
        Service("verify", "bounces", "bounces verify", "Says who signed complaints", (), memory="256M", user=VERIFIER,
                runtime=VERIFIER),
        # The journal, files of the log, and the socket by which Postfix tells what waits. journalctl asks /proc/sys
        # which boot it is, and postqueue the kernel which addresses there are.
        Service("log", "maillog", "log follow", "Counts what the mail log says", (STATE, METRICS),
                groups=("systemd-journal", "adm", "postdrop"), proc="all",
                families=("AF_NETLINK",)),
    )
}


def exported() -> bool:
    """Return whether node_exporter finds our metrics by our link: what somebody else has put there is left alone."""
    return os.path.islink(EXPORTED) and os.readlink(EXPORTED) == METRICS_FILE


def laid_down() -> list[str]:
    """Return what is there of the program on this server, by its paths: units, command, configuration, the link for
    node_exporter, and the program itself, last of all."""
    units = (*(service.file for service in SERVICES.values()), *POSTFIX)
    there = [path for path in (*units, COMMAND, SETTINGS, SECRETS) if os.path.exists(path)]
    there += [EXPORTED] if exported() else []
    return [*there, PROGRAM] if os.path.isdir(PROGRAM) else there
