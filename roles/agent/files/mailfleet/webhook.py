# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One delivery of events to an application, by HTTP.

The body is JSON, ``{"events": [...]}``, in order. ``X-Mailfleet-Timestamp`` has the seconds of UTC at which it was
sent. ``X-Mailfleet-Signature`` has ``v1=`` and the hexadecimal HMAC-SHA256, under the hook's secret, of time stamp,
full stop and body.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
import typing as t
import urllib.parse

from .event import Event
from .settings import Hook

_ANSWER = 1 << 16  # octets of an answer that are read


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """What became of it: ``taken`` says that the application has the events.

    ``refused`` that it does not want these (4xx, but for those that ask to come again), which waiting may not mend.
    """

    taken: bool
    refused: bool
    told: str


def body_of(events: t.Sequence[Event]) -> bytes:
    """What is posted."""
    return json.dumps({"events": [event.as_json() for event in events]}, separators=(",", ":")).encode()


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The value of X-Mailfleet-Signature."""
    return "v1=" + hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()


def post(hook: Hook, events: t.Sequence[Event], timestamp: int) -> Delivery:
    """Post events to a hook; redirections are not followed, since nobody signed for where they lead."""
    body = body_of(events)
    headers = {
        "Content-Type": "application/json", "User-Agent": "mailfleet", "Connection": "close",
        "X-Mailfleet-Timestamp": str(timestamp), "X-Mailfleet-Signature": signature(hook.secret, timestamp, body),
    }
    parts = urllib.parse.urlsplit(hook.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.hostname or ""
    connection: http.client.HTTPConnection | None = None
    late = threading.Event()
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=hook.ca_file or None)
            connection = http.client.HTTPSConnection(host, parts.port, timeout=hook.timeout, context=context)
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=hook.timeout)
        connection.connect()
        watch = threading.Timer(hook.timeout, _give_up, (connection.sock, late))
        watch.start()
        try:
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            answer.read(_ANSWER)
        finally:
            watch.cancel()
        if late.is_set():
            raise TimeoutError
    except (OSError, http.client.HTTPException, ValueError) as error:
        told = f"no answer within {hook.timeout} s" if late.is_set() else " ".join(str(error).split())
        return Delivery(False, False, told or type(error).__name__)
    finally:
        if connection:
            connection.close()
    status = answer.status
    return Delivery(200 <= status < 300, 400 <= status < 500 and status not in (408, 425, 429), f"status {status}")


def _give_up(connected: socket.socket, late: threading.Event) -> None:
    """End a delivery whose answer comes too slowly: a time limit of a socket is one of each octet.

    :arg connected: the socket itself: a connection no longer knows it once it has an answer that ends with it.
    """
    late.set()
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
