# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration: /etc/mailfleet/agent.json and, in a file of its own, the secrets."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
import typing as t
import urllib.parse

from . import settings_log
from .errors import Status, Trouble
from .settings_reader import Reader
from .tokens import ALPHABET, Keys

PLACE = "/etc/mailfleet/agent.json"
SECRETS = "/etc/mailfleet/secrets.json"
STATE = "/var/lib/mailfleet-agent"
SPOOL = "/var/spool/mailfleet"
_LOCAL_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")


class Mistaken(Trouble):
    """A configuration with mistakes: all of them."""

    status = Status.SETTINGS

    def __init__(self, where: str, mistakes: t.Sequence[str]) -> None:
        many = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__(where, "\n".join([f"{many}:", *(f"  {each}" for each in mistakes)]))


@dataclasses.dataclass(frozen=True)
class Remote:
    """A mailbox elsewhere; ``tls`` is implicit, starttls or none."""

    name: str
    protocol: str
    host: str
    port: int
    user: str
    password: str = dataclasses.field(repr=False)
    tls: str = "implicit"
    ca_file: str = ""
    folder: str = "INBOX"
    every: int = 60
    timeout: int = 30


@dataclasses.dataclass(frozen=True)
class Hook:
    """Where events are posted to."""

    name: str
    url: str
    secret: str = dataclasses.field(repr=False)
    ca_file: str = ""
    timeout: int = 10
    batch: int = 50


@dataclasses.dataclass(frozen=True)
class Rules:
    """When a recipient is suppressed, and for how many days; 0 days are for ever.

    Soft failures count where they are about the recipient or its domain, by the days the tokens were made: five of five
    days within thirty, as list managers have long done (Mailman: one bounce a day counts, five are too many). A day's
    outage or a mailbox that is full over a weekend suppresses nobody, and who is suppressed is tried again after 30
    days. A hard failure holds for a year: addresses come back now and then, when somebody else has them. A complaint
    holds until somebody takes it back. ``unsigned`` says whether return paths that nobody signed suppress too: that is
    trust in whoever can write an address.
    """

    hard_days: int = 365
    complaint_days: int = 0
    soft_failures: int = 5
    soft_days: int = 5
    soft_within: int = 30
    soft_suppressed: int = 30
    unsigned: bool = False


@dataclasses.dataclass(frozen=True)
class Policy:
    """The policy service: ``listen`` is ``unix:PATH`` or ``inet:ADDRESS:PORT``.

    ``unsure`` is what becomes of mail where there is no copy of the list, or one older than ``oldest`` seconds:
    ``open`` lets through what the copy does not name, ``closed`` defers it.
    """

    listen: str = "unix:/var/spool/postfix/mailfleet/policy"
    copy: str = f"{STATE}/policy/suppressions"
    unsure: str = "open"
    oldest: int = 86400
    refresh: int = 2
    logins: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()
    connections: int = 1000


@dataclasses.dataclass(frozen=True)
class Settings:
    """All of it. ``streams`` has the stream of each sender and bounce domain; what it lacks is a stream of its own.

    ``unsigned`` is the local part of return paths that Postfix makes of the recipient (XVERP), empty where there are
    none.
    """

    host: str
    user: str
    streams: t.Mapping[str, str]
    keys: Keys
    sqlite: str
    postgresql: str = dataclasses.field(repr=False)
    maildir: str
    batch: int
    largest: int
    unsigned: str
    quarantine: str
    quarantine_bytes: int
    quarantine_days: int
    remotes: tuple[Remote, ...]
    hooks: tuple[Hook, ...]
    rules: Rules
    authserv_id: str
    sources: frozenset[str]
    policy: Policy
    log: settings_log.Log
    retention_days: int

    def stream(self, domain: str) -> str:
        """The stream that a sender's or bounce domain belongs to."""
        return self.streams.get(domain, domain)


def load(place: str = PLACE) -> Settings:
    """Read the configuration and the secrets that it names; raises Mistaken with all that is wrong in both."""
    top = Reader(_json(place))
    secrets = Reader(_secrets(top.path_of("secrets", SECRETS)), "secrets", top.mistakes, hidden=True)
    settings = read(top, secrets)
    if top.mistakes:
        raise Mistaken(place, top.mistakes)
    return settings


