# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that are warmed up, on real lanes with days of some seconds: what a receiver gets of each, day by day."""

from __future__ import annotations

import collections
import datetime
import json
import time
from types import SimpleNamespace

import pytest
from postfix_node import Node
from servers import SUITES, Controller, Server

from ansible_collections.mailfleet.sending.plugins.module_utils import fleet as model
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_lane import lane_layer, warming
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_throttle import throttle_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import shape

# Seconds. Postfix looks every 10 s whether a table changed, and some messages have to leave behind that.
DAY = 20
UNIT = "mailfleet-warmup.service"
HOME = "/var/lib/mailfleet/warmup"
# The last day is what the number of services is made for: three, as many as the provider takes connections.
CAPS = (8, 8, 8, 200000)
HELD = (6, 12, 24)
# Its address, what it binds, and its caps, by who sends from there.
ADDRESSES = {
    "first": ("198.51.100.10", "127.0.0.10", None),
    "new": ("198.51.100.11", "127.0.0.11", CAPS),
    "old": ("198.51.100.12", "127.0.0.12", None),
    "alone": ("198.51.100.13", "127.0.0.13", CAPS),
    "late": ("198.51.100.14", "127.0.0.14", HELD),
}
POOLS = {"bulk": ("new", "old"), "fresh": ("alone",), "slow": ("late",)}
SENDERS = {"bulk": "example.us", "fresh": "example.org", "slow": "example.net"}
# Writes a line for each message: when, from where, what was answered, and the recipients. Two messages of one address
# have to come again.
RECEIVER = """
import asyncio, json, time
out, again = open("/root/arrived", "a", buffering=1), {"127.0.0.14": 2}
async def handle(r, w):
    peer, to = w.get_extra_info("peername")[0], []
    async def say(text):
        w.write(text.encode() + b"\\r\\n"); await w.drain()
    await say("220 sink")
    while line := await r.readline():
        word = line[:4].upper()
        if word == b"RCPT":
            to.append(line.split(b"<")[1].split(b">")[0].decode()); await say("250 ok")
        elif word == b"DATA":
            await say("354 go")
            while (await r.readline()) not in (b".\\r\\n", b""): pass
            await asyncio.sleep(0.1)
            refused = again.get(peer, 0) > 0
            again[peer] = again.get(peer, 0) - 1
            out.write(json.dumps([time.time(), peer, not refused, to]) + "\\n"); to = []
            await say("451 4.7.1 later" if refused else "250 ok")
        elif word == b"QUIT":
            await say("221 bye"); break
        else: await say("250 ok")
    w.close()
async def main():
    server = await asyncio.start_server(handle, "127.0.0.8", 2525, backlog=100)
    async with server: await server.serve_forever()
asyncio.run(main())
"""
# Sends some of each sender at once, the first to several recipients, then of one steadily until a moment.
SEND = """
import json, smtplib, sys, time
begin, steady, until, *at_once = json.loads(sys.argv[1])
number = 0
def send(sender, count=1):
    global number
    to = [f"u{number + one}@acme.test" for one in range(count)]
    number += count
    text = f"From: news@{sender}\\r\\nTo: {to[0]}\\r\\nSubject: x\\r\\n\\r\\nhello\\r\\n"
    smtp.sendmail(f"news@{sender}", to, text)
with smtplib.SMTP("127.0.0.1", 25) as smtp:
    send(at_once[0][0], 3)
    for sender, count in at_once:
        for one in range(count): send(sender)
    while time.time() < until:
        send(steady); time.sleep(0.2)
print(number)
"""


def fleet(warm: bool = False) -> model.Fleet:
    today = datetime.datetime.now(tz=datetime.UTC).date()
    addresses = tuple(
        model.Address(address, f"{name}.example.com", bind, model.Warmup(today, caps) if caps and not warm else None)
        for name, (address, bind, caps) in ADDRESSES.items())
    pools = tuple(model.Pool(pool, {ADDRESSES[name][0]: 1 for name in names}, (SENDERS[pool],))
                  for pool, names in POOLS.items())
    domains = tuple(model.Domain(name, str(at)) for at, name in enumerate(("example.com", *SENDERS.values())))
    provider = model.Provider("acme", ("acme.test",), 3)
    return model.Fleet((model.Server("mta1", addresses),), domains, (provider,), pools=pools)


