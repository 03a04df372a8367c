# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a lane logs, and what the program on the node is told of its members."""

from __future__ import annotations

import datetime

from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_counts import Clock

NOW = 1764000000 + 365 * 86400
TODAY = Clock().day(NOW)
NEW, OLD = "out-198-51-100-11", "out-198-51-100-12"


def member(service: str, caps=None, *, services: int = 1, start: datetime.date = TODAY) -> dict:
    names = [service, *(f"{service}-{number}" for number in range(2, services + 1))]
    warmups = [{"address": "198.51.100.11", "start": str(start), "caps": caps}] if caps else []
    return {"pool": "bulk", "service": service, "services": names, "weight": 1, "warmups": warmups}


def line(status: str = "sent", relay: str = "mx.acme.test[198.51.100.99]:25", to: str = "u@acme.test",
         answer: str = "250 ok") -> str:
    return (f"4dKvRJ1m2Fz9: to=<{to}>, relay={relay}, delay=1.2, delays=0.01/0/0.2/1, dsn=2.0.0, status={status} "
            f"({answer})")
