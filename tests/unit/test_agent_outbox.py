# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Events to applications: in order, each at least once, signed, and by one host at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import http.server
import json
import re
import ssl
import threading
import time
from pathlib import Path

import certificates
import pytest
from agent_world import NOW, store, stores
from mailfleet import events, outbox, reasons
from mailfleet.event import LOG, UNPROVED, Event
from mailfleet.finding import Kind, Scope
from mailfleet.outbox import MOST_REFUSALS, Sender
from mailfleet.settings import Hook, Rules
from mailfleet.unsigned import SOURCE as UNSIGNED
from mailfleet.webhook import Delivery, body_of, post, signature

__all__ = ["store", "stores"]
SECRET = "a secret of the hook"
HOOK = Hook("app", "http://127.0.0.1:1/", SECRET, batch=3)
TAKEN, REFUSED = Delivery(True, False, "status 200"), Delivery(False, True, "status 422")
FAILED = Delivery(False, False, "connection refused")


def event(name: str) -> Event:
    return Event(name, NOW, "mta1", "bounce", "hard", "r", "recipient", "5.1.1", "news", f"{name}@acme.test", "", name,
                 1, "text", "rule")


def record(store, *names: str) -> None:
    with store.transaction():
        events.record(store, [event(name) for name in names], Rules(), NOW)


class Application:
    """Answers what it is told to, and keeps what it took."""

    def __init__(self, *answers: Delivery) -> None:
        self.answers, self.asked, self.taken = list(answers), [], []

    def __call__(self, _hook: Hook, batch, _timestamp: int) -> Delivery:
        self.asked.append([each.key for each in batch])
        answer = self.answers.pop(0) if self.answers else TAKEN
        if answer.taken:
            self.taken += self.asked[-1]
        return answer


class Clock:
    now = float(NOW)

    def __call__(self) -> float:
        return self.now


def sender(store, application, clock=None, holder="here", steps=lambda _name: None) -> Sender:
    told: list[str] = []
    made = Sender(HOOK, store, holder, told.append, clock or Clock(), application, steps)
    made.told = told
    made.round()  # a new hook begins with what comes
    return made


def drain(one: Sender, most: int = 50) -> None:
    for _each in range(most):
        if one.round():
            return
    raise AssertionError("it never ends")


def test_events_come_in_order_and_once(store):
    record(store, "before")
    application = Application()
    one = sender(store, application)
    record(store, *"abcd")
    record(store, "e")
    drain(one)
    assert application.asked == [["a", "b", "c"], ["d", "e"]]
    drain(one)
    drain(sender(store, application, holder="elsewhere"))
    assert application.taken == list("abcde") and one.told == []


def test_an_application_that_is_down_is_tried_again_with_growing_pauses(store):
    application, clock = Application(*[FAILED] * 13), Clock()
    one = sender(store, application, clock)
    record(store, *"abcd")
    pauses, last = [], clock.now
    while not application.taken:
        one.round()
        if len(application.asked) > len(pauses) + 1:  # pauses are multiples of five
            pauses.append(clock.now - last)
            last = clock.now
        clock.now += 5
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]
    drain(one)
    assert application.taken == list("abcd")
    assert one.told == ["webhook app: connection refused; events wait, and are tried again",
                        "webhook app takes events again"]


def test_an_event_that_is_refused_for_good_holds_the_others_for_a_while_only(store):
    clock = Clock()

    def application(_hook, batch, _timestamp):
        keys = [each.key for each in batch]
        asked.append(keys)
        if "b" in keys:
            return REFUSED
        taken.extend(keys)
        return TAKEN

    asked, taken = [], []
    one = sender(store, application, clock)
    record(store, *"abc")
    while "c" not in taken:
        one.round()
        clock.now += 600
    assert taken == ["a", "c"]
    assert asked[:3] == [["a", "b", "c"], ["a"], ["b"]] and asked.count(["b"]) == MOST_REFUSALS
    assert any("event b was refused" in line for line in one.told)


def test_one_host_delivers_at_a_time_and_another_goes_on_where_it_ended(stores):
    clock, application = Clock(), Application()
    one, two = sender(stores(), application, clock), sender(stores(), application, clock, "there")
    record(stores(), *"abc")
    assert one._take(NOW) == (0, 0)  # it holds the hook, and is killed
    assert two.round() == 1 and application.asked == []
    looked, two._due = two._due, lambda _now: True
    assert two.round() == 1 and application.asked == []  # nor where it looked before the other came
    two._due = looked
    clock.now += HOOK.timeout * 3 + outbox.HOLD
    assert two.round() == 0 and application.taken == list("abc")
    one._note(0, 0, 0)  # too late: the hook is not its own any more
    drain(two)
    assert application.taken == list("abc")


