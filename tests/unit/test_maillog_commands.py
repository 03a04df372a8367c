# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``mailfleet log report``, ``trace`` and ``advise``: what they print, and how they end."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import time

import pytest
import yaml
from log_world import HOST, PROVIDERS, START, VIEW, LogWorld
from mailfleet.cli import main
from mailfleet.errors import Trouble
from mailfleet.maillog import advise, files, report
from mailfleet.maillog.totals import Totals
from mailfleet.maillog.view import View

WORLD = LogWorld(seed=11, every=20.0)
TEXT = WORLD.text(4000)
MX = "aspmx.l.google.com[192.0.2.1]"


@pytest.fixture
def run(tmp_path, capsys):
    """Run a command on a log in tmp_path: its status and what it printed."""
    log = tmp_path / "mail.log"
    log.write_bytes(TEXT)
    config = tmp_path / "agent.json"
    config.write_text(json.dumps({"host": HOST, "maillog": VIEW}))

    def command(*arguments: str, status: int = 0, place: object = log, config: object = config) -> str:
        found = main(["--config", str(config), "log", *arguments, *([str(place)] if place else [])])
        out, err = capsys.readouterr()
        assert found == status, out + err
        assert "Traceback" not in err and (status in (0, 1)) == (err == "")
        return out + err

    return command


def sentence(at: int, service: str, said: str, host: str = "mta1") -> bytes:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(START + at))
    return f"{stamp} {host} {service}[7]: {said}\n".encode()


def written(folder, *lines: bytes):
    (folder / "made.log").write_bytes(b"".join(lines))
    return folder / "made.log"


def number(text: str, row: str, column: int) -> int:
    """A number of a table."""
    found = re.search(rf"^{re.escape(row)} +(.*)$", text, re.MULTILINE)
    assert found, text
    return int(found[1].split()[column].replace(",", ""))


def test_the_report_says_what_was_written(run):
    text = run("report")
    rows = WORLD.says["rows"]
    for provider in (*PROVIDERS, "other", "local"):
        for column, outcome in enumerate(("delivered", "deferred", "bounced", "expired", "rejected", "suppressed")):
            many = sum(each for row, each in rows.items() if row[0] == provider and row[2] == outcome)
            assert number(text, provider, column) == many
    assert number(text, "all", 0) == sum(each for row, each in rows.items() if row[2] == "delivered")
    assert number(text, "192.0.2.11", 0) == sum(
        each for row, each in rows.items() if row[1] == "192.0.2.11" and row[2] == "delivered")
    assert number(text, "gmail.com", 0) == WORLD.says["domains"]["gmail.com", "delivered"]
    assert f"{WORLD.says['deferred']['messages']} messages" in text and HOST in text
    assert "Delivered over TLS: google 100.0 %" in text and "user-unknown (recipient)" in text
    assert max(map(len, text.splitlines())) <= report.WIDTH
    delays = re.search(r"^google +(\S+) +0.02/0.02/0.02 +0.32/0.32/0.32 +0.17/0.17/0.17 +\S+$", text, re.MULTILINE)
    assert delays and [float(each) for each in delays[1].split("/")] == sorted(map(float, delays[1].split("/")))


def test_the_report_as_json_has_the_same(run):
    found = json.loads(run("report", "--json"))
    again = Totals.from_json(found["totals"])
    assert again.by("provider", "address", "outcome", "reason") == WORLD.says["rows"]
    assert found["hosts"] == [HOST] and found["providers_known"] and found["waiting"]["oldest"] is None
    assert {each["stage"] for each in found["delays"] if each["provider"] == "google"} == {
        "before", "queue", "connect", "send", "total"}
    assert all(each["p50"] <= each["p90"] <= each["p99"] for each in found["delays"])


def test_the_report_is_of_what_is_asked_for(run):
    middle = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(START + 7200))
    halves = [json.loads(run("report", "--json", option, middle))["totals"] for option in ("--since", "--until")]
    whole = Totals.from_json(halves[0]) + Totals.from_json(halves[1])
    assert whole.by("provider", "address", "outcome", "reason") == WORLD.says["rows"]
    told = run("report", "--json", "--provider", "google", "--domain", "GMAIL.com")
    found = Totals.from_json(json.loads(told)["totals"])
    assert set(found.by("provider")) == {("google",)} and set(found.domains) == {"gmail.com"}
    assert "no outcome of any mail" in run("report", "--since", "1h")
    assert "expected a time such as" in run("report", "--since", "yesterday", status=5)


