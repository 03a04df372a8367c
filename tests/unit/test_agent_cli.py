# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line: what it prints, how it ends, and that nothing it says is a traceback."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from agent_world import CONFIG, config, message, read, settings_in
from mailfleet import cli, cli_settings, cli_suppress, cli_tokens
from mailfleet.cli import main
from mailfleet.finding import Kind
from mailfleet.spool import Spool

PACKAGE = Path(cli.__file__).resolve().parents[1]


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run a command with a configuration in tmp_path: its status and what it printed."""
    place = config(tmp_path)
    monkeypatch.setitem(sys.modules, "mailfleet.notices", types.SimpleNamespace(read=read))

    def command(*arguments: str, status: int = 0) -> str:
        found = main(["--config", place, *arguments])
        out, err = capsys.readouterr()
        assert found == status, out + err
        assert "Traceback" not in err and (status in (0, 1)) == (err == "")
        return out + err

    return command


def token(tmp_path, recipient="u@acme.test") -> str:
    return settings_in(tmp_path).keys.new(recipient, "e.example.com", datetime.datetime.now(datetime.UTC).date())


def put(tmp_path, *raws: bytes) -> None:
    spool = Spool(settings_in(tmp_path).maildir)
    for raw in raws:
        spool.deliver(raw)


def test_tokens_are_made_and_checked(run):
    made = run("token", "new", "--recipient", "U@acme.test", "--domain", "E.example.com").strip()
    assert re.fullmatch(r"b\+[a-z2-7]{26}@e\.example\.com", made)
    today = datetime.datetime.now(datetime.UTC).date()
    assert run("token", "check", made) == f"valid, made on {today}\n"
    assert run("token", "check", made, "--recipient", "u@acme.test").endswith(", of u@acme.test\n")
    assert run("token", "check", made, "--recipient", "v@acme.test", status=1).endswith("of none of the given ones\n")
    assert run("token", "check", "b+x@e.example.com", status=1) == "malformed\n"
    assert run("token", "check", made.replace(".com", ".us"), status=1) == "other domain\n"
    assert run("token", "pattern") == "/^b\\+[a-z2-7]{26}@/\n"


def test_a_clock_without_a_day_for_tokens_is_told(run, monkeypatch):
    monkeypatch.setattr(cli_tokens.datetime, "datetime", type("Early", (datetime.datetime,), {
        "now": classmethod(lambda _cls, zone: datetime.datetime(1970, 1, 1, tzinfo=zone))}))
    told = run("token", "new", "--recipient", "u@acme.test", "--domain", "e.example.com", status=5)
    assert told.startswith("mailfleet: the clock of this host: day -18262 since 2020-01-01")


@pytest.mark.parametrize(("arguments", "told"), [
    (["token", "new", "--recipient", "u@acme.test"], "--domain: not given; expected one of e.example.com, e.example"),
    (["token", "new", "--recipient", "nobody"], "--recipient: 'nobody'; expected an address such as user@example.com"),
    (["token", "new", "--recipient", "u@acme.test", "--domain", "x.example"], "--domain: 'x.example'; expected one of"),
    (["suppress", "add", "a b@acme.test"], "ADDRESS: 'a b@acme.test'; expected an address"),
    (["suppress", "add", "u@acme.test", "--days", "-1"], "--days: -1; expected a number of days"),
    (["suppress", "add", "u@acme.test", "--days", "10000000"], "--days: 10000000; expected a number of days, 36500"),
    (["suppress", "add", "u\udcff@acme.test"], "ADDRESS: 'u\\udcff@acme.test'; expected an address"),
    (["suppress", "why", "u@acme\udcff.test"], "ADDRESS: 'u@acme\\udcff.test'; expected an address"),
    (["forget", '"\udcff"@acme.test'], "ADDRESS: '\"\\udcff\"@acme.test'; expected an address"),
    (["suppress", "add", "\x9b31m@acme.test"], "ADDRESS: '\\x9b31m@acme.test'; expected an address"),
    (["suppress", "add", "u@acme.test", "--stream", "\udcff.x"], "--stream: '\\udcff.x'; expected one of"),
    (["forget", "@"], "ADDRESS: '@'; expected an address"),
])
def test_what_cannot_be_used_is_told(run, arguments, told):
    assert run(*arguments, status=5).startswith(f"mailfleet: {told}")


def test_a_configuration_is_checked(run, tmp_path, capsys):
    assert run("check").endswith("agent.json is in order\n")
    assert main(["--config", config(tmp_path, host="?"), "check"]) == 3
    assert "1 mistake:\n  host: '?'; expected a domain name" in capsys.readouterr().err


def test_a_wrong_command_line_ends_with_2(capsys):
    for arguments in ([], ["suppress"], ["nothing"], ["suppress", "add"], ["events", "tail", "--after", "1" + "0" * 20],
                      ["events", "tail", "--lines", "1" + "0" * 20]):
        with pytest.raises(SystemExit) as found:
            main(arguments)
        assert found.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_help_tells_the_exit_statuses(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    for status in ("0 done", "1 the answer is no", "2 a wrong", "3 mistakes", "4 the database", "5 what was", "6 the"):
        assert status in " ".join(told.split())


def test_a_program_that_fails_says_neither_yes_nor_no(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli_suppress.suppressions, "of", lambda *_given: 1 // 0)
    assert main(["--config", config(tmp_path), "suppress", "why", "u@acme.test"]) == 6
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_what_is_printed_is_utf_8_whatever_the_locale(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "mailfleet", "--config", config(tmp_path), "suppress"]
    for arguments in (["add", "用户@acme.test"], ["export", "--format", "jsonl"]):
        found = subprocess.run([*command, *arguments], env=environment, capture_output=True, timeout=60, check=False)
        assert found.returncode == 0 and "用户@acme.test" in found.stdout.decode("utf-8"), found.stderr


def test_a_bounce_goes_all_the_way(run, tmp_path):
    unknown = message("w@acme.test", Kind.SOFT, reason="undetermined", to=token(tmp_path, "w@acme.test"))
    put(tmp_path, message(to=token(tmp_path)), message(), unknown)
    run("bounces", "work", "--once")
    told = run("suppress", "why", "U@acme.test")
    assert "u@acme.test  news  hard  since" in told and "by event" in told and "no such user" in told
    assert "added by rules for news: hard" in told
    shown = [json.loads(line) for line in run("events", "tail").splitlines()]
    assert {(each["recipient"], each["kind"], each["reason"]) for each in shown} == {
        ("u@acme.test", "hard", "userunknown"), ("w@acme.test", "soft", "undetermined")}
    assert len(run("events", "tail", "--lines", "1").splitlines()) == 1
    assert len(run("events", "tail", "--after", "1").splitlines()) == 1
    assert "w@acme.test  soft 5.1.1  no such user" in run("bounces", "unclassified")
    assert json.loads(run("bounces", "unclassified", "--json"))["recipient"] == "w@acme.test"
    assert run("bounces", "quarantine") == "no-token: 1 kept, 0 came again, 0 gone\n"
    listed = run("bounces", "quarantine", "--list").split()
    assert listed[3] == "no-token" and Path(listed[4]).is_file()
    assert "1 messages are judged anew" in run("bounces", "retry", "no-token")
    run("bounces", "work", "--once")
    assert run("bounces", "quarantine") == "no-token: 1 kept, 0 came again, 0 gone\n"
    told = run("bounces", "retry", "no-token", "wrong-mca", status=1)
    assert "for wrong-mca; what is: no-token" in told
    assert run("tidy").startswith("0 events are gone")


def test_the_list_is_changed_by_hand_with_a_trail(run):
    assert "for ever" in run("suppress", "add", "U@acme.test", "--detail", "asked to")
    assert "until" in run("suppress", "add", "u@acme.test", "--stream", "news", "--days", "3")
    assert len(run("suppress", "list").splitlines()) == 2
    assert len(run("suppress", "list", "--stream", "news").splitlines()) == 1
    run("suppress", "remove", "u@acme.test", "--stream", "news", "--detail", "by phone")
    run("suppress", "why", "u@acme.test")
    run("suppress", "remove", "u@acme.test")
    told = run("suppress", "why", "u@acme.test", status=1)
    assert "is not suppressed" in told and told.count("added by ") == 2 and told.count("removed by ") == 2
    assert "asked to" in told and "by phone" in told and "@mta1.example.com" in told
    assert run("suppress", "remove", "u@acme.test", status=1) == "u@acme.test was not on the list\n"


def test_what_is_said_of_an_address_is_a_text_of_one_line(run, tmp_path):
    run("suppress", "add", "u@acme.test", "--detail", "by\udcff\x1b[31m\nphone")
    rows = 'recipient,stream,detail\nv@acme.test,News,"by\0\x9b31m\nphone"\n'
    (tmp_path / "list").write_text(rows, encoding="utf-8")
    run("suppress", "import", str(tmp_path / "list"))
    assert [line.partition("for ever  ")[2] for line in run("suppress", "list").splitlines()] == [
        "by\ufffd\ufffd[31m phone", "by\ufffd\ufffd31m phone"]
    assert "v@acme.test  news  import" in run("suppress", "list", "--stream", "news")


@pytest.mark.parametrize("stream", ["nwes", "example.com", "e.example.us"])
def test_a_stream_that_mail_of_none_would_meet_is_refused(run, tmp_path, stream):
    (tmp_path / "plain").write_text("u@acme.test\n")
    for words in (("add", "u@acme.test"), ("import", str(tmp_path / "plain"))):
        told = run("suppress", *words, "--stream", stream, status=5)
        assert f"--stream: '{stream}'; expected one of news, shop, or a sender domain that none has" in told
    assert run("suppress", "list") == ""
    run("suppress", "add", "u@acme.test", "--stream", "Example.NET")


def test_whoever_asks_about_a_stream_by_another_name_is_not_told_no(run):
    run("suppress", "add", "u@acme.test", "--stream", "news")
    for name in ("news", "News"):
        assert "news  manual" in run("suppress", "why", "u@acme.test", "--stream", name)
        assert "u@acme.test" in run("suppress", "list", "--stream", name)
        assert "u@acme.test" in run("suppress", "export", "--stream", name)
    run("suppress", "why", "u@acme.test", "--stream", "shop", status=1)
    for name in ("nwes", "example.com"):
        told = run("suppress", "why", "u@acme.test", "--stream", name, status=5)
        assert f"--stream: '{name}'; expected one of news, shop" in told
    assert "is off the list of news" in run("suppress", "remove", "u@acme.test", "--stream", "NEWS")


def test_what_is_exported_can_be_imported(run, tmp_path):
    run("suppress", "add", "u@acme.test", "--detail", 'says "no", twice')
    run("suppress", "add", "v@acme.test", "--stream", "news", "--days", "3")
    exported = {kind: run("suppress", "export", "--format", kind) for kind in ("csv", "jsonl")}
    rows = list(csv.DictReader(io.StringIO(exported["csv"])))
    assert rows == [{name: value or "" for name, value in json.loads(line).items()}
                    for line in exported["jsonl"].splitlines()]
    assert [(each["stream"], each["recipient"], each["detail"]) for each in rows] == [
        ("*", "u@acme.test", 'says "no", twice'), ("news", "v@acme.test", "")]
    for kind, text in exported.items():
        (tmp_path / "list").write_text(text)
        assert run("suppress", "import", str(tmp_path / "list")) == "0 added, 2 were on the list already\n"
        run("suppress", "remove", "u@acme.test")
        assert run("suppress", "import", str(tmp_path / "list")) == "1 added, 1 were on the list already\n"
        assert run("suppress", "export", "--format", kind) == text


def test_plain_addresses_are_imported_and_what_ended_is_not(run, tmp_path):
    (tmp_path / "plain").write_text("\ufeffU@acme.test\r\n\r\nv@acme.test\n")
    run("suppress", "import", str(tmp_path / "plain"), "--stream", "news")
    (tmp_path / "old.csv").write_text("recipient,until\nw@acme.test,2020-01-01\nx@acme.test,2999-01-01\n")
    assert run("suppress", "import", str(tmp_path / "old.csv")) == "1 added, 0 were on the list already\n"
    listed = [line.split()[:2] for line in run("suppress", "list").splitlines()]
    assert listed == [["x@acme.test", "all"], ["u@acme.test", "news"], ["v@acme.test", "news"]]


@pytest.mark.parametrize(("text", "told"), [
    ("recipient,until\nno address,\nu@acme.test,soon\nv@acme.test,\n",
     ["list:2: recipient: 'no address'; expected an address", "list:3: until: 'soon'; expected a date"]),
    ('{"recipient": "u@acme.test"}\n{"recipient": 1}\n{"rec\n[1]\n{"recipient": "v@acme.test", "detail": []}\n',
     ["list:2: recipient: '1'", "list:3: no JSON", "list:4: '[1]'; expected a JSON object", "list:5: detail: []"]),
    ("address,why\nu@acme.test,\n", ["list:1: the columns address, why; expected recipient among them"]),
    ("recipient,detail\nu@acme.test,\"it\n" + "v@acme.test,x\n" * 20000, ["no CSV: field larger than", "quotation"]),
    ('{"recipient": "u@acme.test"}\n' + "[" * 100000, ["list:2: no JSON"]),
    ('{"recipient": "\\ud800@acme.test"}', ["list:1: recipient: '\\ud800@acme.test'; expected an address"]),
    ("recipient,until\nu@acme.test,9999-12-31T23:59:59-14:00\n", ["list:2: until: '9999-12-31T23:59:59-14:00'"]),
    ("recipient,stream\nu@acme.test,News\nv@acme.test,nwes\n", ["list:3: stream: 'nwes'; expected one of news, shop"]),
])
def test_a_file_with_mistakes_imports_nothing(run, tmp_path, text, told):
    (tmp_path / "list").write_text(text)
    found = run("suppress", "import", str(tmp_path / "list"), status=5)
    assert "nothing was imported" in found and [each for each in told if each not in found] == []
    assert run("suppress", "list") == ""


def test_a_file_that_cannot_be_read_is_told(run, tmp_path):
    assert "No such file" in run("suppress", "import", str(tmp_path / "none"), status=4)
    (tmp_path / "latin").write_bytes(b"\xe9@acme.test\n")
    assert "octet 0 is no UTF-8" in run("suppress", "import", str(tmp_path / "latin"), status=5)


def test_an_address_is_forgotten_everywhere(run, tmp_path):
    put(tmp_path, message(to=token(tmp_path)), message(), message("v@acme.test"))
    put(tmp_path, *[message("v@acme.test", to=token(tmp_path, f"{whose}@acme.test"), extra="!") for whose in "uw"])
    run("bounces", "work", "--once")
    told = run("forget", "U@Acme.Test")
    # One of these messages does not name it: it carries a token of its.
    assert told == ("1 events, 1 entries of the list, 1 of its trail, 2 messages in this host's quarantine are gone\n")
    assert run("events", "tail") == "" and run("suppress", "list") == ""
    left = b"".join(each.read_bytes() for each in Path(tmp_path).rglob("*") if each.is_file())
    assert b"v@acme.test" in left and b"u@acme.test" not in left


def test_a_store_that_does_not_answer_ends_with_4(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mailfleet.notices", types.SimpleNamespace(read=read))
    place = config(tmp_path, store={"sqlite": str(tmp_path / "no" / "x.db")})
    assert main(["--config", place, "suppress", "list"]) == 4
    put(tmp_path, message(to=token(tmp_path)))
    place = config(tmp_path, store={"sqlite": str(tmp_path / "no" / "x.db")})
    assert main(["--config", place, "bounces", "work", "--once"]) == 4
    assert "1 messages wait for it" in capsys.readouterr().err
    assert len(Spool(settings_in(tmp_path).maildir).names()) == 1


def test_postgresql_without_its_library_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "mailfleet.store_postgresql", raising=False)
    place = config(tmp_path, store={"postgresql": "host=/nowhere"})
    assert main(["--config", place, "suppress", "list"]) == 3
    assert "python3-psycopg" in capsys.readouterr().err


def test_root_becomes_the_agents_user(tmp_path, monkeypatch, capsys):
    done = []
    for name in ("initgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda *given, name=name: done.append((name, *given)))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("HOME", "/root")
    wanted = types.SimpleNamespace(pw_name="mailfleet", pw_uid=7, pw_gid=8, pw_dir="/its/home")
    monkeypatch.setattr(cli_settings.pwd, "getpwnam", {"mailfleet": wanted}.__getitem__)
    assert main(["--config", config(tmp_path, user="mailfleet"), "check"]) == 0
    assert done == [("initgroups", "mailfleet", 8), ("setgid", 8), ("setuid", 7)]
    assert os.environ["HOME"] == "/its/home"
    assert main(["--config", config(tmp_path, user="nobody-here"), "check"]) == 3
    assert "there is no user 'nobody-here'" in capsys.readouterr().err
    assert "user" not in CONFIG


@contextlib.contextmanager
def started(place: str, *arguments: str):
    """A resident command, which is killed where the test ends before it."""
    command = [sys.executable, "-m", "mailfleet", "--config", place, *arguments]
    with subprocess.Popen(command, cwd=PACKAGE, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()


def caught(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM by now."""
    found = re.search(r"^SigCgt:\t([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(found and int(found[1], 16) >> signal.SIGTERM - 1 & 1)


@pytest.mark.parametrize("arguments", [
    ["events", "tail", "--follow"], ["policy", "serve"], ["events", "send"], ["bounces", "fetch"]])
def test_resident_commands_tell_that_they_are_ready_and_end_in_order(tmp_path, monkeypatch, arguments):
    place = config(tmp_path)
    main(["--config", place, "suppress", "list"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with started(place, *arguments) as running:
            if arguments[:2] != ["events", "tail"]:
                assert notify.recv(100) == b"READY=1"
            begun = time.monotonic()
            while not caught(running.pid) and time.monotonic() - begun < 60:
                time.sleep(0.02)
            running.send_signal(signal.SIGTERM)
            out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(("arguments", "part", "secret"), [
    (["bounces", "fetch"], {"mailboxes": {"old": {"protocol": "pop3", "host": "127.0.0.1", "user": "u"}}}, "secret"),
    (["events", "send"], {"webhooks": {"old": {}}}, "s" * 16)])
def test_who_waits_for_a_host_that_says_nothing_ends_in_time(run, tmp_path, arguments, part, secret):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        port = silent.getsockname()[1]
        (name, peers), = part.items()
        where = {"port": port} if name == "mailboxes" else {"url": f"http://127.0.0.1:{port}/"}
        wanted = {name: {"old": {**peers["old"], **where, "timeout": 120}}, "secrets": {name: {"old": secret}}}
        config(tmp_path, **wanted)
        if name == "webhooks":
            run("events", "send", "--once")  # a hook begins with what comes
        put(tmp_path, message(to=token(tmp_path)))
        run("bounces", "work", "--once")
        with started(config(tmp_path, **wanted), *arguments) as running:
            connection, _address = silent.accept()
            running.send_signal(signal.SIGTERM)
            assert running.wait(60) == 0
            connection.close()


def test_events_are_followed(run, tmp_path):
    run("suppress", "list")
    with started(str(tmp_path / "agent.json"), "events", "tail", "--follow") as running:
        begun = time.monotonic()
        while not caught(running.pid) and time.monotonic() - begun < 60:
            time.sleep(0.02)
        time.sleep(0.1)  # it looks where the events end
        put(tmp_path, message(to=token(tmp_path)))
        run("bounces", "work", "--once")
        line = json.loads(running.stdout.readline())
        running.stdout.close()  # who reads has enough
        put(tmp_path, message(to=token(tmp_path), extra="another"))
        run("bounces", "work", "--once")
        assert running.wait(60) == 0
        assert running.stderr.read() == ""
    assert line["recipient"] == "u@acme.test"
