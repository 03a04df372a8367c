# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both sides of a zone's cut: whom the zone above leads receivers to, and whom the zone itself names (RFC 1034, 4.2.2).

Each name server is one of its own, at an address of its own, and a resolver knows what the zones themselves say.
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from nameserver import Nameserver
from silent import Silent

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import agree
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_delegation import MAXIMUM_BESIDES
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_authorities import verify_authorities

# The servers of "com", those that the zone names, and that of a former hoster.
TOP, SECOND_TOP, ONE, TWO, OLD = (f"127.0.0.{number}" for number in (2, 3, 4, 5, 9))
OWN = ("ns1.example.com.", "ns2.example.com.")
HOSTS = {"ns1.example.com": {"A": [ONE]}, "ns2.example.com": {"A": [TWO]}}
OTHERS = {"top.example.net": {"A": [TOP]}, "top2.example.net": {"A": [SECOND_TOP]}, "old.example.net": {"A": [OLD]},
          "alias.example.net": {"CNAME": ["old.example.net."]}}


def child(text="new", names=OWN, **zones):
    return {"example.com": {"example.com": {"NS": [*names], "TXT": [text]}, "w.example.com": {"TXT": [text]}, **HOSTS},
            **zones}


class World:
    """See the module. C(given) are the name servers that "com" delegates example.com to, C(glue) their addresses;
    C(old) the zones of the former hoster; C(faults) those of the first of C(tops), the servers of "com", which serves
    C(zones) too; C(more) are zones that all is well with."""

    def __init__(self, stack, given=OWN, glue=None, own=OWN, old=None, faults=None, tops=("top.example.net.",),
                 zones=None, more=()):
        self.stack = stack
        zones, well = zones or {}, {zone: {zone: {"NS": [*OWN], "TXT": ["new"]}} for zone in more}
        com, below = {"com": {"NS": list(tops)}}, child(names=own) | well
        self.resolver = self.start({"": {}, "com": com, "example.net": OTHERS} | below | zones, "127.0.0.1")
        self.port = self.resolver.port
        self.delegation = com | {"example.com": {"NS": [*given]}, **(HOSTS if glue is None else glue)}
        self.delegation |= {zone: {"NS": [*OWN]} for zone in more}
        self.top = self.start({"com": self.delegation} | zones, TOP, faults)
        self.one, self.two = self.start(below, ONE), self.start(below, TWO)
        self.old = self.start(old, OLD) if old else None
        self.lookup = stack.enter_context(Lookup([self.resolver.server], authority_port=self.port))

    def start(self, zones, address, faults=None):
        port = 0 if address == "127.0.0.1" else self.port
        return self.stack.enter_context(Nameserver(zones, faults, address=address, port=port))

    def texts(self, name="example.com"):
        """Return what each server says, by its name and what stands behind its address."""
        port = f":{self.port}"
        return {outcome.server.replace(port, ""): outcome.values or outcome.cause
                for outcome in self.lookup.ask_authorities(name, "TXT")}


BOTH = {f"ns1.example.com. ({ONE})": ("new",), f"ns2.example.com. ({TWO})": ("new",)}
OLD_ONE = f"old.example.net. ({OLD}, named by com. alone)"


@pytest.fixture
def world():
    with ExitStack() as stack:
        yield lambda **options: World(stack, **options)


def told(lookup):
    return [(verdict.subjects, verdict.status, verdict.cause) for verdict in verify_authorities(lookup)]


def test_both_sides_alike_are_nothing_to_tell_and_cost_one_question(world):
    made = world()
    assert made.texts() == made.texts("w.example.com") == BOTH
    assert verify_authorities(made.lookup) == []
    assert made.top.asked == {("example.com", "NS"): 1}
    # The resolver was asked for the servers of "com" once, and for the address of the one that was asked.
    assert made.resolver.asked["com", "NS"] == made.resolver.asked["top.example.net", "A"] == 1
    assert made.resolver.queries == 1 + 2 * 2 + 2 + 1  # besides: for the zone, its servers' addresses, the other name


