# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notifications of Amazon SES that came through SNS by mail: JSON in JSON."""

from __future__ import annotations

import json

from ..finding import Finding, Kind, Scope
from ..reasons import classify
from .addresses import address_of

MARKS = ('"notificationType', "notificationType\\\"", '"eventType')


def findings_of(text: str) -> list[Finding] | None:
    """Return what a notification says, or None where the text is none."""
    if not text.lstrip().startswith("{") or not any(mark in text for mark in MARKS):
        return None
    try:
        # Mail systems that fold long lines leave `!` at their ends.
        event, _end = json.JSONDecoder(strict=False).raw_decode(text.lstrip().replace("!\n ", ""))
        if isinstance(event, dict) and isinstance(event.get("Message"), str):
            event = json.loads(event["Message"])
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    kind = event.get("notificationType") or event.get("eventType")
    if kind == "Bounce":
        return [bounce(each, recipient) for each, recipient in recipients(event, "bounce", "bouncedRecipients")]
    if kind == "Complaint":
        about = [recipient for _each, recipient in recipients(event, "complaint", "complainedRecipients")]
        return [Finding(recipient, Kind.COMPLAINT, "complaint", Scope.RECIPIENT, "", "", "Amazon SES: Complaint")
                for recipient in about]
    if kind == "Delivery":
        said = event.get("delivery")
        named = said.get("recipients") if isinstance(said, dict) else None
        return [Finding(address, Kind.DELIVERED, "delivered", Scope.RECIPIENT, "", "", "Amazon SES: Delivery")
                for each in (named if isinstance(named, list) else []) if (address := address_of(str(each)))]
    return None


def recipients(event: dict, about: str, key: str) -> list[tuple[dict, str]]:
    """Return the entries of a list of recipients, each with its address."""
    said = event.get(about)
    entries = said.get(key) if isinstance(said, dict) else None
    return [(each, address) for each in (entries if isinstance(entries, list) else [])
            if isinstance(each, dict) and (address := address_of(str(each.get("emailAddress", ""))))]


def bounce(entry: dict, recipient: str) -> Finding:
    """Return what is said of one recipient that bounced."""
    text = str(entry.get("diagnosticCode", "")).removeprefix("smtp;").strip()
    verdict = classify(text, str(entry.get("status", "")))
    return Finding(recipient, verdict.kind, verdict.reason, verdict.scope, str(entry.get("status", "")), text,
                   f"Amazon SES, {verdict.rule}")
