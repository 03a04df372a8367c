# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reload, start and restart a Postfix, and wait for open deliveries where one that is cut off would be sent twice."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

# What master(8) reads when it starts and never again; of the first two postconf(5) says so.
RESTART = ("inet_interfaces", "inet_protocols", "queue_directory", "data_directory", "mail_owner", "setgid_group")
MAIN_UNIT = "postfix.service"
SYSTEMD = "/run/systemd/system"  # is there where systemd runs
# Who locks the file of a message, and the master process, which starts them.
AGENTS = ("master", "smtp", "lmtp", "local", "virtual", "pipe", "error", "discard")
BEGUN, RELOADED = 5, 30  # seconds that a busy machine has to begin a delivery, and to read the files again
# For units whose log is counted: journald drops what a unit writes beyond some thousands of lines in half a minute. An
# interval of 0 would not lift that, since systemd then tells journald of none, and its own holds.
NO_LIMIT = "LogRateLimitIntervalSec=1s\nLogRateLimitBurst=1000000\n"


class ControlError(RuntimeError):
    """Postfix did not do what it was told; the text says what it answered."""


def needs_restart(before: t.Mapping[str, str], after: t.Mapping[str, str]) -> list[str]:
    """Return the parameters that take effect by a restart only and differ.

    :arg before: effective values of the running configuration.
    :arg after: those of the new one.
    """
    return [name for name in RESTART if before.get(name, "").split() != after.get(name, "").split()]


@dataclasses.dataclass(frozen=True)
class Control:
    """One Postfix: what runs its programs, its configuration and queue directories, and its systemd unit."""

    run: Programs
    directory: str
    queue: str
    unit: str = MAIN_UNIT

    def master(self) -> int | None:
        """Return the process id of the running master(8), None where it does not run."""
        try:
            with open(os.path.join(self.queue, "pid", "master.pid"), encoding="ascii") as file:
                pid = int(file.read())
        except (OSError, ValueError):
            return None
        return pid if _status(pid).get("Name") == "master" else None

    def reload(self) -> None:
        """Have the running Postfix read its files again, and wait until it has; open deliveries go on.

        :raises ControlError: where it refuses.
        """
        began = time.time()
        done = self.run(["postfix", "-c", self.directory, "reload"])
        if done.status:
            raise ControlError(f"postfix reload: {done.err.strip() or done.out.strip()}")
        # What is proved behind it would else be what runs still. A log of Postfix's own does not say.
        elsewhere = self.run(["postconf", "-c", self.directory, "-hx", "maillog_file"]).out.strip()
        patience = 3 if elsewhere or not os.path.isdir(SYSTEMD) else RELOADED
        self._wait(lambda: bool(self.log(began, "reload -- version")), patience)

    def restart(self, wait: float) -> None:
        """Start Postfix, or stop and start it once open deliveries have ended.

        :arg wait: seconds to wait for a moment in which nothing is being delivered.
        :raises ControlError: where there is none (Postfix goes on as it was), or it does not come up.
        """
        with self._quiet(wait):
            self._service("restart")
        if not self._wait(lambda: self.master() is not None, 20):
            raise ControlError("Postfix was started, and its master process is not there 20 s later")

    def stop(self) -> None:
        """Stop Postfix."""
        self._service("stop")

    def log(self, since: float, text: str) -> list[str]:
        """Return the lines that Postfix logged since a moment and that contain a text.

        :arg since: seconds since the epoch.
        :arg text: letters, digits, blanks, dashes.
        """
        done = self.run(["journalctl", "--quiet", "--output=cat", f"--since=@{since:.6f}", f"--grep={text}"])
        return done.out.splitlines()

    def open_deliveries(self) -> int:
        """Return how many messages are being delivered: a delivery agent locks the file of its message meanwhile."""
        with open("/proc/locks", encoding="ascii") as file:
            locked = {line.split()[5].rpartition(":")[2] for line in file if "FLOCK" in line and "->" not in line}
        walked = os.walk(os.path.join(self.queue, "active"))
        paths = [os.path.join(folder, name) for folder, _folders, names in walked for name in names]
        try:
            return sum(str(os.lstat(path).st_ino) in locked for path in paths)
        except FileNotFoundError:
            # One has just been delivered, so it was open when we looked.
            return 1

    def _children(self, name: str = "") -> list[int]:
        master = str(self.master())
        found = {int(entry): _status(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()}
        return [pid for pid, status in found.items() if status.get("PPid") == master and name in ("", status["Name"])]

    def _beginning(self) -> bool:
        """Return whether somebody who may begin a delivery waits for the processor or the disk."""
        found = (_status(pid) for pid in (self.master() or 0, *self._children()))
        return any(each.get("Name") in AGENTS and each.get("State", "")[:1] in ("R", "D") for each in found)

    @contextlib.contextmanager
    def _quiet(self, wait: float) -> t.Iterator[None]:
        """Wait for a moment without open deliveries, and keep the queue manager from handing out mail from then on."""
        end = time.monotonic() + wait
        while self.master() is not None:
            if not self.open_deliveries():
                with _stopped(self._children("qmgr")):
                    # What was handed out right before shows by then, or once who has it gets the processor.
                    time.sleep(0.1)
                    self._wait(lambda: not self._beginning() or self.open_deliveries() > 0, BEGUN)
                    if not self.open_deliveries():
                        yield
                        return
            if time.monotonic() > end:
                raise ControlError(
                    f"{self.open_deliveries()} deliveries were still open after {wait:g} s, a restart would send them "
                    "twice; wait longer (prove.restart_wait), or try again when less is under way")
            time.sleep(0.1)
        yield

    def _service(self, verb: str) -> None:
        if os.path.isdir(SYSTEMD):
            done = self.run(["systemctl", verb, self.unit])
            if done.status:
                raise ControlError(f"systemctl {verb} {self.unit}: {done.err.strip()}")
            return
        if self.master():
            self.run(["postfix", "-c", self.directory, "stop"])
        if verb != "stop":
            done = self.run(["postfix", "-c", self.directory, "start"])
            if done.status:
                raise ControlError(f"postfix start: {done.err.strip()}")

    @staticmethod
    def _wait(ready: t.Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


@contextlib.contextmanager
def _stopped(pids: list[int]) -> t.Iterator[None]:
    """Stop processes, and let them go on when this ends, even if it ends by SIGKILL: a child sees our pipe close."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        os.close(writer)
        os.read(reader, 1)
        _signal(pids, signal.SIGCONT)
        os._exit(0)
    os.close(reader)
    try:
        _signal(pids, signal.SIGSTOP)
        yield
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _status(pid: int) -> dict[str, str]:
    """Return the fields of a process's status (proc(5)); none where it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return {key: value.strip() for key, dummy, value in (line.partition(":") for line in file)}
    except OSError:
        return {}
