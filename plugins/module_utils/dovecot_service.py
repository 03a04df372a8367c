# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dovecot's two files and its service on a server: planned, validated, installed, proved, put back on failure."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ansible_collections.mailfleet.sending.plugins.module_utils import dovecot_auth

CONFIGURATION = "/etc/dovecot/dovecot.conf"
USERS = "/etc/dovecot/submission-users"
KEPT = "/etc/dovecot/dovecot.conf.before-mailfleet"
SPOOL = "/var/spool/postfix/private"
# A reload returns before the new auth process listens.
PROOF_SECONDS = 10


class DovecotError(Exception):
    """Dovecot cannot be configured; the message says what was found and what mends it."""


@dataclass(frozen=True)
class File:
    """A file as it is and as it shall be; `former` is its whole state, None where there is none."""

    path: str
    after: str
    group: int
    mode: int
    former: tuple[bytes, int, int, int] | None

    @property
    def before(self) -> str:
        """The present content, "" where there is none."""
        return self.former[0].decode("utf-8", "replace") if self.former else ""

    @property
    def changed(self) -> bool:
        """Whether content, owner or mode differ."""
        return self.former != (self.after.encode(), 0, self.group, self.mode)


@dataclass(frozen=True)
class Proof:
    """A login to ask about, and whether it must be accepted."""

    name: str
    password: str = field(repr=False)
    accepted: bool = True


@dataclass(frozen=True)
class Plan:
    """What has to be done: the two files, and whether the service has to be started."""

    configuration: File
    users: File
    start: bool

    @property
    def changed(self) -> bool:
        """Whether anything has to be done."""
        return self.start or self.configuration.changed or self.users.changed

    def diff(self) -> list[dict[str, str]]:
        """Return what Ansible shows: our configuration, and of the logins nothing but their names.

        Of a configuration that is not ours only the place is shown where it is kept: it may hold somebody's passwords.
        """
        before, after = dovecot_auth.shown_logins(self.users.before, self.users.after)
        ours = dovecot_auth.is_ours(self.configuration.before)
        former = self.configuration.before if ours else f"(kept as {KEPT})\n" if self.configuration.former else ""
        return [
            {"before_header": file.path, "after_header": file.path, "before": old, "after": new}
            for file, old, new in (
                (self.configuration, former, self.configuration.after),
                (self.users, before, after),
            )
        ]


