# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``sending_agent``: what the inventory says of the program on the servers.

It has the form of the program's own configuration, whose reader judges it; here is what the inventory knows and the
program does not: how many servers there are, and which domains mail comes back to.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_settings import ALWAYS, program_settings
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import PROBE_LOGIN, Agent, Domain, Server
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader, show_nothing_of

NAME, SECRETS = "sending_agent", "sending_agent_secrets"
# What goes to the program as it is, and what becomes settings of Postfix.
PROGRAM = ("streams", "token", "store", "intake", "quarantine", "mailboxes", "webhooks", "suppression", "feedback",
           "policy", "log", "retention_days")
OURS = ("feedback_addresses", "sendmail_users")
OF_SECRETS = ("postgresql", "mailboxes", "webhooks")
# What the run itself fills in, as all servers have it in the same place.
FILLED_IN = {"token": ("current",), "intake": ("maildir",), "quarantine": ("folder",),
             "policy": ("listen", "copy"), "log": ("counts", "metrics", "queues")}
LOCAL_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
# libpq takes a password as a word of its own, in a URI before the host, and as one of a URI's parameters.
PASSWORD = re.compile(r"(?:^|[\s?&])password\s*=|^\w+://[^/@]*:[^/@]*@")
PROBABLE = "host=db1.example.com dbname=mailfleet user=mailfleet sslmode=verify-full"

# What the program's reader says of a configuration and its secrets: a path, what was found, what is expected.
Judge = t.Callable[[t.Mapping[str, t.Any], t.Mapping[str, t.Any]], t.Iterable[tuple[str, str]]]


def agent(
    reader: Reader,
    variables: t.Mapping[str, t.Any],
    servers: t.Sequence[Server],
    domains: t.Sequence[Domain],
    judge: Judge | None = None,
) -> Agent | None:
    """Read ``sending_agent`` and ``sending_agent_secrets``.

    :arg reader: takes note of the mistakes.
    :arg variables: the fleet-wide variables.
    :arg servers: the servers.
    :arg domains: the sending domains.
    :arg judge: the program's own reader; without it what only the program knows is not looked at.
    :returns: the agent, None where the fleet has none. Secrets go no further.
    """
    value, secrets = variables.get(NAME), variables.get(SECRETS)
    before = len(reader.mistakes)
    fields = reader.mapping(value or {}, NAME, (*OURS, *PROGRAM))
    hidden = reader.mapping(secrets or {}, SECRETS, OF_SECRETS, secret=True)
    reader.integer(fields.get("retention_days"), f"{NAME}.retention_days", 1, 3650, 90)
    if not fields:
        if hidden:
            reader.note(SECRETS, "<secrets of an agent that is not wanted>", f"{NAME} beside them", "leave them out")
        return None
    settings = {name: fields[name] for name in PROGRAM if name in fields}
    for part, names in FILLED_IN.items():
        for name in names if isinstance(settings.get(part), dict) else ():
            if name in settings[part]:
                reader.note(f"{NAME}.{part}.{name}", settings[part][name],
                            "nothing: it is the same on all servers, and filled in", "leave it out")
    _check_store(reader, settings, servers)
    if domains and not any(domain.bounce_domain for domain in domains):
        reader.note(f"{domains[0].path}.bounce_domain", "<nothing>",
                    f"the domain that bounces come back to, since {NAME} is set",
                    f"add one, such as e.{domains[0].name}")
    _check_streams(reader, settings, domains)
    feedback = _names(reader, fields, "feedback_addresses", LOCAL_PART,
                      "a local part of the bounce domains in lower case, such as fbl")
    sendmail = _names(reader, fields, "sendmail_users", LOGIN, "a user of the servers", ("root",))
    policy = settings.get("policy")
    unsure = policy.get("unsure", "open") if isinstance(policy, dict) else "open"
    unsigned = _unsigned(reader, settings, feedback)
    made = Agent(settings, feedback, unsure if unsure in ("open", "closed") else "open", sendmail, unsigned)
    # What is wrong by now would be told a second time.
    if judge and len(reader.mistakes) == before and servers:
        whole = program_settings(made, domains, servers[0].hostname if servers[0].addresses else "mta.invalid")
        for path, said in judge(whole, hidden):
            reader.mistakes.append(Mistake(path, said, ""))
    return made


def _check_streams(reader: Reader, settings: t.Mapping[str, t.Any], domains: t.Sequence[Domain]) -> None:
    """A bounce domain that no stream has would take bounces that nobody believes."""
    streams = settings.get("streams")
    if not isinstance(streams, dict) or not streams:
        return
    parts = [each.get("bounce_domains") for each in streams.values() if isinstance(each, dict)]
    known = {str(name).lower().removesuffix(".") for part in parts if isinstance(part, list) for name in part}
    for domain in domains:
        if domain.bounce_domain and domain.bounce_domain not in known:
            reader.note(f"{NAME}.streams", f"no stream with {domain.bounce_domain}",
                        f"the bounce domain of {domain.name} in the bounce_domains of one",
                        "add it to one, or leave streams out")


def _check_store(reader: Reader, settings: t.Mapping[str, t.Any], servers: t.Sequence[Server]) -> None:
    store = settings.get("store")
    shared, own = (store.get("postgresql"), store.get("sqlite")) if isinstance(store, dict) else (None, None)
    if isinstance(shared, str) and PASSWORD.search(shared):
        reader.note(f"{NAME}.store.postgresql", f"<{show_nothing_of(shared)} with a password>",
                    "none: the configuration may be read, and shows in diffs", f"set it in {SECRETS}.postgresql")
    elif own not in (None, False, True):
        reader.note(f"{NAME}.store.sqlite", own, "true, for a file that is in the same place on every server",
                    "say true, or name a database as postgresql")
    elif len(servers) > 1 and not shared:
        reader.note(f"{NAME}.store.postgresql", "<nothing>",
                    f"a database that all {len(servers)} servers share: what one of them takes in must have the others"
                    " refuse", f"name one, such as {PROBABLE}, instead of sqlite")
    elif bool(shared) == bool(own):
        reader.note(f"{NAME}.store", "<both>" if shared else "<nothing>", "either sqlite or postgresql",
                    "add store: {sqlite: true} for a single server" if not shared else "leave sqlite out")


def _unsigned(reader: Reader, settings: t.Mapping[str, t.Any], feedback: t.Sequence[str]) -> str:
    """The local part of return paths that Postfix makes; of its form the program judges."""
    intake = settings.get("intake")
    local = intake.get("unsigned") if isinstance(intake, dict) else None
    if not isinstance(local, str) or not LOCAL_PART.match(local):
        return ""
    if local in (*ALWAYS, PROBE_LOGIN, *feedback):
        reader.note(f"{NAME}.intake.unsigned", local, "a local part that nothing else comes to", "say bounces")
    return local


def _names(reader: Reader, fields: t.Mapping[str, t.Any], name: str, form: re.Pattern[str], expected: str,
           default: tuple[str, ...] = ()) -> tuple[str, ...]:
    if fields.get(name) is None:
        return default
    found = []
    for path, item in reader.items(fields[name], f"{NAME}.{name}"):
        if isinstance(item, str) and form.match(item):
            found.append(item)
        else:
            reader.note(path, item if isinstance(item, str) else f"<{show_nothing_of(item)}>", expected)
    return tuple(dict.fromkeys(found))
