# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of return paths, as a server holds them and as the controller has them: compared, and never lost unsaid.

No key leaves its place for that: a digest stands for each, made with a nonce that no other run has.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import json
import typing as t


class State(str, enum.Enum):
    """What a key of an id is at a server, beside the controller's: ``lacking`` there, or ``left`` there alone."""

    SAME = "same"
    OTHER = "other"
    LACKING = "lacking"
    LEFT = "left"


def digest(key: str, nonce: str) -> str:
    """What stands for a key: HMAC-SHA256, for which no token and no other run has any use.

    :arg key: the key, which the octets of HMAC's key are.
    :arg nonce: of the run.
    """
    text = f"mailfleet deployed 1 {nonce}".encode()
    return hmac.new(key.encode("utf-8", "surrogatepass"), text, hashlib.sha256).hexdigest()


def wrong(found: t.Any) -> str:
    """What is wrong with the content of the controller's token_keys.json, of which nothing shows; empty where nothing
    is.
    """
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        return "it has another form"
    if not isinstance(found.get("current"), str) or found["current"] not in keys:
        return "current is none of its keys"
    dropped = found.get("dropped", [])
    if not isinstance(dropped, list) or not all(isinstance(name, str) for name in dropped):
        return "dropped is no list of ids"
    both = sorted(set(dropped) & set(keys))
    return f"{', '.join(both)} is among its keys and dropped" if both else ""


def held(secrets: str | None) -> dict[str, str]:
    """The keys that the text of a server's secrets.json has, by their ids; none where it cannot be read."""
    return {name: key for name, key in _part(secrets, "token_keys").items() if isinstance(key, str)}


def current_of(settings: str | None) -> str:
    """The id of the key that makes tokens by the text of a server's agent.json; empty where it says none."""
    found = _part(settings, "token").get("current")
    return found if isinstance(found, str) else ""


def compare(keys: t.Mapping[str, str], digests: t.Mapping[str, str], nonce: str) -> dict[str, State]:
    """What each key is at a server, by its id.

    :arg keys: those of the controller.
    :arg digests: of those that the server holds.
    :arg nonce: what these were made with.
    """
    found = {
        name: State.LACKING if name not in digests
        else State.SAME if hmac.compare_digest(digest(key, nonce), digests[name]) else State.OTHER
        for name, key in keys.items()
    }
    return {**found, **{name: State.LEFT for name in digests if name not in keys}}


def lost(there: t.Mapping[str, str], keys: t.Mapping[str, str], dropped: t.Collection[str] = ()) -> str:
    """What speaks against giving a server these keys; empty where nothing does.

    :arg there: the keys that it holds.
    :arg keys: those of the controller.
    :arg dropped: the ids of keys that the operator gave up.
    :returns: which ids, what is lost with them, and the smallest mend. No key shows.
    """
    gone = [name for name in there if name not in keys and name not in dropped]
    other = [name for name, key in there.items() if keys.get(name, key) != key]
    told = []
    if gone:
        told.append(
            f"token_keys.json of the controller lacks a key of return paths that this server has: {', '.join(gone)}."
            " Put it back as token_keys in the server's secrets.json has it; or, where token.days have passed since it"
            f" made its last token, say so there with \"dropped\": {json.dumps(gone)}"
        )
    if other:
        told.append(
            f"token_keys.json of the controller has another key of return paths than this server: {', '.join(other)}."
            " Put back the one that token_keys in the server's secrets.json has, and give a new key an id of its own;"
            " where it is the server's that is wrong, remove its secrets.json"
        )
    return ". ".join([*told, "Nothing was changed: without its key no bounce of mail is believed"]) if told else ""


def too_early(there: t.Mapping[str, str], former: str, current: str) -> str:
    """What is to be said where the key that makes tokens is new to a server; empty where it is not.

    :arg there: the keys that it held before the run; none on a new server.
    :arg former: the id of the key that made tokens until then.
    :arg current: that of the key that makes them from now on.
    """
    if not former or former == current or current in there:
        return ""
    return (f"the key {current} makes tokens from now on, and this server did not have it before this run: a bounce of"
            " such mail that came to a server before the run did is in quarantine there (unknown-key). Next time add a"
            " key in one run, and make it current in the next")


def _part(text: str | None, name: str) -> dict[str, t.Any]:
    try:
        whole = json.loads(text or "{}")
    except ValueError:
        return {}
    part = whole.get(name) if isinstance(whole, dict) else None
    return part if isinstance(part, dict) else {}
