# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory says of mailbox providers and of pools of addresses."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils import fleet as model
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import nearest
from ansible_collections.mailfleet.sending.plugins.module_utils.pools import REST
from ansible_collections.mailfleet.sending.plugins.module_utils.profiles import PROFILES, Profile
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader

SERVICE = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
RATE = re.compile(r"([1-9][0-9]{0,6})/(s|m|h|d)\Z")
LOCAL = re.compile(r"[A-Za-z0-9!$%&'*+/=?^_`{|}~.-]{1,64}\Z")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
PROVIDER_KEYS = ("name", "domains", "mx", "connections", "messages", "rate", "recipients", "fleet", "family", "tls",
                 "nexthop", "delay")
RECIPE_KEYS = ("name", "domains", "connections", "delay")
POOL_KEYS = ("name", "addresses", "senders")
# Names that Postfix, or this collection, has for services and instances.
RESERVED = (
    "smtp", "smtps", "submission", "relay", "local", "virtual", "lmtp", "error", "discard", "bounce", "defer",
    "trace", "verify", "pickup", "cleanup", "qmgr", "rewrite", "showq", "retry", "flush", "tlsmgr", "proxymap",
    "proxywrite", "anvil", "scache", "postlog", "maildrop", "uucp", "ifmail", "bsmtp", "mailman",
    "scalemail-backend", "smtpd", "tlsproxy", "lane", "back",
)


def providers(reader: Reader, value: t.Any, ending_here: t.Mapping[str, str]) -> list[model.Provider]:
    """Read ``sending_providers``.

    :arg ending_here: domains whose mail ends on the fleet's own servers, with what says so.
    """
    found: dict[str, tuple[str, model.Provider]] = {}
    taken: dict[str, str] = {}
    for path, item in reader.items(value, "sending_providers"):
        shipped = isinstance(item, str)
        provider = _shipped(reader, path, item) if shipped else _provider(reader, path, item)
        if provider is None:
            continue
        where = path if shipped else f"{path}.name"
        if provider.name and provider.name in found:
            expected = f"a name of its own: {found[provider.name][0]} has this one"
            reader.note(where, provider.name, expected, "leave one of them out" if shipped else "give it another name")
            if shipped:
                continue
        found.setdefault(provider.name, (where, provider))
        where = path if shipped else f"{path}.domains"
        for domain in filter(None, provider.domains):
            if domain in taken:
                expected = f"a domain that no other provider has: {taken[domain]} has it"
                reader.note(where, domain, expected, "name it once")
            elif domain in ending_here:
                # Through a transport it would go to the very server that it is on.
                expected = f"a domain of other people: mail to this one ends here, by {ending_here[domain]}"
                reader.note(where, domain, expected, "leave it out")
            taken.setdefault(domain, where)
    read = [provider for _where, provider in found.values()]
    _overlaps(reader, read)
    return read


def pools(reader: Reader, value: t.Any, servers: t.Sequence[model.Server], senders: t.Sequence[str],
          read: t.Sequence[model.Provider]) -> list[model.Pool]:
    """Read ``sending_pools``.

    :arg servers: the servers, each of which must have an address in each pool.
    :arg senders: the domains that may stand in a MAIL FROM.
    :arg read: the providers.
    """
    found: list[model.Pool] = []
    known = {address.address: server.name for server in servers for address in server.addresses}
    names: dict[str, str] = {}
    addresses: dict[str, str] = {}
    claimed: dict[str, str] = {}
    for path, item in reader.items(value, "sending_pools"):
        fields = reader.mapping(item, path, POOL_KEYS, ("name", "addresses"))
        name = fields.get("name") if isinstance(fields.get("name"), str) else ""
        if fields.get("name") and not SERVICE.match(name):
            reader.note(f"{path}.name", fields["name"], "a lower-case letter, then at most 31 of them, digits, - and _")
            name = ""
        if name in names:
            reader.note(f"{path}.name", name, f"a name of its own: {names[name]} has this one", "give it another name")
        names.setdefault(name, f"{path}.name")
        weights = dict(_weights(reader, f"{path}.addresses", fields.get("addresses"), known, addresses))
        mail = [] if name == REST else [
            _sender(reader, where, one, senders, claimed)
            for where, one in reader.items(fields.get("senders"), f"{path}.senders")]
        if name == REST and fields.get("senders"):
            reader.note(f"{path}.senders", fields["senders"], f"none: {REST} has all that no other pool takes",
                        "leave it out")
        elif fields and name != REST and not fields.get("senders"):
            reader.note(f"{path}.senders", "<nothing>", "domains or addresses of MAIL FROM whose mail leaves from it",
                        "add senders: [DOMAIN]")
        found.append(model.Pool(name, weights, tuple(filter(None, mail)), path))
    _everywhere(reader, found, servers)
    for provider in read if found else ():
        if provider.recipe:
            reader.note(f"{provider.path}.delay", provider.delay, "no delay where there are pools: all of the mail "
                        "that it delays leaves from one address", "say rate: 1/s instead")
    return found