def test_what_can_never_be_counted_is_no_report_that_all_is_quiet(run, tmp_path):
    told = run("report", "--provider", "google", "--provider", "gogle", status=5)
    assert told.startswith("mailfleet: --provider: 'gogle'; expected one of google, local, orange, other, yahoo\n")
    told = run("report", "--provider", "google", config=tmp_path / "none.json", status=5)
    assert "expected one of local, other. " in told and "none.json has no others, or who asks may not read it" in told
    for command in ("report", "advise"):
        told = run(command, "--since", "1h", "--until", "2h", status=5)
        assert "--until: '2h'; expected a time behind that of --since, 1h" in told


def test_of_what_is_asked_for_there_may_be_nothing(run, tmp_path):
    place = tmp_path / "lane.log"
    place.write_bytes(sentence(0, "postfix/smtp", "A0001: to=<a@gmail.com>, relay=127.0.0.1[127.0.0.1]:10025, delay=1, "
                               "delays=1/0/0/0, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as A0002)"))
    for asked, many in (("google", 1), ("orange", 0)):
        text = run("report", "--provider", asked, place=place)
        assert "1 line, no outcome of any mail that was asked for" in " ".join(text.split()) and "Deferred" not in text
        assert ("Mail was passed on within this host 1 time." in text) is bool(many)


def test_a_command_that_is_not_whole_names_what_there_is(capsys):
    for arguments, named in (
            ((), "suppress,"), (("log",), "{report,trace,advise,follow}"), (("log", "trace"), "TOKEN\n")):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        last = capsys.readouterr().err.splitlines(keepends=True)[-1]
        assert "arguments are required" in last and named in last


def test_the_report_without_a_configuration_says_so(run, tmp_path):
    text = run("report", config=tmp_path / "none.json")
    assert max(map(len, text.splitlines())) <= report.WIDTH
    assert "No providers are configured" in text and number(text, "other", 0) > 0
    (tmp_path / "none.json").write_text(json.dumps({"maillog": {"providers": {"x": {"mx": ["A b"]}}, "what": 1}}))
    told = run("report", config=tmp_path / "none.json", status=3)
    assert "maillog.providers.x.mx[0]" in told and "what" in told


def test_what_waits_is_told(run, tmp_path):
    place = tmp_path / "waits.log"
    place.write_bytes(sentence(0, "postfix/smtp", "4cRzFz1KvWz9tqr: to=<a@gmail.com>, relay=none, delay=3600, "
                               "delays=1/1/1/1, dsn=4.4.1, status=deferred (connect to x[192.0.2.9]:25: timed out)"))
    with place.open("ab") as file:
        file.writelines(sentence(1, f"program-{each}", "what it says is its own") for each in range(40))
    text = run("report", place=place)
    assert max(map(len, text.splitlines())) <= report.WIDTH and "program-39 1" in text
    text = " ".join(text.split())
    assert "Still waiting: 1, the oldest since 2025-12-31 19:00 UTC (4cRzFz1KvWz9tqr)" in text


@pytest.mark.parametrize(("success", "told"), [
    ((), "OpenDKIM told of 1 error."),
    (("A0001: DKIM-Signature field added (s=x, d=example.com)",),
     "OpenDKIM signed 1 message, and told of 1 error."),
])
def test_how_many_were_signed_is_told_where_opendkim_tells(run, tmp_path, success, told):
    said = (*success, "A0002: SSL error:1E08010C:DECODER routines::unsupported")
    (tmp_path / "log").write_bytes(b"".join(sentence(1, "opendkim", each) for each in said))
    assert told in run("report", place=tmp_path / "log")


def test_no_name_of_the_log_steers_a_terminal(run, tmp_path):
    evil = "\x1b\x9b1m\x7f"
    wait = (f"A1: to=<a@x{evil}.example>, relay=none, delay=9e8, delays=0/0/0/1, dsn=4.4.1, "
            f"status=deferred (said {evil})")
    log = written(tmp_path, sentence(1, f"postfix/x{evil}/smtp", wait), sentence(1, f"y{evil}", "x"))
    text = run("report", place=log)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert all(f"{before}\ufffd" in text for before in ("said ", "y")) and "\ufffd.example" in text


def test_a_page_is_made_of_a_delay_from_before_the_epoch(run, tmp_path):
    wait = "A1: to=<a@x.example>, relay=none, delay=999999999, delays=0/0/0/1, dsn=4.4.1, status=deferred (x)"
    log = written(tmp_path, f"1990-01-01T00:00:00Z mta1 postfix/smtp[7]: {wait}\n".encode())
    assert run("report", "--html", str(tmp_path / "p.html"), place=log) == ""
    assert "1970-01-01" in (tmp_path / "p.html").read_text()


