# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy service: what Postfix is answered, with the database and without, and what others may send to it."""

from __future__ import annotations

import asyncio
import os
import re
import stat

import pytest
from agent_world import DAY, NOW, settings_in, store, stores
from mailfleet import policy, policy_copy, suppressions
from mailfleet.errors import Unavailable
from mailfleet.policy import Service
from mailfleet.policy_copy import Copy
from mailfleet.policy_protocol import Question
from mailfleet.refusal import MARKER, TEXT, WAIT, is_ours
from mailfleet.rules import ALL, Entry
from mailfleet.store import Damaged
from test_agent_policy_protocol import request

__all__ = ["store", "stores"]


def put(store, *entries: Entry) -> None:
    with store.transaction():
        suppressions.put(store, entries, "admin", NOW)


def entry(recipient: str, stream="news", until=0, removed=-1) -> Entry:
    return Entry(stream, recipient, "manual", "", "", NOW, until, removed)


class Gone:
    """A store that does not answer."""

    def counter(self, _name: str) -> int:
        raise Unavailable("the database", "gone")


def service(tmp_path, store, now=None, **changes) -> Service:
    settings = settings_in(tmp_path, policy=changes)
    told: list[str] = []
    made = Service(settings.policy, settings.streams, store, told.append, lambda: now[0] if now else NOW)
    made.told = told
    return made


def ask(one: Service, recipient="u@acme.test", sender="b+x@e.example.com", login="app", port="587") -> str:
    return one.decide(Question(sender, recipient, login, port))


def test_the_refusal_is_permanent_stable_and_known_again():
    assert re.fullmatch(r"550 5\.7\.1 mailfleet-suppressed: [ -~]{1,100}", TEXT)
    assert re.fullmatch(r"450 4\.3\.0 mailfleet-unknown: [ -~]{1,100}", WAIT)
    logged = f"reject: RCPT from app[192.0.2.1]: 550 5.7.1 <u@acme.test>: Recipient address rejected: {TEXT[10:]};"
    assert is_ours(logged) and not is_ours(WAIT) and not is_ours("550 5.1.1 no such user") and MARKER in TEXT
    # None of what readers of replies take for a dead address.
    assert not re.search(r"5\.1\.\d|unknown|invalid|no such|not found|does not exist|disabled|inactive", TEXT)


@pytest.mark.parametrize(("asked", "refused"), [
    ({}, True), ({"recipient": "U@ACME.Test"}, True), ({"sender": "x@example.com"}, True),
    ({"sender": "x@e.example.us"}, False), ({"sender": "x@elsewhere.example"}, False), ({"sender": ""}, False),
    ({"recipient": "v@acme.test"}, False), ({"recipient": "all@acme.test", "sender": "x@e.example.us"}, True),
    ({"recipient": "all@acme.test", "sender": ""}, True), ({"recipient": "ended@acme.test"}, False),
    ({"recipient": "off@acme.test"}, False), ({"recipient": "other@acme.test", "sender": "x@own.example"}, True),
    ({"login": "postmaster"}, False), ({"port": "2525"}, False), ({"login": "postmaster2"}, True),
])
def test_the_list_is_asked_by_stream_and_recipient(tmp_path, store, asked, refused):
    put(store, entry("u@acme.test"), entry("all@acme.test", ALL), entry("ended@acme.test", until=NOW),
        entry("off@acme.test", removed=1), entry("other@acme.test", "own.example"))
    one = service(tmp_path, store, logins=["postmaster"], ports=[2525])
    one.refresh()
    assert ask(one, **asked) == (TEXT if refused else "DUNNO")


@pytest.mark.parametrize(("listed", "asked"), [
    ('"a b"@acme.test', "a b@acme.test"), ('"a..b"@acme.test', "a..b@acme.test"), ("a..b@acme.test", "a..b@acme.test"),
    ('"a."@acme.test', "A.@acme.test"), (r'"a\"b\\c"@acme.test', 'a"b\\c@acme.test'),
    ('"a@b"@acme.test', "a@b@acme.test"), ("[1]@acme.test", "[1]@acme.test"), ("ü.u+s@acme.test", "ü.u+s@acme.test")])
