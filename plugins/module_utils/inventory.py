# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory's variables read into a fleet. Every mistake is told with its path, all at once."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils import fleet as model
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes, nearest
from ansible_collections.mailfleet.sending.plugins.module_utils.profiles import PROFILES
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader

SELECTOR = re.compile(r"[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?\Z")  # with date and server at most 63 octets
SERVICE = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
RESERVED_SERVICES = (
    "smtp",
    "smtps",
    "submission",
    "relay",
    "local",
    "virtual",
    "lmtp",
    "error",
    "discard",
    "bounce",
    "defer",
    "trace",
    "verify",
    "pickup",
    "cleanup",
    "qmgr",
    "rewrite",
    "showq",
    "retry",
    "flush",
    "tlsmgr",
    "proxymap",
    "proxywrite",
    "anvil",
    "scache",
    "postlog",
    "maildrop",
    "uucp",
    "ifmail",
    "bsmtp",
    "mailman",
    "scalemail-backend",
    "smtpd",
)
POLICIES = ("none", "quarantine", "reject")


def read_fleet(variables: dict[str, t.Any], hosts: dict[str, dict[str, t.Any]]) -> model.Fleet:
    """Read the fleet out of the inventory.

    :arg variables: the fleet-wide variables (``sending_domains`` and so on) by name.
    :arg hosts: for each host of the group ``sending_servers`` its own variables (``sending_addresses`` and so on).
    :returns: the fleet, in which every reference is known to lead somewhere.
    :raises Mistakes: with every mistake, each with its path in the inventory.
    """
    reader = Reader()
    servers = [_server(reader, name, values) for name, values in sorted(hosts.items())]
    if not hosts:
        reader.note("sending_servers", "<an empty group>", "at least one host", "add the hosts that send mail to it")
    domains = [
        _domain(reader, path, item) for path, item in reader.items(variables.get("sending_domains"), "sending_domains")
    ]
    if not variables.get("sending_domains"):
        reader.note("sending_domains", "<nothing>", "at least one domain that mail is sent from")
    names = [domain.name for domain in domains]
    fleet = model.Fleet(
        servers=tuple(server for server in servers if server.addresses),
        domains=tuple(domains),
        providers=tuple(_providers(reader, variables.get("sending_providers"))),
        networks=tuple(_networks(reader, variables.get("sending_networks"), names)),
        users=tuple(_users(reader, variables.get("sending_users"), names)),
        zones=tuple(_zones(reader, variables.get("sending_zones"))),
        dkim=_dkim(reader, variables),
        unsigned=reader.choice(variables.get("sending_unsigned"), "sending_unsigned", ("defer", "allow"), "defer"),
        message_size=reader.integer(
            variables.get("sending_message_size"), "sending_message_size", 65536, 2**30, 26214400
        ),
        ttl=reader.integer(variables.get("sending_dns_ttl"), "sending_dns_ttl", 0, 2**31 - 1, 3600),
    )
    _check_servers(reader, fleet, hosts)
    _check_domains(reader, fleet)
    if reader.mistakes:
        raise Mistakes(reader.mistakes)
    return fleet


def _server(reader: Reader, name: str, values: dict[str, t.Any]) -> model.Server:
    addresses = []
    for path, item in reader.items(values.get("sending_addresses"), f"{name}: sending_addresses"):
        fields = reader.mapping(item, path, ("address", "helo", "bind"), ("address", "helo"))
        address = reader.address(fields["address"], f"{path}.address") if fields.get("address") else ""
        helo = reader.host(fields["helo"], f"{path}.helo") if fields.get("helo") else ""
        bind = reader.address(fields["bind"], f"{path}.bind") if fields.get("bind") else address
        if address and bind and ipaddress.ip_address(address).version != ipaddress.ip_address(bind).version:
            reader.note(f"{path}.bind", bind, f"an address of the same family as {address}")
        if address and helo and bind:
            addresses.append(model.Address(address, helo, bind))
    if not values.get("sending_addresses"):
        reader.note(
            f"{name}: sending_addresses", "<nothing>", "a list of {address, helo}", "add it to this host's variables"
        )
    certificate, key = values.get("sending_tls_certificate") or "", values.get("sending_tls_key") or ""
    if bool(certificate) != bool(key):
        missing = "sending_tls_key" if certificate else "sending_tls_certificate"
        reader.note(f"{name}: {missing}", "<nothing>", "a path, as the other half is given", f"set {missing} too")
    submission = reader.flag(values.get("sending_submission"), f"{name}: sending_submission", True)
    return model.Server(name, tuple(addresses), submission, certificate, key)


def _domain(reader: Reader, path: str, item: t.Any) -> model.Domain:
    fields = reader.mapping(item, path, ("name", "bounce_domain", "spf", "dmarc"), ("name",))
    name = reader.domain(fields["name"], f"{path}.name") if fields.get("name") else ""
    bounce = reader.domain(fields["bounce_domain"], f"{path}.bounce_domain") if fields.get("bounce_domain") else ""
    return model.Domain(
        name,
        path,
        bounce,
        _spf(reader, f"{path}.spf", fields.get("spf")),
        _dmarc(reader, f"{path}.dmarc", fields.get("dmarc")),
    )


