# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program on a server: laid down whole, judged by itself before it is switched to, and put back where it fails.

Each version of the program has a folder under the name of its content; a link says which one runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import grp
import hashlib
import json
import os
import pwd
import shutil
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.mailfleet.sending.plugins.module_utils import agent_keys
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_settings import (
    METRICS,
    METRICS_FILE,
    QUEUE,
    SOCKET,
    SPOOL,
    STATE,
    USER,
    VERIFIER,
    verifies,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_units import (
    COMMAND,
    CONFIGURATION,
    EXPORTED,
    EXPORTER,
    POSTFIX,
    POSTFIX_TEXT,
    PROGRAM,
    SECRETS,
    SERVICES,
    SETTINGS,
    exported,
    laid_down,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.owned_files import (
    Owner,
    hold,
    hold_folder,
    write,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

ROOT = Owner(0, 0)
CURRENT = f"{PROGRAM}/current"
START = "from mailfleet.cli import main\n\nraise SystemExit(main())\n"
SCRIPT = f"#!/bin/sh\n# Written by mailfleet.\nexec /usr/bin/python3 -I {CURRENT} \"$@\"\n"
HIDDEN = "(secrets are not shown)\n"
DEAD = ("inactive", "failed")
# Who binds the socket is the agent, who connects is Postfix: the folder's group is the socket's.
FOLDERS = (
    (PROGRAM, 0o755, "root"), (CONFIGURATION, 0o755, "root"), (STATE, 0o700, USER), (SPOOL, 0o700, USER),
    (METRICS, 0o755, USER),
    (f"{QUEUE}/{os.path.dirname(SOCKET)}", 0o2750, f"{USER}:postfix"),
)


class Failed(RuntimeError):
    """What could not be done, and what stands now."""


@dataclasses.dataclass
class Node:
    """The program on one server; ``diff`` is what was changed, or would be, ``warnings`` what is to be said of it."""

    programs: Programs
    check: bool = False
    diff: list[dict[str, str]] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def have(self, program: t.Mapping[str, str], settings: t.Mapping[str, t.Any], secrets: t.Mapping[str, t.Any],
             dropped: t.Collection[str] = ()) -> None:
        """Have the program with a configuration; services that run take it up.

        :arg program: the texts of the package's files by their names.
        :arg settings: the configuration, without secrets.
        :arg secrets: those.
        :arg dropped: the ids of keys of return paths that may go.
        :raises Failed: where a key would be lost, the program does not like the configuration, or a service does not
            start with it; what stood before stands then.
        """
        digest = digest_of(program)
        files = {
            SECRETS: (_json(secrets), 0o600, USER), SETTINGS: (_json(settings), 0o640, f"root:{USER}"),
            COMMAND: (SCRIPT, 0o755, "root"), **dict.fromkeys(POSTFIX, (POSTFIX_TEXT, 0o644, "root")),
            **{service.file: (service.text, 0o644, "root") for service in SERVICES.values()},
        }
        before = {path: _read(path) for path in files}
        there = agent_keys.held(before[SECRETS])
        if told := agent_keys.lost(there, secrets["token_keys"], dropped):
            raise Failed(told)
        former_key = agent_keys.current_of(before[SETTINGS])
        if told := agent_keys.too_early(there, former_key, settings["token"]["current"]):
            self.warnings.append(told)
        changed = [path for path, (text, _mode, _owner) in files.items() if before[path] != text]
        former = os.path.basename(os.readlink(CURRENT)) if os.path.islink(CURRENT) else ""
        whole = _is_whole(digest, program)
        for path in changed:
            self._differs(path, before[path], files[path][0])
        if former != digest or not whole:
            kept = "" if former != digest else " (not as it was laid down)"
            self._differs(CURRENT, f"{former}{kept}\n" if former else None, f"{digest}\n")
        self._exported("log" in settings)
        self._rights([*FOLDERS, *((path, mode, owner) for path, (_text, mode, owner) in files.items())])
        if self.check:
            return
        self._user(USER, "--user-group", "--home-dir", SPOOL)
        if verifies(settings):
            self._user(VERIFIER, "--no-user-group", "--gid", USER, "--home-dir", "/nonexistent")
        for folder, mode, owner in FOLDERS:
            hold_folder(Path(folder), mode, _owner(owner))
        for path, (_text, mode, owner) in files.items():
            if path not in changed:
                hold(Path(path), mode, _owner(owner))
        if not changed and former == digest and whole:
            return
        if not whole:
            self._lay_down(digest, program)
        self._judge(digest, settings, secrets)
        running = [service.unit for service in SERVICES.values() if state_of(self.programs, service.unit) not in DEAD]
        try:
            self._install({path: files[path] for path in changed}, digest)
            self._take_up(running)
        except (Failed, OSError) as error:
            try:
                self._install({path: (before[path], *files[path][1:]) for path in changed}, former)
                self._take_up(running)
            except (Failed, OSError) as again:
                raise Failed(f"{error}\nwhat stood before was put back, and did not come up either: {again}") from error
            raise Failed(f"{error}\nwhat stood before stands again") from error
        for folder in Path(PROGRAM).iterdir():
            if folder.is_dir() and not folder.is_symlink() and folder.name not in (digest, former):
                shutil.rmtree(folder)

    def remove(self) -> None:
        """Take the program away; what it took in and knows stays, with its user."""
        there = [path for path in laid_down() if path not in (EXPORTED, PROGRAM)]
        for path in there:
            self._differs(path, _read(path), None)
        self._exported(wanted=False)
        # Last of all: a run that was cut off finds it, and goes on.
        if os.path.isdir(PROGRAM):
            self._differs(PROGRAM, "the program\n", None)
        if self.check or not self.diff:
            return
        services = [service.unit for service in SERVICES.values() if os.path.exists(service.file)]
        if services:
            self._must(["systemctl", "disable", "--quiet", "--now", *services])
            # One that had failed would be listed as failed for ever; of the others this says that they have not.
            self.programs(["systemctl", "reset-failed", *services])
        for path in there:
            os.unlink(path)
        Path(QUEUE, SOCKET).unlink(missing_ok=True)
        self._must(["systemctl", "daemon-reload"])
        for folder in (CONFIGURATION, f"{QUEUE}/{os.path.dirname(SOCKET)}", *map(os.path.dirname, POSTFIX)):
            with contextlib.suppress(OSError):  # who has something else in it keeps it
                os.rmdir(folder)
        if os.path.isdir(PROGRAM):
            shutil.rmtree(PROGRAM)

    def _differs(self, path: str, before: str | None, after: str | None) -> None:
        hidden = path == SECRETS
        self.diff.append({
            "before_header": path, "after_header": path,
            "before": "" if before is None else HIDDEN if hidden else before,
            "after": "" if after is None else f"{HIDDEN[:-1]}, {'others' if before else 'new'}\n" if hidden else after,
        })

    def _exported(self, wanted: bool) -> None:
        """Have the metrics found by Debian's node_exporter, where it is there and they are wanted."""
        if wanted and os.path.isdir(EXPORTER) and not os.path.lexists(EXPORTED):
            self._differs(EXPORTED, None, f"leads to {METRICS_FILE}\n")
            if not self.check:
                os.symlink(METRICS_FILE, EXPORTED)
        elif not wanted and exported():
            self._differs(EXPORTED, f"leads to {METRICS_FILE}\n", None)
            if not self.check:
                os.unlink(EXPORTED)

    def _user(self, name: str, *options: str) -> None:
        try:
            pwd.getpwnam(name)
        except KeyError:
            self._must(["useradd", "--system", *options, "--no-create-home", "--shell", "/usr/sbin/nologin", name])

    def _rights(self, wanted: t.Iterable[tuple[str, int, str]]) -> None:
        """Tell whose owner or mode is another: secrets that others may read, which the program then refuses."""
        try:
            pwd.getpwnam(USER)
        except KeyError:
            return  # all is made with the user
        lines = [line for path, mode, owner in wanted if os.path.lexists(path)
                 for line in hold(Path(path), mode, _owner(owner), dry=True)]
        if lines:
            self.diff.append({"before_header": "owners and modes", "after_header": "owners and modes",
                              "before": "", "after": "".join(f"{line}\n" for line in lines)})

    def _lay_down(self, digest: str, program: t.Mapping[str, str]) -> None:
        place = Path(PROGRAM, digest)
        stage = Path(tempfile.mkdtemp(prefix=".new-", dir=PROGRAM))
        try:
            for name, text in _laid_down(program).items():
                path = stage / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            # Services may not write there, so it is compiled now; what cannot be compiled is told by name.
            self._must(["/usr/bin/python3", "-I", "-m", "compileall", "-q", "-s", str(stage), str(stage)])
            for folder in (stage, *(path for path in stage.rglob("*") if path.is_dir())):
                folder.chmod(0o755)
            # The name says what is inside: a power cut must not leave it on files without content.
            os.sync()
            if place.is_dir():
                place.rename(f"{stage}-former")
            stage.rename(place)
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise

    def _judge(self, digest: str, settings: t.Mapping[str, t.Any], secrets: t.Mapping[str, t.Any]) -> None:
        """Have the program itself read the configuration, before it is anybody's."""
        with tempfile.TemporaryDirectory(prefix="mailfleet-") as stage:
            hidden, shown = Path(stage, "secrets.json"), Path(stage, "agent.json")
            for path, content in ((hidden, secrets), (shown, {**settings, "secrets": str(hidden)})):
                write(path, _json(content).encode(), 0o600, ROOT)
            self._must(["/usr/bin/python3", "-I", f"{PROGRAM}/{digest}", "--config", str(shown), "check"])

    def _install(self, files: t.Mapping[str, tuple[str | None, int, str]], digest: str) -> None:
        for path, (text, mode, owner) in files.items():
            if text is None:
                Path(path).unlink(missing_ok=True)
            else:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                write(Path(path), text.encode(), mode, _owner(owner))
        if digest:
            staged = f"{CURRENT}.new"
            Path(staged).unlink(missing_ok=True)
            os.symlink(digest, staged)
            os.replace(staged, CURRENT)
        else:
            Path(CURRENT).unlink(missing_ok=True)

    def _take_up(self, units: t.Iterable[str]) -> None:
        """Have services that ran before take up what stands now; one that did not start is no less one of them."""
        self._must(["systemctl", "daemon-reload"])
        for unit in units:
            restart(self.programs, unit)

    def _must(self, command: t.Sequence[str]) -> None:
        done = self.programs(command)
        if done.status:
            raise Failed(done.err.strip() or done.out.strip() or f"{' '.join(command)}: status {done.status}")


def state_of(programs: Programs, unit: str) -> str:
    """What a service does, in systemd's word; one that fails again and again is ``activating`` in between."""
    return programs(["systemctl", "show", "--property=ActiveState", "--value", unit]).out.strip()


def restart(programs: Programs, unit: str) -> None:
    """Restart a service, which is ready when this returns; raises Failed with what it said."""
    done = programs(["systemctl", "restart", unit])
    if done.status:
        said = programs(["journalctl", "--quiet", "--output=cat", f"--unit={unit}", "--lines=20"]).out.strip()
        raise Failed(f"{unit} did not start: {said or done.err.strip()}")


def _owner(name: str) -> Owner:
    user, _colon, group = name.partition(":")
    try:
        found = pwd.getpwnam(user)
        return Owner(found.pw_uid, grp.getgrnam(group).gr_gid if group else found.pw_gid)
    except KeyError as error:
        raise Failed(f"{error.args[0]}; install Debian's package postfix, which has the group postfix") from error


def _laid_down(program: t.Mapping[str, str]) -> dict[str, str]:
    return {"__main__.py": START, **{f"mailfleet/{name}": text for name, text in program.items()}}


def _is_whole(digest: str, program: t.Mapping[str, str]) -> bool:
    """Whether a program lies there as it was laid down: nobody's hand, and no power cut, has changed a file."""
    return all(_read(f"{PROGRAM}/{digest}/{name}") == text for name, text in _laid_down(program).items())


def digest_of(program: t.Mapping[str, str]) -> str:
    """The name of a program's content."""
    digest = hashlib.sha256()
    for name, text in sorted({**program, "/": START}.items()):
        digest.update(f"{name}\0{len(text)}\0{text}".encode())
    return digest.hexdigest()[:16]


def _json(content: t.Mapping[str, t.Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
