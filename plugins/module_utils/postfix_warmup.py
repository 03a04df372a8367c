# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that keeps the caps of warm-up, installed on a node beside its lanes, and removed with the last of them.

Its source is that of modules of this collection, taken from wherever they were imported from, and laid down as a
package of its own. A lane's table is there before the lane refers to it, and goes when no lane does.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.mailfleet.sending.plugins.module_utils import warmup, warmup_counts, warmup_log, warmup_node
from ansible_collections.mailfleet.sending.plugins.module_utils.owned_files import Owner, hold_folder, write
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_apply import Failed
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

ROOT = Owner(0, 0)
PROGRAM = "/usr/local/lib/mailfleet"
PACKAGE = "mailfleet"
MODULES = (warmup, warmup_counts, warmup_log, warmup_node)
NAME = "mailfleet-warmup.service"
UNIT_FILE = f"/etc/systemd/system/{NAME}"
WANTED = f"{warmup_node.HOME}/{warmup_node.WANTED}"
UNIT = f"""\
# Written by mailfleet: keeps new addresses to the caps of their warm-up, and shuts them where it cannot.
[Unit]
Description=Caps of sending addresses that are warmed up
StartLimitIntervalSec=0

[Service]
Type=notify
Environment=PYTHONPATH={PROGRAM}
ExecStart=/usr/bin/python3 -B -m {PACKAGE}.warmup_node
ExecStopPost=/usr/bin/python3 -B -m {PACKAGE}.warmup_node shut
Restart=always
RestartSec=5
# Until it is known that all of it has ended nothing is shut, which systemd in some containers is never told. To shut
# all has as long; it waits {warmup_node.HURRY} s for its programs.
TimeoutStopSec=5
# It has a second between a line of the log and the next message.
Nice=-10
UMask=0077
ReadWritePaths={warmup_node.HOME}
CapabilityBoundingSet=
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateNetwork=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
# postmap(1) asks for the host's addresses, whatever it is to do.
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"""


def sources() -> dict[str, str]:
    """The program's files by their paths: the modules, and what makes a package of them."""
    ours = __name__.rpartition(".")[0]
    found = {f"{PROGRAM}/{PACKAGE}/__init__.py": ""}
    for module in MODULES:
        # Ansible runs modules out of an archive, where no file is to be opened.
        text = t.cast(t.Any, module.__loader__).get_source(module.__name__)
        name = module.__name__.rpartition(".")[2]
        found[f"{PROGRAM}/{PACKAGE}/{name}.py"] = text.replace(f"from {ours}.", f"from {PACKAGE}.")
    return found


def gate_file(lane: str) -> str:
    """The file that must be there before a lane may refer to its table."""
    return f"{warmup_node.HOME}/{lane}/gate.db"


