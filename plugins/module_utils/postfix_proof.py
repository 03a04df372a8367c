# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proof that a Postfix is up: a 220 on every address where it listens, and a message through its queue.

The message is a verification request (``sendmail -bv``): it passes pickup, cleanup with its milters, the queue manager
and a delivery agent as any other, to an address literal of this server, and nothing is delivered. So the proof needs
neither DNS nor a setting of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import socket
import ssl
import time
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_control import Control
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_stage import run
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_view import words

PORTS = {"smtp": 25, "submission": 587, "smtps": 465, "submissions": 465}
# What Postfix says for a milter that does not answer; a milter's own refusal has other words.
SILENT_MILTER = "Service unavailable - try again later"


class ProofError(RuntimeError):
    """Postfix is not up; the text says what was tried and what came of it."""


@dataclasses.dataclass(frozen=True)
class Listener:
    """A place where Postfix answers with 220; `wrapped` where TLS comes before the banner."""

    address: str
    port: int
    wrapped: bool = False

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be proved, within how many seconds: banners, and whether a message passes the queue."""

    listeners: tuple[Listener, ...]
    queue: bool
    timeout: float


def literal(values: t.Mapping[str, str]) -> str:
    """Return an address that this Postfix listens on, a loopback address where it listens on all.

    :arg values: effective parameters.
    """
    six = values.get("inet_protocols", "") == "ipv6"
    for word in words(values.get("inet_interfaces", "")):
        with contextlib.suppress(OSError):
            address = word.strip("[]")
            socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
            return address
    return "::1" if six else "127.0.0.1"


def listeners(values: t.Mapping[str, str], services: t.Mapping[str, t.Any]) -> tuple[Listener, ...]:
    """Return where a configuration answers with 220.

    :arg values: effective parameters.
    :arg services: the services of master.cf.
    """
    found = []
    for key, service in services.items():
        if service.type != "inet" or service.command not in ("smtpd", "postscreen") or not values.get("inet_interfaces"):
            continue
        host, dummy, port = service.name.rpartition(":")
        wrapped = dict(service.options).get("smtpd_tls_wrappermode", values.get("smtpd_tls_wrappermode")) == "yes"
        found.append(Listener(host.strip("[]") or literal(values), port_number(port), wrapped))
    return tuple(dict.fromkeys(found))


def port_number(name: str) -> int:
    """Return the number of a port that may be given by its name.

    :raises ProofError: where nobody knows the name.
    """
    try:
        return int(name) if name.isdigit() else PORTS.get(name) or socket.getservbyname(name, "tcp")
    except OSError:
        raise ProofError(f"port {name}: no such name in /etc/services") from None


def prove(control: Control, plan: Plan, address: str) -> dict[str, t.Any]:
    """Prove that Postfix is up.

    :arg control: the Postfix.
    :arg plan: what to prove.
    :arg address: an address that the server takes for its own (see :func:`literal`).
    :returns: `banners` by listener, and what became of the message in `queue`.
    :raises ProofError: with what failed.
    """
    proof: dict[str, t.Any] = {"banners": {str(place): _banner(place, plan.timeout) for place in plan.listeners}}
    if plan.queue:
        proof["queue"] = _message(control, address, plan.timeout)
    return proof


def _banner(place: Listener, timeout: float) -> str:
    """Return the first line of a 220 answer, asking until there is one."""
    end = time.monotonic() + timeout
    while True:
        try:
            said = _greeting(place, max(1.0, end - time.monotonic()))
            if said.startswith("220"):
                return said
        except OSError as error:
            said = str(error)
        if time.monotonic() > end:
            raise ProofError(f"no 220 banner on {place} within {timeout:g} s: {said or 'it hung up'}")
        time.sleep(0.2)


def _greeting(place: Listener, timeout: float) -> str:
    with socket.create_connection((place.address, place.port), timeout) as plain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Whether the certificate is right is not the question here: Postfix's own name may be known to nobody yet.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) if place.wrapped else contextlib.nullcontext(plain) as connection:
            line = connection.makefile("rb").readline(1000).decode("utf-8", "replace").strip()
            connection.sendall(b"QUIT\r\n")
            return line


def _message(control: Control, address: str, timeout: float) -> str:
    """Return the log's words on a message that passed the queue."""
    nonce = f"mailfleet-{secrets.token_hex(8)}"
    recipient = f"postmaster+{nonce}@[{'IPv6:' if ':' in address else ''}{address}]"
    began = time.time()
    done = run(["sendmail", "-C", control.directory, "-f", "<>", "-bv", recipient])
    if done.returncode:
        raise ProofError(f"sendmail took no message: {done.stderr.strip() or done.stdout.strip()}")
    end = time.monotonic() + timeout
    try:
        while True:
            for line in control.log(began, nonce):
                if match := re.search(r"status=(\w+) \((.*)\)", line):
                    return f"{match[1]} ({match[2]})"
                if match := re.search(r"milter-(reject|hold): (.*?); from=", line):
                    if SILENT_MILTER in match[2]:
                        raise ProofError(f"the milter does not answer, so nothing can be sent: {match[2]}")
                    return f"held by the milter ({match[2]})"
            if time.monotonic() > end:
                raise ProofError(f"a message did not pass the queue within {timeout:g} s; the log: {_trouble(control, began)}")
            time.sleep(0.1)
    finally:
        _forget(control.queue, nonce)


def _trouble(control: Control, began: float) -> str:
    """Return what Postfix logged as trouble since a moment, the last of it."""
    lines = [line for word in ("fatal", "panic", "error", "warning") for line in control.log(began, word + ":")]
    return "; ".join(lines[-3:]) or "no complaint"


def _forget(queue: str, nonce: str) -> None:
    """Remove our message where pickup could not hand it on and would try again."""
    folder = os.path.join(queue, "maildrop")
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError), open(os.path.join(folder, name), "rb") as file:
                if nonce.encode() in file.read(4096):
                    os.unlink(os.path.join(folder, name))
