# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks that Postfix itself does not make: tables and files that are not there, transports that nobody defined."""

from __future__ import annotations

import os
import re
import stat
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, nearest
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_tables import FILES
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_view import View, maps, words

TRANSPORTS = ("default_transport", "relay_transport", "local_transport", "virtual_transport", "mailbox_transport",
              "fallback_transport", "content_filter")
TRANSPORT_MAPS = ("transport_maps", "sender_dependent_default_transport_maps", "mailbox_transport_maps",
                  "fallback_transport_maps")
# Parameters that hold tables and nothing else; elsewhere "word:rest" may as well be a socket or a transport.
MAPS = re.compile(r".*_(maps?|checks)|alias_database")
FILE = re.compile(r"(smtpd?|lmtp|tlsproxy)_tls_(\w*(cert|key)_file|CAfile|CApath|chain_files)|smtpd_tls_dh\w+_file")


def reference_mistakes(view: View, known_types: t.Collection[str]) -> list[Mistake]:
    """Check that what our settings refer to is there.

    :arg view: the configuration.
    :arg known_types: the table types of this Postfix (``postconf -m``).
    :returns: a mistake for each unknown table type and each file that is missing or cannot be read.
    """
    found = []
    for path, name, value in view.ours():
        for kind, rest in maps(value):
            if kind in FILES:
                made = f"{kind}:{rest}" in view.tables or rest + FILES[kind] in view.certificates
                if not made and (wrong := _unreadable(rest + FILES[kind])):
                    mend = f"run postmap {kind}:{rest}" if FILES[kind] and os.path.exists(rest) else "make the table"
                    found.append(Mistake(path, f"{kind}:{rest}, {wrong}", "a table that can be read", mend))
            elif kind not in known_types and MAPS.fullmatch(name):
                mend = nearest(kind, known_types) or f"install the package postfix-{kind}"
                found.append(Mistake(path, f"table type {kind}", "a type that postconf -m lists", mend))
            if kind in FILES and kind not in known_types:
                mend = f"install the package postfix-{kind}"
                found.append(Mistake(path, f"table type {kind}", "a type that postconf -m lists", mend))
        if FILE.fullmatch(name):
            others = [word for word in words(value) if word.startswith("/") and word not in view.certificates]
            found += [Mistake(path, f"{word}, {wrong}", "a file that can be read")
                      for word in others if (wrong := _unreadable(word))]
    return found


def log_mistakes(view: View) -> list[Mistake]:
    """Check that Postfix logs to the journal, where the proof looks for what became of its message.

    :arg view: the configuration.
    :returns: a mistake where it logs to a file of its own (MAILLOG_README).
    """
    if not (file := view.value("maillog_file")):
        return []
    return [Mistake(view.place("maillog_file"), file, "nothing, so that the proof finds its message in the journal",
                    "set it to an empty text in a layer, or have nothing proved of the queue (queue: false in prove)")]


def _unreadable(path: str) -> str:
    """Return why Postfix, which opens tables and keys as root, cannot read a file; empty where it can."""
    if not path.startswith("/"):
        return "which is no absolute path"
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            with open(path, "rb"):
                return ""
        return "" if path.endswith("certs") and stat.S_ISDIR(mode) else f"where {path} is no file"
    except OSError as error:
        return f"where {path} cannot be read: {error.strerror}"


def transport_mistakes(view: View) -> list[Mistake]:
    """Check that each transport that our settings and tables name is a service of master.cf.

    :arg view: the configuration.
    :returns: a mistake for each that is not: mail to it would stay in the queue.
    """
    services = [service.name for service in view.services.values() if service.type == "unix"]
    found = []

    def check(path: str, destination: str) -> None:
        name = destination.partition(":")[0].strip()
        if name and name not in services:
            mend = nearest(name, services) or "define it as a service of a layer"
            found.append(Mistake(path, f"transport {name}", f"a service {name}/unix in master.cf", mend))

    routing = set()
    for path, name, value in view.ours():
        if name in TRANSPORTS:
            check(path, value)
        if name in TRANSPORT_MAPS:
            for kind, rest in maps(value, answering=True):
                routing.add(f"{kind}:{rest}")
                for destination in _fixed(kind, rest):
                    check(path, destination)
    for reference, table in view.tables.items():
        # Each transport is told once a table, however many domains it serves.
        first = {}
        for (key, value), path in zip(table.entries, table.paths, strict=True):
            where = f"{path} ({key})" if not table.secret else path
            if reference in routing:
                first.setdefault(value.partition(":")[0], where)
            elif value.startswith("FILTER "):
                first.setdefault(value[7:].partition(":")[0], where)
        for name, where in first.items():
            check(where, name)
    return found


def _fixed(kind: str, rest: str) -> list[str]:
    """Return the results of a table that stands in the parameter itself."""
    return [rest] if kind == "static" else words(rest.strip("{}")) if kind == "randmap" else []