@dataclasses.dataclass
class Warmups:
    """The program on one node; ``diff`` is what it changed, or would."""

    programs: Programs
    scratch: str | None = None
    diff: list[dict[str, str]] = dataclasses.field(default_factory=list)

    def before(self, lanes: t.Sequence[t.Mapping[str, t.Any]], check: bool) -> None:
        """Have the tables that lanes will refer to, those that they refer to by now among them.

        :arg lanes: the lanes that are wanted, each with its C(name) and C(warmup).
        :raises Failed: where the program does not start; what was wanted before stands no more, and all is shut.
        """
        wanted = {**self._known(), **_warming(lanes)}
        if wanted and not check:
            self._have(wanted, check)

    def after(self, lanes: t.Sequence[t.Mapping[str, t.Any]], there: t.Collection[str], check: bool) -> None:
        """Give up what no lane refers to any more.

        :arg lanes: as of ``before``.
        :arg there: the lanes that the node has, those that nobody wants any more and that hold mail among them.
        """
        listed = [lane["name"] for lane in lanes]
        left = {name: known for name, known in self._known().items() if name in there and name not in listed}
        wanted = {**left, **_warming(lanes)}
        if wanted:
            self._have(wanted, check)
        elif os.path.exists(UNIT_FILE) or os.path.exists(warmup_node.HOME):
            self._remove(check)
        if not check:
            for folder in Path(warmup_node.HOME).glob("*/"):
                if folder.is_dir() and folder.name not in wanted:
                    shutil.rmtree(folder)

    @staticmethod
    def _known() -> dict[str, t.Any]:
        """What the node's program keeps by now; nothing where there is none, or nothing that it could read."""
        try:
            return dict(json.loads(Path(WANTED).read_text(encoding="utf-8"))["lanes"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}

    def _have(self, wanted: t.Mapping[str, t.Any], check: bool) -> None:
        files = {**sources(), UNIT_FILE: UNIT, WANTED: json.dumps({"lanes": wanted}, indent=1, sort_keys=True) + "\n"}
        changed = {path: (before, text) for path, text in files.items() if (before := _read(path)) != text}
        self.diff += [{"before_header": path, "after_header": path, "before": _shown(path, before),
                       "after": _shown(path, text)} for path, (before, text) in changed.items()]
        gates = all(os.path.exists(gate_file(lane)) for lane in wanted)
        if check or not changed and gates and not self.programs(["systemctl", "--quiet", "is-active", NAME]).status:
            return
        self._judge(files)
        for folder, mode in ((PROGRAM, 0o755), (f"{PROGRAM}/{PACKAGE}", 0o755), (warmup_node.HOME, 0o700)):
            hold_folder(Path(folder), mode, ROOT)
        for lane in wanted:
            hold_folder(Path(warmup_node.HOME) / lane, 0o700, ROOT)
        for path, (_before, text) in changed.items():
            write(Path(path), text.encode(), 0o644, ROOT)
        try:
            for command in (["daemon-reload"], ["enable", "--quiet", NAME], ["restart", NAME]):
                self._must(["systemctl", *command])
        except Failed as error:
            said = self.programs(["journalctl", "--quiet", "--output=cat", f"--unit={NAME}", "--lines=20"]).out.strip()
            raise Failed(f"{error}\n{said}\n{self._back(changed)}") from error

    def _back(self, changed: t.Mapping[str, tuple[str | None, str]]) -> str:
        """Put back what stood before, or take away what did not stand; returns words on what stands now."""
        if any(before is None for before, _text in changed.values()):
            self._remove(False)
            return "the program is taken away again"
        for path, (before, _text) in changed.items():
            write(Path(path), (before or "").encode(), 0o644, ROOT)
        self._must(["systemctl", "daemon-reload"])
        self._must(["systemctl", "restart", NAME])
        return "what stood before stands again"

    def _judge(self, files: t.Mapping[str, str]) -> None:
        """Have the node's own python3 read the program and what it shall keep, and systemd the unit.

        :raises Failed: with what they say.
        """
        with tempfile.TemporaryDirectory(dir=self.scratch) as stage:
            for path, text in files.items():
                place = Path(stage, PACKAGE if path.startswith(PROGRAM) else "", os.path.basename(path))
                place.parent.mkdir(exist_ok=True)
                place.write_text(text, encoding="utf-8")
            module = f"{PACKAGE}.warmup_node"
            self._must(["/usr/bin/python3", "-B", "-m", module, "judge", f"{stage}/{warmup_node.WANTED}"],
                       PYTHONPATH=stage)
            self._must(["systemd-analyze", "verify", f"{stage}/{NAME}"])

    def _remove(self, check: bool) -> None:
        self.diff += [{"before_header": path, "after_header": path, "before": _shown(path, before), "after": ""}
                      for path in (*sources(), UNIT_FILE, WANTED) if (before := _read(path)) is not None]
        if check:
            return
        if os.path.exists(UNIT_FILE):
            self._must(["systemctl", "disable", "--quiet", "--now", NAME])
            os.unlink(UNIT_FILE)
            self._must(["systemctl", "daemon-reload"])
        for folder in (f"{PROGRAM}/{PACKAGE}", warmup_node.HOME):
            shutil.rmtree(folder, ignore_errors=True)
        if os.path.isdir(PROGRAM) and not os.listdir(PROGRAM):
            os.rmdir(PROGRAM)

    def _must(self, command: t.Sequence[str], **environ: str) -> None:
        done = self.programs(command, **environ)
        if done.status:
            raise Failed(f"{' '.join(command)}: {done.err.strip() or done.out.strip()}")


def _warming(lanes: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """What is kept of those lanes that have an address which warms up."""
    return {lane["name"]: lane["warmup"] for lane in lanes if (lane.get("warmup") or {}).get("members")}


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _shown(path: str, text: str | None) -> str:
    """A file as a diff shows it: of the program how long it is."""
    if text is None:
        return ""
    return f"(the program, {len(text.splitlines())} lines)\n" if path.endswith(".py") else text
