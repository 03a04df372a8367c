# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real lines of Postfix, with the fields that careful readers found in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from mailfleet.maillog.reader import LogReader
from mailfleet.maillog.view import View

CORPUS = Path(__file__).resolve().parents[3] / "shared/data/maillog"
if not CORPUS.exists():
    pytest.skip(f"the lines are not at {CORPUS}", allow_module_level=True)

# Of what is no service's line: that of one which has it, or none.
SERVICES = {"command-counter-data": "", "delays": "", "relay": "", "tls-features": "smtp", "script": "postfix-script"}


STAMP = "2026-11-28T13:03:35+00:00"


def test_real_lines_are_read_to_their_fields():
    wrong, seen = [], 0
    for path in sorted(CORPUS.glob("*.yaml")):
        case = yaml.safe_load(path.read_text(encoding="utf-8"))
        service = path.stem.rpartition("_")[0].replace("_", "-")
        service = SERVICES.get(service, service)
        if not service or case["pattern"].startswith("^%{POSTFIX_TLS_FEATURES}"):
            continue  # no line of its own, but a field of one
        seen += 1
        reader = LogReader(View(), host="mta1.example.com", events=True)
        reader.feed(f"{STAMP} mta1 postfix/{service}[123]: {case['data']}".replace("\n", " ").encode() + b"\n")
        totals, events = reader.take()
        said, event = case["results"], events[0] if events else None
        told = said.get("postfix_keyvalue_data", "")
        fields = dict(each.partition("=")[::2] for each in told.replace(",", "").split(" ") if "=" in each)
        if totals.unknown:
            wrong.append(f"{path.name}: unknown")
        if "delays" not in fields or said.get("postfix_status") not in ("sent", "deferred", "bounced"):
            continue
        if totals.counts["handed_over"]:
            assert fields["relay"].startswith("127.")
        elif event is None or (event.queue_id, event.recipient, event.original, event.relay, event.status) != (
                said["postfix_queueid"], fields["to"].strip("<>"), fields.get("orig_to", "").strip("<>"),
                fields["relay"] if event.relay else "", fields["dsn"]):
            wrong.append(f"{path.name}: {event}")
    assert wrong == [] and seen > 170