def read(top: Reader, secrets: Reader) -> Settings:
    """Read the parsed configuration; mistakes are noted in the readers."""
    top.has("secrets")
    streams, bounce_domains = _streams(top)
    retention = top.number("retention_days", 90, 1, 3650, "days")
    keys = _keys(top.part("token"), secrets, bounce_domains, retention)
    store, intake, quarantine = top.part("store"), top.part("intake"), top.part("quarantine")
    sqlite, postgresql = _store(store, secrets)
    feedback = top.part("feedback")
    maildir = intake.path_of("maildir", f"{SPOOL}/bounces")
    settings = Settings(
        host=top.domain("host"), user=top.text("user", ""), streams=streams, keys=keys,
        sqlite=sqlite, postgresql=postgresql, maildir=maildir,
        batch=intake.number("batch", 200, 1, 10000),
        largest=intake.number("largest", 2 << 20, 1 << 16, 64 << 20, "octets"),
        unsigned=_unsigned(intake),
        quarantine=quarantine.path_of("folder", f"{SPOOL}/quarantine"),
        quarantine_bytes=quarantine.number("bytes", 256 << 20, 1 << 20, 1 << 40, "octets"),
        quarantine_days=quarantine.number("days", 30, 1, 3650, "days"),
        remotes=_remotes(top, secrets), hooks=_hooks(top, secrets), rules=_rules(top.part("suppression"), keys.days),
        authserv_id=feedback.text("authserv_id", ""), sources=frozenset(feedback.domains("sources", ())),
        policy=_policy(top.part("policy")), log=settings_log.read(top), retention_days=retention,
    )
    for source in settings.sources & streams.keys():
        feedback.note("sources", source, "a provider's domain: whoever has a login of ours is signed for as this one")
    for part in (store, intake, quarantine, feedback, secrets, top):
        part.done()
    return settings


def _unsigned(intake: Reader) -> str:
    local = intake.text("unsigned", "")
    if local and (not _LOCAL_PART.match(local) or local == "b"):
        intake.note("unsigned", local, "a local part in lower case, such as bounces, but not b, where tokens are")
    return local


