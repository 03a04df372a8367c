# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenDKIM on this host: staged, validated, switched by one rename, proved, and put back where the proof fails.

A generation is a folder whose name comes from its content; C(/etc/opendkim.conf) names the one in force. Before it is
switched, the one that was proved last is kept as C(previous.conf), and a mark says that the new one is not proved yet:
a run that finds the mark knows that the last one was interrupted, and proves or goes back in its place.
"""
from __future__ import annotations

import grp
import pwd
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.mailfleet.sending.plugins.module_utils import (
    dkim_keys,
    opendkim_conf,
    opendkim_probe,
    owned_files,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import KeyFault, Public
from ansible_collections.mailfleet.sending.plugins.module_utils.opendkim_conf import Generation
from ansible_collections.mailfleet.sending.plugins.module_utils.opendkim_policy import Policy
from ansible_collections.mailfleet.sending.plugins.module_utils.owned_files import Owner
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

ROOT = Owner(0, 0)
_CONF = Path(opendkim_conf.CONF)
_FOLDER = Path(opendkim_conf.GENERATIONS)
_KEYS = Path(opendkim_conf.KEYS)
_PREVIOUS = _FOLDER / "previous.conf"
_MARK = _FOLDER / "unproved"
_SERVICE = "opendkim.service"


class NodeFault(ValueError):
    """OpenDKIM cannot be made to work as wanted; what stood before stands again."""


@dataclass(frozen=True)
class KeyFile:
    """A key of this host: C(private) its PEM where it comes with the task, None where it is on the host already;
    C(public) its public half as published, None where that is not told; C(comes) that it comes with the task, though
    check mode may not have it yet."""

    domain: str
    selector: str
    private: bytes | None = field(default=None, repr=False)
    public: str | None = None
    comes: bool = False

    @property
    def path(self) -> Path:
        """Return where OpenDKIM reads it."""
        return _KEYS / self.domain / f"{self.selector}.pem"

    def untold(self, *, dry: bool) -> bool:
        """Return whether check mode cannot know the key; one that will come replaces any that is there."""
        return dry and self.private is None and (self.comes or not self.path.exists())


@dataclass
class Report:
    """What was done, or would be: C(changes) a line each, C(unverified) what could not be told, C(diff) for Ansible."""

    changes: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    proved: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)


def apply(programs: Programs, policy: Policy, keys: Sequence[KeyFile], retired: Iterable[KeyFile] = (), *,
          dry: bool = False) -> Report:
    """Make OpenDKIM carry out a policy with these keys, and prove that it does.

    Raises: NodeFault, PolicyMistakes or KeyFault; OpenDKIM then runs with the configuration that it had.
    """
    report = Report()
    publics = _read_keys(programs, keys, report, dry=dry)
    types = sorted({public.type for public in publics.values()}) or ["rsa"]
    if len(types) > 1:
        raise NodeFault(f"found keys of the types {' and '.join(types)}, expected one: OpenDKIM has one algorithm")
    wanted = opendkim_conf.generation(policy, types[0])
    run = _Run(programs, wanted, keys, report, dry=dry)
    installed = shutil.which("opendkim", path="/usr/sbin:/usr/bin") is not None
    if not installed:
        if not dry:
            raise NodeFault("found no program opendkim; install the package opendkim first")
        report.unverified.append("opendkim is not installed: which folders and files its package brings, what it says "
                                 "of the configuration, and the proof")
    run.compare(installed=installed)
    stale = [key.path for key in retired if key.path.exists() and key.path not in [kept.path for kept in keys]]
    report.changes += [f"{path}: removed" for path in stale]
    if not dry and run.needed:
        run.switch(policy, publics)
    elif installed and not run.needed and len(publics) == len(keys):
        _prove(programs, policy, publics, report)
    elif installed:
        report.unverified.append("what OpenDKIM says of the new configuration, and its proof")
    if not dry:
        for path in stale:
            path.unlink()
    return report


class _Run:
    """One comparison of what is there with what is wanted, and the switch to it."""

    def __init__(self, programs: Programs, wanted: Generation, keys: Sequence[KeyFile], report: Report, *,
                 dry: bool) -> None:
        self.wanted = wanted
        self.needed = False
        self._programs = programs
        self._keys = keys
        self._report = report
        self._dry = dry
        self._owner = _owner(dry=dry)
        self._replaced: dict[Path, bytes | None] = {}

    def compare(self, *, installed: bool) -> None:
        """Note every change; what is about owners and modes is made at once, the rest by C(switch)."""
        changes: list[str] = []
        if _MARK.exists():
            changes.append("the last run ended before its proof: proved again")
        for key in self._keys:
            if key.comes and not key.path.exists():
                changes.append(f"{key.path}: made")
            elif key.path.exists() and (key.untold(dry=self._dry) or key.private not in (None, key.path.read_bytes())):
                changes.append(f"{key.path}: replaced")
        before = _text(_CONF)
        if before != self.wanted.conf:
            changes.append(f"{_CONF}: {'made' if before is None else 'changed'}")
            self._compare_text(_CONF, before, self.wanted.conf)
            used = _used_folder(before)
            for name, text in self.wanted.files.items():
                old = _text(used / name) if used else None
                if old != text:
                    self._compare_text(Path(self.wanted.directory, name), old, text)
        for name, text in self.wanted.files.items():
            path = Path(self.wanted.directory, name)
            if before == self.wanted.conf and _text(path) != text:
                changes.append(f"{path}: put back")
        if installed and not _systemctl_says(self._programs, "is-active"):
            changes.append("opendkim: started")
        if installed and not _systemctl_says(self._programs, "is-enabled"):
            changes.append("opendkim: enabled")
        self.needed = bool(changes)
        self._report.changes += changes
        if installed or not self._dry:
            self._hold_folders()

    def switch(self, policy: Policy, publics: dict[str, Public]) -> None:
        """Stage, validate, rename, restart, prove; go back where any of it fails."""
        owned_files.hold_folder(_FOLDER, 0o755, ROOT)
        if not _MARK.exists() and (text := _text(_CONF)) is not None:
            owned_files.write(_PREVIOUS, text.encode(), 0o644, ROOT)
        owned_files.write(_MARK, b"", 0o644, ROOT)
        try:
            self._stage()
            owned_files.write(_CONF, self.wanted.conf.encode(), 0o644, ROOT)
            _systemctl(self._programs, "enable")
            _systemctl(self._programs, "restart")
            _prove(self._programs, policy, publics, self._report)
        except (NodeFault, KeyFault, OSError) as fault:
            back = self._go_back()
            raise NodeFault(f"{fault}\n{back}") from fault
        _MARK.unlink()
        kept = {Path(self.wanted.directory), _used_folder(_text(_PREVIOUS))}
        for folder in _FOLDER.iterdir():
            if folder.is_dir() and re.fullmatch(r"[0-9a-f]{16}", folder.name) and folder not in kept:
                shutil.rmtree(folder)

    def _stage(self) -> None:
        """Write the keys and the generation, and let OpenDKIM and its user read them."""
        folder = Path(self.wanted.directory)
        owned_files.hold_folder(folder, 0o755, ROOT)
        for name, text in self.wanted.files.items():
            owned_files.write(folder / name, text.encode(), 0o644, ROOT)
        staged = folder / "opendkim.conf"
        owned_files.write(staged, self.wanted.conf.encode(), 0o644, ROOT)
        for key in self._keys:
            if key.private is not None:
                old = key.path.read_bytes() if key.path.exists() else None
                if old != key.private:
                    owned_files.write(key.path, key.private, 0o600, self._owner)
                    self._replaced[key.path] = old
            self._readable(key.path)
        said = self._programs(["opendkim", "-n", "-x", staged])
        if said.status:
            raise NodeFault(f"opendkim -n refused {staged}: {(said.err + said.out).strip()}")

    def _readable(self, path: Path) -> None:
        """Raise NodeFault where OpenDKIM's user cannot read a key."""
        as_user = ["setpriv", f"--reuid={self._owner.uid}", f"--regid={self._owner.gid}", "--clear-groups"]
        done = self._programs([*as_user, "openssl", "pkey", "-noout", "-in", path])
        if done.status:
            raise NodeFault(f"{path}: the user {opendkim_conf.USER} cannot read this key")

    def _go_back(self) -> str:
        """Let what stood before stand again; return what came of it, as a sentence."""
        for path, content in self._replaced.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                owned_files.write(path, content, 0o600, self._owner)
        previous = _text(_PREVIOUS)
        if previous is None:
            return "There was no configuration before to go back to."
        owned_files.write(_CONF, previous.encode(), 0o644, ROOT)
        try:
            _systemctl(self._programs, "restart")
        except NodeFault as fault:
            return f"The configuration of before stands again, but does not start: {fault}"
        _MARK.unlink()
        return "The configuration of before stands again, and OpenDKIM runs with it."

    def _hold_folders(self) -> None:
        """Give the folders of keys and socket, and the keys that are there, their owner and mode."""
        socket_folder = Path(opendkim_conf.SOCKET).parent
        group = Owner(self._owner.uid, _group("postfix", dry=self._dry))
        changes = owned_files.hold_folder(socket_folder, 0o2750, group, dry=self._dry)
        changes += owned_files.hold_folder(_KEYS, 0o700, self._owner, dry=self._dry)
        for folder in dict.fromkeys(key.path.parent for key in self._keys):
            changes += owned_files.hold_folder(folder, 0o700, self._owner, dry=self._dry)
        for key in self._keys:
            if key.path.exists():
                changes += owned_files.hold(key.path, 0o600, self._owner, dry=self._dry)
        self._report.changes += changes

    def _compare_text(self, path: Path, before: str | None, after: str) -> None:
        self._report.diff.append({"before_header": str(path), "after_header": str(path), "before": before or "",
                                  "after": after})


