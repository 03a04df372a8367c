# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether every authoritative server serves the DKIM keys of the fleet, and serves them right."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_record
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import DkimRecordError, KeyRecord
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict, worst

CHECK = "dkim"
PAUSES = (1, 2, 4, 8, 15)  # seconds between tries; the last one is repeated


@dataclass(frozen=True)
class Key:
    """A key to look for. C(public) is its public half in base64; without it any valid key will do.

    Raises: ValueError where selector, domain or public half cannot be one.
    """

    domain: str
    selector: str
    public: str = ""

    def __post_init__(self) -> None:
        if self.public:
            dkim_record.record_of(self.public)
        dkim_record.owner(self.selector, self.domain)

    @property
    def owner(self) -> str:
        """Return the absolute name of the record."""
        return dkim_record.owner(self.selector, self.domain)

    @property
    def wanted(self) -> str:
        """Return the value that the record should have, or nothing where any valid key will do."""
        return dkim_record.record_of(self.public) if self.public else ""


@dataclass(frozen=True)
class Findings:
    """What was found: a verdict for each key; C(seen) those served as expected by every authoritative server;
    C(tries) what was still missing at each try."""

    verdicts: tuple[Verdict, ...]
    seen: tuple[dict[str, object], ...]
    tries: tuple[dict[str, object], ...]


@dataclass(frozen=True)
class _Judged:
    """What one answer is worth."""

    status: Status
    found: str
    cause: str = ""
    mend: str = ""
    server: str = field(default="", compare=False)


def verify_dkim(lookup: Lookup, keys: Sequence[Key], authoritative: str = "auto", wait: float = 0,
                sleep: Callable[[float], None] = time.sleep) -> Findings:
    """Return the findings on the keys, asked anew with growing pauses until all are good or the time is up.

    Arguments: C(authoritative) see Lookup.ask_by; C(wait) seconds; C(sleep) pauses for seconds.
    """
    began = time.monotonic()
    found: dict[Key, tuple[Verdict, tuple[str, ...]]] = {}
    tries: list[dict[str, object]] = []
    for pause in chain(PAUSES, repeat(PAUSES[-1])):
        missing = [key for key in dict.fromkeys(keys) if key not in found or _waits(found[key][0])]
        found.update(zip(missing, lookup.each(lambda key: _verify(lookup, key, authoritative), missing)))
        waiting = [key.owner for key in missing if _waits(found[key][0])]
        elapsed = time.monotonic() - began
        tries.append({"after": round(elapsed, 1), "asked": len(missing), "waiting": waiting})
        if not waiting or elapsed >= wait:
            break
        sleep(min(pause, wait - elapsed))
        lookup.forget()
    seen = [{"domain": key.domain, "selector": key.selector, "servers": list(servers)}
            for key, (_verdict, servers) in found.items() if servers]
    return Findings(tuple(verdict for verdict, _servers in found.values()), tuple(seen), tuple(tries))


def _waits(verdict: Verdict) -> bool:
    return verdict.status not in (Status.OK, Status.WARN)


def _verify(lookup: Lookup, key: Key, authoritative: str) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict on one key and the servers that make it seen."""
    outcomes, instead = lookup.ask_by(authoritative, key.owner, "TXT")
    judged = [_judge(key, outcome) for outcome in outcomes]
    status = worst(judged)
    bad = [item for item in judged if item.status is status]
    kinds = list(dict.fromkeys(judged))
    cause = kinds[0].cause
    if len(kinds) > 1:
        servers = {kind: ", ".join(item.server for item in judged if item == kind) for kind in kinds}
        said = "; ".join(f"{servers[kind]}: {kind.cause or kind.found}" for kind in kinds)
        cause = f"the name servers differ: {said}"
    if instead and status is Status.OK:
        status, cause = Status.WARN, instead
    elif instead:
        cause = f"{cause} ({instead})"
    source = f"TXT {key.owner} asked of {', '.join(dict.fromkeys(item.server for item in judged))}"
    expected = str(dkim_record.parse_record(key.wanted)) if key.public else "a valid key"
    verdict = Verdict(CHECK, (key.owner,), status, bad[0].found, expected, cause, bad[0].mend, source)
    seen = key.public and not instead and not _waits(verdict)
    return verdict, tuple(dict.fromkeys(item.server for item in judged)) if seen else ()


def _judge(key: Key, outcome: Outcome) -> _Judged:
    """Return what one server's answer is worth."""
    publish = f'publish {key.owner} TXT "{key.wanted}"' if key.public else f"publish the key's record at {key.owner}"
    if not outcome.said:
        return _Judged(Status.UNKNOWN, "no answer", f"did not say: {outcome.cause}",
                       f"make {outcome.server} answer, then check again", outcome.server)
    if outcome.kind is not Kind.VALUES:
        through = f" at {outcome.chain[-1]}, where a CNAME leads" if outcome.chain else ""
        return _Judged(Status.ABSENT, outcome.kind.value, f"{outcome.kind.value}{through}", publish, outcome.server)
    if len(outcome.values) > 1:
        return _Judged(Status.FAIL, f"{len(outcome.values)} TXT values",
                       "verifiers may take any one of several values (RFC 6376, 3.6.2.2)",
                       f"remove all but the key; {publish}", outcome.server)
    text = outcome.values[0]
    try:
        record = dkim_record.parse_record(text)
    except DkimRecordError as error:
        return _Judged(Status.FAIL, _shortened(text), f"no key record, at character {error.position + 1}: {error}",
                       publish, outcome.server)
    status, cause, mend = _fitness(record, key, publish)
    return _Judged(status, str(record), cause, mend, outcome.server)


def _fitness(record: KeyRecord, key: Key, publish: str) -> tuple[Status, str, str]:
    """Return status, cause and mend of a key record that can be read."""
    wanted = dkim_record.parse_record(key.wanted) if key.public else None
    longer = f"make a key of {dkim_record.WANTED_RSA_BITS} bits and publish it under a new selector"
    short = record.key_type == "rsa" and not record.revoked
    rules = [
        (record.revoked, Status.FAIL, "the key is revoked: p= is empty", publish),
        (wanted and record.identity != wanted.identity, Status.FAIL, "another key is published", publish),
        (record.key_type not in ("rsa", "ed25519"), Status.FAIL, f"no verifier knows k={record.key_type}", publish),
        (short and record.bits < dkim_record.MINIMUM_RSA_BITS, Status.FAIL,
         f"verifiers refuse RSA keys under {dkim_record.MINIMUM_RSA_BITS} bits (RFC 8301, 3.2)", longer),
        (not record.sha256, Status.FAIL, "h= does not allow sha256", "remove h= from the record"),
        (not record.for_email, Status.FAIL, "s= does not allow email", "remove s= from the record"),
        (record.testing, Status.WARN, "t=y says that the domain only tests DKIM", "remove t=y from the record"),
        (short and record.bits < dkim_record.WANTED_RSA_BITS, Status.WARN,
         f"RSA keys should have {dkim_record.WANTED_RSA_BITS} bits (RFC 8301, 3.2)", longer),
    ]
    return next(((status, cause, mend) for applies, status, cause, mend in rules if applies), (Status.OK, "", ""))


def _shortened(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"