def _json(place: str) -> t.Any:
    try:
        with open(place, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError as error:
        raise Mistaken(place, ["no such file; the role mailfleet.sending.agent writes it"]) from error
    except OSError as error:
        raise Mistaken(place, [f"{error.strerror}; run this as root or as the agent's user"]) from error
    except (ValueError, RecursionError) as error:
        raise Mistaken(place, [f"no JSON: {error}"]) from error


def _secrets(place: str) -> t.Any:
    found = _json(place)
    mode = stat.S_IMODE(os.stat(place).st_mode)
    if mode & 0o077:
        raise Mistaken(place, [f"mode {mode:04o}; expected 0600, so that nobody else reads it: chmod 600 {place}"])
    return found


def _streams(top: Reader) -> tuple[dict[str, str], tuple[str, ...]]:
    streams: dict[str, str] = {}
    bounce_domains: list[str] = []
    for name, reader in top.keyed("streams", least=1):
        bounce = reader.domains("bounce_domains")
        for domain in (*bounce, *reader.domains("senders", ())):
            if streams.setdefault(domain, name) != name:
                reader.note("", domain, f"a domain of one stream only; {streams[domain]} has it too")
        bounce_domains += bounce
        reader.done()
    return streams, tuple(bounce_domains)


def _keys(token: Reader, secrets: Reader, domains: tuple[str, ...], retention: int) -> Keys:
    days = token.number("days", 30, 1, 3650, "days")
    if days > retention:
        token.note("days", days, f"at most the retention_days, {retention}: what is forgotten could be told again")
    found = secrets.get("token_keys", dict, "a mapping of key ids to keys", ...) or {}
    keys = {}
    for name, key in found.items():
        if len(name) != 1 or name not in ALPHABET:
            secrets.note("token_keys", name, f"a key id, one of {ALPHABET}")
        elif not isinstance(key, str) or len(key) < 32 or not key.isascii() or not key.isprintable():
            secrets.note(f"token_keys.{name}", "<something else (not shown)>",
                         "a key of at least 32 printable characters")
        else:
            keys[name] = key
    current = token.text("current")
    if current and current not in keys:
        token.note("current", current, "the id of one of the token_keys")
    token.done()
    return Keys(keys, current, domains, days)


def _store(store: Reader, secrets: Reader) -> tuple[str, str]:
    sqlite, postgresql = store.path_of("sqlite", ""), store.text("postgresql", "")
    password = secrets.text("postgresql", "")
    if bool(sqlite) == bool(postgresql):
        store.note("", "<both or none of sqlite and postgresql>", "one of them")
    if "://" in postgresql and password:
        store.note("postgresql", "<a URI>", "words such as host=db1.example.com dbname=mailfleet user=mailfleet"
                   " sslmode=verify-full: the password is among the secrets")
    elif postgresql and password:
        quoted = password.replace("\\", "\\\\").replace("'", "\\'")
        postgresql = f"{postgresql} password='{quoted}'"
    return sqlite, postgresql


def _remotes(top: Reader, secrets: Reader) -> tuple[Remote, ...]:
    passwords, found = secrets.part("mailboxes"), []
    for name, each in top.keyed("mailboxes"):
        protocol = each.choice("protocol", ("pop3", "imap"))
        tls = each.choice("tls", ("implicit", "starttls", "none"), "implicit")
        port = {("pop3", True): 995, ("pop3", False): 110, ("imap", True): 993}.get((protocol, tls == "implicit"), 143)
        found.append(Remote(
            name, protocol, each.text("host"), each.number("port", port, 1, 65535), each.text("user"),
            passwords.text(name), tls, each.path_of("ca_file", ""), each.text("folder", "INBOX"),
            each.number("every", 60, 1, 86400, "seconds"), each.number("timeout", 30, 1, 600, "seconds"),
        ))
        each.done()
    passwords.done()
    return tuple(found)


def _hooks(top: Reader, secrets: Reader) -> tuple[Hook, ...]:
    keys, found = secrets.part("webhooks"), []
    for name, each in top.keyed("webhooks"):
        url = each.text("url", expected="an http or https address")
        try:
            parts = urllib.parse.urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            good = False
        if url and (not good or not url.isascii() or " " in url):
            each.note("url", url, "an http or https address")
        elif url and "@" in parts.netloc:  # it would not be sent, and is shown with all that is no secret
            each.note("url", "<a login in it (not shown)>", "an address without one: the signature proves who posts")
        secret = keys.text(name)
        if secret and len(secret) < 16:
            keys.note(name, "<something else (not shown)>", "a secret of at least 16 characters")
        found.append(Hook(name, url, secret, each.path_of("ca_file", ""), each.number("timeout", 10, 1, 120, "seconds"),
                          each.number("batch", 50, 1, 1000, "events")))
        each.done()
    keys.done()
    return tuple(found)


def _rules(part: Reader, token_days: int) -> Rules:
    plain = Rules()
    found = {field.name: part.number(field.name, getattr(plain, field.name), 0 if field.name in
                                     ("hard_days", "complaint_days") else 1, 36500)
             for field in dataclasses.fields(Rules) if field.name != "unsigned"}
    for name in ("hard_days", "complaint_days", "soft_suppressed"):
        if 0 < found[name] < token_days:
            part.note(name, found[name], f"at least the days of a token, {token_days}, else its replay counted again")
    if found["soft_days"] > found["soft_within"]:
        part.note("soft_days", found["soft_days"], f"at most soft_within, {found['soft_within']}")
    unsigned = part.flag("unsigned", plain.unsigned)
    part.done()
    return Rules(**found, unsigned=unsigned)


def _policy(part: Reader) -> Policy:
    plain = Policy()
    listen = part.text("listen", plain.listen)
    kind, _colon, rest = listen.partition(":")
    host, _colon, port = rest.rpartition(":")
    if not (kind == "unix" and rest.startswith("/")
            or kind == "inet" and host and port.isascii() and port.isdecimal() and 0 <= int(port) < 65536):
        part.note("listen", listen, "unix:/PATH or inet:ADDRESS:PORT")
    policy = Policy(
        listen, part.path_of("copy", plain.copy), part.choice("unsure", ("open", "closed"), plain.unsure),
        part.number("oldest", plain.oldest, 1, 365 * 86400, "seconds"),
        part.number("refresh", plain.refresh, 1, 3600, "seconds"),
        frozenset(part.names("logins")), frozenset(str(each) for each in part.numbers("ports", 1, 65535)),
        part.number("connections", plain.connections, 1, 10000),
    )
    part.done()
    return policy