def _spf(reader: Reader, path: str, value: t.Any) -> model.SpfPolicy:
    if value is None:
        return model.SpfPolicy()
    fields = reader.mapping(value, path, ("include", "redirect", "external", "all"))
    include = [reader.domain(item, where) for where, item in reader.items(fields.get("include"), f"{path}.include")]
    redirect = reader.domain(fields["redirect"], f"{path}.redirect") if fields.get("redirect") else ""
    external = []
    for where, item in reader.items(fields.get("external"), f"{path}.external"):
        entry = {"name": item} if isinstance(item, str) else reader.mapping(item, where, ("name", "lookups"), ("name",))
        lookups = reader.integer(entry.get("lookups"), f"{where}.lookups", 1, 10, 1)
        external.append((reader.domain(entry.get("name"), where), lookups))
    if redirect and (include or external or fields.get("all")):
        # RFC 7208 6.1: redirect is only reached where nothing matched, and "all" always matches.
        reader.note(
            f"{path}.redirect",
            redirect,
            "redirect alone: it takes the whole record of the other domain",
            "use include, or drop the rest",
        )
    every = reader.choice(fields.get("all"), f"{path}.all", ("fail", "softfail", "neutral"), "softfail")
    return model.SpfPolicy(tuple(include), redirect, tuple(external), every)


def _dmarc(reader: Reader, path: str, value: t.Any) -> model.Dmarc | None:
    if value is None:
        return model.Dmarc()
    if value is False:
        return None
    fields = reader.mapping(value, path, ("policy", "subdomain_policy", "rua", "dkim_alignment", "spf_alignment"))
    rua = [reader.mailbox(item, where) for where, item in reader.items(fields.get("rua"), f"{path}.rua")]
    modes = ("relaxed", "strict")
    return model.Dmarc(
        reader.choice(fields.get("policy"), f"{path}.policy", POLICIES, "none"),
        reader.choice(fields.get("subdomain_policy"), f"{path}.subdomain_policy", POLICIES, ""),
        tuple(rua),
        reader.choice(fields.get("dkim_alignment"), f"{path}.dkim_alignment", modes, "relaxed"),
        reader.choice(fields.get("spf_alignment"), f"{path}.spf_alignment", modes, "relaxed"),
    )


def _providers(reader: Reader, value: t.Any) -> t.Iterator[model.Provider]:
    taken: dict[str, str] = {}
    names: dict[str, str] = {}
    for path, item in reader.items(value, "sending_providers"):
        provider = _profile(reader, path, item) if isinstance(item, str) else _own_provider(reader, path, item)
        if provider is None:
            continue
        if provider.name in names:
            reader.note(f"{path}.name", provider.name, f"a name of its own: {names[provider.name]} has this one")
        names[provider.name] = path
        for domain in provider.domains:
            if domain in taken:
                reader.note(
                    f"{path}.domains",
                    domain,
                    f"a domain that no other provider has: {taken[domain]} has it",
                    "name it once",
                )
            taken[domain] = path
        yield provider


def _profile(reader: Reader, path: str, name: str) -> model.Provider | None:
    if name not in PROFILES:
        mend = nearest(name, PROFILES) or "or describe it: {name, domains, connections, delay}"
        reader.note(path, name, "a shipped provider: " + ", ".join(PROFILES), mend)
        return None
    return PROFILES[name]


def _own_provider(reader: Reader, path: str, item: t.Any) -> model.Provider | None:
    fields = reader.mapping(item, path, ("name", "domains", "connections", "delay"), ("name", "domains"))
    name = str(fields.get("name", ""))
    if fields.get("name") and (not SERVICE.match(name) or name in RESERVED_SERVICES or name.startswith("ip-")):
        reader.note(
            f"{path}.name",
            name,
            "a name for a Postfix service: lower-case letters, digits, - and _, and not one of Postfix' own",
        )
    domains = [reader.domain(domain, where) for where, domain in reader.items(fields.get("domains"), f"{path}.domains")]
    if "domains" in fields and not domains:
        reader.note(f"{path}.domains", "<an empty list>", "at least one domain")
    connections = reader.integer(fields.get("connections"), f"{path}.connections", 1, 1000, 0)
    delay = reader.duration(fields.get("delay"), f"{path}.delay") or ""
    if fields.get("connections") is None and not delay:
        reader.note(path, "<no limit>", "connections, delay or both")
    return model.Provider(name, tuple(domains), connections, delay)


def _own_domains(reader: Reader, path: str, value: t.Any, names: list[str]) -> tuple[str, ...]:
    """The domains that a login or a network may use: all where none is named."""
    if value is None:
        return tuple(names)
    found = []
    for where, item in reader.items(value, path):
        name = reader.domain(item, where)
        # Where no domain could be read at all, that is the mistake, and not each mention of one.
        if name and names and name not in names:
            reader.note(where, name, "a name of sending_domains", nearest(name, names))
        found.append(name)
    return tuple(found)