def rate(reader: Reader, value: t.Any, path: str) -> model.Rate | None:
    """Read a rate such as 10/s, 16/m, 100/h or 500/d."""
    if value is None:
        return None
    match = RATE.match(value) if isinstance(value, str) else None
    if not match:
        reader.note(path, value, "messages in a second, minute, hour or day, such as 10/s or 100/h")
        return None
    return model.Rate(int(match[1]), SECONDS[match[2]])


def _shipped(reader: Reader, path: str, name: str) -> model.Provider | None:
    if name not in PROFILES:
        mend = nearest(name, PROFILES) or "or describe it: {name, domains, connections}"
        reader.note(path, name, "a shipped provider: " + ", ".join(PROFILES), mend)
        return None
    return _provider(reader, path, {"name": name})


def _provider(reader: Reader, path: str, item: t.Any) -> model.Provider:
    """Read a provider of which the user says something; what a profile of its name says holds where he does not."""
    fields = reader.mapping(item, path, PROVIDER_KEYS, ("name",))
    name = fields.get("name") if isinstance(fields.get("name"), str) else str(fields.get("name") or "")
    if name and (not SERVICE.match(name) or name in RESERVED or name.startswith(("ip-", "out-"))):
        expected = (
            "a name for a Postfix service: a lower-case letter, then at most 31 of them, digits, - and _,"
            " not one of Postfix' own, and not beginning with ip- or out-"
        )
        reader.note(f"{path}.name", name, expected, "choose another, such as slow-orange")
    recipe = fields.get("delay") is not None
    profile = None if recipe else PROFILES.get(name)
    shipped = {limit: value for limit, (value, _source) in profile.limits.items()} if profile else {}
    given = {**shipped, **{key: value for key, value in fields.items() if value is not None}}
    fleet = reader.mapping(given["fleet"], f"{path}.fleet", ("connections", "rate")) if "fleet" in given else {}
    domains = [reader.domain(one, where) for where, one in reader.items(given.get("domains"), f"{path}.domains")]
    mx = [reader.domain(one, where) for where, one in reader.items(given.get("mx"), f"{path}.mx")]
    provider = model.Provider(
        name,
        tuple(domains) if "domains" in given else profile.domains if profile else (),
        reader.integer(given.get("connections"), f"{path}.connections", 1, 1000, 0),
        (reader.duration(given.get("delay"), f"{path}.delay") or "1s") if recipe else "",
        mx=tuple(mx) if "mx" in given else profile.mx if profile else (),
        messages=reader.integer(given.get("messages"), f"{path}.messages", 1, 100000, 0),
        rate=rate(reader, given.get("rate"), f"{path}.rate"),
        recipients=reader.integer(given.get("recipients"), f"{path}.recipients", 1, 10000, 0),
        fleet_connections=reader.integer(fleet.get("connections"), f"{path}.fleet.connections", 1, 100000, 0),
        fleet_rate=rate(reader, fleet.get("rate"), f"{path}.fleet.rate"),
        family=reader.choice(given.get("family"), f"{path}.family", (4, 6), "") or 0,
        tls=reader.choice(given.get("tls"), f"{path}.tls", ("may", "encrypt", "dane"), ""),
        nexthop=_nexthop(reader, path, given, profile, domains),
        path=path,
        sources=_sources(fields, fleet, profile),
    )
    if recipe:
        _only_recipe(reader, path, fields)
    if fields and (not provider.domains if recipe else not provider.domains and not provider.mx):
        reader.note(f"{path}.domains", "<nothing>", "domains, or mx: suffixes of the hosts that take its mail",
                    "add domains")
    limits = (provider.connections, provider.delay, provider.messages, provider.rate, provider.recipients,
              provider.fleet_connections, provider.fleet_rate, provider.family, provider.tls)
    if fields and not any(limits):
        reader.note(path, "<no limit>", "connections, messages, rate, recipients or fleet",
                    "add connections: 1, for instance")
    return provider


def _only_recipe(reader: Reader, path: str, fields: t.Mapping[str, t.Any]) -> None:
    """The classic recipe has domains, connections, and a delay after each delivery."""
    for key in fields:
        if key in PROVIDER_KEYS and key not in RECIPE_KEYS:
            reader.note(f"{path}.{key}", fields[key], "nothing but name, domains, connections beside delay",
                        "say rate: 1/s instead of delay: 1s")


