# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory's variables read into a fleet. Every mistake is told with its path, all at once."""

from __future__ import annotations

import datetime
import ipaddress
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils import fleet as model
from ansible_collections.mailfleet.sending.plugins.module_utils import inventory_access as access
from ansible_collections.mailfleet.sending.plugins.module_utils import inventory_shaping as shaping
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_agent import Judge, agent
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_controller import check_controller, dns_ttl
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_files import CHAIN, KEY, Files, check_file
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_names import check_names
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_warmup import warmup
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes, nearest
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader

SELECTOR = re.compile(r"[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?\Z")  # with date and server at most 63 octets
POLICIES = ("none", "quarantine", "reject")


def read_fleet(
    variables: dict[str, t.Any],
    hosts: dict[str, dict[str, t.Any]],
    inventory: t.Mapping[str, t.Mapping[str, t.Any]] | None = None,
    files: Files | None = None,
    today: datetime.date | None = None,
    judge: Judge | None = None,
) -> model.Fleet:
    """Read the fleet out of the inventory.

    :arg variables: the fleet-wide variables (FLEET_WIDE of inventory_names.py) by name.
    :arg hosts: for each host of the group ``sending_servers`` its own variables (OF_HOST).
    :arg inventory: for each host all variables as the inventory has them, to check their names.
    :arg files: looks at the controller's disk; without it, no file is looked into.
    :arg today: the day, in UTC, behind which no warm-up may begin; without it, that is not looked at.
    :arg judge: the reader of the program on the servers, which knows its own settings.
    :returns: the fleet, in which every reference is known to lead somewhere.
    :raises Mistakes: with every mistake, each with its path in the inventory.
    """
    reader = Reader()
    check_names(reader, inventory or {})
    taken: dict[str, str] = {}
    servers = [_server(reader, name, values, taken, files, today) for name, values in sorted(hosts.items())]
    if not hosts:
        reader.note("sending_servers", "<an empty group>", "at least one host", "add the hosts that send mail to it")
    domains = [
        _domain(reader, path, item) for path, item in reader.items(variables.get("sending_domains"), "sending_domains")
    ]
    if variables.get("sending_domains") in (None, []):
        reader.note("sending_domains", "<nothing>", "at least one domain that mail is sent from", "add - name: DOMAIN")
    names = [domain.name for domain in domains]
    senders = [name for domain in domains for name in (domain.name, domain.bounce_domain) if name]
    providers = shaping.providers(reader, variables.get("sending_providers"), _ending_here(servers, domains))
    pools = shaping.pools(reader, variables.get("sending_pools"), servers, senders, providers)
    fleet = model.Fleet(
        servers=tuple(server for server in servers if server.addresses),
        domains=tuple(domains),
        providers=tuple(providers),
        pools=tuple(pools),
        networks=tuple(access.networks(reader, variables.get("sending_networks"), names)),
        users=tuple(access.users(reader, variables.get("sending_users"), names)),
        zones=tuple(access.zones(reader, variables.get("sending_zones"))),
        dkim=_dkim(reader, variables),
        unsigned=reader.choice(variables.get("sending_unsigned"), "sending_unsigned", ("defer", "allow"), "defer"),
        message_size=reader.integer(
            variables.get("sending_message_size"), "sending_message_size", 65536, 2**30, 26214400
        ),
        ttl=dns_ttl(reader, variables),
        agent=agent(reader, variables, servers, domains, judge),
    )
    _check_domains(reader, fleet)
    check_controller(reader, variables, files)
    if reader.mistakes:
        raise Mistakes(reader.mistakes)
    return fleet


