# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Prometheus, promtool and node_exporter, as tools/prepare.py unpacked them, on this host's loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

UNPACKED = Path(__file__).resolve().parents[2] / ".cache" / "debian"
PROMETHEUS = UNPACKED / "prometheus" / "usr/bin/prometheus"
PROMTOOL = UNPACKED / "prometheus" / "usr/bin/promtool"
NODE_EXPORTER = UNPACKED / "prometheus-node-exporter" / "usr/bin/prometheus-node-exporter"
PATIENCE = 90  # seconds until a program answers
NOBODY = 65534


def promtool(*arguments: str | Path, text: str = "") -> str:
    """Run promtool on `text`; return what it said, which is nothing good where it failed."""
    done = subprocess.run([PROMTOOL, *arguments], input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, arguments))} gave {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class Program:
    """A program that answers HTTP at an address of loopback, until ``stop``; run by whom nothing belongs to."""

    def __init__(self, program: Path, folder: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._at = f"127.0.0.1:{free.getsockname()[1]}"
        self._told = folder / f"{program.name}.log"
        whom = {} if os.getuid() else {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with self._told.open("wb") as told:
            self._process = subprocess.Popen(
                [program, f"--web.listen-address={self._at}", *options], stdin=subprocess.DEVNULL, stdout=told,
                stderr=told, cwd="/", **whom)

    def ask(self, path: str, **query: t.Any) -> str:
        """What it answers; waited for while it starts."""
        url = f"http://{self._at}{path}?{urllib.parse.urlencode(query)}"
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                    return answer.read().decode()
            except (urllib.error.URLError, ConnectionError) as error:
                said = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
                starts = not said or getattr(error, "code", 0) == 503
                if not starts or self._process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(f"{url}: {error} {said}\n{self._told.read_text()[-2000:]}") from error
                time.sleep(0.1)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


class Prometheus(Program):
    """A Prometheus that scrapes nobody, and knows samples that are given to it at its start."""

    def __init__(self, folder: Path, samples: str) -> None:
        """
        :arg samples: lines of samples with time stamps (OpenMetrics).
        """
        data, configuration = folder / "data", folder / "prometheus.yml"
        promtool("tsdb", "create-blocks-from", "openmetrics", self._written(folder / "samples", samples), data)
        subprocess.run(["chmod", "-R", "a+rwX", folder], check=True)
        self._written(configuration, "{}\n").chmod(0o644)
        super().__init__(PROMETHEUS, folder, f"--config.file={configuration}", f"--storage.tsdb.path={data}",
                         "--log.level=warn")

    @staticmethod
    def _written(path: Path, text: str) -> Path:
        path.write_text(text)
        return path

    def values(self, expression: str, at: float) -> list[tuple[dict[str, str], float]]:
        """What an expression gives at a moment: labels, and the value of each."""
        answer = json.loads(self.ask("/api/v1/query", query=expression, time=at))
        assert answer["status"] == "success" and answer["data"]["resultType"] == "vector", answer
        return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]
