# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one answer of DNS is worth for a DKIM key: readable, the right key, and fit to verify with."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.mailfleet.sending.plugins.module_utils import der, dkim_damage, dkim_record
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import DkimRecordError, KeyRecord
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import every
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name, quoted, to_bytes
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "dkim"
KEY_TYPES = ("rsa", "ed25519")  # RFC 8301, 3.2; RFC 8463, 3
FRESH = f"make an RSA key of {dkim_record.WANTED_RSA_BITS} bits, publish it under a new selector and sign with it"


@dataclass(frozen=True)
class Key:
    """A key to look for.

    Attributes: C(domain) d= of the signature; C(selector) s= of it, without one the domain's own name; C(public) the
    public half in base64, without which any valid key will do; C(identity) the domain in i= of the signatures, without
    one that of d=; C(guessed) says that no selector was given.
    Raises: ValueError where selector, domain, public half or identity cannot be one.
    """

    domain: str
    selector: str = ""
    public: str = ""
    identity: str = ""
    guessed: bool = field(init=False, compare=False, default=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "guessed", not self.selector)
        name = absolute_name(self.domain)
        if not self.selector:
            object.__setattr__(self, "selector", name.removesuffix("."))
        every(lambda: dkim_record.owner(self.selector, self.domain), lambda: self.wanted, lambda: self.in_subdomain)

    @property
    def owner(self) -> str:
        """Return the absolute name of the record."""
        return dkim_record.owner(self.selector, self.domain)

    @property
    def wanted(self) -> str:
        """Return the value that the record should have, or nothing where any valid key will do."""
        return dkim_record.record_of(self.public) if self.public else ""

    @property
    def in_subdomain(self) -> bool:
        """Return whether mail is signed with an i= in a sub-domain of d=."""
        identity, domain = absolute_name(self.identity or self.domain), absolute_name(self.domain)
        if not f".{identity}".endswith(f".{domain}"):
            raise ValueError(f"identity {self.identity!r}: expected {self.domain} or a sub-domain (RFC 6376, 3.5, i=)")
        return identity != domain

    def publish(self, value: str = "", owner: str = "") -> str:
        """Return the words that have a value published, the wanted one without any, as a zone file has it: in strings
        of at most 255 bytes (RFC 1035, 3.3)."""
        value = value or self.wanted
        return (f"publish {owner or self.owner} TXT {quoted(to_bytes(value))}" if value
                else f"publish the key's record at {owner or self.owner}")

    def is_in(self, record: KeyRecord) -> bool:
        """Return whether a record holds this key, or any where any will do."""
        wanted = dkim_record.parse_record(self.wanted) if self.public else None
        return not record.revoked and (wanted is None or wanted.identity == record.identity)


@dataclass(frozen=True)
class _Rule:
    """A rule that a record breaks. C(change) what of the record has to change: tags and flags (t=s) are taken out, p=
    is written anew; nothing where another key is needed."""

    status: Status
    cause: str
    change: tuple[str, ...] = ()


def judge(key: Key, outcome: Outcome) -> Verdict:
    """Return the verdict on what one server said about a key's record, or that it did not say."""
    if not outcome.said:
        return _silent(key, outcome)
    if outcome.kind is not Kind.VALUES:
        return _absent(key, outcome)
    if len(outcome.values) > 1:
        return _several(key, outcome)
    try:
        record = dkim_record.parse_record(outcome.values[0])
    except DkimRecordError as error:
        return _damaged(key, outcome, error)
    if record.key_type not in KEY_TYPES and (damage := dkim_damage.retyped(outcome.values[0])):
        causes = [f"no verifier has to know k={record.key_type[:40]}, and most ignore it (RFC 6376, 3.2 and 3.6.1)"]
        return _undone(key, outcome, damage, causes)
    status, cause, mend = _fitness(key, record)
    return _verdict(key, outcome, status, _described(record, outcome), cause, mend)


def shown(text: str) -> str:
    """Return a value as a verdict shows it: short, and no secret."""
    if dkim_damage.is_private(text):
        return "a private key"
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"


def _verdict(key: Key, outcome: Outcome, status: Status, found: str, cause: str = "", mend: str = "") -> Verdict:
    expected = str(dkim_record.parse_record(key.wanted)) if key.public else "a valid key"
    return Verdict(CHECK, (key.owner,), status, found, expected, cause, mend, outcome.source)