@pytest.mark.parametrize("held", [True, False])
def test_a_clock_that_was_set_back_keeps_no_event(store, held):
    clock, application = Clock(), Application(FAILED)
    one = sender(store, application, clock)
    record(store, *"ab")
    clock.now += 30 * 86400
    assert one._take(int(clock.now)) if held else one.round()
    clock.now = NOW
    drain(sender(store, Application(), clock, "there") if held else one)
    assert store.rows("SELECT upto FROM outbox") == [(2,)]


def test_cut_off_before_it_is_noted_the_same_is_sent_again(store):
    def cut(name: str) -> None:
        if name == "posted":
            raise KeyboardInterrupt

    clock, application = Clock(), Application()
    one = sender(store, application, clock, steps=cut)
    record(store, *"ab")
    with pytest.raises(KeyboardInterrupt):
        one.round()
    clock.now += 1000
    drain(sender(store, application, clock, "again"))
    assert application.asked == [["a", "b"], ["a", "b"]]


def test_what_was_forgotten_is_not_sent(store):
    application = Application()
    one = sender(store, application)
    record(store, *"abc")
    with store.transaction():
        events.forget(store, "b@acme.test")
    drain(one)
    assert application.taken == ["a", "c"]
    record(store, "d")
    with store.transaction():
        events.forget(store, "d@acme.test")
    drain(one)
    assert one._due(NOW) is False  # nothing is left, and nothing is asked for again and again


def test_what_another_host_commits_meanwhile_is_not_passed_by(store, monkeypatch):
    application = Application()
    one = sender(store, application)
    record(store, "a")
    with store.transaction():
        events.forget(store, "a@acme.test")
    after = events.after

    def and_then_another_commits(*given):
        monkeypatch.undo()
        found = after(*given)
        record(store, "b")
        return found
    monkeypatch.setattr(events, "after", and_then_another_commits)
    drain(one)  # a round that finds nothing
    drain(one)
    assert application.taken == ["b"]


def test_a_hook_with_nothing_to_do_writes_nothing(store):
    one = sender(store, Application())
    record(store, "a")
    drain(one)

    def never():
        raise AssertionError("a transaction")
    one.store.transaction = never
    assert one.round() == 1


class Receiver(http.server.BaseHTTPRequestHandler):
    answer, seen = (200, b"", {}), []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, dict(self.headers), body))
        status, text, headers = self.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(text)

    def log_message(self, *_arguments) -> None:
        pass


@pytest.fixture
def receiver():
    Receiver.answer, Receiver.seen = (200, b"", {}), []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    running = threading.Thread(target=server.serve_forever, args=(0.01,))
    running.start()
    yield server
    server.shutdown()
    running.join()
    server.server_close()


def hook(server, scheme="http", path="/bounces?x=1") -> Hook:
    return Hook("app", f"{scheme}://127.0.0.1:{server.server_address[1]}{path}", SECRET, timeout=60)


def test_what_is_posted_can_be_verified(receiver):
    found = post(hook(receiver), [event("a"), event("b")], NOW)
    assert found == Delivery(True, False, "status 200")
    (path, headers, body), = Receiver.seen
    assert path == "/bounces?x=1" and headers["Content-Type"] == "application/json"
    assert [each["key"] for each in json.loads(body)["events"]] == ["a", "b"]
    first = json.loads(body)["events"][0]
    assert (first["at"], first["day"], first["recipient"]) == ("2026-11-18T11:06:40Z", "1970-01-02", "a@acme.test")
    stamp = headers["X-Mailfleet-Timestamp"]
    wanted = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert (stamp, headers["X-Mailfleet-Signature"]) == (str(NOW), f"v1={wanted}")
    assert SECRET not in str(Receiver.seen)


@pytest.mark.parametrize(("status", "taken", "refused"), [
    (200, True, False), (204, True, False), (301, False, False), (302, False, False), (400, False, True),
    (404, False, True), (408, False, False), (410, False, True), (429, False, False), (500, False, False),
    (503, False, False)])
def test_answers_are_told_apart(receiver, status, taken, refused):
    Receiver.answer = (status, b"", {"Location": "/elsewhere", "Content-Length": "0"})
    assert post(hook(receiver), [event("a")], NOW) == Delivery(taken, refused, f"status {status}")
    assert len(Receiver.seen) == 1  # where it leads nobody follows


