# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish, see, sign: which key signs, in every order in which keys can be made and seen."""
from __future__ import annotations

import base64
import hashlib

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.signing import (
    Answer,
    Decision,
    Key,
    SigningError,
    decide,
    register,
    stops,
    taken,
    verdicts,
)

OLD = Key("example.com", "m20260101", "OLD", "2026-01-01")
NEW = Key("example.com", "m20261123", "NEW", "2026-11-23")


def run(keys, seen=(), state=None, day="2026-11-23", **options):
    state = register(state or {}, keys, [("example.com", selector) for selector in seen], day)
    return state, decide(keys, state, ["example.com"], **options)


def test_first_key_unseen_is_deferred():
    assert run([OLD])[1] == [Decision("example.com", None, Answer.DEFERRED, None, "m20260101")]


def test_first_key_unseen_may_be_allowed_by_name():
    assert run([OLD], unsigned="allow")[1][0].answer is Answer.ALLOWED


def test_seen_key_signs():
    assert run([OLD], ["m20260101"])[1] == [Decision("example.com", None, Answer.SIGNED, "m20260101")]


def test_old_key_signs_until_the_new_one_is_seen():
    state, _decisions = run([OLD], ["m20260101"])
    state, (waiting,) = run([OLD, NEW], [], state)
    assert waiting == Decision("example.com", None, Answer.SIGNED, "m20260101", "m20261123")
    _state, (moved,) = run([NEW, OLD], ["m20261123"], state)
    assert moved == Decision("example.com", None, Answer.SIGNED, "m20261123")


def test_the_key_that_is_wanted_signs_whatever_others_there_are():
    """A prefix that sorts before that of before, on the day on which the key of before was made; or a way back."""
    first = Key("example.com", "a20261123", "FIRST", "2026-11-23")
    wanted = {("example.com", "a20261123")}
    state, (waiting,) = run([NEW, first], ["m20261123"], wanted=wanted)
    assert waiting == Decision("example.com", None, Answer.SIGNED, "m20261123", "a20261123")
    _state, (moved,) = run([NEW, first], ["a20261123"], state, wanted=wanted)
    assert moved == Decision("example.com", None, Answer.SIGNED, "a20261123")
    _state, (back,) = run([OLD, NEW], ["m20260101", "m20261123"], wanted={("example.com", "m20260101")})
    assert back == Decision("example.com", None, Answer.SIGNED, "m20260101")


def test_what_was_seen_stays_seen_on_the_first_day():
    state, _decisions = run([OLD], ["m20260101"], day="2026-01-02")
    state, (later,) = run([OLD], [], state, day="2026-11-23")
    assert later.selector == "m20260101"
    state, _decisions = run([OLD], ["m20260101"], state, day="2026-11-24")
    assert state["example.com"]["m20260101"]["seen"] == "2026-01-02"


def test_only_the_new_key_is_seen():
    assert run([OLD, NEW], ["m20261123"])[1][0] == Decision("example.com", None, Answer.SIGNED, "m20261123")


def test_two_keys_of_one_day_go_by_selector():
    twin = Key("example.com", "m20261123b", "TWIN", "2026-11-23")
    assert run([twin, NEW], ["m20261123", "m20261123b"])[1][0].selector == "m20261123b"


def test_state_is_not_changed_in_place_and_foreign_entries_stay():
    first = {"gone.example": {"m1": {"public": "X", "created": "2025-01-01", "scope": "fleet", "server": None,
                                     "seen": "2025-01-02"}}}
    second = register(first, [OLD], [("example.com", "m20260101")], "2026-11-23")
    assert set(first) == {"gone.example"} and second["gone.example"] == first["gone.example"]
    third = register(second, [OLD], [], "2026-11-24")
    third["example.com"]["m20260101"]["seen"] = None
    assert second["example.com"]["m20260101"]["seen"] == "2026-11-23"


def test_a_selector_cannot_get_another_key():
    state, _decisions = run([OLD])
    with pytest.raises(SigningError, match="m20260101._domainkey.example.com: found public 'OTHER'.*new selector"):
        register(state, [Key("example.com", "m20260101", "OTHER", "2026-01-01")], [], "2026-11-23")


def test_a_selector_cannot_move_to_a_server():
    state, _decisions = run([OLD])
    with pytest.raises(SigningError, match="found scope 'server'"):
        register(state, [Key("example.com", "m20260101", "OLD", "2026-01-01", "server", "mta1")], [], "2026-11-23")


@pytest.mark.parametrize("scope, server", [("fleet", "mta1"), ("server", None), ("host", "mta1")])
def test_scope_and_server_must_fit(scope, server):
    with pytest.raises(SigningError, match="expected fleet without a server, or server with one"):
        register({}, [Key("example.com", "m1", "X", "2026-01-01", scope, server)], [], "2026-11-23")