def _sources(fields: t.Mapping[str, t.Any], fleet: t.Mapping[str, t.Any], profile: Profile | None) -> dict[str, str]:
    """For each limit who says so."""
    sources = {limit: str(source) for limit, (_value, source) in profile.limits.items()} if profile else {}
    sources |= {key: "inventory" for key in fields if key not in ("name", "domains", "mx", "fleet")}
    return sources | {f"fleet_{key}": "inventory" for key in fleet}


def _nexthop(reader: Reader, path: str, given: t.Mapping[str, t.Any], profile: Profile | None,
             domains: t.Sequence[str]) -> str:
    """The domain whose MX take all mail; what a profile says holds while its domains do."""
    if "nexthop" not in given:
        return profile.nexthop if profile and "domains" not in given else ""
    name = reader.domain(given["nexthop"], f"{path}.nexthop")
    own = domains or (profile.domains if profile else ())
    if name and name not in own:
        reader.note(f"{path}.nexthop", name, "one of its domains, whose MX take the mail of them all",
                    nearest(name, own) or "leave it out")
    return name


def _overlaps(reader: Reader, read: t.Sequence[model.Provider]) -> None:
    """Two providers with one suffix of MX would both have the domains behind it."""
    taken: dict[str, model.Provider] = {}
    for provider in read:
        for suffix in filter(None, provider.mx):
            other = next((known for known in taken if f".{suffix}".endswith(f".{known}")
                          or f".{known}".endswith(f".{suffix}")), None)
            if other:
                reader.note(f"{provider.path}.mx", suffix, f"hosts of its own: {taken[other].name} has {other}",
                            "give one of them a longer suffix that the other does not end in")
            taken.setdefault(suffix, provider)


def _weights(reader: Reader, path: str, value: t.Any, known: t.Mapping[str, str],
             taken: dict[str, str]) -> t.Iterator[tuple[str, int]]:
    """Yield the addresses of a pool with their weights; one is enough said by itself, which is a weight of 1."""
    for where, item in reader.items(value, path):
        fields = {"address": item} if isinstance(item, str) else reader.mapping(
            item, where, ("address", "weight"), ("address",))
        address = reader.address(fields["address"], where) if fields.get("address") else ""
        weight = reader.integer(fields.get("weight"), f"{where}.weight", 1, 100, 1)
        if not address:
            continue
        if address not in known:
            reader.note(where, address, "an address of sending_addresses", nearest(address, known))
        elif address in taken:
            reader.note(where, address, f"an address of no other pool: {taken[address]} has this one", "name it once")
        else:
            taken[address] = where
            yield address, weight


def _sender(reader: Reader, path: str, value: t.Any, domains: t.Sequence[str], taken: dict[str, str]) -> str:
    """One sender of a pool: a domain of the fleet, or an address in one."""
    text = value if isinstance(value, str) else ""
    local, at, domain = text.rpartition("@")
    domain = reader.domain(domain, path) if text else ""
    # What has another form in a table of Postfix would be a line of it, or the key of a whole domain.
    if not text or at and not LOCAL.match(local):
        mend = f"say {domain} for all of it" if domain else ""
        reader.note(path, value, "a domain, or an address of MAIL FROM", mend)
    elif domain and domain not in domains:
        reader.note(path, value, "a domain of sending_domains, or a bounce domain", nearest(domain, domains))
    sender = f"{local.lower()}{at}{domain}"
    if domain and sender in taken:
        reader.note(path, value, f"a sender of no other pool: {taken[sender]} has this one", "name it once")
    taken.setdefault(sender, path)
    return sender if domain else ""


def _everywhere(reader: Reader, found: t.Sequence[model.Pool], servers: t.Sequence[model.Server]) -> None:
    """Mail of a pool may be handed to any server, so each must have an address in it, and one of IPv4."""
    named = {address for pool in found for address in pool.weights}
    for pool in found:
        for server in servers if pool.weights else ():
            mine = [address for address in server.addresses if address.address in pool.weights]
            if not mine:
                reader.note(f"{pool.path}.addresses", f"<no address of {server.name}>",
                            "an address of each server, since each takes mail of all senders",
                            f"add one of {', '.join(address.address for address in server.addresses)}")
            elif not any(address.family == 4 for address in mine) and server.first(4):
                reader.note(f"{pool.path}.addresses", f"<only IPv6 addresses of {server.name}>",
                            "an IPv4 address beside them, since many domains have no other", "add one")
    if found and not any(pool.name == REST for pool in found):
        for server in servers:
            if all(address.address in named for address in server.addresses):
                reader.note("sending_pools", f"<no address of {server.name} for mail of no pool>",
                            "an address that no pool has", f"leave one out, or add a pool {REST}")