def _read_keys(run: Programs, keys: Sequence[KeyFile], report: Report, *, dry: bool) -> dict[str, Public]:
    """Return domain to the public half of each key that can be told.

    Raises: NodeFault with every key that cannot be read, or is not the one that was published.
    """
    publics, faults = {}, []
    for key in keys:
        try:
            dkim_keys.check_name("domain", key.domain)
            dkim_keys.check_name("selector", key.selector)
            for path in (key.path, key.path.parent):
                if path.is_symlink():
                    raise KeyFault(f"{path} is a symbolic link, expected a file or folder of its own")
            if key.untold(dry=dry):
                report.unverified.append(f"{key.path}: the key is not there yet")
                continue
            public = dkim_keys.read_private(run, key.path.read_bytes() if key.private is None else key.private)
            if key.public is not None and key.public != public.public:
                raise KeyFault("it is not the key whose public half was published")
            publics[key.domain] = public
        except KeyFault as fault:
            faults.append(f"{key.selector}._domainkey.{key.domain}: {fault}")
        except OSError as error:
            faults.append(f"{key.path}: the key cannot be read: {error.strerror}")
    if faults:
        raise NodeFault("\n".join(faults))
    return publics


def _prove(run: Programs, policy: Policy, publics: dict[str, Public], report: Report) -> None:
    """Raise NodeFault where the running milter does not do what the policy says."""
    probes = opendkim_probe.probes(policy)
    deadline = time.monotonic() + 30  # a busy machine takes its time to start it
    while True:
        try:
            faults = opendkim_probe.send(run, probes, publics, opendkim_conf.SOCKET)
            break
        except OSError as error:
            if time.monotonic() > deadline or not _systemctl_says(run, "is-active"):
                raise NodeFault(f"the milter does not answer at {opendkim_conf.SOCKET}: {error.strerror}\n{_log(run)}"
                                ) from error
            time.sleep(0.1)
    if faults:
        raise NodeFault("the milter does not do what was promised:\n" + "\n".join(faults) + f"\n{_log(run)}")
    report.proved += [probe.about for probe in probes]


