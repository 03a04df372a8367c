# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may send, and who may publish: the networks, logins and zones of the inventory. Nothing here shows a secret."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils import fleet as model
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import nearest
from ansible_collections.mailfleet.sending.plugins.module_utils.password_hash import hash_mistake
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.tsig import ALGORITHMS, secret_fault

LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")


def networks(reader: Reader, value: t.Any, names: list[str]) -> t.Iterator[model.Network]:
    """Read ``sending_networks``.

    :arg reader: takes note of the mistakes.
    :arg value: what the inventory says.
    :arg names: the sending domains.
    :returns: the networks.
    """
    seen: dict[str, str] = {}
    for path, item in reader.items(value, "sending_networks"):
        fields = reader.mapping(item, path, ("network", "domains"), ("network",))
        network = reader.network(fields["network"], f"{path}.network") if fields.get("network") else ""
        if network and network in seen:
            expected = f"a network of its own: {seen[network]} has this one"
            reader.note(f"{path}.network", network, expected, "put the domains of both into one entry")
        seen.setdefault(network, path)
        yield model.Network(network, _own_domains(reader, f"{path}.domains", fields.get("domains"), names))


def users(reader: Reader, value: t.Any, names: list[str]) -> t.Iterator[model.User]:
    """Read ``sending_users``, whose hashes go no further.

    :arg reader: takes note of the mistakes.
    :arg value: what the inventory says.
    :arg names: the sending domains.
    :returns: the logins.
    """
    seen: dict[str, str] = {}
    for path, item in reader.items(value, "sending_users", secret=True):
        keys = ("name", "password_hash", "domains")
        fields = reader.mapping(item, path, keys, ("name", "password_hash"), secret=True)
        if fields.get("password_hash") and (mistake := hash_mistake(f"{path}.password_hash", fields["password_hash"])):
            reader.mistakes.append(mistake)
        name = str(fields.get("name") or "")
        # Postfix compares the owner of a return path with the login without regard to case.
        folded = name.lower()
        if name and (not LOGIN.match(name) or folded == model.PROBE_LOGIN):
            expected = "a login of at most 64 letters, digits and . _ @ -"
            expected += f" other than {model.PROBE_LOGIN!r}, which the probe uses"
            reader.note(f"{path}.name", name, expected, "give it another name")
        elif name and folded in seen:
            expected = f"a login of its own, whatever the case: {seen[folded]} has this one"
            reader.note(f"{path}.name", name, expected, "leave one of them out")
        seen.setdefault(folded, path)
        yield model.User(name, _own_domains(reader, f"{path}.domains", fields.get("domains"), names))


def zones(reader: Reader, value: t.Any) -> t.Iterator[str]:
    """Read ``sending_zones``, whose keys go no further.

    :arg reader: takes note of the mistakes.
    :arg value: what the inventory says.
    :returns: the names of the zones.
    """
    seen: dict[str, str] = {}
    for path, item in reader.items(value, "sending_zones", secret=True):
        fields = reader.mapping(item, path, ("name", "server", "port", "key"), ("name",), secret=True)
        name = reader.zone(fields["name"], f"{path}.name") if fields.get("name") else ""
        if name and name in seen:
            expected = f"a zone of its own: {seen[name]} has this one"
            reader.note(f"{path}.name", name, expected, "leave one of them out")
        seen.setdefault(name, path)
        if fields.get("server"):
            reader.machine(fields["server"], f"{path}.server")
        elif fields.get("key"):
            expected = "the address or name of the server that takes the updates"
            reader.note(f"{path}.server", "<nothing>", expected, "add it, or leave the key out to publish by hand")
        reader.integer(fields.get("port"), f"{path}.port", 1, 65535, 53)
        if fields.get("key") is not None:
            _key(reader, f"{path}.key", fields["key"])
        yield name


def _key(reader: Reader, path: str, value: t.Any) -> None:
    fields = reader.mapping(value, path, ("name", "algorithm", "secret"), ("name", "secret"), secret=True)
    if fields.get("name"):
        try:
            absolute_name(fields["name"])
        except ValueError:
            reader.note(f"{path}.name", fields["name"], "the name that the server knows the key by")
    reader.choice(fields.get("algorithm"), f"{path}.algorithm", ALGORITHMS, ALGORITHMS[0])
    if fields.get("secret") and (fault := secret_fault(fields["secret"])):
        mend = "take it from the server's key file, in quotes"
        reader.note(f"{path}.secret", f"<{fault} (not shown)>", "the TSIG key's secret in base64", mend)


def _own_domains(reader: Reader, path: str, value: t.Any, names: list[str]) -> tuple[str, ...]:
    """The domains that a login or a network may use: all where none is named."""
    if value is None:
        return tuple(names)
    found = []
    for where, item in reader.items(value, path):
        name = reader.domain(item, where)
        # Where no domain could be read at all, that is the mistake, and not each mention of one.
        if name and names and name not in names:
            mend = nearest(name, names) or "add it there, or leave it out here"
            reader.note(where, name, "a name of sending_domains", mend)
        found.append(name)
    return tuple(found)