def test_an_endless_answer_is_not_read_to_its_end(receiver):
    Receiver.answer = (200, b"x" * (1 << 20), {})
    assert post(hook(receiver), [event("a")], NOW).taken


@pytest.mark.parametrize(("first", "more"), [
    (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x"),
    (b"HTTP/1.0 200 OK\r\n\r\n", b"x")])
def test_an_answer_that_never_comes_to_its_end_is_given_up(receiver, first, more):
    def drip(self) -> None:
        with contextlib.suppress(OSError):
            for _each in range(200):
                self.wfile.write(more if _each else first)
                time.sleep(0.05)

    receiver.RequestHandlerClass = type("Drip", (Receiver,), {"do_POST": drip})
    begun = time.monotonic()
    found = post(dataclasses.replace(hook(receiver), timeout=1), [event("a")], NOW)
    assert found == Delivery(False, False, "no answer within 1 s") and time.monotonic() - begun < 8


def test_nobody_there_and_no_tls_are_failures(receiver):
    assert post(Hook("app", "http://127.0.0.1:1/", SECRET), [event("a")], NOW).refused is False
    found = post(hook(receiver, "https"), [event("a")], NOW)
    assert not found.taken and not found.refused and Receiver.seen == []
    assert not post(Hook("app", "https://127.0.0.1:1/", SECRET, ca_file="/nowhere"), [event("a")], NOW).taken


def test_tls_is_verified(receiver, tmp_path):
    made = certificates.pair("localhost")
    chain, alone = tmp_path / "chain.pem", tmp_path / "ca.pem"
    chain.write_text(made.key + made.certificate)
    alone.write_text(made.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    good = f"https://localhost:{receiver.server_address[1]}/"
    assert "certificate verify failed" in post(Hook("app", good, SECRET, timeout=5), [event("a")], NOW).told
    other = Hook("app", good.replace("localhost", "127.0.0.1"), SECRET, str(alone), 5)
    assert "certificate verify failed" in post(other, [event("a")], NOW).told
    assert Receiver.seen == []
    assert post(Hook("app", good, SECRET, str(alone), 5), [event("a")], NOW).taken


def test_the_signature_is_over_time_and_body():
    body = body_of([event("a")])
    assert len({signature(SECRET, NOW, body), signature(SECRET, NOW + 1, body), signature(SECRET, NOW, body + b" "),
                signature("other", NOW, body)}) == 4


class TestDocument:
    """What docs/agent.md tells applications."""

    text = (Path(__file__).resolve().parents[2] / "docs/agent.md").read_text(encoding="utf-8")
    part = text.partition("## Events for applications")[2].partition("\n## ")[0]

    def test_its_lines_verify_what_is_posted(self):
        inside = {}
        exec(re.search(r"```python\n(.*?)```", self.part, re.DOTALL)[1], inside)
        body = body_of([event("a")])
        good = signature(SECRET, NOW, body)
        assert inside["is_ours"](SECRET, str(NOW), good, body)
        assert not inside["is_ours"](SECRET, str(NOW + 1), good, body)
        assert not inside["is_ours"](SECRET, str(NOW), "v1=\u00e9", body)

    def test_its_example_has_the_signature_that_it_says(self):
        stamp, body = re.search(r"time stamp `(\d+)`, the body `([^`]+)`", self.part).groups()
        assert signature("0123456789abcdef", int(stamp), body.encode()) in self.part
        assert body_of([]) == body.encode()

    def test_it_tells_of_each_field_kind_source_scope_and_reason(self):
        rows = {name: row for row in re.findall(r"^\|.*$", self.part, re.MULTILINE)
                for name in re.findall(r"`(\w+)`", row.split("|")[1])}
        assert rows.keys() == event("a").as_json().keys()
        wanted = {"kind": Kind, "scope": Scope, "source": ("bounce", "feedback", UNSIGNED, LOG, UNPROVED),
                  "reason": ("complaint", "auto-reply", "delivered", "relayed", "expanded")}
        for field, values in wanted.items():
            assert {str(each) for each in values} - {*re.findall(r"`([\w-]+)`", rows[field].split("|")[2])} == set()
        told = re.findall(r"`([\w-]+)`", self.part.partition("Reasons of failures:")[2].partition("(")[0])
        assert told == [*sorted(each.name for each in reasons.ORDER), reasons.UNDETERMINED]
