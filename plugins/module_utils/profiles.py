# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mailbox providers that can be named in ``sending_providers`` by a word: where their mail goes, and what they stand.

Providers publish next to nothing of their limits. So each figure bears its source, the date of which it was read, and
how far it can be trusted; whoever knows better overrides it in the inventory.
"""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a figure comes from.

    ``confidence`` is C(published) (the provider itself says so), C(community) (kept by people who send much) or
    C(anecdotal) (somebody wrote so once).
    """

    name: str
    date: str
    confidence: str

    def __str__(self) -> str:
        return f"{self.name}, {self.date}, {self.confidence}"


@dataclasses.dataclass(frozen=True)
class Profile:
    """A shipped provider.

    ``domains`` are its own, ``mx`` the suffixes by which a domain that it hosts is known from its MX records;
    ``nexthop`` is the one of its domains whose MX take mail of them all, if there is one. ``limits`` are fields of
    ``sending_providers`` by name, each with its source.
    """

    name: str
    domains: tuple[str, ...]
    mx: tuple[str, ...]
    limits: t.Mapping[str, tuple[t.Any, Source]]
    nexthop: str = ""


SHAPING = Source("KumoMTA's shaping files", "2026-03", "community")
GIVEN = Source("KumoMTA's shaping files, given by the provider", "2026-03", "published")
PAGES = Source("pages of third parties", "2026-11", "anecdotal")
RULES = Source("the provider's rules for senders", "2026-11", "published")


def _limits(source: Source, **values: t.Any) -> dict[str, tuple[t.Any, Source]]:
    return {name: (value, source) for name, value in values.items()}


# SFR has one MX for all that it took over.
_SFR = (
    "sfr.fr", "neuf.fr", "9online.fr", "9business.fr", "cegetel.net", "club-internet.fr", "cario.fr",
    "guideo.fr", "mageos.com", "fnac.net", "waika9.com", "modulonet.fr", "estvideo.fr", "evhr.net", "noos.fr",
    "numericable.fr", "numericable.com", "akeonet.com",
)

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        # Gmail and what Google hosts have the same addresses behind their MX, and count as one.
        Profile("google", ("gmail.com", "googlemail.com"), ("google.com", "googlemail.com"),
                {**_limits(SHAPING, connections=5, messages=50), **_limits(RULES, tls="encrypt")}, "gmail.com"),
        Profile("yahoo", ("yahoo.com", "yahoo.fr", "yahoo.co.uk", "yahoo.de", "yahoo.es", "yahoo.it", "ymail.com",
                          "rocketmail.com", "aol.com"), ("yahoodns.net",),
                {**_limits(PAGES, connections=150), **_limits(GIVEN, messages=20)}),
        Profile("yahoo-japan", ("yahoo.co.jp",), ("yahoo.co.jp",),
                _limits(SHAPING, connections=2, messages=20, rate="10/s")),
        Profile("outlook", ("outlook.com", "hotmail.com", "hotmail.fr", "hotmail.co.uk", "live.com", "live.fr",
                            "msn.com"), ("olc.protection.outlook.com",), _limits(SHAPING, connections=5, messages=50)),
        Profile("microsoft365", (), ("mail.protection.outlook.com", "mx.microsoft"),
                _limits(SHAPING, connections=5, messages=50)),
        # The sources differ: 10 and 150 connections, 5 and 50 messages. The lower ones are safe.
        Profile("icloud", ("icloud.com", "me.com", "mac.com"), ("icloud.com",),
                _limits(SHAPING, connections=10, messages=5)),
        Profile("orange", ("orange.fr", "wanadoo.fr"), ("orange.fr",),
                _limits(SHAPING, connections=2, messages=100, recipients=100), "orange.fr"),
        Profile("laposte", ("laposte.net",), ("laposte.net",), _limits(PAGES, connections=2, messages=100)),
        Profile("sfr", _SFR, ("sfr.fr",), _limits(PAGES, connections=2), "sfr.fr"),
        Profile("free", ("free.fr", "aliceadsl.fr"), ("free.fr",), _limits(PAGES, connections=2, rate="100/h")),
        Profile("gmx", ("gmx.net", "gmx.de", "gmx.at", "gmx.ch", "web.de"), ("gmx.net", "web.de"),
                _limits(SHAPING, connections=4, messages=20, tls="encrypt")),
        Profile("comcast", ("comcast.net",), ("comcast.net",),
                _limits(GIVEN, connections=25, messages=1000, recipients=100, tls="encrypt")),
        Profile("mailru", ("mail.ru", "inbox.ru", "list.ru", "bk.ru"), ("mail.ru",),
                _limits(PAGES, connections=2, messages=10, rate="16/m")),
        Profile("qq", ("qq.com", "foxmail.com"), ("qq.com",),
                _limits(SHAPING, connections=4, messages=8, tls="encrypt")),
        Profile("netease", ("163.com", "126.com", "yeah.net"), ("netease.com",),
                _limits(SHAPING, connections=4, messages=7, tls="encrypt")),
        Profile("mimecast", (), ("mimecast.com", "mimecast.co.za", "mimecast-offshore.com"),
                _limits(GIVEN, connections=10, messages=100)),
        Profile("barracuda", (), ("barracudanetworks.com",),
                _limits(SHAPING, connections=10, messages=15, tls="encrypt")),
        Profile("kpn", ("kpnmail.nl", "planet.nl", "hetnet.nl"), ("kpnmail.nl",),
                _limits(SHAPING, connections=10, messages=10, tls="encrypt")),
    )
}