def _silent(key: Key, outcome: Outcome) -> Verdict:
    where = f" (asked for {outcome.chain[-1]}, where a CNAME leads)" if outcome.chain else ""
    mend = f"make {outcome.server} answer, then check again"
    if outcome.cause.startswith("CNAMEs lead "):  # as lookups say of a chain that never ends
        mend = f"point the CNAME at {key.owner} to where the key stands, or put {_txt(key)} in its place"
    return _verdict(key, outcome, Status.UNKNOWN, "no answer", f"{outcome}{where}", mend)


def _absent(key: Key, outcome: Outcome) -> Verdict:
    said = outcome.kind.value
    if not outcome.chain:
        tried = "; without a selector the domain's own name was tried" if key.guessed else ""
        mend = f"{key.publish()}{', or name the selector (s= of the signatures)' if key.guessed else ''}"
        return _verdict(key, outcome, Status.ABSENT, said, f"{said}: there is no key (RFC 6376, 6.1.2){tried}", mend)
    *_way, last, target = (key.owner, *outcome.chain)
    return _verdict(key, outcome, Status.ABSENT, said, f"{said} at {target}, where a CNAME leads (RFC 1034, 3.6.2)",
                    f"have the owner of that zone {key.publish(owner=target)}; or put {_txt(key)} in place of the "
                    f"CNAME at {last}")


def _txt(key: Key) -> str:
    return f"TXT {quoted(to_bytes(key.wanted))}" if key.public else "the key's TXT"


def _several(key: Key, outcome: Outcome) -> Verdict:
    """More than one TXT value: verifiers may take any of them, or none."""
    values = outcome.values
    records = {value: record for value in values if (record := dkim_damage.read(value))}
    ours = [value for value in records if key.is_in(records[value])]
    others = ""
    if parts := dkim_damage.joined(values):
        cause = f"the key was published as {len(values)} TXT values, not as the strings of one"
    elif not records:
        cause = f"none of them is a key: {_list(values)}"
    elif len(records) == 1:
        cause = f"beside a key stands {_list([value for value in values if value not in records])}"
    else:
        cause = f"{len(records)} keys stand at one name"
        others = ", and give each other key a selector of its own"
    if key.public:
        left = next((value for value in ours if _is_sound(value)), key.wanted)
    elif parts and key.is_in(parts):
        left = parts.without()
    else:
        left = (ours[0] if _is_sound(ours[0]) else records[ours[0]].without()) if len(ours) == 1 else ""
    if left:
        mend = f"leave {key.owner} TXT {quoted(to_bytes(left))} and no other value there{others}"
    else:
        mend = f"leave one key at {key.owner}{others}" if ours else f"remove them and {key.publish()}"
    cause += "; what verifiers make of several values is not defined (RFC 6376, 3.6.2.2)"
    return _verdict(key, outcome, Status.FAIL, f"{len(values)} TXT values", cause, mend)


def _is_sound(text: str) -> bool:
    try:
        return bool(dkim_record.parse_record(text))
    except DkimRecordError:
        return False


def _list(values: Sequence[str]) -> str:
    more = f" and {len(values) - 3} more" if len(values) > 3 else ""
    return ", ".join(repr(shown(value)) for value in values[:3]) + more


def _damaged(key: Key, outcome: Outcome, error: DkimRecordError) -> Verdict:
    """A value that is no record: what was done to it, and the record that was meant."""
    text = outcome.values[0]
    damage = dkim_damage.undo(text)
    if error.secret or (damage and damage.secret) or dkim_damage.is_private(text):
        return _verdict(key, outcome, Status.FAIL, "a private key",
                        "p= holds a private key: whoever reads it can sign as the domain (RFC 6376, 8.3)",
                        f"remove {key.owner} TXT at once and never sign with that key again; {FRESH}")
    at = f"at character {error.position + 1}: {error} ({error.rule})"
    if damage:
        return _undone(key, outcome, damage, [at], "no key record: ")
    wanted = dict(dkim_record.parse_record(key.wanted).tags)["p"] if key.public else ""
    loss = dkim_damage.loss(text, wanted)
    causes = [loss, at] if loss else [at]
    return _verdict(key, outcome, Status.FAIL, shown(text), f"no key record: {'; '.join(causes)}", key.publish())


