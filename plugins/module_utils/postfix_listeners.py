# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a configuration listens, and whether it could: master(8) ends, and all of Postfix with it, where it cannot."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.master_cf import Service
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_view import View, words

PORTS = {"smtp": 25, "submission": 587, "smtps": 465, "submissions": 465}


@dataclasses.dataclass(frozen=True)
class Listener:
    """A place where Postfix answers with 220; `wrapped` where TLS comes before the banner.

    `certificates` are the files of ours with the certificates of which it shows one; empty where it shows none of ours.
    """

    address: str
    port: int
    wrapped: bool = False
    certificates: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def interfaces(values: t.Mapping[str, str]) -> list[str]:
    """Return the addresses that inet_interfaces spells out; none for ``all``, ``loopback-only`` and names.

    :arg values: effective parameters.
    """
    return [word.strip("[]") for word in words(values.get("inet_interfaces", "")) if _family(word.strip("[]"))]


def literal(values: t.Mapping[str, str]) -> str:
    """Return an address that this Postfix listens on, a loopback address where it listens on all.

    :arg values: effective parameters.
    """
    loopback = "::1" if values.get("inet_protocols") == "ipv6" else "127.0.0.1"
    return next(iter(interfaces(values)), loopback)


def listeners(values: t.Mapping[str, str], services: t.Mapping[str, Service],
              folder: str) -> tuple[Listener, ...]:
    """Return where a configuration answers with 220.

    :arg values: effective parameters.
    :arg services: the services of master.cf.
    :arg folder: where certificates of ours stand.
    :raises ValueError: where a port has a name that nobody knows.
    """
    found = []
    for service in services.values() if values.get("inet_interfaces") else ():
        if service.type == "inet" and service.command in ("smtpd", "postscreen"):
            host, port = _place(service)
            own = {**values, **dict(service.options)}
            wrapped = own.get("smtpd_tls_wrappermode") == "yes"
            certificates = ()
            # postscreen lets a client begin TLS only once it has waited.
            if service.command == "smtpd" and (wrapped or own.get("smtpd_tls_security_level") in ("may", "encrypt")):
                shown = words(own.get("smtpd_tls_chain_files", ""))
                certificates = tuple(file for file in shown if file.startswith(folder + "/"))
            found.append(Listener(host or literal(values), port, wrapped, certificates))
    return tuple(dict.fromkeys(found))


def ports(services: t.Mapping[str, Service]) -> frozenset[int]:
    """Return the ports that a running Postfix with these services holds."""
    with contextlib.suppress(ValueError):
        return frozenset(_place(service)[1] for service in services.values() if service.type == "inet")
    return frozenset()


def clashes(running: t.Mapping[str, Service], wanted: t.Mapping[str, Service]) -> list[str]:
    """Return the services that a reload cannot bring: master(8) begins with new ones, and another is still there.

    :arg running: the services that the running Postfix has.
    :arg wanted: those it is to have.
    :returns: the keys of new services that listen where one of the old ones does.
    """
    old = [service for key, service in running.items() if service.type == "inet" and key not in wanted]
    new = [service for key, service in wanted.items() if service.type == "inet" and key not in running]
    return [service.key for service in new if any(_overlap(service, other) for other in old)]


def _overlap(one: Service, other: Service) -> bool:
    """Whether two services cannot listen at the same time; without a host one listens on all addresses."""
    (host, port), (other_host, other_port) = _place(one), _place(other)
    return port == other_port and (host == other_host or not host or not other_host)


def listener_mistakes(view: View, held: t.Collection[int]) -> list[Mistake]:
    """Check that master(8) will be able to listen, by binding each of its places for a moment.

    :arg view: the configuration.
    :arg held: the ports that the running Postfix holds itself.
    :returns: a mistake for each address that this server does not have, and each port that another program holds.
    """
    found = []
    six = "ipv6" in view.value("inet_protocols") or view.value("inet_protocols") == "all"
    anywhere = interfaces(view.values) or ["0.0.0.0", *(["::"] if six and socket.has_dualstack_ipv6() else [])]
    for key, service in view.services.items():
        if service.type != "inet":
            continue
        layer = view.source.get(f"services.{key}")
        path = f"layers.{layer}.services.{key}" if layer else f"master.cf {key}"
        try:
            host, port = _place(service)
        except ValueError as error:
            found.append(Mistake(path, str(error), "a port's number, or its name in /etc/services"))
            continue
        for address in [host] if host else anywhere:
            if _family(address) and (wrong := _unbindable(address, 0 if port in held else port)):
                found.append(Mistake(path, f"{Listener(address, port)}: {wrong}", "a place where Postfix can listen"))
    return found


def _place(service: Service) -> tuple[str, int]:
    """Return the host (empty where the service listens on inet_interfaces) and the port of an inet service."""
    host, _colon, port = service.name.rpartition(":")
    try:
        return host.strip("[]"), int(port) if port.isdigit() else PORTS.get(port) or socket.getservbyname(port, "tcp")
    except OSError:
        raise ValueError(f"port {port!r}, which is unknown") from None


def _family(address: str) -> socket.AddressFamily | None:
    """Return the family of an address, None where the text is none."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, address)
            return family
    return None


def _unbindable(address: str, port: int) -> str:
    """Return why a place cannot be bound, empty where it can."""
    with socket.socket(_family(address) or socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""
