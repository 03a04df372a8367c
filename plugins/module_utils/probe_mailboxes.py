# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mailboxes that probes are sent to, read out of the inventory or a module's option. No password shows in a mistake."""

from __future__ import annotations

import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.mailbox import Account
from ansible_collections.mailfleet.sending.plugins.module_utils.probe import Target
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader, required

METHODS = ["dkim", "spf", "dmarc", "iprev"]
FAMILIES = ["ipv4", "ipv6"]
# What a module takes for one mailbox.
IMAP = {
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 993},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "password_file": {"type": "path", "no_log": False},
    "tls_name": {"type": "str"},
    "ca_file": {"type": "path"},
}
MAILBOX = {
    "address": {"type": "str", "required": True},
    "authserv_id": {"type": "str", "required": True},
    "received_by": {"type": "list", "elements": "str"},
    "expect": {"type": "list", "elements": "str", "choices": METHODS, "default": METHODS[:3]},
    "families": {"type": "list", "elements": "str", "choices": FAMILIES, "default": FAMILIES},
    "imap": {"type": "dict", "required": True, "options": IMAP},
}


def read_mailboxes(reader: Reader, value: t.Any, path: str) -> list[Target]:
    """Read mailboxes to send to.

    :arg reader: takes note of the mistakes.
    :arg value: a list of mappings with the keys of MAILBOX.
    :arg path: where it stands.
    :returns: the mailboxes. A password that a file holds is empty: whoever uses it has put it in before.
    """
    return [_mailbox(reader, item, where) for where, item in reader.items(value, path, secret=True)]


def _mailbox(reader: Reader, item: t.Any, path: str) -> Target:
    fields = reader.mapping(item, path, MAILBOX, required(MAILBOX), secret=True)
    address = reader.mailbox(fields["address"], f"{path}.address") if fields.get("address") else ""
    authserv_id = reader.text(fields["authserv_id"], f"{path}.authserv_id") if fields.get("authserv_id") else ""
    receivers = [
        reader.text(name, where) for where, name in reader.items(fields.get("received_by"), f"{path}.received_by")
    ]
    account = _account(reader, fields["imap"], f"{path}.imap", address) if fields.get("imap") else Account("", "", "")
    return Target(
        address,
        account,
        authserv_id.lower(),
        tuple(name.lower() for name in receivers or [authserv_id]),
        _words(reader, fields.get("expect"), f"{path}.expect", MAILBOX["expect"]),
        _words(reader, fields.get("families"), f"{path}.families", MAILBOX["families"]),
    )


def _account(reader: Reader, item: t.Any, path: str, address: str) -> Account:
    fields = reader.mapping(item, path, IMAP, required(IMAP), secret=True)
    if fields and not fields.get("password") and not fields.get("password_file"):
        reader.note(f"{path}.password", "<nothing>", "a password", "give password or password_file")
    texts = {
        name: reader.text(fields[name], f"{path}.{name}", secret=name == "password") if fields.get(name) else ""
        for name in ("user", "password")
    }
    return Account(
        host=reader.machine(fields["host"], f"{path}.host") if fields.get("host") else "",
        user=texts["user"] or address,
        password=texts["password"],
        port=reader.integer(fields.get("port"), f"{path}.port", 1, 65535, IMAP["port"]["default"]),
        ca_file=str(fields.get("ca_file") or ""),
        tls_name=reader.host(fields["tls_name"], f"{path}.tls_name") if fields.get("tls_name") else "",
    )


def _words(reader: Reader, value: t.Any, path: str, option: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    if value is None:
        return tuple(option["default"])
    return tuple(reader.choice(word, where, option["choices"], "") for where, word in reader.items(value, path))
