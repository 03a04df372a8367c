# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports of the mail log: of a busy server, and of one whose every text is hostile."""

from __future__ import annotations

import json
import random

from log_world import HOST, START, VIEW, LogWorld
from mailfleet.maillog import delays, report
from mailfleet.maillog.log_event import OUTCOMES
from mailfleet.maillog.parts import How
from mailfleet.maillog.totals import Totals
from mailfleet.maillog.view import View

HOW = How(View.of(VIEW), HOST, START + 40 * 86400)
# The last lines are missing, so that messages wait.
TEXT = b"".join(LogWorld(seed=3, every=60.0).text(9000).splitlines(keepends=True)[:-120])
EVIL = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "]]><!--", "--><b>", "\u202egpj.exe\u2066",
        "\u200e\u061c", "a\x00\x1b[31m\x85\u2028c", "</title></style></svg>", "&lt;b&gt;&amp;", "x" * 1900,
        "e" + "\u0301" * 300, "שלום", "\ud800", "\uffff\U0001ffff", "javascript:alert(1)", "' onload='x", "https://evil.example/?a=b")


def reported(text: bytes) -> dict:
    """The report of a log as the command prints it."""
    reader = HOW.reader()
    reader.feed(text)
    found = report.as_json(reader, reader.take()[0], HOW.view, ["/var/log/mail.log"])
    return json.loads(json.dumps(found))


def evil_report(providers: int, days: int) -> dict:
    """A report in which all that can be a text is hostile, and there is much of it."""
    totals, chance = Totals(), random.Random(1)
    for number_ in range(providers):
        name = EVIL[number_ % len(EVIL)] + (str(number_) if number_ >= len(EVIL) else "")
        for day in range(0, days, 3):
            reason, scope = chance.choice(EVIL) + str(number_ % 7), chance.choice(EVIL)
            totals.count((name, chance.choice(EVIL), chance.choice(OUTCOMES), reason, "soft", scope),
                         START // 3600 * 3600 + day * 86400 + chance.randrange(24) * 3600, chance.randrange(1, 10**6))
            totals.sample((name, reason), chance.choice(EVIL)[:900])
        totals.count_domain(name, {"bounced": number_ + 1})
        for stage in delays.STAGES:
            totals.count_delays((name, stage), {chance.randrange(-1, 200): 3 for _each in range(5)})
        totals.tls[name] = [1, 3]
    totals.unknown = dict.fromkeys(EVIL, 3)
    totals.saw(START)
    totals.counts["tls_lines"] = totals.counts["handed_over"] = totals.counts["signing_errors"] = 1
    found = {"hosts": list(EVIL), "counted": dict.fromkeys(EVIL, START), "files": list(EVIL),
             "providers_known": False, "totals": totals.as_json(),
             "waiting": {"messages": dict.fromkeys(EVIL, 2), "oldest": START, "oldest_message": f"a {EVIL[0]}"}}
    found["delays"] = [{"provider": provider, "stage": stage, **{f"p{each}": value for each, value in
                        delays.percentiles(buckets).items()}} for (provider, stage), buckets in totals.delays.items()]
    return found