def wanted(made: model.Fleet) -> tuple[dict, list[dict]]:
    """The layers and the lane of the server; the lane delivers to the receiver, and tries again soon."""
    (server,) = made.servers
    (lane,) = lanes = shape(made).of("mta1")
    layer = lane_layer(made, server, lane)
    layer["parameters"] |= {"relayhost": "[127.0.0.8]:2525", "minimal_backoff_time": "3s", "maximal_backoff_time": "3s",
                            "queue_run_delay": "3s"}
    return {"throttle": throttle_layer(made, server, lanes)}, [
        {"name": "acme", "layer": layer, "warmup": warming(lane)}]


def apply(node: Node, made: model.Fleet, *options: str) -> dict:
    """Bring the server to what a fleet wants. It comes out of a file, lest Ansible fills in its braces."""
    layers, lanes = wanted(made)
    path = node.controller.folder / "wanted.json"
    path.write_text(json.dumps({"layers": layers, "lanes": lanes}))
    read = f"(lookup('ansible.builtin.file', '{path}') | from_json)"
    return node.apply(f"{{{{ {read}.layers }}}}", *options, lanes=f"{{{{ {read}.lanes }}}}")


@pytest.fixture(scope="module", params=[pytest.param("bookworm", marks=pytest.mark.long), "trixie"])
def days(request, tmp_path_factory):
    """Two days on a server, and what the receiver got. The program dies once."""
    server = Server(f"warmup-{request.param}", {suite: name for name, suite in SUITES.items()}[request.param])
    try:
        node = Node(server, Controller(tmp_path_factory.mktemp("controller")))
        server.write("/root/receiver.py", RECEIVER)
        server.write("/root/send.py", SEND)
        node.shell("systemd-run --quiet --unit=receiver python3 /root/receiver.py")
        apply(node, fleet())
        begin = int(time.time()) + 2
        # In a container on cgroup v1 systemd does not learn that all of the program has ended, and would wait before it
        # shuts anything. Servers have cgroup v2.
        short = f"[Service]\nEnvironment='MAILFLEET_DAY={begin} {DAY}'\nKillMode=process\n"
        server.write(f"/etc/systemd/system/{UNIT}.d/day.conf", short)
        node.shell("systemctl daemon-reload")
        time.sleep(max(0, begin - time.time()))
        node.shell(f"systemctl restart {UNIT}")
        plan = json.dumps([begin, SENDERS["bulk"], begin + 2 * DAY - 2, [SENDERS["fresh"], 30], [SENDERS["slow"], 30]])
        node.shell(f"systemd-run --quiet --unit=send --property=StandardOutput=file:/root/sent "
                   f"python3 /root/send.py '{plan}'")
        time.sleep(4)
        node.shell(f"systemctl kill --signal=KILL {UNIT}")
        time.sleep(max(0, begin + DAY - 2 - time.time()))
        evening = node.shell("postqueue -c /etc/postfix-acme -p")
        time.sleep(max(0, begin + 2 * DAY - time.time()))
        # Stopped, it shuts all: what is under way by then is all that is left to count.
        node.shell(f"systemctl stop {UNIT}; sleep 1.5")
        arrived = [json.loads(line) for line in node.shell("cat /root/arrived").splitlines()]
        yield SimpleNamespace(node=node, begin=begin, arrived=arrived, evening=evening,
                              log=node.shell(f"journalctl -q -o cat -u {UNIT}"))
    finally:
        server.stop()


