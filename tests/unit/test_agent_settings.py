# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration: all mistakes at once, each with its place, and no secret among them."""

from __future__ import annotations

import pytest
from agent_world import CONFIG, KEYS, config, mistakes_of, settings_in
from hypothesis import given
from hypothesis import strategies as st
from mailfleet.settings import Mistaken, Settings, load, read
from mailfleet.settings_reader import Reader

JSON = st.recursive(st.none() | st.booleans() | st.integers(-5, 10**6) | st.text(max_size=6),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
                    max_leaves=8)
NAMES = ["host", "user", "streams", "token", "store", "intake", "quarantine", "mailboxes", "webhooks",
         "suppression", "feedback", "policy", "retention_days", "secrets"]


def test_the_least_that_is_needed_has_defaults_that_serve(tmp_path):
    found = settings_in(tmp_path)
    assert (found.batch, found.retention_days, found.keys.days, found.rules.soft_failures) == (200, 90, 30, 5)
    assert found.keys.domains == ("e.example.com", "e.example.us")
    streams = [found.stream(each) for each in ("example.com", "e.example.us", "x.example")]
    assert streams == ["news", "shop", "x.example"]
    assert (found.policy.unsure, found.policy.oldest) == ("open", 86400)


def test_all_mistakes_are_told_at_once_with_their_places(tmp_path):
    told = mistakes_of(
        tmp_path, host="Mta1", retention_days=0, polcy={}, token={"current": "z", "days": "30"},
        store={"postgresql": "host=db", "sqlite": "/x"}, intake={"batch": True, "maildir": "spool"},
        mailboxes={"seed": {"protocol": "pop2", "user": "u", "port": 70000}}, webhooks={"app": {"url": "ftp://x/"}},
        suppression={"hard_days": 3, "soft_days": 40}, policy={"unsure": "maybe", "listen": "tcp:1"},
        feedback={"sources": ["Bad Domain"]}, secrets={"token_keys": {"a": "short", "aa": "x" * 40}})
    for line in (
        "21 mistakes:", "host: 'Mta1'; expected a domain name", "retention_days: 0; expected a whole number of days",
        "polcy: no such setting; expected policy", "token.current: 'z'; expected the id of one of the token_keys",
        "token.days: '30'; expected a whole number", "store: both or none of sqlite and postgresql; expected one",
        "intake.batch: True; expected a whole number", "intake.maildir: 'spool'; expected an absolute path",
        "mailboxes.seed.protocol: 'pop2'; expected one of pop3, imap", "mailboxes.seed.host: not set",
        "mailboxes.seed.port: 70000; expected a whole number from 1 to 65535", "secrets.mailboxes.seed: not set",
        "webhooks.app.url: 'ftp://x/'; expected an http or https address", "secrets.webhooks.app: not set",
        "suppression.hard_days: 3; expected at least the days of a token, 30",
        "suppression.soft_days: 40; expected at most soft_within, 30",
        "policy.unsure: 'maybe'; expected one of open, closed",
        "policy.listen: 'tcp:1'; expected unix:/PATH or inet:ADDRESS:PORT", "feedback.sources[0]: 'Bad Domain'",
        "secrets.token_keys.a: something else (not shown); expected a key of at least 32",
        "secrets.token_keys: something else (not shown); expected a key id",
    ):
        assert line in told, told


@pytest.mark.parametrize(("changes", "told"), [
    ({"token": {"days": 91}}, "token.days: 91; expected at most the retention_days, 90"),
    ({"feedback": {"sources": ["feedback.example", "example.com"]}},
     "feedback.sources: 'example.com'; expected a provider's domain: whoever has a login of ours"),
    ({"streams": {"shop": {"bounce_domains": ["e.example.us", "e.example.com"]}}},
     "streams.shop: 'e.example.com'; expected a domain of one stream only; news has it too"),
    ({"streams": 1}, "streams: 1; expected a mapping of names to mappings"),
    ({"intake": {"bach": 2}}, "intake.bach: no such setting; expected batch"),
])
def test_what_contradicts_itself_is_told(tmp_path, changes, told):
    assert told in mistakes_of(tmp_path, **changes)


def test_secrets_are_readable_by_one_alone_and_never_shown(tmp_path):
    place = config(tmp_path, secrets={"webhooks": {"app": "hush\nhush-hush-hush"}, "token_keys": {"a": ["hush"]}},
                   webhooks={"app": {"url": "https://x.example/"}})
    with pytest.raises(Mistaken) as found:
        load(place)
    assert "hush" not in str(found.value) and "secrets.webhooks.app: something else (not shown)" in str(found.value)
    (tmp_path / "secrets.json").chmod(0o640)
    with pytest.raises(Mistaken, match="mode 0640; expected 0600.*chmod 600"):
        load(place)
    assert KEYS["a"] not in repr(settings_in(tmp_path))


def test_a_webhook_with_a_login_in_its_address_is_told(tmp_path):
    told = mistakes_of(tmp_path, secrets={"webhooks": {"app": "x" * 32}},
                       webhooks={"app": {"url": "https://user:hush@x.example/?a=b@c"}})
    assert "webhooks.app.url: a login in it (not shown); expected an address without one" in told and "hush" not in told
    settings_in(tmp_path, secrets={"webhooks": {"app": "x" * 32}}, webhooks={"app": {"url": "https://x.example/?a=b@c"}})


def test_the_password_of_the_database_is_quoted_and_not_shown(tmp_path):
    settings = settings_in(tmp_path, secrets={"postgresql": "it's \\ x"}, store={"postgresql": "host=db"})
    assert settings.postgresql == "host=db password='it\\'s \\\\ x'" and "it's" not in repr(settings)


def test_a_database_is_named_by_words_since_a_password_cannot_be_put_behind_a_uri(tmp_path):
    told = mistakes_of(tmp_path, secrets={"postgresql": "hush-hush"}, store={"postgresql": "postgresql://db/mailfleet"})
    assert "store.postgresql: a URI; expected words such as host=db1.example.com" in told and "hush" not in told


@pytest.mark.parametrize("text", ["", "{", "[" * 100000, "\x00"])
def test_what_is_no_json_is_told(tmp_path, text):
    place = config(tmp_path)
    (tmp_path / "agent.json").write_text(text)
    with pytest.raises(Mistaken, match="no JSON"):
        load(place)


@pytest.mark.parametrize("found", [[], 1, "x", None])
def test_what_is_no_mapping_is_told(found):
    top = Reader(found)
    read(top, Reader(found, "secrets", top.mistakes, hidden=True))
    assert f"the whole: {found!r}; expected a mapping" in top.mistakes
    assert "secrets: something else (not shown); expected a mapping" in top.mistakes


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(Mistaken, match="no such file; the role mailfleet.sending.agent writes it"):
        load(str(tmp_path / "nothing.json"))


@given(st.dictionaries(st.sampled_from(NAMES), JSON), st.dictionaries(st.sampled_from(
    ["token_keys", "mailboxes", "webhooks", "postgresql"]), JSON))
def test_whatever_it_says_there_are_settings_or_mistakes(changes, secrets):
    top = Reader(CONFIG | changes)
    assert isinstance(read(top, Reader({"token_keys": KEYS} | secrets, "secrets", top.mistakes, hidden=True)), Settings)
    assert top.mistakes  # no store, at the least
