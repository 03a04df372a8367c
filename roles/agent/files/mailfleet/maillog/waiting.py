# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages that wait after a deferral, until the log says what became of them. Their number is bounded."""

from __future__ import annotations

import dataclasses
import typing as t

MOST = 50_000  # recipients that wait, some 400 bytes each
_MOST_LASTS = 4096

# Of a recipient: what was last said of it, in few words that many share; what it was given up with; when it came.
Last = tuple[t.Any, ...]
GivenUp = tuple[bytes, Last | None, int]


@dataclasses.dataclass(slots=True)
class Message:
    """A message that was deferred: when it came, in seconds of UTC, which provider deferred it first, and the
    recipients that wait, each with what was last said of it."""

    arrived: int
    provider: str
    recipients: dict[bytes, Last] = dataclasses.field(default_factory=dict)


class Waiting:
    """The messages that wait, by host, instance and queue id."""

    def __init__(self) -> None:
        self.messages: dict[bytes, Message] = {}
        self.forgotten = 0
        self._many = 0
        self._lasts: dict[Last, Last] = {}

    def put(self, key: bytes, arrived: int, provider: str, recipient: bytes, last: Last) -> bool:
        """Note a deferral; True where it is the message's first."""
        message = self.messages.get(key)
        first = message is None
        if message is None:
            message = self.messages[key] = Message(arrived, provider)
        self._many += recipient not in message.recipients
        if len(self._lasts) >= _MOST_LASTS:
            self._lasts.clear()
        message.recipients[recipient] = self._lasts.setdefault(last, last)
        while self._many > MOST:
            # The oldest are likeliest to be gone without a word. If they are not, they count as first deferred again.
            self.forgotten += 1
            self._many -= len(self.messages.pop(next(iter(self.messages))).recipients)
        return first

    def done(self, key: bytes, recipient: bytes) -> None:
        """A recipient waits no longer."""
        message = self.messages.get(key)
        if message and recipient in message.recipients:
            del message.recipients[recipient]
            self._many -= 1

    def removed(self, key: bytes) -> None:
        """A message left the queue."""
        message = self.messages.pop(key, None)
        if message:
            self._many -= len(message.recipients)

    def expired(self, key: bytes, _at: int) -> list[GivenUp] | None:
        """A message is given up: those who still waited for it, what was last said of each, and when it came; None
        where it is not known that any did."""
        message = self.messages.get(key)
        if not message or not message.recipients:
            return None
        found: list[GivenUp] = [(recipient, last, message.arrived) for recipient, last in message.recipients.items()]
        message.recipients = {}
        self._many -= len(found)
        return found

    def adopt(self, key: bytes, message: Message) -> None:
        """Take over what another knows of a message, and later."""
        for recipient, last in message.recipients.items():
            self.put(key, message.arrived, message.provider, recipient, last)
        self.messages.setdefault(key, message)

    def oldest(self) -> tuple[int, str] | None:
        """When the message came that waits longest, and its host, instance and queue id; None where none waits."""
        found = min(((each.arrived, key) for key, each in self.messages.items() if each.recipients), default=None)
        return (found[0], found[1].decode("ascii", "replace")) if found else None

    def by_provider(self) -> dict[str, int]:
        """How many messages wait, by the provider that deferred them first."""
        found: dict[str, int] = {}
        for each in self.messages.values():
            if each.recipients:
                found[each.provider] = found.get(each.provider, 0) + 1
        return found

    def as_json(self) -> dict[str, t.Any]:
        """All of it as plain data; what was last said stands there once for all of whom it was said."""
        numbers: dict[Last, int] = {}
        messages = [[key.decode("latin-1"), each.arrived, each.provider,
                     [[recipient.decode("latin-1"), numbers.setdefault(last, len(numbers))]
                      for recipient, last in each.recipients.items()]]
                    for key, each in self.messages.items()]
        return {"lasts": list(numbers), "messages": messages}

    def read(self, found: t.Any) -> None:
        """Take what as_json made; one of ValueError, TypeError, KeyError and IndexError where it is none."""
        lasts: list[Last] = [(tuple(row), *rest) for row, *rest in found["lasts"]]
        for key, arrived, provider, recipients in found["messages"]:
            message = Message(int(arrived), str(provider))
            for recipient, number in recipients:
                message.recipients[recipient.encode("latin-1")] = lasts[number]
            self.messages[key.encode("latin-1")] = message
            self._many += len(message.recipients)


class PartWaiting(Waiting):
    """The same for a part of a log that is read beside others: what depends on what is before is kept until then.

    ``firsts`` are messages that were deferred first here, if they were not before; ``touched`` the recipients of
    messages of before that are done with here; ``given_up`` those that expired here, when, and which recipients had
    been heard of since the part began; ``gone`` are messages that left the queue.
    """

    def __init__(self) -> None:
        super().__init__()
        self.firsts: dict[bytes, str] = {}
        self.touched: dict[bytes, set[bytes]] = {}
        self.given_up: list[tuple[bytes, int, set[bytes], bool]] = []
        self.gone: set[bytes] = set()

    def put(self, key: bytes, arrived: int, provider: str, recipient: bytes, last: Last) -> bool:
        first = super().put(key, arrived, provider, recipient, last)
        if key not in self.gone:
            if first:
                self.firsts.setdefault(key, provider)
            self.touched.setdefault(key, set()).add(recipient)
        return first

    def done(self, key: bytes, recipient: bytes) -> None:
        super().done(key, recipient)
        if key not in self.gone:
            self.touched.setdefault(key, set()).add(recipient)

    def removed(self, key: bytes) -> None:
        super().removed(key)
        if key not in self.gone:
            self.gone.add(key)
            self.touched.pop(key, None)

    def expired(self, key: bytes, at: int) -> list[GivenUp] | None:
        found = super().expired(key, at)
        if key in self.gone:
            return found
        self.given_up.append((key, at, set(self.touched.get(key, ())), bool(found)))
        return found or []