def _used_folder(conf: str | None) -> Path | None:
    """Return the generation's folder that a configuration names."""
    folder = rf"{re.escape(opendkim_conf.GENERATIONS)}/[0-9a-f]{{16}}"
    found = re.search(rf"^KeyTable file:({folder})/", conf or "", re.MULTILINE)
    return Path(found.group(1)) if found else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def _owner(*, dry: bool) -> Owner:
    """Return OpenDKIM's user and group; in check mode its package may have yet to bring them."""
    try:
        found = pwd.getpwnam(opendkim_conf.USER)
    except KeyError as error:
        if dry:
            return Owner()
        raise NodeFault(f"found no user {opendkim_conf.USER}; install the package opendkim first") from error
    return Owner(found.pw_uid, found.pw_gid)


def _group(name: str, *, dry: bool) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        if dry:
            return -1
        raise NodeFault(f"found no group {name}; install the package postfix first") from error


def _systemctl_says(run: Programs, question: str) -> bool:
    return run(["systemctl", question, "--quiet", _SERVICE], seconds=30).status == 0


def _systemctl(run: Programs, verb: str) -> None:
    done = run(["systemctl", verb, "--quiet", _SERVICE])
    if done.status:
        raise NodeFault(f"systemctl {verb} opendkim failed: {done.err.strip()}\n{_log(run)}")


def _log(run: Programs) -> str:
    done = run(["journalctl", "--unit", _SERVICE, "--lines", "5", "--output", "cat", "--no-pager"], seconds=30)
    return f"Its log ends with:\n{done.out.strip()}"
