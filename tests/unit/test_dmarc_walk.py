# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tree walk over a real name server: a table of cases by RFC 9989, 4.10 and B.4, each with its section."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_walk import discover, one_below, targets, walk
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome

P = "v=DMARC1; p="


class World:
    """A name server of the root with DMARC records and names that exist, and a lookup that asks it."""

    def __init__(self, stack, records, names=(), **options):
        zone = {f"_dmarc.{domain}": {"TXT": values if isinstance(values, list) else [values]}
                for domain, values in records.items()}
        zone |= {name: {"A": ["192.0.2.1"]} for name in names}
        self.server = stack.enter_context(Nameserver({"": zone}, **options))
        self.lookup = stack.enter_context(Lookup([self.server.server], timeout=0.6 if "faults" in options else 5))

    def walk(self, domain):
        return walk(self.lookup.ask, domain)

    def discover(self, domain):
        return discover(self.lookup.ask, domain)


@pytest.fixture
def world():
    with ExitStack() as stack:
        yield lambda records, names=(), **options: World(stack, records, names, **options)


DEEP = "a.b.c.d.e.f.g.h.i.j.mail.example.com"


@pytest.mark.parametrize(
    "rule, domain, expected",
    [
        ("4.10: up to the top label", "example.com", ["example.com", "com"]),
        ("4.10: one label at a time", "a.mail.example.com",
         ["a.mail.example.com", "mail.example.com", "example.com", "com"]),
        ("4.10, step 4: 7 labels", "1.2.3.4.5.6.com",
         ["1.2.3.4.5.6.com", "2.3.4.5.6.com", "3.4.5.6.com", "4.5.6.com", "5.6.com", "6.com", "com"]),
        ("4.10, step 4: 8 labels", "0.1.2.3.4.5.6.com",
         ["0.1.2.3.4.5.6.com", "1.2.3.4.5.6.com", "2.3.4.5.6.com", "3.4.5.6.com", "4.5.6.com", "5.6.com", "6.com",
          "com"]),
        ("4.10: its own example", DEEP, [DEEP, "g.h.i.j.mail.example.com", "h.i.j.mail.example.com",
                                         "i.j.mail.example.com", "j.mail.example.com", "mail.example.com",
                                         "example.com", "com"]),
        ("5.1.8: a record at 8 of 9 labels is never asked for", "mail.a.b.c.d.e.f.g.example.com",
         ["mail.a.b.c.d.e.f.g.example.com", "c.d.e.f.g.example.com", "d.e.f.g.example.com", "e.f.g.example.com",
          "f.g.example.com", "g.example.com", "example.com", "com"]),
        ("4.10: a top label", "com", ["com"]),
    ],
)
def test_what_is_asked(rule, domain, expected):
    assert list(targets(domain)) == expected, rule
    assert len(expected) <= 8


def test_one_below():
    assert one_below("a.b.example.com", "com") == "example.com"
    assert one_below("a.b.example.com", "b.example.com") == "a.b.example.com"


