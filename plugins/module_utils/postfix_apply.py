# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of ``postfix_config``: plan, judge, install, prove; go back where that fails, recover what was cut off."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import grp
import hashlib
import os
import shutil
import tempfile
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils import postfix_listeners, postfix_proof
from ansible_collections.mailfleet.sending.plugins.module_utils.master_cf import MasterCf
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_certificates import date_mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_control import (
    MAIN_UNIT,
    Control,
    ControlError,
    needs_restart,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_generations import (
    Generation,
    Store,
    TableFile,
    nothing_owned,
    sync,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_layers import (
    Refused,
    Wanted,
    resolve,
    version_of,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_plan import Files, diff, files, table_files
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_proof import ProofError, Proving
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_stage import (
    Judgement,
    judge,
    judge_certificates,
    write,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

STATE = "/var/lib/mailfleet/postfix"
UNVERIFIED = (
    "main.cf and master.cf: what Debian's package puts there, and our settings among it",
    "settings: whether this Postfix knows them and takes their values (postconf)",
    "tables: whether they build (postmap)",
    "services, transports and files that the settings refer to",
    "relaying: whether the whole configuration refuses strangers",
    "the banner, and a message through the queue",
)


class Failed(RuntimeError):
    """An installation that failed behind its validation; the text has the cause, and what stands now."""


@dataclasses.dataclass
class Run:
    """One run: what runs programs, where files and state are, what to prove, the unit, files that check mode lacks."""

    programs: Programs
    directory: str = "/etc/postfix"
    state: str = STATE
    proving: Proving = dataclasses.field(default_factory=Proving)
    scratch: str | None = None
    unit: str = MAIN_UNIT
    pending: t.Collection[str] = ()

    def __post_init__(self) -> None:
        self.store = Store(self.state)
        self.tables = os.path.join(self.directory, "mailfleet")
        self.did: dict[str, t.Any] = {"started": False, "restarted": False, "reloaded": False, "recovered": ""}

    # What stands.

    def version(self) -> str:
        """Return the installed Postfix, empty where there is none.

        :raises Refused: where it does not tell, as with a master.cf that it cannot read.
        """
        if not shutil.which("postconf") or not os.path.exists(self._path("main.cf")):
            return ""
        done = self.programs(["postconf", "-c", self.directory, "-d", "-h", "mail_version"])
        if done.status:
            complaint = done.err.strip()
            raise Refused([Mistake(self.directory, complaint, "files that Postfix can read", "mend them by hand")])
        return done.out.strip()

    def apply(self, passed: t.Mapping[str, t.Any], check: bool) -> dict[str, t.Any]:
        """Bring the configuration to what the layers say.

        :arg passed: the layers that the user passed; those on the node that are not among them stay.
        :arg check: whether to tell only.
        :returns: what ``postfix_config`` returns.
        :raises Refused: where the configuration is wrong; nothing was touched.
        :raises Failed: where it was installed and is gone again.
        """
        version = self.version()
        if not version:
            return self._before_installation(passed, check)
        with contextlib.nullcontext() if check else self.store.locked():
            journal = self.store.journal()
            if not check:
                for left in glob.glob(os.path.join(self.state, "stage-*")):
                    shutil.rmtree(left)
                if journal:
                    self._recover(journal)
            result = self._apply(passed, version, check)
            if journal:
                result["changed"] = True
                if check:
                    result["unverified"].append(f"an earlier run was cut off at step {journal['step']}: "
                                                "this one would first recover what it left")
            return {**result, "postfix_version": version}

    def _before_installation(self, passed: t.Mapping[str, t.Any], check: bool) -> dict[str, t.Any]:
        if not check:
            raise Failed(f"found no Postfix (no postconf, or no {self._path('main.cf')}), expected one: install the "
                         "package postfix before this task")
        wanted = resolve(passed, None, self.tables)
        with self._stage(check) as stage:
            if mistakes := judge_certificates(stage, wanted):
                raise Refused(mistakes)
        plan = files("", "", nothing_owned(), wanted)
        shown = diff(self.directory, ("", plan.main), ("", str(plan.master)), (), table_files(wanted))
        return {"changed": True, "diff": shown, "postfix_version": "", "generation": 0, "unused": list(wanted.unused),
                "unverified": [*UNVERIFIED, *wanted.unverified], "proof": {},
                "warnings": date_mistakes(wanted.certificates.values())[1], **self.did}

    def _apply(self, passed: t.Mapping[str, t.Any], version: str, check: bool) -> dict[str, t.Any]:
        current = self.store.current()
        stored = current.layers if current else {}
        layers = {name: layer for name, layer in {**stored, **passed}.items() if layer}
        wanted = resolve(layers, version_of(version), self.tables)
        main, master = self._read("main.cf"), self._read("master.cf")
        plan = files(main, master, current.owned if current else nothing_owned(), wanted)
        tables = table_files(wanted)
        old = current.tables if current else ()
        shown = diff(self.directory, (main, plan.main), (master, str(plan.master)), old, tables)
        whole = all(self._stands(table, wanted) for table in tables)
        control = self._control(self._queue(main))
        out_of_date, warnings = date_mistakes(wanted.certificates.values())
        result = {"changed": True, "diff": shown, "generation": current.number if current else 0, "proof": {},
                  "unused": list(wanted.unused), "unverified": [], "warnings": warnings, **self.did}
        if current and not shown and whole and layers == stored:
            if out_of_date:
                raise Refused(out_of_date)
            if control.master():
                return {**result, "changed": bool(self.did["recovered"])}
            if check:
                return {**result, "started": True}
            control.restart(self.proving.restart_wait)
            proof = self._proved(control, *self._values())
            return {**result, "started": True, "proof": proof}
        with self._stage(check) as stage:
            before, services = self._values()
            running = control.master() is not None
            held = postfix_listeners.ports(services) if running else frozenset()
            message = self.proving.enabled and self.proving.queue
            staged = (stage, plan.main, plan.master, wanted, self.tables)
            judgement = judge(self.programs, *staged, held, message, self.pending, check)
            result["unverified"] += judgement.unverified
            result["unused"] += judgement.unused
            anew = needs_restart(before, judgement.values) or postfix_listeners.clashes(services, plan.master.services)
            verb = "start" if not running else "restart" if anew else "reload"
            if not shown and whole and running:
                # The same files by other layers: Postfix has nothing to learn of it.
                verb = "none"
            if check:
                did = {"start": "started", "restart": "restarted", "reload": "reloaded"}
                return {**result, **({did[verb]: True} if verb in did else {})}
            new = Generation(plan.main, str(plan.master), layers, plan.owned, tables)
            proof, number = self._install(stage, new, current, plan, control, judgement, verb)
        return {**result, **self.did, "generation": number, "proof": proof}

    def _stands(self, table: TableFile, wanted: Wanted) -> bool:
        """Whether a file of a table or certificate is there as it was installed."""
        path = os.path.join(self.tables, table.name)
        try:
            mode = os.stat(path).st_mode & 0o777
            text = next((known.text for known in wanted.files if known.file == table.name), None)
            if text is None:
                return mode == table.mode
            with open(path, encoding="utf-8") as file:
                return mode == table.mode and file.read() == text
        except (OSError, ValueError):
            return False

    # Installing.

    def _install(self, stage: str, new: Generation, current: Generation | None, plan: Files, control: Control,
                 judgement: Judgement, verb: str) -> tuple[dict[str, t.Any], int]:
        """Install what was judged; returns the proof and the generation's number."""
        store = self.store
        main, master = self._read("main.cf"), self._read("master.cf")
        if current and (current.main, current.master) == (main, master):
            found = current
        else:
            there = tuple(table for table in (current.tables if current else ())
                          if os.path.exists(os.path.join(self.tables, table.name)))
            known = current or Generation(main, master)
            found = store.save(Generation(main, master, known.layers, known.owned, there), self.tables)
        new = store.save(new, os.path.join(stage, "tables"))
        facts = {"target": new.number, "back": found.number, "good": current.number if current else 0,
                 "was_running": control.master() is not None, "queue": control.queue,
                 "wrote": [_digest(text) for text in (new.main, new.master, str(plan.between))]}
        try:
            store.note("tables", **facts)
            self._put_tables(new)
            store.note("services", **facts)
            self._put("master.cf", str(plan.between))
            store.note("switch", **facts)
            self._put("main.cf", new.main)
            proof = self._effect(control, judgement, plan, verb, facts)
            store.note("commit", **facts)
        except (ControlError, ProofError, OSError) as error:
            raise Failed(f"{error}\n{self._back(facts)}") from error
        self._finish(control, new, facts)
        return proof, new.number

    def _effect(self, control: Control, judgement: Judgement, plan: Files, verb: str,
                facts: dict[str, t.Any]) -> dict[str, t.Any]:
        """Have Postfix take up its new files, and prove that it is up with them."""
        if verb == "none":
            return {}
        if verb == "reload":
            self.store.note("reload", **facts)
            control.reload()
        else:
            facts["restarted"] = True
            self.store.note("restart", **facts)
            control = self._control(judgement.values["queue_directory"])
            control.restart(self.proving.restart_wait)
        self.did[{"reload": "reloaded", "restart": "restarted", "start": "started"}[verb]] = True
        self.store.note("prove", **facts)
        return self._proved(control, judgement.values, plan.between.services)

    def _finish(self, control: Control, new: Generation, facts: dict[str, t.Any]) -> None:
        """Make a generation the good one, and remove what is old: services, then tables."""
        self.store.point(new.number)
        self.store.note("clean", **facts)
        if self._read("master.cf") != new.master:
            self._put("master.cf", new.master)
            if control.master():
                control.reload()
        self._drop_tables(new)
        self.store.close()

    def _proved(self, control: Control, values: t.Mapping[str, str], services: t.Mapping[str, t.Any],
                asked: bool = True) -> dict[str, t.Any]:
        """Prove that Postfix is up; without `asked` where it listens by itself, not where the user said so."""
        if not self.proving.enabled:
            return {}
        known = postfix_listeners.listeners(values, services, self.tables)
        places = (self.proving.listeners if asked else ()) or known
        # What stood before may log to a file of its own, where a message cannot be looked for.
        message = self.proving.queue and not values.get("maillog_file")
        plan = postfix_proof.Plan(places, message, self.proving.timeout)
        return postfix_proof.prove(control, plan, postfix_listeners.literal(values))

    # Going back.

    def _recover(self, journal: dict[str, t.Any]) -> None:
        """Undo what an interrupted run began, or carry it to its end where it had been proved."""
        step = journal.pop("step")
        if step in ("commit", "clean"):
            control = self._control(journal["queue"])
            self._finish(control, self.store.load(journal["target"]), journal)
            self.did["recovered"] = f"a run that was cut off at step {step} was carried to its end"
        else:
            self.did["recovered"] = f"a run was cut off at step {step}; {self._back(journal)}"

    def _back(self, facts: dict[str, t.Any]) -> str:
        """Put back what stood before; returns words on what stands now."""
        tried = []
        # What was found may hold edits that nobody proved. It goes first, since it may hold edits that are not ours.
        for number in dict.fromkeys([facts["back"], facts["good"]]):
            if not number:
                continue
            generation = self.store.load(number)
            try:
                self._restore(generation, facts)
            except (ControlError, ProofError, OSError) as error:
                tried.append(f"with generation {number}: {error}")
                continue
            for passing in {facts["target"], facts["back"]} - {facts["good"], number}:
                self.store.drop(passing)
            self.store.close()
            state = "and is up" if facts["was_running"] else "and Postfix does not run, as before"
            return f"generation {number}, which stood before, stands again {state}"
        return "going back failed, too: " + "; ".join(tried) + "; the next run tries again"

    def _restore(self, generation: Generation, facts: dict[str, t.Any]) -> None:
        """Write a generation's files, and have Postfix run with them as it ran before."""
        control = self._control(facts["queue"])
        self._put_tables(generation)
        # main.cf first: the master.cf that stands has the old services beside the new ones.
        for name, text in (("main.cf", generation.main), ("master.cf", generation.master)):
            # A file that somebody edited since is left alone.
            if _digest(self._read(name)) in facts["wrote"] or generation.number != facts["back"]:
                self._put(name, text)
        if not facts["was_running"]:
            if control.master():
                control.stop()
        else:
            values, services = self._values()
            running = control.master()
            if not running or facts.get("restarted"):
                control.restart(self.proving.restart_wait)
            else:
                control.reload()
            self._proved(control, values, services, asked=False)
        self._drop_tables(generation)

    # Files.

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _read(self, name: str) -> str:
        with open(self._path(name), encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()

    def _put(self, name: str, text: str) -> None:
        """Put a file in its place, whole or not at all."""
        if self._read(name) == text:
            return
        beside = self._path(f".{name}.mailfleet")
        write(beside, text, 0o644)
        os.rename(beside, self._path(name))
        sync(self.directory)

    def _put_tables(self, generation: Generation) -> None:
        """Put a generation's tables and certificates in place: nothing reads them under their names before main.cf."""
        os.makedirs(self.tables, mode=0o755, exist_ok=True)
        group = grp.getgrnam("postfix").gr_gid
        for table in generation.tables:
            with open(os.path.join(self.store.folder(generation.number), "tables", table.name), "rb") as file:
                content = file.read()
            beside = os.path.join(self.tables, f".{table.name}.mailfleet")
            # A secret table is for the group of proxymap(8), too; a key is for root alone.
            write(beside, content, table.mode, group if table.mode & 0o044 == 0o040 else 0)
            os.rename(beside, os.path.join(self.tables, table.name))
        sync(self.tables)

    def _drop_tables(self, keep: Generation) -> None:
        names = {table.name for table in keep.tables}
        with contextlib.suppress(FileNotFoundError):
            for name in set(os.listdir(self.tables)) - names:
                os.unlink(os.path.join(self.tables, name))

    @contextlib.contextmanager
    def _stage(self, check: bool) -> t.Iterator[str]:
        """Yield a folder for root only; in check mode a scratch one, since nothing of ours may be written then."""
        parent = self.scratch if check else self.state
        folder = tempfile.mkdtemp(prefix="stage-", dir=parent)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # What Postfix says.

    def _control(self, queue: str) -> Control:
        return Control(self.programs, self.directory, queue, self.unit)

    def _queue(self, main: str) -> str:
        """Return the queue directory without asking postconf, which waits behind an edit."""
        for text in reversed(main.splitlines()):
            name, equals, value = text.partition("=")
            if equals and name.strip() == "queue_directory":
                return value.strip()
        return "/var/spool/postfix"

    def _values(self) -> tuple[dict[str, str], t.Mapping[str, t.Any]]:
        """Return effective parameters and services of what stands."""
        shown = self.programs(["postconf", "-c", self.directory, "-x"]).out.splitlines()
        values = {name: value.strip() for name, dummy, value in (text.partition(" =") for text in shown)}
        return values, MasterCf.parse(self._read("master.cf")).services


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
