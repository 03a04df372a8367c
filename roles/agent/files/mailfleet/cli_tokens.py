# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``mailfleet token``."""

from __future__ import annotations

import argparse
import datetime
import typing as t

from . import unsigned
from .cli_settings import settings_of
from .errors import Status, Trouble
from .recipients import fold, wanted
from .tokens import POSTFIX


def add(_commands: t.Any, groups: t.Mapping[str, t.Any]) -> None:
    """Add the commands."""
    inner = groups["token"]
    new = inner.add_parser("new", help="make the return path of a message")
    new.add_argument("--recipient", required=True, metavar="ADDRESS")
    new.add_argument("--domain", help="the bounce domain; needed where there are several")
    new.set_defaults(run=_new)
    check = inner.add_parser("check", help="check a return path; status 1 where it is not valid")
    check.add_argument("address")
    check.add_argument("--recipient", action="append", default=[], metavar="ADDRESS", help="is it this one's?")
    check.set_defaults(run=_check)
    pattern = inner.add_parser("pattern", help="for Postfix' regexp tables: what return paths look like")
    pattern.set_defaults(run=_pattern)


def _new(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    recipient, known = wanted(asked.recipient, "--recipient"), settings.keys.domains
    if asked.domain is None and len(known) > 1:
        raise Trouble("--domain", "not given", "one of " + ", ".join(known))
    domain = fold(asked.domain) if asked.domain else known[0]
    if domain not in known:
        raise Trouble("--domain", repr(asked.domain), "one of " + ", ".join(known))
    try:
        print(settings.keys.new(recipient, domain, datetime.datetime.now(datetime.UTC).date()))
    except ValueError as error:
        raise Trouble("the clock of this host", str(error), mend="Set it") from error
    return Status.DONE


def _check(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    checked = settings.keys.check(asked.address, datetime.datetime.now(datetime.UTC).date())
    made = f", made on {datetime.date(1970, 1, 1) + datetime.timedelta(days=checked.day)}" if checked.day >= 0 else ""
    recipients = [wanted(each, "--recipient") for each in asked.recipient]
    found = settings.keys.recipient(checked, recipients)
    whose = f", of {found}" if found else ", of none of the given ones" if checked and recipients else ""
    print(f"{checked.result}{made}{whose}")
    return Status.DONE if checked and (found or not recipients) else Status.NO


def _pattern(asked: argparse.Namespace) -> int:
    print(POSTFIX)
    if local := settings_of(asked).unsigned:
        print(unsigned.pattern(local))
    return Status.DONE
