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

from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_stage import run

# What master(8) reads when it starts and never again; of the first two postconf(5) says so.
RESTART = ("inet_interfaces", "inet_protocols", "queue_directory", "data_directory", "mail_owner", "setgid_group")


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
    """One Postfix: its configuration directory and its queue directory."""

    directory: str
    queue: str

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
        done = run(["postfix", "-c", self.directory, "reload"])
        if done.returncode:
            raise ControlError(f"postfix reload: {done.stderr.strip() or done.stdout.strip()}")
        self._wait(lambda: bool(self.log(began, "reload -- version")), 3)

    def restart(self, wait: float) -> None:
        """Start Postfix, or stop and start it once open deliveries have ended.

        :arg wait: seconds that open deliveries have to end; no new one begins meanwhile.
        :raises ControlError: where deliveries are still open then (Postfix goes on as it was), or Postfix does not come up.
        """
        with self._held(wait):
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
        done = run(["journalctl", "--quiet", "--output=cat", f"--since=@{since:.6f}", f"--grep={text}"])
        return done.stdout.splitlines()

    def open_deliveries(self) -> list[int]:
        """Return the processes that are delivering: they hold a file of the active queue open while they do."""
        active = os.path.join(os.path.realpath(self.queue), "active") + "/"
        return [pid for pid in self._children() if any(path.startswith(active) for path in _open_files(pid))]

    def _children(self, name: str = "") -> list[int]:
        master = str(self.master())
        found = {int(entry): _status(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()}
        return [pid for pid, status in found.items() if status.get("PPid") == master and name in ("", status["Name"])]

    @contextlib.contextmanager
    def _held(self, wait: float) -> t.Iterator[None]:
        """Keep the queue manager from handing out mail, wait until nothing is being delivered, and let go in the end."""
        managers = self._children("qmgr") if self.master() else []
        if not managers:
            yield
            return
        with _continued(managers):
            for pid in managers:
                os.kill(pid, signal.SIGSTOP)
            if not self._wait(lambda: not self.open_deliveries(), wait):
                count = len(self.open_deliveries())
                raise ControlError(f"{count} deliveries were still open after {wait:g} s; a restart would send them twice")
            yield

    def _service(self, verb: str) -> None:
        if os.path.isdir("/run/systemd/system"):
            done = run(["systemctl", verb, "postfix.service"])
            if done.returncode:
                raise ControlError(f"systemctl {verb} postfix.service: {done.stderr.strip()}")
            return
        if self.master():
            run(["postfix", "-c", self.directory, "stop"])
        if verb != "stop":
            done = run(["postfix", "-c", self.directory, "start"])
            if done.returncode:
                raise ControlError(f"postfix start: {done.stderr.strip()}")

    @staticmethod
    def _wait(ready: t.Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


@contextlib.contextmanager
def _continued(pids: list[int]) -> t.Iterator[None]:
    """Let stopped processes go on when this ends, even if it ends by SIGKILL: a child sees our end of a pipe close."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        os.close(writer)
        os.read(reader, 1)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        os._exit(0)
    os.close(reader)
    try:
        yield
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def _status(pid: int) -> dict[str, str]:
    """Return the fields of a process's status (proc(5)); none where it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return {key: value.strip() for key, dummy, value in (line.partition(":") for line in file)}
    except OSError:
        return {}


def _open_files(pid: int) -> list[str]:
    found = []
    with contextlib.suppress(OSError):
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
    return found
