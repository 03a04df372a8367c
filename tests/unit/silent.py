# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses at which nobody answers DNS, as behind a firewall that drops what is sent to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import busy
import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_transport
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server


class Silent:
    """See the module. C(port) is one that is free where none is given."""

    def __init__(self, addresses: Iterable[str], port: int = 0) -> None:
        self.port = port
        self._sockets = []
        for address in addresses:
            self._sockets.append(busy.bound(address, self.port, streams=False)[1])
            self._sockets[-1].setblocking(False)
            self.port = self._sockets[-1].getsockname()[1]
        self._heard: set[tuple[int, bytes]] = set()

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_error: object) -> None:
        for each in self._sockets:
            each.close()

    def hasten(self, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.3) -> None:
        """Have nobody wait longer for these addresses, and as long as before for others: tests need not take long, and
        a busy machine needs time to answer."""
        exchange, silent = dns_transport.exchange, {each.getsockname() for each in self._sockets}

        def hastened(server: Server, wire: bytes, parse: Callable, timeout: float, *more: object) -> object:
            timeout = seconds if (server.address, server.port) in silent else timeout
            return exchange(server, wire, parse, timeout, *more)

        monkeypatch.setattr(dns_transport, "exchange", hastened)

    def questions(self) -> int:
        """Return how many questions came, each counted once however often it was sent."""
        for at, each in enumerate(self._sockets):
            with suppress(BlockingIOError):
                while True:
                    self._heard.add((at, each.recv(65535)))
        return len(self._heard)
