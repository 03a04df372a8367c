# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dovecot as the one who checks logins for Postfix, and nothing else: no mailboxes, no network ports."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.password_hash import hash_mistake

SOCKET = "/var/spool/postfix/private/auth"
MARK = "# Written by mailfleet.sending.submission_auth; what you change here is lost."

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z")


class ProtocolError(ValueError):
    """What answers on the socket is no Dovecot, or one that this client cannot talk to."""


@dataclass(frozen=True)
class Login:
    """A name and the hash of its password in Dovecot's form, `{SCHEME}…` or crypt(5)'s `$id$…`."""

    name: str
    password_hash: str = field(repr=False)


def read_logins(users: Iterable[Mapping[str, str]]) -> tuple[Login, ...]:
    """Return the logins of `users` (each with `name` and `password_hash`), sorted by name.

    Raises Mistakes, naming every mistake by its path; a hash itself is never part of the message.
    """
    logins: dict[str, Login] = {}
    mistakes = []
    for index, user in enumerate(users):
        name, password_hash = user["name"], user["password_hash"]
        path = f"users[{index}]"
        if not _NAME.match(name):
            mistakes.append(Mistake(f"{path}.name", repr(name), "letters, digits and . _ @ + -, at most 64"))
        elif name in logins:
            mistakes.append(Mistake(f"{path}.name", f"{name!r} a second time", "each name once"))
        if mistake := hash_mistake(f"{path}.password_hash", password_hash):
            mistakes.append(mistake)
        logins.setdefault(name, Login(name, password_hash))
    if mistakes:
        raise Mistakes(mistakes, "Dovecot was not touched")
    return tuple(sorted(logins.values(), key=lambda login: login.name))


def ssha512(password: str, salt: bytes) -> str:
    """Return Dovecot's salted SHA-512 of a password, the same for the same salt.

    It is meant for long random passwords: it is fast to compute, which short ones would not survive.
    """
    digest = hashlib.sha512(password.encode() + salt).digest()
    return "{SSHA512}" + base64.b64encode(digest + salt).decode()


def passwd_file(logins: Iterable[Login]) -> str:
    """Return Dovecot's passwd-file with the logins."""
    lines = [f"{login.name}:{_with_scheme(login.password_hash)}" for login in logins]
    return "\n".join([MARK, *lines]) + "\n"


def names_and_hashes(text: str) -> dict[str, str]:
    """Return the logins of a passwd-file: hash by name. Lines of another form are left out."""
    lines = [line for line in text.splitlines() if ":" in line and not line.startswith("#")]
    return {line.split(":")[0]: line.split(":")[1] for line in lines}


def shown_logins(before: str, after: str) -> tuple[str, str]:
    """Return what a diff may show of two passwd-files: the names, and whose hash changed, never a hash."""
    old, new = names_and_hashes(before), names_and_hashes(after)
    note = {name: " (another password)" for name in new if name in old and old[name] != new[name]}
    return ("".join(f"{name}\n" for name in old), "".join(f"{name}{note.get(name, '')}\n" for name in new))


def configuration(version: str, users_file: str, socket_path: str = SOCKET) -> str:
    """Return dovecot.conf for a Dovecot version such as "2.3.19.1" or "2.4.1-4".

    Since 2.4 a file begins with the version of its syntax, and a passdb has a name and settings instead of args.
    Raises ValueError for a version before 2.3.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    number = tuple(int(part) for part in found.groups()) if found else (0, 0)
    if number < (2, 3):
        raise ValueError(f"Dovecot {version!r} was found, 2.3 or later is expected (Debian 12 and 13 have it)")
    if number == (2, 3):
        head = ""
        passdb = f"""\
auth_username_format = %u
passdb {{
  driver = passwd-file
  args = scheme=CRYPT username_format=%u {users_file}
}}
"""
    else:
        head = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"
        passdb = f"""\
