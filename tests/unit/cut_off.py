# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process of its own that is killed at one of its steps."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def steps_until(at: int, run: Callable[[Callable[[str], None]], object]) -> list[str]:
    """Run something that tells its steps, in a child that kills itself at one of them; the steps that it came to."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        left = [at]

        def step(name: str) -> None:
            os.write(writing, f"{name}\n".encode())
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        try:
            run(step)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        steps = told.read().split()
    os.waitpid(child, 0)
    return steps