def _networks(reader: Reader, value: t.Any, names: list[str]) -> t.Iterator[model.Network]:
    seen: dict[str, str] = {}
    for path, item in reader.items(value, "sending_networks"):
        fields = reader.mapping(item, path, ("network", "domains"), ("network",))
        network = reader.network(fields["network"], f"{path}.network") if fields.get("network") else ""
        if network and network in seen:
            reader.note(f"{path}.network", network, f"a network of its own: {seen[network]} has this one")
        seen.setdefault(network, path)
        yield model.Network(network, _own_domains(reader, f"{path}.domains", fields.get("domains"), names))


def _users(reader: Reader, value: t.Any, names: list[str]) -> t.Iterator[model.User]:
    seen: dict[str, str] = {}
    for path, item in reader.items(value, "sending_users"):
        # The hash is a secret: it is known here only as there or not there.
        fields = reader.mapping(item, path, ("name", "password_hash", "domains"), ("name", "password_hash"))
        name = str(fields.get("name", ""))
        # Postfix compares the owner of a return path with the login without regard to case.
        folded = name.lower()
        if fields.get("name") and (not LOGIN.match(name) or folded == model.PROBE_LOGIN):
            reader.note(
                f"{path}.name",
                name,
                f"a login of letters, digits and . _ @ - other than {model.PROBE_LOGIN!r}, which the probe uses",
            )
        if name and folded in seen:
            reader.note(f"{path}.name", name, f"a login of its own, whatever the case: {seen[folded]} has this one")
        seen.setdefault(folded, path)
        yield model.User(name, _own_domains(reader, f"{path}.domains", fields.get("domains"), names))


def _zones(reader: Reader, value: t.Any) -> t.Iterator[str]:
    for path, item in reader.items(value, "sending_zones"):
        fields = reader.mapping(item, path, ("name", "server", "port", "key"), ("name",))
        if fields.get("key"):
            # Shown by its keys alone: the mapping holds the secret.
            key = fields["key"] if isinstance(fields["key"], dict) else {}
            for part in ("name", "secret"):
                if not key.get(part):
                    reader.note(
                        f"{path}.key.{part}",
                        "<nothing>",
                        "the TSIG key's " + part,
                        "take both from the server's key file",
                    )
        reader.integer(fields.get("port"), f"{path}.port", 1, 65535, 53)
        yield reader.domain(fields["name"], f"{path}.name") if fields.get("name") else ""


def _dkim(reader: Reader, variables: dict[str, t.Any]) -> model.Dkim:
    selector = variables.get("sending_dkim_selector", "m")
    if not isinstance(selector, str) or not SELECTOR.match(selector):
        reader.note(
            "sending_dkim_selector", selector, "lower-case letters, digits and - (the key's date is added to it)"
        )
        selector = "m"
    scope = reader.choice(variables.get("sending_dkim_scope"), "sending_dkim_scope", ("fleet", "server"), "fleet")
    # RFC 8301 3.2: at least 1024, 2048 wanted; a record of more than 2048 no longer fits one DNS answer without TCP.
    bits = reader.choice(variables.get("sending_dkim_bits"), "sending_dkim_bits", (1024, 2048, 3072, 4096), 2048)
    return model.Dkim(scope, selector, bits)


def _check_servers(reader: Reader, fleet: model.Fleet, hosts: dict[str, dict[str, t.Any]]) -> None:
    owners: dict[str, str] = {}
    for server in fleet.servers:
        for index, address in enumerate(server.addresses):
            path = f"{server.name}: sending_addresses[{index}].address"
            if address.address in owners:
                reader.note(
                    path,
                    address.address,
                    f"an address of its own: {owners[address.address]} has this one",
                    "give each server its own addresses",
                )
            owners.setdefault(address.address, path)


def _check_domains(reader: Reader, fleet: model.Fleet) -> None:
    names = {}
    for domain in fleet.domains:
        for name, path in (
            (domain.name, f"{domain.path}.name"),
            (domain.bounce_domain, f"{domain.path}.bounce_domain"),
        ):
            if name and name in names:
                reader.note(path, name, f"a domain of its own: {names[name]} has this one", "name it once")
            names.setdefault(name, path)
    by_name = {domain.name: domain for domain in fleet.domains}
    for domain in fleet.domains:
        targets = [(f"{domain.path}.spf.include[{i}]", name) for i, name in enumerate(domain.spf.include)]
        targets += [(f"{domain.path}.spf.redirect", domain.spf.redirect)] if domain.spf.redirect else []
        for path, name in targets:
            if not name:
                continue
            if name not in by_name:
                mend = nearest(name, by_name) or "a domain of other people goes to spf.external"
                reader.note(path, name, "a name of sending_domains: no such domain", mend)
            elif name == domain.name or by_name[name].auxiliary:
                reader.note(
                    path,
                    name,
                    "a main domain: one whose own SPF includes no other of the fleet",
                    "name the domain at its end",
                )
        for index, (name, _lookups) in enumerate(domain.spf.external):
            if name in by_name:
                expected = "a domain of other people"
                reader.note(f"{domain.path}.spf.external[{index}]", name, expected, "one of yours goes to spf.include")