def _undone(key: Key, outcome: Outcome, damage: dkim_damage.Damage, also: list[str], what: str = "") -> Verdict:
    """Return the verdict on a value of which the record that was meant is known."""
    record, causes = damage.record, [*damage.causes, *also]
    if key.is_in(record):
        rules = _broken(key, record)
        causes += [rule.cause for rule in rules]
        mend = key.publish("" if key.public else _mended(record, rules))
    else:
        causes.append("and the key is revoked: p= is empty" if record.revoked else "and it is another key")
        mend = key.publish()
    return _verdict(key, outcome, Status.FAIL, shown(outcome.values[0]), f"{what}{'; '.join(causes)}", mend)


def _fitness(key: Key, record: KeyRecord) -> tuple[Status, str, str]:
    """Return status, cause and mend of a record that can be read: all rules that it breaks, the worst first."""
    if record.revoked:
        stop = "" if key.public else f", or stop signing with {key.selector} if it was revoked on purpose"
        return Status.FAIL, "the key is revoked: p= is empty (RFC 6376, 3.6.1)", key.publish() + stop
    if not key.is_in(record):
        return (Status.FAIL, "another key is published, under which no signature of ours verifies (RFC 6376, 6.1.3)",
                key.publish())
    rules = sorted(_broken(key, record), key=lambda rule: -rule.status.rank)
    if not rules:
        return Status.OK, "", ""
    mend = key.publish(_mended(record, rules)) if all(rule.change for rule in rules) else FRESH
    return rules[0].status, "; ".join(rule.cause for rule in rules), mend


def _broken(key: Key, record: KeyRecord) -> list[_Rule]:
    """Return the rules that a readable record of the right key breaks."""
    rsa = record.key_type == "rsa"
    rules = [
        (record.key_type not in KEY_TYPES, _Rule(
            Status.FAIL, f"no verifier knows k={record.key_type[:40]} and all ignore it (RFC 6376, 3.6.1)")),
        (rsa and record.bits < dkim_record.MINIMUM_RSA_BITS, _Rule(
            Status.FAIL, f"verifiers refuse RSA keys under {dkim_record.MINIMUM_RSA_BITS} bits (RFC 8301, 3.2)")),
        (not record.sha256, _Rule(
            Status.FAIL, "h= does not allow sha256, the one hash in use (RFC 8301, 3.1)", ("h",))),
        (not record.for_email, _Rule(
            Status.FAIL, "s= does not allow email, so verifiers of mail ignore the key (RFC 6376, 3.6.1)", ("s",))),
        (record.strict and key.in_subdomain, _Rule(
            Status.FAIL, f"t=s forbids an i= in a sub-domain, and mail is signed as @{key.identity} (RFC 6376, 3.6.1)",
            ("t=s",))),
        (record.testing, _Rule(
            Status.WARN, "t=y says that the domain only tests DKIM: verifiers treat its mail as unsigned "
            "(RFC 6376, 3.6.1)", ("t=y",))),
        (rsa and dkim_record.MINIMUM_RSA_BITS <= record.bits < dkim_record.WANTED_RSA_BITS, _Rule(
            Status.WARN, f"RSA keys should have {dkim_record.WANTED_RSA_BITS} bits, this has {record.bits} "
            "(RFC 8301, 3.2)")),
        (rsa and record.bits > dkim_record.LARGEST_RSA_BITS, _Rule(
            Status.WARN, f"verifiers need not know RSA keys over {dkim_record.LARGEST_RSA_BITS} bits, this has "
            f"{record.bits} (RFC 8301, 3.2)")),
        (record.form == "pkcs1", _Rule(
            Status.WARN, "p= holds the key as PKCS#1 has it, which RFC 6376, 3.6.1 says, but OpenDKIM reads a "
            "SubjectPublicKeyInfo only", ("p",))),
        (record.granularity not in (None, "*"), _Rule(
            Status.WARN, "g= is obsolete, and verifiers that still know it limit the key to some senders "
            "(RFC 6376, C.2)", ("g",))),
    ]
    return [rule for applies, rule in rules if applies]


def _mended(record: KeyRecord, rules: list[_Rule]) -> str:
    """Return the value of the record with nothing changed but what breaks the rules."""
    change = {name for rule in rules for name in rule.change}
    flags = [flag for flag in record.flags if f"t={flag}" not in change]
    new = {"t": ":".join(flags)}
    if "p" in change:
        new["p"] = base64.b64encode(der.rsa_spki(record.public)).decode()
    return record.without(*(change - {"p"}), *([] if flags else ["t"]), **new)


def _described(record: KeyRecord, outcome: Outcome) -> str:
    return str(record) + (f", by CNAME from {outcome.chain[-1]}" if outcome.chain else "")