def test_a_server_that_the_zone_above_alone_names_is_asked_too_and_its_answer_compared(world):
    made = world(given=[*OWN, "old.example.net."], old=child("old"))
    assert made.texts() == BOTH | {OLD_ONE: ("old",)}
    agreed = agree(made.lookup.ask_authorities("w.example.com", "TXT"))
    assert agreed.differ and "old.example.net." in agreed.statement
    (verdict,) = verify_authorities(made.lookup)
    assert (verdict.check, verdict.subjects, verdict.status) == ("name servers", ("example.com.",), Status.WARN)
    assert verdict.cause == ("com. leads receivers to old.example.net. too, which the zone does not name "
                             "(RFC 1034, 4.2.2)")
    assert verdict.found == "com. delegates to ns1.example.com., ns2.example.com., old.example.net."
    assert verdict.mend == ("have the registrar, or whoever keeps com., delegate example.com. to ns1.example.com., "
                            "ns2.example.com. and to no others")
    assert verdict.source == f"NS example.com. asked of top.example.net. ({TOP}:{made.port})"
    # Once whether it serves the zone, and then the two names.
    assert made.old.asked == {("example.com", "SOA"): 1, ("example.com", "TXT"): 1, ("w.example.com", "TXT"): 1}


def test_one_that_says_the_same_is_a_warning_only(world):
    made = world(given=["ns1.example.com.", "old.example.net."], old=child())
    assert made.texts() == BOTH | {OLD_ONE: ("new",)}
    assert agree(made.lookup.ask_authorities("example.com", "TXT")).same
    ((_zone, status, cause),) = told(made.lookup)
    assert status is Status.WARN and "; the zone names ns2.example.com., which com. does not" in cause


@pytest.mark.parametrize("faults, cause", [
    ({"*": "refused"}, "REFUSED"), ({"*": "lame"}, "lame: it does not answer with authority"),
    (None, "no answer within"),
])
def test_one_that_does_not_serve_the_zone_is_told_once_and_not_with_each_name(world, monkeypatch, faults, cause):
    made = world(given=[*OWN, "old.example.net."])
    if faults:
        old = made.start(child("old"), OLD, faults)
    else:
        old = made.stack.enter_context(Silent([OLD], made.port))
        old.hasten(monkeypatch)
    assert made.texts() == made.texts("w.example.com") == BOTH
    ((zone, status, said),) = told(made.lookup)
    assert (zone, status) == (("example.com.",), Status.UNKNOWN)
    assert f"; old.example.net. ({OLD}:{made.port}, named by com. alone) did not say: {cause}" in said
    assert (old.queries if faults else old.questions()) == 1


def test_one_without_an_address_is_told(world):
    made = world(given=[*OWN, "gone.example.net."])
    assert made.texts() == BOTH
    ((_zone, status, cause),) = told(made.lookup)
    assert status is Status.UNKNOWN and "gone.example.net. did not say: the name server has no address" in cause


def test_an_address_that_the_zone_above_alone_gives_is_asked_too(world):
    """Receivers begin with the glue, whatever the zone says of its servers' addresses afterwards."""
    made = world(glue=HOSTS | {"ns2.example.com": {"A": [OLD]}}, old=child("old"))
    assert made.texts() == BOTH | {f"ns2.example.com. ({OLD}, named by com. alone)": ("old",)}
    ((_zone, status, cause),) = told(made.lookup)
    assert status is Status.WARN
    assert cause == f"com. has ns2.example.com. at {OLD} (glue), which the name does not lead to (RFC 1034, 4.2.2)"


def test_a_name_at_an_address_that_is_asked_anyway_is_asked_once(world):
    made = world(given=["ns1.example.com.", "two.example.com."], glue=HOSTS | {"two.example.com": {"A": [TWO]}})
    assert made.texts() == BOTH
    ((_zone, status, _cause),) = told(made.lookup)
    assert status is Status.WARN and made.two.queries == 1