def test_each_server_has_its_own_key():
    one = Key("example.com", "m1-mta1", "ONE", "2026-01-01", "server", "mta1")
    two = Key("example.com", "m1-mta2", "TWO", "2026-01-01", "server", "mta2")
    assert run([one, two], ["m1-mta1"], servers=["mta1", "mta2"])[1] == [
        Decision("example.com", "mta1", Answer.SIGNED, "m1-mta1"),
        Decision("example.com", "mta2", Answer.DEFERRED, None, "m1-mta2"),
    ]


def test_moving_from_fleet_to_server_scope_keeps_signing():
    own = Key("example.com", "m2-mta1", "OWN", "2026-11-23", "server", "mta1")
    state, _decisions = run([OLD], ["m20260101"])
    _state, decisions = run([OLD, own], [], state, servers=["mta1", "mta2"])
    assert [decision.selector for decision in decisions] == ["m20260101", "m20260101"]


def test_a_domain_without_any_key():
    assert decide([], {}, ["example.us"]) == [Decision("example.us", None, Answer.DEFERRED)]


def test_unregistered_keys_and_unknown_words_are_mistakes():
    with pytest.raises(SigningError, match="register this key first"):
        decide([OLD], {}, ["example.com"])
    with pytest.raises(SigningError, match="expected defer or allow"):
        decide([], {}, [], unsigned="accept")


def test_what_does_not_sign_is_told_with_cause_and_mend():
    deferred = verdicts(run([OLD])[1])[0]
    assert (deferred.status.value, deferred.found) == ("fail", "its mail is deferred")
    assert "m20260101._domainkey.example.com" in deferred.cause and "publish" in deferred.mend
    assert verdicts(run([OLD], unsigned="allow")[1])[0].status.value == "warn"
    state, _decisions = run([OLD], ["m20260101"])
    waiting = verdicts(run([OLD, NEW], [], state)[1])[0]
    assert (waiting.status.value, waiting.found) == ("warn", "signed with m20260101")
    assert verdicts(run([OLD], ["m20260101"])[1]) == []
    assert verdicts(run([])[1])[0].cause == "there is no key for it"


OWNER = "m20261123._domainkey.example.com."
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2)]
OURS = Key("example.com", "m20261123", KEYS[0], "2026-11-23")
CONFLICT = {"kind": "dkim", "owner": OWNER, "found": [f"v=DKIM1; k=ed25519; p={KEYS[1]}"], "mend": "do something"}
BY_HAND = {"record": {"owner": OWNER}, "status": "fail", "found": [f'"v=DKIM1; k=ed25519; " "p={KEYS[1]}"']}


def stopped(published, keys=(OURS,), seen=(), **options):
    state, decisions = run(keys, seen, **options)
    return stops(decisions, state, taken(published))


@pytest.mark.parametrize("unsigned, fate", [("defer", "be deferred"), ("allow", "leave unsigned")])
def test_another_key_in_the_place_of_the_first_stops_the_run(unsigned, fate):
    """The key of the state was lost and another one made under its name: it will never be seen."""
    (line,) = stopped({"conflicts": [CONFLICT]}, unsigned=unsigned)
    prints = [hashlib.sha256(base64.b64decode(key)).hexdigest()[:16] for key in KEYS]
    assert line.startswith(
        f"{OWNER}: found ed25519 key of 256 bits, SHA-256 {prints[1]}…, expected our key, ed25519 key of 256 bits, "
        f"SHA-256 {prints[0]}…. Mail of example.com would {fate}")
    assert "put back the folders of state and secrets" in line and line.endswith("do something")


def test_it_stops_once_for_all_servers():
    assert len(stopped({"conflicts": [CONFLICT]}, servers=["mta1", "mta2"])) == 1


def test_it_stops_where_the_zone_is_kept_by_hand():
    (line,) = stopped({"manual": [{"records": [BY_HAND]}]})
    assert "found ed25519 key of 256 bits" in line and "sending_dkim_selector" in line and "publish it" in line
    assert not stopped({"manual": [{"records": [BY_HAND | {"status": "absent"}]}]})


def test_it_stops_for_an_alias_and_for_what_is_no_key():
    alias = CONFLICT | {"kind": "cname", "found": ["m1.example.net."]}
    assert "found a CNAME to m1.example.net., expected" in stopped({"conflicts": [alias]})[0]
    assert "found 'v=DKIM1; p=x', expected" in stopped({"conflicts": [CONFLICT | {"found": ["v=DKIM1; p=x"]}]})[0]


def test_a_key_that_check_mode_would_make_is_stopped_too():
    unmade = Key("example.com", "m20261123", "", "2026-11-23")
    assert "expected our key, yet to be made" in stopped({"conflicts": [CONFLICT]}, [unmade])[0]


def test_a_domain_that_signs_goes_on():
    assert not stopped({"conflicts": [CONFLICT]}, [OLD, OURS], ["m20260101"])


def test_a_key_that_is_merely_not_seen_yet_stops_nothing():
    assert not stopped({"conflicts": [CONFLICT | {"owner": "m20260101._domainkey.example.com."}]})
    assert not stopped({})
