# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of the program on a server: what the inventory says, and what is in the same place on all."""

from __future__ import annotations

import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Agent, Domain, Fleet, Server

USER = "mailfleet"
# Of the OpenDKIM that reads what strangers wrote, in the group of the above, and of no file.
VERIFIER = "mailfleet-verify"
# Of the program alone: what is in /var/lib/mailfleet is root's.
STATE = "/var/lib/mailfleet-agent"
SPOOL = "/var/spool/mailfleet"
METRICS = "/var/lib/mailfleet-metrics"  # for everybody to read
METRICS_FILE = f"{METRICS}/mailfleet.prom"
MAILDIR = "bounces"  # within the spool, which is the user's home
# RFC 2142 and RFC 5321 4.5.1 want them at every domain that takes mail.
ALWAYS = ("postmaster", "abuse")
# Postfix' smtpd may be in its chroot, the queue directory.
QUEUE, SOCKET = "/var/spool/postfix", "mailfleet/policy"
# What Postfix makes of mail where the program does not answer at all.
UNANSWERED = {"open": "DUNNO", "closed": "DEFER_IF_PERMIT"}


def program_settings(agent: Agent, domains: t.Iterable[Domain], hostname: str, key: str = "a") -> dict[str, t.Any]:
    """The program's configuration on a server.

    :arg agent: what the inventory says.
    :arg domains: the sending domains; one with a bounce domain is a stream of its own where no streams are named.
    :arg hostname: the server's name, which events tell.
    :arg key: the id of the key that makes tokens.
    :returns: what becomes agent.json. There is no secret in it.
    """
    given = {name: dict(part) if isinstance(part, dict) else part for name, part in agent.settings.items()}
    streams = {
        domain.name: {"bounce_domains": [domain.bounce_domain], "senders": [domain.name]}
        for domain in domains if domain.bounce_domain
    }

    def filled(name: str, **values: t.Any) -> t.Any:
        """A part with what is in the same place on all servers; what is no mapping is for the judge to tell."""
        part = given.get(name) or {}
        return {**part, **values} if isinstance(part, dict) else part

    # Postfix logs to syslog, which on Debian is the journal; files are there where rsyslog is.
    if "log" in given and isinstance(given["log"] or {}, dict):
        given["log"] = {"source": "journal", **(given["log"] or {})}
    log = filled("log", counts=f"{STATE}/log.db", metrics=METRICS_FILE)
    store = given.get("store") or {}
    return {
        **given,
        "host": hostname,
        "user": USER,
        "streams": given.get("streams") or streams,
        "token": filled("token", current=key),
        "store": {"sqlite": f"{STATE}/mailfleet.db"} if isinstance(store, dict) and store.get("sqlite") else store,
        "intake": filled("intake", maildir=f"{SPOOL}/{MAILDIR}"),
        "quarantine": filled("quarantine", folder=f"{SPOOL}/quarantine"),
        "policy": filled("policy", listen=f"unix:{QUEUE}/{SOCKET}", copy=f"{STATE}/suppressions"),
        **({"log": log} if "log" in given else {}),
    }


def verifies(settings: t.Mapping[str, t.Any]) -> bool:
    """Whether the program's own OpenDKIM says who signed a complaint: where there are sources, and no filter of the
    operator's own is named."""
    feedback = settings.get("feedback")
    return isinstance(feedback, dict) and bool(feedback.get("sources")) and not feedback.get("authserv_id")


def services(agent: Agent) -> dict[str, list[str]]:
    """The resident commands of each server, by the roles ``agent``, ``bounces`` and ``maillog``.

    Every server has Postfix ask at its port 25, whoever may submit, and takes in bounces: which of them DNS names
    changes with the fleet. Mailboxes elsewhere are emptied by
    all of them, since a message is known again; a webhook is served by one at a time.
    """
    return {
        "agent": ["policy", *(["events"] if agent.settings.get("webhooks") else [])],
        "bounces": [
            "bounces",
            *(["fetch"] if agent.settings.get("mailboxes") else []),
            *(["verify"] if verifies(agent.settings) else []),
        ],
        "maillog": ["log"] if "log" in agent.settings else [],
    }


def agent_of(fleet: Fleet, server: Server) -> dict[str, t.Any]:
    """What a server's agent should be: its ``settings`` and ``services``; empty where the fleet has none."""
    if not fleet.agent:
        return {}
    return {
        "settings": program_settings(fleet.agent, fleet.domains, server.hostname),
        "services": services(fleet.agent),
    }


def suppression(fleet: Fleet) -> str:
    """The recipient restrictions by which Postfix asks whether somebody is not to be mailed; empty without agent.

    They stand at every way in on which applications submit (SMTPD_POLICY_README). What comes in for the server itself,
    bounces above all, is let in before anybody is asked.
    """
    if not fleet.agent:
        return ""
    unanswered = UNANSWERED[fleet.agent.unsure]
    return (f"permit_auth_destination, check_policy_service {{ unix:{SOCKET}, timeout=10s, try_limit=2,"
            f" retry_delay=1s, default_action={unanswered} }}")