def of_day(days, name: str) -> list[int]:
    """How many attempts the receiver saw from an address, day by day."""
    found = collections.Counter(int((moment - days.begin) // DAY) for moment, peer, _ok, _to in days.arrived
                                if peer == ADDRESSES[name][1])
    return [found[day] for day in range(3)]


def test_never_more_than_the_cap_leaves_in_a_day(days):
    for name, caps in (("new", (8, 8, 8)), ("alone", (8, 8, 8)), ("late", (6, 6, 6))):
        assert all(count <= most for count, most in zip(of_day(days, name), caps, strict=True)), (
            name, of_day(days, name), days.log)


def test_the_cap_is_nearly_used(days):
    """What is spared are messages that may be under way in other services: one less than there are of them."""
    assert min(of_day(days, "alone")[:2]) > 8 - 3, (of_day(days, "alone"), days.log)


def test_what_is_over_goes_to_the_warm_address_and_nothing_is_lost_or_doubled(days):
    got = collections.Counter(to for _moment, peer, ok, tos in days.arrived if ok for to in tos
                              if peer in (ADDRESSES["new"][1], ADDRESSES["old"][1]))
    sent = int(days.node.shell("cat /root/sent"))
    assert set(got.values()) == {1} and len(got) == sent - 63
    assert of_day(days, "first") == [0, 0, 0]


def test_each_recipient_is_a_message_of_its_own(days):
    assert {len(tos) for _moment, peer, _ok, tos in days.arrived if peer == ADDRESSES["alone"][1]} == {1}


def test_where_no_address_is_warm_mail_waits_until_the_next_day(days):
    assert "what may leave today from addresses that are warmed up has left" in days.evening
    assert of_day(days, "alone")[1] > 0


def test_deferrals_over_the_bound_hold_the_cap(days):
    assert 0 < of_day(days, "late")[1] <= 6
    assert "held: " in days.log and "2 deferrals of" in days.log


def test_what_was_counted_is_what_the_receiver_saw_although_the_program_was_killed(days):
    counters = json.loads(days.node.shell(f"systemctl start {UNIT}; cat {HOME}/state.json"))["counters"]
    assert "code=killed, status=9/KILL" in days.node.shell(f"journalctl -q -o cat -u {UNIT}")
    for name in ("new", "alone", "late"):
        service = f"acme/out-{ADDRESSES[name][0].replace('.', '-')}"
        assert sum(map(sum, counters[service].values())) == sum(of_day(days, name)), name


def test_it_needs_few_rights(days):
    said = days.node.shell(f"systemd-analyze security --no-pager {UNIT} | tail -1")
    assert float(said.split(": ")[1].split()[0]) < 3, said


def test_it_goes_without_a_trace_when_no_address_is_warmed_up(days):
    node = days.node
    node.shell(f"rm -r /etc/systemd/system/{UNIT}.d; systemctl daemon-reload")
    apply(node, fleet(warm=True))
    assert left_of_it(node) == ""
    maps = node.shell("postconf -c /etc/postfix-acme -h sender_dependent_default_transport_maps")
    assert "pipemap" in maps and "gate" not in maps


@pytest.mark.long
def test_it_is_told_in_check_mode_and_a_second_run_changes_nothing(days):
    node = days.node
    assert not apply(node, fleet(warm=True))["changed"]
    checked, first, second = apply(node, fleet(), "--check", "--diff"), apply(node, fleet(), "--diff"), apply(
        node, fleet())
    told, done = ({pair["after_header"] for pair in run["diff"]} for run in (checked, first))
    assert {f"/etc/systemd/system/{UNIT}", f"{HOME}/wanted.json"} <= told
    assert {place for place in done if "warmup" in place} <= told
    assert checked["changed"] and first["changed"] and not second["changed"]
    assert node.shell(f"systemctl is-enabled {UNIT}").strip() == "enabled"


def left_of_it(node: Node) -> str:
    """What is there of the program, its unit and its tables."""
    return node.shell(f"ls -d {HOME} /usr/local/lib/mailfleet /etc/systemd/system/*warmup* "
                      "/etc/systemd/system/*/*warmup* 2>/dev/null || :")