def _server(
    reader: Reader, name: str, values: dict[str, t.Any], taken: dict[str, str], files: Files | None,
    today: datetime.date | None,
) -> model.Server:
    """Read a server; ``taken`` says where each address stands that another server, or this one, has."""
    addresses = []
    bound: dict[str, str] = {}
    for path, item in reader.items(values.get("sending_addresses"), f"{name}: sending_addresses"):
        fields = reader.mapping(item, path, ("address", "helo", "bind", "warmup"), ("address", "helo"))
        address = reader.address(fields["address"], f"{path}.address") if fields.get("address") else ""
        helo = reader.host(fields["helo"], f"{path}.helo") if fields.get("helo") else ""
        bind = reader.address(fields["bind"], f"{path}.bind") if fields.get("bind") else address
        if address and bind and ipaddress.ip_address(address).version != ipaddress.ip_address(bind).version:
            mend = "give the one that the host has, or leave bind out"
            reader.note(f"{path}.bind", bind, f"an address of the same family as {address}", mend)
        if address in taken:
            expected = f"an address of its own: {taken[address]} has this one"
            reader.note(f"{path}.address", address, expected, "give each server its own addresses")
        if bind and bind in bound:
            reader.note(f"{path}.bind", bind, f"an address of its own on {name}: {bound[bind]} is sent from there",
                        "give each its own, or leave one of them out")
        if bind:
            bound.setdefault(bind, f"{path}.address")
        if address:
            taken.setdefault(address, f"{path}.address")
        warming = warmup(reader, fields.get("warmup"), f"{path}.warmup", today)
        if address and helo and bind:
            addresses.append(model.Address(address, helo, bind, warming))
    if values.get("sending_addresses") in (None, []):
        reader.note(
            f"{name}: sending_addresses", "<nothing>", "a list of {address, helo}", "add it to this host's variables"
        )
    halves = {"sending_tls_certificate": CHAIN, "sending_tls_key": KEY}
    given = [half for half in halves if values.get(half) not in (None, "")]
    for half in set(halves) - set(given) if given else ():
        reader.note(f"{name}: {half}", "<nothing>", "a path, as the other half is given", f"set {half} too")
    places = [check_file(reader, values.get(half), f"{name}: {half}", holds, files) for half, holds in halves.items()]
    submission = reader.flag(values.get("sending_submission"), f"{name}: sending_submission", True)
    return model.Server(name, tuple(addresses), submission, *places)


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
        external.append((reader.domain(entry["name"], where) if entry.get("name") else "", lookups))
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


def _ending_here(servers: list[model.Server], domains: list[model.Domain]) -> dict[str, str]:
    """The domains whose mail ends on the fleet's servers, with the paths that say so.

    Those of the sending domains themselves are not among them: their mailboxes are elsewhere, and may have limits.
    """
    here = {server.hostname: f"{server.name}: sending_addresses[0].helo" for server in servers if server.addresses}
    here |= {domain.bounce_domain: f"{domain.path}.bounce_domain" for domain in domains if domain.bounce_domain}
    return {name: path for name, path in here.items() if name not in {domain.name for domain in domains}}


def _dkim(reader: Reader, variables: dict[str, t.Any]) -> model.Dkim:
    selector = variables.get("sending_dkim_selector", "m")
    if not isinstance(selector, str) or not SELECTOR.match(selector):
        expected = "at most 14 lower-case letters, digits and - (the key's date is added to it)"
        reader.note("sending_dkim_selector", selector, expected, "leave it out for m")
        selector = "m"
    scope = reader.choice(variables.get("sending_dkim_scope"), "sending_dkim_scope", ("fleet", "server"), "fleet")
    # RFC 8301 3.2: at least 1024, 2048 wanted; a record of more than 2048 no longer fits one DNS answer without TCP.
    bits = reader.choice(variables.get("sending_dkim_bits"), "sending_dkim_bits", (1024, 2048, 3072, 4096), 2048)
    return model.Dkim(scope, selector, bits)


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
    by_name = {domain.name: domain for domain in fleet.domains if domain.name}
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
                    "name the one that its own SPF leads to",
                )
        for index, (name, _lookups) in enumerate(domain.spf.external):
            if name in by_name:
                expected = "a domain of other people"
                reader.note(f"{domain.path}.spf.external[{index}]", name, expected, "one of yours goes to spf.include")