@pytest.mark.parametrize(
    "rule, records, domain, organization, steps",
    [
        ("4.10.2: none, so the domain itself", {}, "a.example.com", "a.example.com", 3),
        ("4.10.2, 3: the fewest labels", {"mail.example.com": f"{P}none", "example.com": f"{P}none"},
         "a.mail.example.com", "example.com", 4),
        ("4.10.2, 1: psd=n", {"mail.example.com": f"{P}none; psd=n", "example.com": f"{P}none"},
         "a.mail.example.com", "mail.example.com", 2),
        ("4.10.2, 1: psd=n of its own", {"a.example.com": f"{P}none; psd=n", "example.com": f"{P}none"},
         "a.example.com", "a.example.com", 1),
        ("4.10.2, 2: psd=y above", {"com": f"{P}none; psd=y"}, "a.mail.example.com", "example.com", 4),
        ("4.10.2, 2: psd=y one above", {"example.com": f"{P}none; psd=y"}, "mail.example.com", "mail.example.com", 2),
        ("4.10.2, 2: not where the walk began", {"example.com": f"{P}none; psd=y", "com": f"{P}none"},
         "example.com", "example.com", 1),
        ("4.10.2, 3: psd=u is the default", {"example.com": f"{P}none; psd=u", "com": f"{P}none"},
         "example.com", "com", 2),
        ("4.10, 2: several are discarded", {"example.com": [f"{P}none", f"{P}none; psd=n"], "com": f"{P}none; psd=y"},
         "mail.example.com", "example.com", 3),
        ("4.10, 2: other values do not count", {"example.com": [f"{P}none; psd=n", "v=spf1 -all", "v=dmarc1; p=none"]},
         "mail.example.com", "example.com", 2),
        ("4.7: a psd= that is none", {"example.com": f"{P}none; psd=x", "com": f"{P}none; psd=y"},
         "example.com", "example.com", 2),
        ("4.7: tags behind the version may be wrong", {"example.com": "v=DMARC1; rubbish"},
         "mail.example.com", "example.com", 3),
        ("B.4.1", {"example.com": f"{P}none", "signing.example.com": f"{P}none"}, "signing.example.com",
         "example.com", 3),
        ("B.4.2", {"example.com": f"{P}none"}, "a.b.c.d.e.f.g.h.i.j.k.example.com", "example.com", 8),
        ("B.4.3: From", {"giant.bank.example": f"{P}none", "bank.example": f"{P}none; psd=y"}, "giant.bank.example",
         "giant.bank.example", 2),
        ("B.4.3: MAIL FROM", {"giant.bank.example": f"{P}none", "bank.example": f"{P}none; psd=y"},
         "mail.giant.bank.example", "giant.bank.example", 3),
        ("B.4.3: DKIM", {"giant.bank.example": f"{P}none", "bank.example": f"{P}none; psd=y"},
         "mail.mega.bank.example", "mega.bank.example", 3),
    ],
)
def test_organizations(world, rule, records, domain, organization, steps):
    run = world(records)
    found = run.walk(domain)
    assert (found.organization, found.silent) == (organization, None), rule
    assert len(found.steps) == run.server.queries == steps, rule


@pytest.mark.parametrize(
    "rule, records, domain, at, policy",
    [
        ("4.10.1: the domain's own", {"a.example.com": f"{P}reject; sp=none; np=none", "example.com": f"{P}none"},
         "a.example.com", "a.example.com", "p reject"),
        ("4.10.1: of the organization, by sp=", {"example.com": f"{P}none; sp=reject"}, "a.example.com", "example.com",
         "sp reject"),
        ("4.10.1: without sp=, by p=", {"example.com": f"{P}quarantine"}, "a.example.com", "example.com",
         "sp quarantine"),
        ("4.10.1: not of what lies between", {"b.example.com": f"{P}none", "example.com": f"{P}reject"},
         "a.b.example.com", "example.com", "sp reject"),
        ("4.10.1: of the public suffix", {"bank": f"{P}none; sp=reject; psd=y"}, "a.giant.bank", "bank", "sp reject"),
        ("4.10.1: the organization's, not the suffix'", {"giant.bank": f"{P}none", "bank": f"{P}reject; psd=y"},
         "a.giant.bank", "giant.bank", "sp none"),
        ("4.10.1: its own, with psd=y", {"example.com": f"{P}reject; psd=y; sp=none"}, "example.com", "example.com",
         "p reject"),
        ("4.7: np= of a name that does not exist", {"example.com": f"{P}reject; sp=none; np=quarantine"},
         "gone.example.com", "example.com", "np quarantine"),
        ("4.7: sp= of a name that does", {"example.com": f"{P}reject; sp=none; np=quarantine"}, "there.example.com",
         "example.com", "sp none"),
        ("3.2.13: a name exists where one below it does", {"example.com": f"{P}reject; np=none"},
         "above.example.com", "example.com", "sp reject"),
        ("4.7: t=y", {"example.com": f"{P}reject; t=y"}, "a.example.com", "example.com", "sp quarantine"),
        ("4.10.1: no p= and no rua=", {"example.com": "v=DMARC1"}, "example.com", "example.com", "p None"),
        ("4.10.1: none at all", {}, "example.com", None, "p None"),
    ],
)
def test_policies(world, rule, records, domain, at, policy):
    found = world(records, ["there.example.com", "x.above.example.com"]).discover(domain)
    applied = found.applied.value if found.applied else None
    assert (found.at.domain if found.at else None, f"{found.tag} {applied}") == (at, policy), rule
    assert found.silent is None