auth_username_format = %{{user}}
passdb passwd-file {{
  default_password_scheme = CRYPT
  passwd_file_path = {users_file}
}}
"""
    return f"""\
{MARK}
# Postfix asks here whether a login is right. No protocol is served, so that nothing listens on the network.
{head}protocols =
ssl = no
auth_mechanisms = plain login
{passdb}service auth {{
  unix_listener {socket_path} {{
    mode = 0660
    user = postfix
    group = postfix
  }}
}}
# Dovecot makes an address wait longer with each wrong password, and those who come from it with a right one too, until
# Postfix no longer waits for the answer (10 s). So one misspelt password would lock out all applications behind it.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


def is_ours(configuration_text: str) -> bool:
    """Whether a dovecot.conf was written by `configuration`."""
    return configuration_text.startswith(MARK)


@dataclass(frozen=True)
class Answer:
    """What Dovecot said to a login; `broken` where it could not find out (it cannot read its files, for instance).

    `process` is what the process that answered calls itself (SPID in the protocol): another one after each start.
    """

    accepted: bool
    broken: bool = False
    reason: str = ""
    process: str = ""


def ask(name: str, password: str, socket_path: str = SOCKET, timeout: float = 10.0) -> Answer:
    """Ask Dovecot's auth socket, as Postfix does, whether a login is right.

    Speaks version 1 of Dovecot's client protocol: the password goes through the socket and is no command's argument.
    Raises OSError where nothing answers within `timeout` seconds, ProtocolError where something else does.
    """
    response = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
    request = f"VERSION\t1\t1\nCPID\t{os.getpid()}\nAUTH\t1\tPLAIN\tservice=smtp\tsecured\tresp={response}\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(socket_path)
        connection.sendall(request.encode())
        process = ""
        with connection.makefile("rb") as lines:
            while True:
                line = lines.readline(8192)
                if line.startswith(b"SPID\t"):
                    process = line[5:].decode("utf-8", "replace").strip()
                answer = read_answer(line)
                if answer is not None:
                    return replace(answer, process=process)


def read_answer(line: bytes) -> Answer | None:
    """Read one line of the auth protocol: an answer to the request 1, or None for a line that is none.

    Raises ProtocolError where the line shows that no answer can come.
    """
    if not line.endswith(b"\n"):
        raise ProtocolError("the connection ended before an answer came")
    command, *fields = line.decode("utf-8", "replace").rstrip("\n").split("\t")
    if command == "VERSION" and fields[:1] != ["1"]:
        raise ProtocolError(f"the socket speaks version {fields[:1]} of the protocol, 1 is expected")
    if command not in ("OK", "FAIL", "CONT") or fields[:1] != ["1"]:
        return None
    about = dict(part.partition("=")[::2] for part in fields[1:])
    if command == "CONT":
        raise ProtocolError("PLAIN is not done with one response")
    return Answer(command == "OK", "temp" in about, about.get("reason", about.get("code", "")))


def _with_scheme(password_hash: str) -> str:
    return password_hash if password_hash.startswith("{") else "{CRYPT}" + password_hash


def read_secret(text: str) -> tuple[str, bytes]:
    """Return the password and the salt that `write_secret` wrote.

    Raises ValueError where the text is something else; the message holds nothing of it.
    """
    lines = dict(line.partition(": ")[::2] for line in text.splitlines())
    try:
        password, salt = lines["password"], bytes.fromhex(lines["salt"])
    except (KeyError, ValueError, binascii.Error):
        raise ValueError("expected the lines `password: …` and `salt: …` (in hexadecimal digits)") from None
    if len(password) < 16 or len(salt) < 8:
        raise ValueError("expected a password of at least 16 characters and a salt of at least 8 bytes")
    return password, salt


def write_secret(password: str, salt: bytes) -> str:
    """Return the text of a login's secret; the salt stands beside the password, so that its hash stays the same."""
    return f"password: {password}\nsalt: {salt.hex()}\n"