def test_packed_and_rotated_files_are_read(run, tmp_path, monkeypatch):
    lines = TEXT.splitlines(keepends=True)
    third = len(lines) // 3
    (tmp_path / "mail.log.2.gz").write_bytes(gzip.compress(b"".join(lines[:third])))
    (tmp_path / "mail.log.1.xz").write_bytes(lzma.compress(b"".join(lines[third : 2 * third])))
    (tmp_path / "mail.log").write_bytes(b"".join(lines[2 * third :]))
    (tmp_path / "mail.log.3").touch()
    os.mkfifo(tmp_path / "mail.log.4")
    for age, name in enumerate(("mail.log", "mail.log.1.xz", "mail.log.2.gz")):
        os.utime(tmp_path / name, (START + 9e6 - age * 9000,) * 2)
    assert files.of_log(str(tmp_path / "mail.log")) == [
        str(tmp_path / name) for name in ("mail.log.2.gz", "mail.log.1.xz", "mail.log")]
    monkeypatch.setattr(files.of_log, "__defaults__", (str(tmp_path / "mail.log"),))
    found = Totals.from_json(json.loads(run("report", "--json", place=None))["totals"])
    assert found.by("provider", "address", "outcome", "reason") == WORLD.says["rows"]


def test_what_cannot_be_read_is_said(run, tmp_path):
    assert "no.log: No such file" in run("report", place=tmp_path / "no.log", status=5)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(TEXT)[:-2000])
    assert "cut.gz: cannot be read whole" in run("report", place=tmp_path / "cut.gz", status=5)
    with pytest.raises(Trouble, match="no such log"):
        files.of_log(str(tmp_path / "nothing"))
    assert "read more than once" in run("trace", "a@b.example", place="-", status=5)


STORY = [
    (0, "postfix/submission/smtpd", "connect from app[192.0.2.7]"),
    (1, "postfix/submission/smtpd", "A0001: client=app[192.0.2.7], sasl_username=app"),
    (1, "postfix/cleanup", "A0001: message-id=<1@app>"),
    (1, "opendkim", "A0001: DKIM-Signature field added (s=x, d=example.com)"),
    (1, "postfix/qmgr", "A0001: from=<b+abcdefghijklmnopqrstuvwxyz@e.example.com>, size=1, nrcpt=1 (queue active)"),
    (2, "postfix-google/smtpd", "A0002: client=mta1[127.0.0.1]"),
    (2, "postfix/lane/smtp", "A0001: to=<ann@gmail.com>, relay=127.65.1.1[127.65.1.1]:10025, delay=1, delays=0/0/0/1, "
                             "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as A0002)"),
    (2, "postfix/qmgr", "A0001: removed"),
    (3, "postfix-google/out-192-0-2-10/smtp", f"A0002: to=<ann@gmail.com>, relay={MX}:25, delay=1, delays=0/0/0/1, "
                                              "dsn=5.1.1, status=bounced (host x said: 550 5.1.1 unknown)"),
    (3, "postfix-google/bounce", "A0002: sender non-delivery notification: A0003"),
    (3, "postfix-google/qmgr", "A0003: from=<>, size=1, nrcpt=1 (queue active)"),
    (3, "postfix-google/qmgr", "A0002: removed"),
    (4, "postfix-google/back/smtp", "A0003: to=<b+abcdefghijklmnopqrstuvwxyz@e.example.com>, relay=127.0.0.1[127.0.0.1]"
                                    ":25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 Ok: queued as A0004)"),
    (5, "postfix/virtual", "A0004: to=<bounces@example.com>, relay=virtual, delay=0, delays=0/0/0/0, dsn=2.0.0, "
                           "status=sent (delivered to maildir)"),
]
# None of these is of that story: other addresses and ids, the same id in another instance or on another host.
OTHERS = [
    (1, "postfix/qmgr", "A0009: from=<b+abcdefghijklmnopqrstuvwxyy@e.example.com>, size=1, nrcpt=1 (queue active)"),
    # Somebody else's queue id, and that of a lane of the lane's.
    (2, "postfix/smtp", f"A0009: to=<joann@gmail.com>, relay={MX}:25, delay=1, delays=0/0/0/1, dsn=2.0.0, "
     "status=sent (250 Ok: queued as A0002)"),
    (2, "postfix-google/lane/smtp", "A0008: to=<a@b.example>, relay=127.66.1.1[127.66.1.1]:10025, delay=1, "
     "delays=0/0/0/1, dsn=2.0.0, status=sent (250 Ok: queued as A0002)"),
    (2, "postfix/smtp", f"A0002: to=<ann@gmail.com.ex>, relay={MX}:25, delay=1, delays=0/0/0/1, dsn=2.0.0, "
     "status=sent (ok)"),
    (3, "postfix/qmgr", "A00010: removed"),
]


