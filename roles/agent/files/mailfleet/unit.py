# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a resident command has to do with systemd: tell that it is ready, write to the journal, end when told to."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading


def ready() -> None:
    """Tell systemd that the service does what it is for (sd_notify(3))."""
    if place := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect(place.replace("@", "\0", 1) if place.startswith("@") else place)
            notify.send(b"READY=1")


def say(text: str) -> None:
    """Write a line to the log."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Stop:
    """Set by SIGTERM and SIGINT; what is begun then ends in order."""

    def __init__(self) -> None:
        self._told = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._told.set())

    def __call__(self, seconds: float = 0) -> bool:
        """Wait some seconds at most; whether to stop."""
        return self._told.wait(seconds) if seconds else self._told.is_set()
