# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The name servers of the unit tests in processes of their own, so that their work is not counted as the client's.

A process reads one line of JSON that says what to serve, answers with its port, and then takes one line for each
latency, which it answers with the number of questions since the line before. It ends with its standard input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


LISTED = b"\x07_listed"  # each name below such a label has the address of a list's entry (RFC 5782, 2.1)
ENTRY = bytes.fromhex("c00c 0001 0001 0000003c 0004 7f000002")


class Served:
    """A context that runs servers of the same zones. C(zones) as Nameserver takes them; the first of C(addresses) gets
    a free port where C(port) is not given, and the others the same."""

    def __init__(self, zones: dict, addresses: Sequence[str] = ("127.0.0.1",), port: int = 0) -> None:
        self.address = addresses[0]
        paths = os.pathsep.join(str(ROOT / folder) for folder in (".collections", "tests/unit"))
        self._processes = [
            subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": paths}) for _address in addresses]
        self.port = port
        for process, address in zip(self._processes, addresses):
            self._tell(process, {"zones": zones, "address": address, "port": self.port})
            self.port = self._hear(process)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self._processes:
            process.stdin.close()
            process.wait()

    def latency(self, seconds: float) -> int:
        """Answer from now on so many seconds late. Return how many questions came since the last call."""
        for process in self._processes:
            self._tell(process, seconds)
        return sum(map(self._hear, self._processes))

    @staticmethod
    def _tell(process: subprocess.Popen, what: object) -> None:
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()

    @staticmethod
    def _hear(process: subprocess.Popen) -> int:
        if not (line := process.stdout.readline()):
            raise RuntimeError("the name server ended")
        return int(line)


def serve() -> None:
    """Be the process."""
    from nameserver import Nameserver

    class WithList(Nameserver):
        """It answers for a list of everything without any work, which would be measured as ours."""

        listed = 0

        def answers(self, wire: bytes, over_tcp: bool) -> list[bytes]:
            if LISTED not in wire:
                return super().answers(wire, over_tcp)
            self.listed += 1
            end = wire.index(0, 12) + 5
            return [wire[:2] + bytes.fromhex("8500 0001 0001 0000 0000") + wire[12:end] + ENTRY]

    with WithList(**json.loads(sys.stdin.readline()), remember=True) as server:
        print(server.port, flush=True)
        for line in sys.stdin:
            server.latency = json.loads(line)
            print(server.queries + server.listed, flush=True)
            server.asked.clear()
            server.listed = 0


if __name__ == "__main__":
    serve()