@pytest.mark.parametrize("fault, cause", [
    ("servfail", "whether it leads receivers to others too is not known: top.example.net. (127.0.0.2:"),
    (lambda _query, answer: [denied(answer)], "com. does not delegate it, so that receivers do not find it"),
], ids=["silent", "denies"])
def test_a_zone_above_that_says_nothing_of_it(world, fault, cause):
    made = world(faults={"*": fault})
    assert made.texts() == BOTH
    ((zone, status, said),) = told(made.lookup)
    assert (zone, status) == (("example.com.",), Status.WARN) and said.startswith(cause)


def denied(answer):
    answer.set_rcode(3)
    answer.flags |= 0x0400  # AA
    answer.authority, answer.additional = [], []
    return answer


def test_one_that_serves_both_zones_shows_no_cut(world):
    made = world(zones=child())
    assert made.texts() == BOTH and verify_authorities(made.lookup) == []


def test_the_next_server_of_the_zone_above_is_asked_where_the_first_is_dead(world):
    made = world(given=[*OWN, "old.example.net."], old=child("old"), faults={"*": "servfail"},
                 tops=("top.example.net.", "top2.example.net."))
    made.start({"com": made.delegation}, SECOND_TOP)
    assert made.texts() == BOTH | {OLD_ONE: ("old",)}


def test_an_alias_among_the_name_servers_is_told(world):
    made = world(own=[*OWN, "alias.example.net."], given=[*OWN, "alias.example.net."], old=child())
    assert len(made.texts()) == 3
    (verdict,) = verify_authorities(made.lookup)
    assert verdict.cause == "a NS record must not name an alias (RFC 2181, 10.3): many resolvers do not ask it"
    assert verdict.mend == "publish example.com. NS old.example.net. instead of alias.example.net."


def test_who_asks_the_resolvers_asks_nobody_else(world):
    made = world()
    assert made.lookup.ask_by("no", "example.com", "TXT")[0][0].values == ("new",)
    assert (made.top.queries, verify_authorities(made.lookup)) == (0, [])


def test_many_zones_under_one_cost_one_question_each(world):
    zones = [f"d{number}.com" for number in range(50)]
    made = world(more=zones)
    answers = made.lookup.each(lambda zone: made.lookup.ask_by("yes", zone, "TXT"), zones)
    assert all(outcome.said for outcomes, _why in answers for outcome in outcomes)
    assert set(made.top.asked.values()) == {1} and made.top.queries == 50
    assert made.resolver.asked["com", "NS"] == made.resolver.asked["top.example.net", "A"] == 1
    assert verify_authorities(made.lookup) == []


@pytest.mark.parametrize("hosts, addresses", [(300, 1), (1, 300)])
def test_a_zone_above_that_names_no_end_of_servers(world, hosts, addresses):
    glue = {f"n{n}.example.com": {"A": [f"127.2.{n % 250}.{m + 1}" for m in range(min(addresses, 250))]}
            for n in range(hosts)}
    made = world(given=[f"{name}." for name in glue], glue=glue)
    outcomes = made.lookup.ask_authorities("example.com", "TXT")
    assert len(outcomes) == 2  # nobody serves it there
    assert made.resolver.queries <= 2 * MAXIMUM_BESIDES + 20
    (verdict,) = verify_authorities(made.lookup)
    assert verdict.status is Status.UNKNOWN and len(str(verdict)) < 8000


@pytest.mark.parametrize("name", ["com", ""])
def test_the_highest_zones_have_nobody_to_compare_with(world, name):
    made = world(zones={"com": {"com": {"NS": ["top.example.net."], "TXT": ["x"]}}})
    outcomes = made.lookup.ask_authorities(name or ".", "TXT")
    assert {outcome.kind for outcome in outcomes} <= {Kind.VALUES, Kind.SILENT}
    assert all(verdict.status is Status.WARN for verdict in verify_authorities(made.lookup))
