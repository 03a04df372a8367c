# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The name server of the unit tests in a process of its own, so that its work is not counted as the client's.

The process reads one line of JSON that says what to serve, answers with its port, and then takes one line for each
latency, which it answers with the number of questions since the line before. It ends with its standard input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Served:
    """A context that runs the server. C(zones) as the server takes them; without C(port) it gets a free one."""

    def __init__(self, zones: dict, address: str = "127.0.0.1", port: int = 0) -> None:
        self.address = address
        paths = os.pathsep.join(str(ROOT / folder) for folder in (".collections", "tests/unit"))
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, env={**os.environ, "PYTHONPATH": paths})
        self.port = self._say({"zones": zones, "address": address, "port": port})

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.stdin.close()
        self._process.wait()

    def latency(self, seconds: float) -> int:
        """Answer from now on so many seconds late. Return how many questions came since the last call."""
        return self._say(seconds)

    def _say(self, what: object) -> int:
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the name server ended")
        return int(line)


def serve() -> None:
    """Be the process."""
    from nameserver import Nameserver

    with Nameserver(**json.loads(sys.stdin.readline()), remember=True) as server:
        print(server.port, flush=True)
        for line in sys.stdin:
            server.latency = json.loads(line)
            print(server.queries, flush=True)
            server.asked.clear()


if __name__ == "__main__":
    serve()