@pytest.fixture
def story(tmp_path):
    place = tmp_path / "story.log"
    lines = sorted([*STORY, *OTHERS], key=lambda each: each[0])
    elsewhere = sentence(9, "postfix/qmgr", "A0001: removed", "mta2")
    place.write_bytes(b"".join(sentence(*each) for each in lines) + elsewhere)
    return place


@pytest.mark.parametrize("wanted", ["ANN@gmail.com", "<ann@gmail.com>", "b+abcdefghijklmnopqrstuvwxyz@e.example.com",
                                    "abcdefghijklmnopqrstuvwxyz"])
def test_a_story_is_whole_and_in_order(run, story, wanted):
    (found,) = map(json.loads, run("trace", "--json", wanted, place=story).splitlines())
    assert [(each["who"], each["said"]) for each in found["lines"]] == [each[1:] for each in STORY[1:]]
    assert set(found["ids"]) == {"A0001", "A0002", "A0003", "A0004"}


def test_a_story_is_found_by_each_of_its_ids(run, story):
    for queue_id in ("A0001", "A0003", "A0004"):
        found = [json.loads(each) for each in run("trace", "--json", queue_id, place=story).splitlines()]
        said = max((each["lines"] for each in found), key=len)
        assert [(each["who"], each["said"]) for each in said] == [each[1:] for each in STORY[1:]], queue_id
    # On another host, and in the main instance, these are other messages.
    assert len(run("trace", "--json", "A0001", place=story).splitlines()) == 2
    assert len(run("trace", "--json", "A0002", place=story).splitlines()) == 2


def test_what_a_content_filter_hands_back_is_the_same_message(run, tmp_path):
    lines = [(1, "postfix/smtp", "B0001: to=<a@b.example>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, delays=0/0/0/1, "
              "dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as B0002)"),
             (2, "postfix/smtpd", "B0002: client=localhost[127.0.0.1]"), (3, "postfix/qmgr", "B0002: removed")]
    (tmp_path / "f.log").write_bytes(b"".join(sentence(*each) for each in lines))
    for queue_id in ("B0001", "B0002"):
        (found,) = map(json.loads, run("trace", "--json", queue_id, place=tmp_path / "f.log").splitlines())
        assert [each["said"] for each in found["lines"]] == [each[2] for each in lines]


def test_a_story_is_told_to_people(run, story):
    text = run("trace", "ann@gmail.com", place=story)
    assert text.startswith("Message A0001, A0002") and "postfix-google/out-192-0-2-10/smtp\n      A0002: to=" in text
    assert "says nothing of" in run("trace", "nobody@gmail.com", place=story, status=1)
    assert "expected an address" in run("trace", "what is this", place=story, status=5)


def test_what_was_refused_is_a_story_of_its_own(run, tmp_path):
    said = ("NOQUEUE: reject: RCPT from x[192.0.2.7]: 550 5.1.1 <a@b.example>: unknown; from=<c@d.example> "
            "to=<a@b.example> proto=ESMTP helo=<x>")
    refused = [sentence(at, "postfix/smtpd", said) for at in range(2)]
    (tmp_path / "r.log").write_bytes(b"".join(refused))
    assert run("trace", "a@b.example", place=tmp_path / "r.log").count("Refused\n") == 2


def limited(many: int, said: str, to: str = "ann@gmail.com", relay: str = MX) -> list[bytes]:
    return [sentence(60 + at, "postfix/ip-192-0-2-10/smtp", f"B{at:04X}: to=<{to}>, relay={relay}:25, delay=1, "
                     f"delays=0/0/0/1, dsn=4.7.0, status=deferred (host {relay} said: {said})") for at in range(many)]


def taken(many: int, to: str = "ann@gmail.com", relay: str = MX) -> list[bytes]:
    return [sentence(at, "postfix/ip-192-0-2-10/smtp", f"C{at:04X}: to=<{to}>, relay={relay}:25, delay=1, "
                     "delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)") for at in range(many)]