class DovecotService:
    """Dovecot on this server. `run` takes a list of arguments and returns (return code, stdout, stderr)."""

    def __init__(self, run: Callable[..., tuple[int, str, str]]):
        self._run = run

    def version(self) -> str:
        """Return the installed version, "" where there is none."""
        if not any(os.access(path, os.X_OK) for path in ("/usr/sbin/dovecot", "/usr/bin/dovecot")):
            return ""
        return self._must(["dovecot", "--version"]).split(" ")[0].strip()

    def plan(self, version: str, users: str, proof: Proof) -> Plan:
        """Compare what is with what shall be, and let Dovecot validate the latter.

        A Dovecot that does not accept the login of `proof` now counts as one that does not run: an interrupted run may
        have left files that were never loaded. Raises DovecotError where the server is not ready for it, or Dovecot
        refuses the configuration.
        """
        group = self._preflight()
        configuration = _file(CONFIGURATION, dovecot_auth.configuration(version, USERS), 0, 0o644)
        if configuration.changed:
            self._refuse_mailboxes(configuration)
            self._validate(configuration.after)
        states = [
            self._run(["systemctl", verb, "--quiet", "dovecot"])[0] == 0 for verb in ("is-active", "is-enabled")
        ]
        runs = all(states) and (not proof.accepted or not _doubt(proof)[0])
        return Plan(configuration, _file(USERS, users, group, 0o640), not runs)

    def apply(self, plan: Plan, proof: Proof) -> None:
        """Install the files, reload Dovecot, and ask it whether it accepts a login; else put everything back.

        Raises DovecotError where it does not answer as expected; the former files stand again then.
        """
        try:
            if plan.configuration.former and not dovecot_auth.is_ours(plan.configuration.before):
                _write(KEPT, *plan.configuration.former)
            # The logins come first: a configuration never names a file that is not there.
            _write(plan.users.path, plan.users.after.encode(), 0, plan.users.group, plan.users.mode)
            _write(
                plan.configuration.path,
                plan.configuration.after.encode(),
                0,
                plan.configuration.group,
                plan.configuration.mode,
            )
            former = _doubt(proof)[1]
            self._reload()
            self._prove(proof, former)
        except (OSError, DovecotError) as error:
            raise DovecotError(f"{error}; {self._go_back(plan)}") from error

    def _go_back(self, plan: Plan) -> str:
        """Put the former files back and say how that ended."""
        try:
            _restore(plan.configuration)
            _restore(plan.users)
            # Dovecot 2.3 ends by SIGSEGV where a reload brings a listener back that was switched off, as here.
            self._restart()
        except (OSError, DovecotError) as error:
            return f"the former configuration could not be put back: {error}"
        return "the former configuration of Dovecot stands again"

    def _preflight(self) -> int:
        """Return the id of Dovecot's group; raise where Postfix or Dovecot are not there."""
        try:
            pwd.getpwnam("postfix")
            os.stat(SPOOL)
        except (KeyError, FileNotFoundError):
            raise DovecotError(
                f"no Postfix was found (the user postfix, {SPOOL}); install Debian's package postfix first"
            ) from None
        return grp.getgrnam("dovecot").gr_gid

    def _refuse_mailboxes(self, configuration: File) -> None:
        """Raise where Dovecot serves a protocol that we did not configure: taking it over would cut its users off."""
        if not configuration.former or dovecot_auth.is_ours(configuration.before):
            return
        served = self._run(["doveconf", "-h", "protocols"])[1].replace("=", " ").split()
        served = [word for word in served if word not in ("{", "}", "yes", "protocols")]
        if served:
            raise DovecotError(
                f"the Dovecot of this server serves {', '.join(served)} by {configuration.path},"
                " which this module would replace; move the mailboxes elsewhere,"
                " or take this server out of the submission servers"
            )

    def _validate(self, text: str) -> None:
        with tempfile.NamedTemporaryFile("w", prefix="dovecot-", suffix=".conf") as staged:
            staged.write(text)
            staged.flush()
            self._must(["doveconf", "-n", "-c", staged.name])

    def _reload(self) -> None:
        self._must(["systemctl", "enable", "--quiet", "dovecot"])
        if self._run(["systemctl", "reload-or-restart", "dovecot"])[0] != 0:
            self._restart()

    def _restart(self) -> None:
        """Start Dovecot anew, also where it ended several times just now, which systemd takes for a reason not to."""
        self._run(["systemctl", "reset-failed", "dovecot"])
        self._must(["systemctl", "restart", "dovecot"])

    def _prove(self, proof: Proof, former: str) -> None:
        """Ask until a process other than the `former` one gives the right answer, or the time is up.

        Dovecot 2.3 may end by SIGSEGV behind a reload that had succeeded, and what is left of it reads the new logins
        and answers on for a while: only a process that was started since then shows that Dovecot outlived the reload.
        """
        deadline = time.monotonic() + PROOF_SECONDS
        while True:
            doubt, process = _doubt(proof)
            runs = self._run(["systemctl", "is-active", "--quiet", "dovecot"])[0] == 0
            if runs and not doubt and (not former or process != former):
                return
            if time.monotonic() > deadline:
                raise DovecotError(doubt or "Dovecot does not take its new files or ends again and again;"
                                            " its log says why (journalctl -u dovecot)")
            if not runs:
                self._restart()
            time.sleep(0.2)

    def _must(self, arguments: list[str]) -> str:
        code, out, err = self._run(arguments)
        if code != 0:
            raise DovecotError(f"`{' '.join(arguments)}` failed: {(err or out).strip()}")
        return out


def _doubt(proof: Proof) -> tuple[str, str]:
    """Ask once; return what is wrong with the answer, "" where nothing is, and the process that gave it."""
    try:
        answer = dovecot_auth.ask(proof.name, proof.password)
    except (OSError, dovecot_auth.ProtocolError) as error:
        return f"nothing useful answers at {dovecot_auth.SOCKET}: {error}", ""
    if answer.broken:
        told = "cannot check"
    elif answer.accepted != proof.accepted:
        told = "accepts" if answer.accepted else "denies"
    else:
        return "", answer.process
    reason = f" ({answer.reason})" if answer.reason else ""
    return f"Dovecot {told} the login {proof.name}{reason}; its log says why (journalctl -u dovecot)", answer.process


def _file(path: str, after: str, group: int, mode: int) -> File:
    try:
        with open(path, "rb") as handle:
            status = os.fstat(handle.fileno())
            former = (handle.read(), status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
    except FileNotFoundError:
        former = None
    return File(path, after, group, mode, former)


def _write(path: str, content: bytes, owner: int, group: int, mode: int) -> None:
    """Replace a file at once; what is being written is readable for root alone."""
    handle, staged = tempfile.mkstemp(dir=os.path.dirname(path), prefix="." + os.path.basename(path))
    try:
        with open(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chown(staged, owner, group)
        os.chmod(staged, mode)
        os.replace(staged, path)
    except OSError:
        os.unlink(staged)
        raise


def _restore(file: File) -> None:
    if file.former is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file.path)
    else:
        _write(file.path, *file.former)
