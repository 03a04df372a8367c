# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A browser without a window, Debian's Chromium, asked by the DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import subprocess
import time
import typing as t
from pathlib import Path

PROGRAM = "chromium"
PATIENCE = 60  # seconds for one answer


class Browser:
    """Runs Chromium with a profile of its own, until ``stop``; what it says beside answers is kept in ``events``.

    Its sandbox is off, since it cannot have one as root: it opens nothing but files that tests made.
    """

    def __init__(self, folder: Path) -> None:
        # It reads commands from 3 and writes to 4: both ends here are kept away from these numbers.
        (its_in, out), (answers, its_out) = (self._pipe() for _each in range(2))
        command = [PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-background-networking", f"--user-data-dir={folder}", "--remote-debugging-pipe"]

        def to_its_places() -> None:
            os.dup2(its_in, 3)
            os.dup2(its_out, 4)

        with (folder / "stderr").open("wb") as told:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, close_fds=False, preexec_fn=to_its_places)
        os.close(its_in)
        os.close(its_out)
        self._out, self._answers, self._rest = out, answers, b""
        self._numbers, self._session = itertools.count(1), ""
        self.events: list[dict[str, t.Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    @staticmethod
    def _pipe() -> tuple[int, int]:
        made = os.pipe()
        high = tuple(fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 10) for each in made)
        for each in made:
            os.close(each)
        return high  # type: ignore[return-value]

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._answers)

    def ask(self, method: str, **params: t.Any) -> dict[str, t.Any]:
        """Ask for something, and return the answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._wait(lambda found: found.get("id") == number, method)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _wait(self, wanted: t.Callable[[dict[str, t.Any]], bool], what: str) -> dict[str, t.Any]:
        until = time.monotonic() + PATIENCE
        while True:
            while b"\0" in self._rest:
                one, _zero, self._rest = self._rest.partition(b"\0")
                found = json.loads(one)
                if "method" in found:
                    self.events.append(found)
                if wanted(found):
                    return found
            ready, _write, _error = select.select([self._answers], [], [], max(0, until - time.monotonic()))
            read = os.read(self._answers, 1 << 20) if ready else b""
            assert read, f"{what}: Chromium {'ended' if ready else f'said nothing for {PATIENCE} s'}"
            self._rest += read

    def open(self, path: Path, width: int, dark: bool = False, height: int = 800) -> None:
        """Open a file in a window of so many pixels, of a person who likes it dark or light."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                 mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", media="", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.events.clear()
        self.ask("Page.navigate", url=path.resolve().as_uri())
        if not any(each["method"] == "Page.loadEventFired" for each in self.events):
            self._wait(lambda found: found.get("method") == "Page.loadEventFired", "load")

    def value(self, script: str) -> t.Any:
        """What an expression of JavaScript gives in the page, as plain data."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def complaints(self) -> list[str]:
        """What the page wrote to the console, and what the browser did: blocked resources, exceptions."""
        made = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
        return [json.dumps(each["params"])[:400] for each in self.events if each["method"] in made]

    def requested(self) -> list[str]:
        """The addresses that were asked for since the page was opened."""
        return [each["params"]["request"]["url"] for each in self.events
                if each["method"] == "Network.requestWillBeSent"]

    def picture(self, path: Path, top: float = 0, height: float = 0) -> None:
        """Write a picture of the page as PNG: of all of it, or of a part."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": size["width"], "height": height or size["height"], "scale": 1}
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(found["data"]))

    def paper(self) -> bytes:
        """The page as it is printed, a PDF."""
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=False)["data"])
