# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Layers merged and resolved, the files they come to, and the checks that need no Postfix."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.master_cf import MasterCf
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_checks import log_mistakes, transport_mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_control import needs_restart
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_layers import (
    Refused,
    ordered,
    resolve,
    with_secrets,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_listeners import (
    Listener,
    clashes,
    listener_mistakes,
    listeners,
    literal,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_plan import files
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_relay import relay_mistakes, word_mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_tables import Table
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_view import View, maps

V12, V13 = (3, 7, 11), (3, 10, 13)
TABLES = "/etc/postfix/mailfleet"
NOTHING = {"parameters": {}, "services": {}}
MASTER = "smtp inet n - y - - smtpd\nsmtp unix - - y - - smtp\n"


def table(*entries, kind="hash", **more) -> dict:
    return {"type": kind, "entries": [list(entry) for entry in entries], **more}


def mistakes(layers, version=V12) -> list[str]:
    with pytest.raises(Refused) as refused:
        resolve(layers, version, TABLES)
    return [str(mistake) for mistake in refused.value.mistakes]


def test_order_of_layers() -> None:
    assert ordered(["zeta", "throttle", "alpha", "postfix", "dkim"]) == ["postfix", "dkim", "throttle", "alpha", "zeta"]


def test_tables_of_several_layers_are_put_together_in_order() -> None:
    wanted = resolve({
        "throttle": {"tables": {"t": table(("orange.fr", "throttle:"))}},
        "postfix": {"parameters": {"transport_maps": "{table:t}"}, "tables": {"t": table(("a.test", "smtp:"))}},
    }, V12, TABLES)
    assert wanted.tables["t"].text == "a.test smtp:\norange.fr throttle:\n"
    assert wanted.parameters["transport_maps"] == f"hash:{TABLES}/{wanted.tables['t'].file}"


def test_an_entry_of_a_table_knows_its_layer() -> None:
    wanted = resolve({
        "throttle": {"tables": {"t": table(("a.test", "smtp:"), ("orange.fr", "throttle:"))}},
        "postfix": {"parameters": {"transport_maps": "{table:t}"}, "tables": {"t": table(("a.test", "smtp:"))}},
    }, V12, TABLES)
    assert wanted.tables["t"].paths == ("layers.postfix.tables.t.entries[0]", "layers.throttle.tables.t.entries[1]")


def test_many_entries_may_be_one_text() -> None:
    lines = "b.test lane:[127.0.0.2]:10025\nc.test smtp: x\n"
    entries = {"type": "hash", "entries": [["a.test", "smtp:"]], "lines": lines}
    layers = {"postfix": {"parameters": {"transport_maps": "{table:t}"}, "tables": {"t": entries}}}
    assert resolve(layers, V12, TABLES).tables["t"].text == f"a.test smtp:\n{lines}"
    listed = {**entries, "entries": [["a.test", "smtp:"], ["b.test", "lane:[127.0.0.2]:10025"], ["c.test", "smtp: x"]]}
    del listed["lines"]
    assert resolve(layers, V12, TABLES).tables == {
        "t": resolve({"postfix": {**layers["postfix"], "tables": {"t": listed}}}, V12, TABLES).tables["t"]}


@pytest.mark.parametrize("lines, words", [
    ("a.test", "entries[0]: found an entry without a value"), (" a.test x", "entries[0]: found an empty or indented"),
    ([["a.test", "x"]], "lines: found list, expected one text"), (5, "lines: found int, expected one text")])
def test_mistakes_in_a_text_of_entries(lines, words) -> None:
    (mistake,) = mistakes({"mine": {"tables": {"t": {"type": "hash", "lines": lines}}}})
    assert mistake.startswith("layers.mine.tables.t.") and words in mistake


def test_a_text_of_entries_is_no_place_for_secrets() -> None:
    with pytest.raises(Refused, match="secret_entries"):
        with_secrets({"a": {"tables": {"t": {"type": "hash", "secret": True, "lines": "k v"}}}}, {}, {})


def test_same_values_agree_and_others_name_both_layers() -> None:
    resolve({"a": {"parameters": {"biff": "no"}}, "b": {"parameters": {"biff": False}}}, V12, TABLES)
    (mistake,) = mistakes({"a": {"parameters": {"biff": "no"}}, "b": {"parameters": {"biff": "yes"}}})
    assert mistake == "layers.b.parameters.biff: found 'yes', expected 'no' as in layer a; leave it to one of a and b"
    (mistake,) = mistakes({"a": {"tables": {"t": table(("k", "1"))}}, "b": {"tables": {"t": table(("K", "2"))}}})
    assert mistake == ("layers.b.tables.t.entries[0]: found another value for 'K', expected the one of "
                       "layers.a.tables.t.entries[0]; leave it to one of the two")


@pytest.mark.parametrize("entry, twelve, thirteen", [
    ({"value": "x", "since": "3.9"}, False, True),
    ({"value": "x", "before": "3.9"}, True, False),
    ({"value": "x", "since": "3.7.11", "before": "3.10"}, True, False),
    ({"value": "x", "since": "3.10.13"}, False, True),
])
def test_conditions_on_the_version(entry, twelve, thirteen) -> None:
    for version, holds in ((V12, twelve), (V13, thirteen)):
        assert ("p" in resolve({"a": {"parameters": {"p": entry}}}, version, TABLES).parameters) is holds


def test_without_a_version_conditions_are_left_open() -> None:
    wanted = resolve({"a": {"parameters": {"p": {"value": "x", "since": "3.9"}}}}, None, TABLES)
    assert not wanted.parameters and wanted.unverified == ("p = x: only since 3.9 of Postfix",)


def test_table_that_nothing_refers_to_is_told() -> None:
    wanted = resolve({"a": {"tables": {"t": table(("k", "v"))}}}, V12, TABLES)
    assert not wanted.tables and wanted.unused == ("table t: nothing refers to it",)


@pytest.mark.parametrize("layer, words", [
    ({"paramters": {}}, "did you mean parameters?"),
    ({"parameters": {"a b": "1"}}, "'a b', expected a parameter's name"),
    ({"parameters": {"a": ["1"]}}, "list, expected a text"),
    ({"parameters": {"a": {"value": "1"}}}, "with since or before"),
    ({"parameters": {"a": "{table:nope}"}}, "{table:nope}, expected a table of some layer"),
    ({"services": {"throttle": {"command": "smtp"}}}, "name/type"),
    ({"services": {"throttle/unix": {"command": "smtp", "maxproc": "one"}}}, "'one', expected a number or -"),
    ({"services": {"throttle/unix": {"command": "smtp", "chrot": "y"}}}, "did you mean chroot?"),
    ({"services": {"throttle/unix": {}}}, "the name of a daemon"),
    ({"services": {"x/unix": {"command": "smtp", "options": {"a": "{b"}}}}, "brace"),
    ({"tables": {"t": table(kind="inline")}}, "texthash"),
    ({"tables": {"t": table(kind="hsh")}}, "did you mean hash?"),
    ({"tables": {"t": table(("a b", "c"))}}, "white space"),
    ({"tables": {"t": table(("a", ""))}}, "without a value"),
    ({"tables": {"t": table(("a", "b\nc"))}}, "line break"),
    ({"tables": {"t": table(("# a", "b"))}}, "comment"),
    ({"tables": {"../t": table(("a", "b"))}}, "a table's name"),
])
def test_mistakes_in_a_layer(layer, words) -> None:
    (mistake,) = mistakes({"mine": layer})
    assert mistake.startswith("layers.mine.") and words in mistake


def test_line_breaks_in_a_value_make_no_second_parameter() -> None:
    wanted = resolve({"a": {"parameters": {"p": "one,\ntwo = 2"}}}, V12, TABLES)
    assert wanted.parameters["p"] == "one, two = 2"


def test_secrets_travel_apart() -> None:
    layer = {"tables": {"t": {"type": "hash", "secret": True}}}
    whole = with_secrets({"a": layer}, {"t": [["k", "v"]]}, {})
    assert whole["a"]["tables"]["t"]["entries"] == [["k", "v"]] and "entries" not in layer["tables"]["t"]
    with pytest.raises(Refused, match="secret_entries"):
        with_secrets({"a": {"tables": {"t": table(("k", "v"), secret=True)}}}, {}, {})
    with pytest.raises(Refused, match="entries without a table"):
        with_secrets({"a": {}}, {"t": []}, {})


def test_table_names_follow_the_content_and_secrets_do_not_show() -> None:
    plain, other = Table("t", "hash", (("a", "b"),)), Table("t", "hash", (("a", "c"),))
    assert plain.file != other.file and plain.files == (plain.file, plain.file + ".db")
    secret = Table("t", "hash", (("a", "b"),), secret=True)
    assert secret.digest != plain.digest and "a b" not in secret.shown and secret.mode == 0o640


def test_what_a_layer_set_goes_back_to_what_stood_there() -> None:
    main = "# mine\nbiff = yes\nother = 1\n"
    layer = {"parameters": {"biff": "no", "new": "1"}, "services": {"t/unix": {"command": "smtp"}}}
    wanted = resolve({"a": layer}, V12, TABLES)
    first = files(main, MASTER, NOTHING, wanted)
    assert first.main == "# mine\nbiff = no\nother = 1\nnew = 1\n"
    assert first.owned == {"parameters": {"biff": "biff = yes\n", "new": None}, "services": {"t/unix": None}}
    back = files(first.main, str(first.master), first.owned, resolve({}, V12, TABLES))
    assert (back.main, str(back.master)) == (main, MASTER)
    assert "t/unix" in back.between.services, "the old service stays until main.cf is switched"


def test_a_service_that_nobody_shall_have_is_gone_and_comes_back() -> None:
    layer = {"services": {"smtp/inet": None, "127.0.0.1:smtp/inet": {"private": "n", "command": "smtpd"}}}
    first = files("", MASTER, NOTHING, resolve({"a": layer}, V12, TABLES))
    assert "smtp/inet" not in first.master.services and "127.0.0.1:smtp/inet" in first.master.services
    assert first.between.services == first.master.services, "both cannot listen at a time"
    back = files("", str(first.master), first.owned, resolve({}, V12, TABLES))
    assert back.between.services == back.master.services == MasterCf.parse(MASTER).services
    with pytest.raises(Refused, match="as in layer a"):
        resolve({"a": layer, "b": {"services": {"smtp/inet": {"command": "smtpd"}}}}, V12, TABLES)


@pytest.mark.parametrize("new, clashing", [
    ("127.0.0.1:smtp", True), ("[::1]:25", True), ("smtps", False), ("127.0.0.1:2525", False),
])
def test_what_listens_where_something_else_does_wants_a_restart(new, clashing) -> None:
    old, other = MasterCf.parse(MASTER).services, MasterCf.parse(f"{new} inet n - y - - smtpd\n").services
    assert clashes(old, other) == ([f"{new}/inet"] if clashing else [])
    assert clashes(other, old) == (["smtp/inet"] if clashing else [])
    assert clashes(old, {**old, **other}) == [], "what stays is for the check of places"


@pytest.mark.parametrize("before, after, names", [
    ({"inet_interfaces": "all"}, {"inet_interfaces": "127.0.0.1"}, ["inet_interfaces"]),
    ({"inet_protocols": "ipv4,  ipv6"}, {"inet_protocols": "ipv4, ipv6"}, []),
    ({"myhostname": "a"}, {"myhostname": "b"}, []),
])
def test_what_needs_a_restart(before, after, names) -> None:
    assert needs_restart(before, after) == names


def view(master=MASTER, tables=(), **values) -> View:
    values = {"mynetworks": "127.0.0.0/8 [::1]/128", **values}
    source = {f"parameters.{name}": "mine" for name in values} | {f"tables.{t.name}": "mine" for t in tables}
    return View(values, MasterCf.parse(master).services, {t.reference(TABLES): t for t in tables}, source)


SENDERS = Table("senders", "hash", (("example.com", "OK"),))
DUNNO = Table("dunno", "hash", (("example.com", "DUNNO"), ("example.us", "REJECT")))
SAFE = [
    "permit_mynetworks, reject_unauth_destination",
    "permit_mynetworks permit_sasl_authenticated defer_unauth_destination",
    "permit_sasl_authenticated, reject",
    f"check_sender_access {DUNNO.reference(TABLES)}, reject_unauth_destination",
    "check_client_access cidr:/etc/x, permit_mynetworks, reject_unauth_destination",
    "$mine",
]
OPEN = [
    "",
    "permit",
    "permit_mynetworks",
    "permit_mynetworks, permit, reject_unauth_destination",
    "warn_if_reject reject_unauth_destination",
    f"check_sender_access {SENDERS.reference(TABLES)}, reject_unauth_destination",
    "check_recipient_access hash:/etc/unknown, reject_unauth_destination",
    "permit_tls_all_clientcerts, reject_unauth_destination",
    "check_policy_service unix:private/p, reject_unauth_destination",
]


@pytest.mark.parametrize("restrictions", SAFE)
def test_no_open_relay(restrictions) -> None:
    values = {"mine": "permit_mynetworks, reject_unauth_destination", "smtpd_relay_restrictions": restrictions}
    assert not relay_mistakes(view(tables=(DUNNO,), **values))


@pytest.mark.parametrize("restrictions", OPEN)
def test_open_relay(restrictions) -> None:
    (mistake,) = relay_mistakes(view(tables=(SENDERS,), smtpd_relay_restrictions=restrictions))
    assert "no open relay" in str(mistake) and "smtp/inet" in str(mistake)


def test_one_list_that_stops_is_enough() -> None:
    assert not relay_mistakes(view(smtpd_relay_restrictions="permit",
                                   smtpd_recipient_restrictions="permit_mynetworks, reject_unauth_destination"))


def test_options_of_a_service_count() -> None:
    master = MASTER + "587 inet n - y - - smtpd -o smtpd_relay_restrictions=permit\n"
    (mistake,) = relay_mistakes(view(master, smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination"))
    assert "587/inet" in str(mistake)
    master = MASTER + "587 inet n - y - - smtpd -o { smtpd_client_restrictions = permit_sasl_authenticated, reject }\n"
    assert len(relay_mistakes(view(master, smtpd_relay_restrictions="permit"))) == 1, "only port 25 is open"


@pytest.mark.parametrize("networks", ["0.0.0.0/0", "127.0.0.0/8, [::]/0", "128.0.0.0/1", "static:all"])
def test_networks_that_trust_strangers(networks) -> None:
    assert relay_mistakes(view(mynetworks=networks, smtpd_relay_restrictions=SAFE[0]))


def test_static_relay_domains_are_an_open_relay() -> None:
    assert relay_mistakes(view(relay_domains="static:all", smtpd_relay_restrictions="reject_unauth_destination"))


def test_unknown_restrictions_are_told() -> None:
    restrictions = "permit_mynetwork, check_sender_access hash:/x, mine, sleep 1"
    (mistake,) = word_mistakes(view(smtpd_sender_restrictions=restrictions, smtpd_restriction_classes="mine"))
    assert "permit_mynetwork," in str(mistake) and "permit_mynetworks?" in str(mistake)


def test_transports_must_be_services() -> None:
    entries = (("a.test", "smtp:[x]:25"), ("b.test", "nobody:"), ("c.test", "nobody:"), ("d.test", ":y"))
    places = tuple(f"layers.x.tables.t.entries[{index}]" for index in range(4))
    routing = Table("transport", "hash", entries, paths=places)
    access = Table("access", "hash", (("e.test", "FILTER gone:x"), ("f.test", "REJECT no")), paths=places[:2])
    found = [str(m) for m in transport_mistakes(view(
        tables=(routing, access), transport_maps=f"{routing.reference(TABLES)}, randmap:{{smtp:, lost:}}",
        default_transport="smt", smtpd_sender_restrictions=f"check_sender_access {access.reference(TABLES)}"))]
    names = sorted(line.partition("found transport ")[2].split(",")[0] for line in found)
    assert names == ["gone", "lost", "nobody", "smt"]
    assert any(line.startswith("layers.x.tables.t.entries[1] (b.test): found transport nobody") for line in found)


def test_a_log_of_its_own_is_told_with_who_set_it() -> None:
    assert not log_mistakes(view(maillog_file=""))
    (ours,) = log_mistakes(view(maillog_file="/var/log/x"))
    (foreign,) = log_mistakes(View({"maillog_file": "/var/log/x"}, {}, {}, {}))
    assert (ours.path, foreign.path) == ("layers.mine.parameters.maillog_file", "main.cf maillog_file")


def test_tables_within_tables() -> None:
    assert list(maps("hash:/a, proxy:pcre:/b unionmap:{cidr:/c, hash:/d} $x")) == \
        [("hash", "/a"), ("pcre", "/b"), ("cidr", "/c"), ("hash", "/d")]


def test_where_a_banner_is_asked_for() -> None:
    master = MASTER + "465 inet n - y - - smtpd -o smtpd_tls_wrappermode=yes\n[::1]:2525 inet n - y - - smtpd\n"
    services = MasterCf.parse(master).services
    values = {"inet_interfaces": "198.51.100.10, 198.51.100.11", "inet_protocols": "ipv4"}
    assert listeners(values, services, TABLES) == (
        Listener("198.51.100.10", 25), Listener("198.51.100.10", 465, True), Listener("::1", 2525))
    assert literal({"inet_interfaces": "all", "inet_protocols": "all"}) == "127.0.0.1"
    assert literal({"inet_interfaces": "loopback-only", "inet_protocols": "ipv6"}) == "::1"


def test_places_that_cannot_be_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        places = (f"127.0.0.1:{port}", "203.0.113.7:2525", "nosuch")
        master = "".join(f"{place} inet n - y - - smtpd\n" for place in places)
        found = [str(mistake) for mistake in listener_mistakes(view(master), ())]
        assert len(found) == 3
        assert f"127.0.0.1:{port}: Address already in use" in found[0]
        assert "203.0.113.7:2525: Cannot assign requested address" in found[1] and "'nosuch'" in found[2]
        assert len(listener_mistakes(view(master), {port})) == 2, "the running Postfix holds it itself"