def advice(run, tmp_path, *lines: bytes) -> tuple[list, str]:
    (tmp_path / "a.log").write_bytes(b"".join(lines))
    text = run("advise", place=tmp_path / "a.log")
    return (yaml.safe_load(text) or {}).get("sending_providers", []), text


def test_a_rate_is_advised_from_what_was_taken(run, tmp_path):
    said = "421-4.7.28 Our system has detected an unusual rate of unsolicited mail"
    found, text = advice(run, tmp_path, *taken(1000), *limited(60, said))
    assert found == [{"name": "google", "rate": "13/m"}]  # four fifths of 1,000 an hour, from one address
    assert f"host {MX} said: {said}" in text and "60 of 1,060 attempts" in text


def test_a_rate_is_for_each_of_the_addresses(run, tmp_path):
    both = [line.replace(b"ip-192-0-2-10", b"ip-192-0-2-11") if at % 2 else line for at, line in enumerate(taken(1000))]
    found, text = advice(run, tmp_path, *both, *limited(60, "421 an unusual rate"))
    assert found == [{"name": "google", "rate": "400/h"}] and "from 2 of our addresses" in text


def test_connections_are_advised_where_they_are_too_many(run, tmp_path):
    config = tmp_path / "c.json"
    limits = {**PROVIDERS["orange"], "connections": 4, "messages": 30}
    config.write_text(json.dumps({"maillog": {"providers": {"orange": limits}}}))
    for said, expected in (("421 too many connections, slow down", {"connections": 2}),
                           ("421 too many messages per connection", {"messages": 15}),
                           ("452 4.5.3 too many recipients", {"recipients": 20})):
        (tmp_path / "a.log").write_bytes(b"".join([*taken(100, "a@orange.fr"), *limited(9, said, "a@orange.fr")]))
        found = yaml.safe_load(run("advise", place=tmp_path / "a.log", config=config))["sending_providers"]
        assert found == [{"name": "orange", **expected}]


@pytest.mark.parametrize(("limit", "said", "expected"), [
    ({"recipients": 5}, "452 4.5.3 too many recipients", {"recipients": 2}),
    # It took 100 in an hour, some of it before the limit was set.
    ({"rate": "1/m"}, "421 an unusual rate", {"rate": "48/h"}),
    ({"rate": "9/s"}, "421 an unusual rate", {"rate": "80/h"}),
    ({"rate": "600/d"}, "421 an unusual rate", {"rate": "20/h"}),
    ({"connections": 1}, "421 too many connections, slow down", {"rate": "80/h"})])
def test_what_is_advised_is_less_than_what_is_set(run, tmp_path, limit, said, expected):
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"maillog": {"providers": {"orange": {**PROVIDERS["orange"], **limit}}}}))
    log = written(tmp_path, *taken(100, "a@orange.fr"), *limited(9, said, "a@orange.fr"))
    found = yaml.safe_load(run("advise", place=log, config=config))["sending_providers"]
    assert found == [{"name": "orange", **expected}]


def test_who_has_no_provider_gets_an_entry(run, tmp_path):
    place = "mx.acme.example[192.0.2.5]"
    found, _text = advice(run, tmp_path, *taken(90, "a@163.example", place),
                          *limited(30, "450 4.7.1 you send too fast, try later", "a@163.example", place))
    assert found == [{"name": "163-example", "domains": ["163.example"], "rate": "72/h"}]


def test_greylisting_and_a_few_answers_are_no_reason(run, tmp_path):
    found, text = advice(run, tmp_path, *taken(50), *limited(40, "450 4.7.1 Greylisted, come back later"),
                         *limited(4, "421 too many connections"))
    assert found == [] and "Greylisting put off 40 attempts" in text
    found, _text = advice(run, tmp_path, *taken(3000), *limited(6, "421 too many connections"))
    assert found == []


def test_rates_are_as_the_inventory_takes_them():
    assert [advise.rate(each) for each in (0.2, 7.9, 599, 600, 35_999, 36_000, 90_000)] == [
        "1/h", "7/h", "599/h", "10/m", "599/m", "10/s", "25/s"]


def test_a_view_tells_all_that_is_wrong():
    with pytest.raises(Trouble) as told:
        View.of({"providers": {"a": {"mx": ["x.example"]}, "b": {"mx": ["x.example"], "rate": 3}},
                 "addresses": {"x": 1}, "streams": []})
    for part in ("providers.b: 'x.example'", "providers.b.rate", "addresses.x", "streams"):
        assert part in str(told.value)
    assert View.of({}) == View()
