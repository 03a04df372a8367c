# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A configuration written beside the running one, and judged by Postfix's own programs before anything is installed."""

from __future__ import annotations

import dataclasses
import os
import re
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.mailfleet.sending.plugins.module_utils.master_cf import MasterCf, Service
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, nearest
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_certificates import date_mistakes, pair_mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_checks import (
    log_mistakes,
    reference_mistakes,
    transport_mistakes,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_layers import Refused, Wanted
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_listeners import listener_mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_relay import relay_mistakes, word_mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_tables import BUILT, Table
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_view import View
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

# Postfix waits while main.cf is younger than a second or two, lest it be read half written. Ours are renamed whole.
AGE = 10
# A daemon that is given this as its transport type ends right behind reading its parameters, before it touches a thing.
NO_TRANSPORT = "mailfleet-check"
# What a daemon says of a user that is not there. In check mode, who runs before may be about to make it.
NO_USER = re.compile(r"parameter (\w+): unknown (user|group) name value: (\S+)")


def write(path: str, content: str | bytes, mode: int = 0o600, group: int = 0) -> None:
    """Write a file that is on the disk when this returns, a little older than it is (see AGE).

    :arg path: the file, which another name should hide until it is whole.
    :arg content: text or bytes.
    :arg mode: permissions, from the first byte on.
    :arg group: the number of the group it belongs to.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(descriptor, 0, group)
            os.fchmod(descriptor, mode)
            file.write(content if isinstance(content, bytes) else content.encode(errors="surrogateescape"))
            file.flush()
            past = time.time() - AGE
            os.utime(descriptor, (past, past))
            os.fsync(descriptor)
    except OSError as error:
        error.filename = path  # a full disk shows behind the opening, where the system no longer names the file
        raise


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What Postfix makes of a staged configuration: effective values, what it has no use for, what is not told yet."""

    values: dict[str, str]
    unused: tuple[str, ...]
    unverified: tuple[str, ...] = ()


def judge(run: Programs, stage: str, main: str, master: MasterCf, wanted: Wanted, tables: str,
          held: t.Collection[int], message: bool, pending: t.Collection[str] = (), check: bool = False) -> Judgement:
    """Write a configuration to a folder and let Postfix judge it.

    :arg run: runs Postfix's programs.
    :arg stage: an empty folder, mode 0700; its `tables` holds the built tables and the certificates afterwards.
    :arg main: the text of main.cf.
    :arg master: master.cf.
    :arg wanted: what the layers want.
    :arg tables: the folder that tables and certificates will stand in.
    :arg held: the ports that the running Postfix holds.
    :arg message: whether a message is to prove it, which is looked for in the journal.
    :arg pending: files of certificates and tables that are made before, but in check mode.
    :arg check: whether users, too, may be made before.
    :returns: the judgement.
    :raises Refused: with everything that is wrong.
    """
    write(os.path.join(stage, "main.cf"), main)
    write(os.path.join(stage, "master.cf"), str(master))
    mistakes = judge_certificates(stage, wanted)
    types = run(["postconf", "-c", stage, "-m"]).out.split()
    for table in wanted.tables.values():
        if table.type in types:
            mistakes += _build(run, stage, table, wanted.source[f"tables.{table.name}"])
    shown = run(["postconf", "-c", stage, "-x"])
    if shown.status:
        complaint = shown.err.strip().replace(stage + "/", "")
        raise Refused([*mistakes, Mistake("main.cf and master.cf", complaint, "files that Postfix can read")])
    values = dict(line.partition(" =")[::2] for line in shown.out.splitlines())
    values = {name: value.strip() for name, value in values.items()}
    references = {table.reference(tables): table for table in wanted.tables.values()}
    certificates = [*pending, *(pair.reference(tables) for pair in wanted.certificates.values())]
    view = View(values, master.services, references, wanted.source, certificates)
    wrong, unused = _warnings(shown.err, view, wanted)
    refused = _daemons(run, stage, view)
    untold = {each: found[0] for each in refused if check and (found := NO_USER.search(each.found))}
    mistakes += [*wrong, *(each for each in refused if each not in untold)]
    mistakes += [*reference_mistakes(view, types), *transport_mistakes(view)]
    mistakes += [*word_mistakes(view), *relay_mistakes(view), *listener_mistakes(view, held)]
    mistakes += log_mistakes(view) if message else []
    if mistakes:
        raise Refused(mistakes)
    return Judgement(values, tuple(unused), tuple(f"{each.path}: {said}" for each, said in untold.items()))


def judge_certificates(stage: str, wanted: Wanted) -> list[Mistake]:
    """Write the certificates with their keys to a folder, for root only, load each, and look at its dates.

    :arg stage: an empty folder, mode 0700; it has a folder `tables` afterwards.
    :arg wanted: what the layers want.
    :returns: what is wrong with them.
    """
    folder = os.path.join(stage, "tables")
    os.mkdir(folder, 0o700)
    mistakes = date_mistakes(wanted.certificates.values())[0]
    for pair in wanted.certificates.values():
        write(os.path.join(folder, pair.file), pair.text)
        mistakes += pair_mistakes(os.path.join(folder, pair.file), pair)
    return mistakes


def _build(run: Programs, stage: str, table: Table, layer: str) -> list[Mistake]:
    """Build a table, or have its patterns compiled; any word of postmap(1) about it is a mistake."""
    path = os.path.join(stage, "tables", table.file)
    write(path, table.text)
    reference = f"{table.type}:{path}"
    built = table.type in BUILT
    command = ["postmap", "-c", stage, *(() if built else ("-q", "mailfleet")), reference]
    done = run(command)
    complaints = [line for line in done.err.splitlines() if line.strip()]
    if built and not complaints and not os.path.exists(path + BUILT[table.type]):
        complaints = [f"postmap ended with status {done.status} and built nothing"]
    found = []
    for line in complaints:
        text = re.sub(r"^postmap: (warning: |fatal: )?", "", line.replace(path, table.name))
        number = re.search(r"line (\d+)", text)
        if table.secret:
            text = f"a complaint about {number[0] if number else 'it'} (a secret table is not shown)"
        # Each entry is a line, and several layers may have written the table.
        where = table.paths[int(number[1]) - 1] if number else f"layers.{layer}.tables.{table.name}"
        found.append(Mistake(where, text, f"a {table.type} table that builds"))
    return found


def _warnings(stderr: str, view: View, wanted: Wanted) -> tuple[list[Mistake], list[str]]:
    """Part what postconf(1) has no use for into mistakes of layers and what is not ours."""
    ours = list(_written(wanted))
    known = [name for name in view.values if name not in wanted.parameters]
    mistakes, foreign = [], set()
    told = re.findall(r"/(main\.cf|master\.cf): (unused|undefined) parameter: ([^=\s]+)", stderr)
    for file, kind, name in dict.fromkeys(told):
        if kind == "unused":
            paths = [path for path, setting, dummy in ours
                     if setting == name and (".services." in path) == (file == "master.cf")]
        else:
            reference = re.compile(r"\$[{(]?" + re.escape(name) + r"\b")
            paths = [path for path, dummy, value in ours if reference.search(value)]
        mend = nearest(name, known) or "leave it out"
        mistakes += [Mistake(path, f"{kind} parameter {name}", "a parameter of this Postfix", mend) for path in paths]
        if not paths:
            foreign.add(f"{file}: {kind} parameter {name}")
    return mistakes, sorted(foreign)


def _written(wanted: Wanted) -> t.Iterator[tuple[str, str, str]]:
    """Yield path, name and value of what the layers wrote, with its references to other parameters as they stand."""
    for name, value in wanted.parameters.items():
        yield f"layers.{wanted.source[f'parameters.{name}']}.parameters.{name}", name, value
    for key, service in wanted.services.items():
        for name, value in service.options if service else ():
            yield f"layers.{wanted.source[f'services.{key}']}.services.{key}.options.{name}", name, value


def _daemons(run: Programs, stage: str, view: View) -> list[Mistake]:
    """Let each service's own program read its parameters, and tell what it cannot take, such as a bad number."""
    folder = view.value("daemon_directory")
    # Services that differ in their name alone are asked once. Each takes a second, in which it sleeps behind its last
    # words: all at once, then.
    different = {(service.command, service.options): service for service in view.services.values()}
    with ThreadPoolExecutor(max_workers=64) as pool:
        words = pool.map(lambda service: _complaint(run, stage, os.path.join(folder, service.command), service),
                         different.values())
        heard = dict(zip(different, words))
    ours = [re.compile(rf"\b{re.escape(name)}\b") for dummy, name, dummy2 in view.ours()]
    complaints: dict[str, list[str]] = {}
    for key, service in view.services.items():
        complaint = heard[service.command, service.options]
        if complaint and (f"services.{key}" in view.source or any(name.search(complaint) for name in ours)):
            complaints.setdefault(complaint, []).append(key)
    return [Mistake("services " + ", ".join(keys), complaint, "settings that the service's program takes")
            for complaint, keys in complaints.items()]


def _complaint(run: Programs, stage: str, program: str, service: Service) -> str:
    if not os.path.isfile(program):
        return f"no program {program}"
    options = [word for name, value in service.options for word in ("-o", f"{name}={value}")]
    # It logs its last words whatever one does: under a name by which they are known for no trouble of Postfix's.
    options += ["-o", f"syslog_name={NO_TRANSPORT}"]
    done = run([program, "-V", "-n", service.name, "-t", NO_TRANSPORT, *options], MAIL_CONFIG=stage)
    fatal = [line.partition("fatal: ")[2] for line in done.err.splitlines() if "fatal: " in line]
    # Daemons that must be alone say so before they look at the transport, and behind their parameters.
    ends = (f"unsupported transport type: {NO_TRANSPORT}", "requires a process limit of")
    return "; ".join(text for text in fatal if not any(end in text for end in ends))