def test_postfix_asks_without_quotation_marks(tmp_path, store, listed, asked):
    put(store, entry(listed))
    one = service(tmp_path, store)
    one.refresh()
    assert (ask(one, asked), ask(one, f"x{asked}")) == (TEXT, "DUNNO")


def test_a_change_is_followed_and_an_end_is_kept(tmp_path, store):
    now = [NOW]
    one = service(tmp_path, store, now)
    one.refresh()
    assert ask(one) == "DUNNO"
    put(store, entry("u@acme.test", until=NOW + 10))
    one.refresh()
    assert ask(one) == TEXT
    now[0] += 10
    assert ask(one) == "DUNNO"
    put(store, entry("u@acme.test"), entry("v@acme.test"))
    put(store, entry("u@acme.test", removed=NOW // DAY))
    one.refresh()
    assert (ask(one), ask(one, "v@acme.test")) == ("DUNNO", TEXT)


def test_nothing_is_read_where_nothing_changed(tmp_path, store, monkeypatch):
    put(store, entry("u@acme.test"))
    one = service(tmp_path, store)
    one.refresh()
    monkeypatch.setattr(suppressions, "holding", None)
    monkeypatch.setattr(suppressions, "changed", None)
    one.refresh()
    assert one.told == [] and ask(one) == TEXT


def test_more_changes_than_one_look_takes_are_followed(tmp_path, store, monkeypatch):
    monkeypatch.setattr(suppressions.changed, "__defaults__", (2,))
    one = service(tmp_path, store)
    one.refresh()
    put(store, *[entry(f"u{n}@acme.test") for n in range(5)])
    one.refresh()
    assert len(one.copy) == 5 and one.copy.refuses("news", "u4@acme.test", NOW)


def test_what_was_forgotten_is_gone_from_copies(tmp_path, store):
    put(store, entry("u@acme.test"), entry("v@acme.test"))
    one = service(tmp_path, store)
    one.refresh()
    with store.transaction():
        suppressions.forget(store, "u@acme.test")
    one.refresh()
    assert (ask(one), ask(one, "v@acme.test"), len(one.copy)) == ("DUNNO", TEXT, 1)


@pytest.mark.parametrize(("unsure", "others"), [("open", "DUNNO"), ("closed", WAIT)])
def test_without_the_database_the_last_copy_answers_as_long_as_it_may(tmp_path, store, unsure, others):
    now = [float(NOW)]
    put(store, entry("u@acme.test"))
    service(tmp_path, store, now).refresh()
    # A start without the database: the copy is on the disk.
    one = service(tmp_path, Gone(), now, unsure=unsure, oldest=100)
    one.refresh()
    one.refresh()
    assert one.told == ["the database: gone; answers come from the copy that is 0 s old"]
    now[0] += 100
    assert (ask(one), ask(one, "v@acme.test")) == (TEXT, "DUNNO")
    now[0] += 1
    assert (ask(one), ask(one, "v@acme.test")) == (TEXT, others)
    one.store = store
    one.refresh()
    assert (ask(one), ask(one, "v@acme.test")) == (TEXT, "DUNNO")
    assert one.told[1:] == ["the suppression list is read again"]


def test_tables_of_a_younger_version_leave_the_copy_as_it_is(tmp_path, store):
    """While a fleet is brought up to date server by server, the first one changes the tables of all."""
    class Younger:
        def counter(self, _name: str) -> int:
            raise Damaged("the database", "tables of version 9", "1 at most", "Install a newer mailfleet on this host")

    put(store, entry("u@acme.test"))
    service(tmp_path, store).refresh()
    one = service(tmp_path, Younger())
    one.refresh()
    assert ask(one) == TEXT and "tables of version 9" in one.told[0] and "answers come from the copy" in one.told[0]


@pytest.mark.parametrize(("unsure", "answer"), [("open", "DUNNO"), ("closed", WAIT)])
def test_where_there_was_never_a_copy_the_setting_decides(tmp_path, unsure, answer):
    one = service(tmp_path, Gone(), unsure=unsure, logins=["postmaster"])
    one.refresh()
    assert ask(one) == answer
    assert ask(one, login="postmaster") == "DUNNO"
    assert one.told == ["the database: gone; answers come from the copy that is not there yet"]


def test_the_copy_on_the_disk_is_as_old_as_what_it_knows(tmp_path, store, monkeypatch):
    put(store, entry("u@acme.test"))
    place = str(tmp_path / "copy")
    one = Copy(place)
    one.refresh(store, NOW)
    one.refresh(store, NOW + 500)
    assert os.stat(place).st_mtime == NOW + 500
    put(store, entry("v@acme.test"))
    one.refresh(store, NOW + 501)
    again = Copy(place)
    assert again.load() == "" and again.known_at == NOW + 501 and len(again) == 2
    monkeypatch.setattr(policy_copy, "SAVE", 1)
    put(store, entry("w@acme.test"))
    one.refresh(store, NOW + 502)  # not written yet, and so no younger either
    assert os.stat(place).st_mtime == NOW + 501
    again.load()
    again.refresh(store, NOW + 503)
    assert len(again) == 3


@pytest.mark.parametrize("damage", [
    lambda text: text[:-5], lambda text: text.replace("u@", "x@"), lambda _text: "", lambda _text: "[1]\n",
    lambda _text: "\x00", lambda text: "[" + text, lambda text: "[" * 100000 + text,
    lambda text: text.replace("[1,", '["1",', 1), lambda text: text.replace("[1,", "[null,", 1),
    lambda text: text.replace("[1,", "[true,", 1)])
def test_a_damaged_copy_is_told_and_not_used(tmp_path, store, damage):
    put(store, entry("u@acme.test"))
    place = tmp_path / "copy"
    Copy(str(place)).refresh(store, NOW)
    place.write_text(damage(place.read_text()))
    again = Copy(str(place))
    assert "cannot be used" in again.load()
    assert len(again) == 0 and again.known_at == 0
    again.refresh(store, NOW)
    assert len(again) == 1


def test_a_store_that_was_put_back_to_an_older_state_is_read_anew(tmp_path, stores):
    one = Copy(str(tmp_path / "copy"))
    put(stores(), *[entry(f"u{n}@acme.test") for n in range(3)])
    one.refresh(stores(), NOW)
    back = stores()
    with back.transaction():
        back.run("DELETE FROM suppressions WHERE changed > 1")
        back.run("UPDATE counters SET value = 1 WHERE name = 'changes'")
    one.refresh(back, NOW)
    assert len(one) == 1


PATIENCE = 60  # seconds that a busy machine has for what takes a moment


async def exchange(place: str, octets: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(place)
    writer.write(octets)
    try:
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), PATIENCE)
    except ConnectionError:  # closed before all was read
        return b""
    finally:
        writer.close()


def serving(one: Service, test) -> None:
    """Run a test beside the service; the service ends in order."""
    async def both() -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(one.serve(stop, ready.set))
        await asyncio.wait_for(ready.wait(), PATIENCE)
        try:
            await test()
        finally:
            stop.set()
            await asyncio.wait_for(running, PATIENCE)
    asyncio.run(both())


def test_it_answers_many_over_its_socket(tmp_path, store):
    put(store, entry("u@acme.test"))
    one = service(tmp_path, store, refresh=1)
    place = str(tmp_path / "policy")
    (tmp_path / "policy").write_text("left by one that was killed")
    refused, passed = f"action={TEXT}\n\n".encode(), b"action=DUNNO\n\n"

    async def test() -> None:
        assert stat.S_IMODE(os.stat(place).st_mode) == 0o660
        asked = request() * 3 + request(recipient="v@x.test")
        found = await asyncio.gather(*[exchange(place, asked) for _each in range(50)])
        assert found == [refused * 3 + passed] * 50
        assert await exchange(place, request(request="other")) == passed
        assert await exchange(place, b"\x16\x03\x01 GET / HTTP/1.1\n\n") == b""
        assert await exchange(place, b"a=b\n" * 100000) == b""
        assert await exchange(place, request()[:-1]) == b""
        assert await exchange(place, request()) == refused
        put(store, entry("v@x.test"))
        begun = asyncio.get_running_loop().time()
        while await exchange(place, request(recipient="v@x.test")) != refused:
            assert asyncio.get_running_loop().time() - begun < PATIENCE
            await asyncio.sleep(0.05)

    serving(one, test)
    assert len(one.told) == 2 and all("the policy service was sent" in line for line in one.told)


def test_what_is_open_when_it_ends_is_no_mistake(tmp_path, store):
    told, held = [], []

    async def test() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
        held.extend([await asyncio.open_unix_connection(str(tmp_path / "policy")) for _each in range(3)])
        await asyncio.sleep(0.05)

    serving(service(tmp_path, store), test)
    assert told == []


def test_connections_are_bounded_and_come_back(tmp_path, store):
    one = service(tmp_path, store, connections=2)
    place = str(tmp_path / "policy")

    async def are(many: int) -> None:
        begun = asyncio.get_running_loop().time()
        while one.connections != many and asyncio.get_running_loop().time() - begun < PATIENCE:
            await asyncio.sleep(0.01)

    async def test() -> None:
        held = [await asyncio.open_unix_connection(place) for _each in range(2)]
        await are(2)
        assert await exchange(place, request()) == b"" and one.connections == 2
        for _reader, writer in held:
            writer.close()
        await are(0)
        assert await exchange(place, request()) == b"action=DUNNO\n\n"

    serving(one, test)


def test_it_listens_on_an_address_too(tmp_path, store):
    one = service(tmp_path, store, listen="inet:127.0.0.1:0")

    async def test() -> None:
        server = await one._listen()
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(request())
        assert await asyncio.wait_for(reader.readuntil(b"\n\n"), PATIENCE) == b"action=DUNNO\n\n"
        writer.close()
        server.close()

    asyncio.run(test())


def test_a_copy_that_nobody_keeps_any_more_ends_the_service(tmp_path, store):
    one = service(tmp_path, store, refresh=1)

    def broken() -> None:
        raise AssertionError("broken")

    async def run() -> None:
        running = asyncio.create_task(one.serve(asyncio.Event(), lambda: setattr(one, "refresh", broken)))
        assert await asyncio.wait((running,), timeout=PATIENCE) == ({running}, set())
        await running

    with pytest.raises(AssertionError, match="broken"):
        asyncio.run(run())


def test_an_idle_connection_is_let_go(tmp_path, store, monkeypatch):
    monkeypatch.setattr(policy, "IDLE", 0.05)
    one = service(tmp_path, store)

    async def test() -> None:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "policy"))
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()

    serving(one, test)


@pytest.mark.parametrize(("entries_a_second", "times"), [(10000, 20), (1, 4)])
def test_a_long_copy_is_written_seldom_and_a_short_one_at_once(tmp_path, store, monkeypatch, entries_a_second, times):
    monkeypatch.setattr(policy_copy, "SAVE", entries_a_second)
    one, place = Copy(str(tmp_path / "copy")), str(tmp_path / "copy")
    written = []
    for second in range(0, 100, 5):
        put(store, *[entry(f"u{n}@acme.test") for n in range(30)])
        one.refresh(store, NOW + second)
        written.append(os.stat(place).st_mtime)
    assert len(set(written)) == times
