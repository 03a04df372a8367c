# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proof that a Postfix is up: a 220 on every address where it listens, TLS with our certificates, and a message through
its queue.

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
import smtplib
import socket
import ssl
import time
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_certificates import chain_der, fingerprint
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_control import Control
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_listeners import Listener

# What Postfix says for a milter that does not answer; a milter's own refusal has other words.
SILENT_MILTER = "Service unavailable - try again later"


class ProofError(RuntimeError):
    """Postfix is not up; the text says what was tried and what came of it."""


@dataclasses.dataclass(frozen=True)
class Proving:
    """What the user wants proved: nothing, all listeners or one address, and a message; waits are in seconds."""

    enabled: bool = True
    listeners: tuple[Listener, ...] = ()
    queue: bool = True
    timeout: float = 30
    restart_wait: float = 60


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be proved, within how many seconds: banners, certificates, and whether a message passes the queue."""

    listeners: tuple[Listener, ...]
    queue: bool
    timeout: float


def prove(control: Control, plan: Plan, address: str) -> dict[str, t.Any]:
    """Prove that Postfix is up.

    :arg control: the Postfix.
    :arg plan: what to prove.
    :arg address: an address that the server takes for its own (see postfix_listeners.literal).
    :returns: `banners` by listener, fingerprints of the `certificates` that were shown, and what became of the message
        in `queue`.
    :raises ProofError: with what failed.
    """
    proof: dict[str, t.Any] = {"banners": {str(place): _banner(place, plan.timeout) for place in plan.listeners}}
    # Before TLS, which a dead milter keeps away as well: the message tells that it is the milter.
    if plan.queue:
        proof["queue"] = _message(control, address, plan.timeout)
    proof["certificates"] = {str(place): _certificate(place, plan.timeout)
                             for place in plan.listeners if place.certificates}
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
    with (
        _connected(place, timeout) as plain,
        _context().wrap_socket(plain) if place.wrapped else contextlib.nullcontext(plain) as connection,
    ):
        line = connection.makefile("rb").readline(1000).decode("utf-8", "replace").strip()
        connection.sendall(b"QUIT\r\n")
        return line


def _certificate(place: Listener, timeout: float) -> str:
    """Return the fingerprint of the certificate that a listener shows, asking until it is one of those it should show.

    A process that had begun before a reload may take one more client, and shows it the certificate of before.
    """
    expected = set()
    for file in place.certificates:
        with open(file, encoding="ascii") as stream:
            expected.add(chain_der(stream.read())[0])
    end = time.monotonic() + timeout
    while True:
        try:
            shown = _shown(place, max(1.0, end - time.monotonic()))
            if shown in expected:
                return fingerprint(shown)
            said = f"it shows the one with the fingerprint {fingerprint(shown)}"
        except (OSError, ValueError) as error:
            said = str(error)
        if time.monotonic() > end:
            files = ", ".join(place.certificates)
            raise ProofError(f"no TLS with the certificate of {files} on {place} within {timeout:g} s: {said}")
        time.sleep(0.2)


def _shown(place: Listener, timeout: float) -> bytes:
    """Return the certificate that a listener shows, in DER."""
    if place.wrapped:
        with _connected(place, timeout) as plain, _context().wrap_socket(plain) as connection:
            return connection.getpeercert(binary_form=True) or b""
    # A name of our own, or smtplib would ask DNS for one.
    with smtplib.SMTP(place.address, place.port, "localhost", timeout) as connection:
        connection.starttls(context=_context())
        return connection.sock.getpeercert(binary_form=True) or b""


def _connected(place: Listener, timeout: float) -> socket.socket:
    return socket.create_connection((place.address, place.port), timeout)


def _context() -> ssl.SSLContext:
    """Return a context that takes any certificate: its name, and who signed it, may be known to nobody yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _message(control: Control, address: str, timeout: float) -> str:
    """Return the log's words on a message that passed the queue."""
    nonce = f"mailfleet-{secrets.token_hex(8)}"
    recipient = f"postmaster+{nonce}@[{'IPv6:' if ':' in address else ''}{address}]"
    began = time.time()
    done = control.run(["sendmail", "-C", control.directory, "-f", "<>", "-bv", recipient])
    if done.status:
        raise ProofError(f"sendmail took no message: {done.err.strip() or done.out.strip()}")
    end = time.monotonic() + timeout
    try:
        while True:
            for line in control.log(began, nonce):
                if match := re.search(r"status=(\w+) \((.*)\)", line):
                    return f"{match[1]} ({match[2]})"
            # A milter may answer before the recipient, and with it the nonce, is known: the null sender must do.
            for line in control.log(began, "milter-"):
                if match := re.search(r"milter-(?:reject|hold): \S+ from localhost\[\S+ (.*?); from=<>", line):
                    if SILENT_MILTER in match[1]:
                        raise ProofError(f"the milter does not answer, so nothing can be sent: {match[1]}")
                    return f"held by the milter ({match[1]})"
            if time.monotonic() > end:
                trouble = _trouble(control, began)
                raise ProofError(f"a message did not pass the queue within {timeout:g} s; the log: {trouble}")
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