def test_existence_is_asked_only_where_it_matters(world):
    run = world({"example.com": f"{P}reject; sp=none; np=none"})
    run.discover("a.example.com")
    assert ("a.example.com", "A") not in run.server.asked
    run = world({"example.com": f"{P}reject; np=none"})
    run.discover("a.example.com")
    assert run.server.asked["a.example.com", "A"] == 1


def test_an_alias_exists_even_where_it_leads_nowhere(world):
    run = world({"example.com": f"{P}reject; np=none"})
    run.server.change("", "a.example.com", CNAME=["gone.example.com."])
    assert run.discover("a.example.com").tag == "sp"


def test_an_alias_of_a_record(world):
    run = world({"example.net": f"{P}reject"})
    run.server.change("", "_dmarc.example.com", CNAME=["_dmarc.example.net."])
    found = run.discover("example.com")
    assert (found.at.domain, found.applied.value, found.at.outcome.chain) == (
        "example.com", "reject", ("_dmarc.example.net.",))


def test_strings_are_joined(world):
    run = world({})
    run.server.change("", "_dmarc.example.com", TXT=[["v=DMARC1; p=rej", "ect; rua=mailto:", "a@example.com"]])
    assert run.discover("example.com").record.rua[0].host == "example.com"


@pytest.mark.parametrize("fault", ["timeout", "servfail", "refused", "truncated for ever", "garbage"])
def test_silence_is_not_absence(world, fault):
    """4.10.1: what DNS does not say is neither a record nor none; an own record is known in spite of it."""
    run = world({"example.com": f"{P}reject", "own.example.com": f"{P}none"},
                faults={("_dmarc.example.com", "TXT"): fault})
    found = run.discover("a.example.com")
    assert found.at is None and found.silent.name == "_dmarc.example.com." and found.walk.organization == ""
    own = run.discover("own.example.com")
    assert (own.applied.value, own.silent, own.walk.organization) == ("none", None, "")
    assert own.walk.silent.server == str(run.server.server)


def test_silence_about_existence(world):
    run = world({"example.com": f"{P}reject; np=none"}, faults={("a.example.com", "A"): "servfail"})
    found = run.discover("a.example.com")
    assert (found.at.domain, found.applied, found.silent.rdtype) == ("example.com", None, "A")


def test_a_loop_of_aliases_is_silence(world):
    run = world({})
    run.server.change("", "_dmarc.example.com", CNAME=["x.example.com."])
    run.server.change("", "x.example.com", CNAME=["_dmarc.example.com."])
    assert "loop" in run.discover("example.com").silent.cause


def test_a_walk_of_one_organization_shares_its_questions(world):
    """200 domains: one question each, and those above once."""
    run = world({"example.com": f"{P}reject"})
    found = run.lookup.each(run.discover, [f"d{n}.mail.example.com" for n in range(200)])
    assert {each.walk.organization for each in found} == {"example.com"}
    assert run.server.queries == 200 + 3


PLACES = st.sampled_from([(), ("v=DMARC1",), (f"{P}none; psd=n",), (f"{P}none; psd=y",), (f"{P}none", f"{P}reject")])


@given(st.lists(PLACES, min_size=1, max_size=12))
def test_any_tree(places):
    """4.10: at most 8 questions; an Organizational Domain is that of itself, and either asked for or below a suffix."""
    domain = ".".join(f"d{n}" for n in range(len(places)))
    tree = {".".join(domain.split(".")[n:]): values for n, values in enumerate(places)}
    asked = []

    def ask(name, rdtype):
        asked.append(name)
        values = tree[name.removeprefix("_dmarc.").removesuffix(".")]
        return Outcome(name, rdtype, Kind.VALUES if values else Kind.NO_DATA, values)

    found = walk(ask, domain)
    assert len(asked) == len(set(asked)) == len(found.steps) <= 8
    organization = found.organization
    assert domain == organization or domain.endswith(f".{organization}")
    assert walk(ask, organization).organization == organization
    applying = found.applying
    assert (applying is None) == (not any(step.record for step in found.steps))
    assert applying is None or found.own.record or applying.domain == organization or applying.record.psd == "y"
