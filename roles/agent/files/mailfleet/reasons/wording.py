# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wording of a reply: what is left of it when all that differs between two replies of one meaning is taken out.

An address, a host name, a number or an id says nothing of the reason, and would deceive: `virus@example.com` is no
virus, a host named `spamfilter` is no verdict, and a link to an explanation may name every reason there is. So callers
that keep verdicts by wording need few of them, and no phrase depends on what is hidden here.
"""

from __future__ import annotations

import re

# No reply needs more to say why; what follows is a quotation or noise.
LONGEST = 2000

QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "´": "'", '"': " ", "\u201c": " ", "\u201d": " ", "«": " ",
                        "»": " ", "<": " ", ">": " ", "\N{NO-BREAK SPACE}": " ", "\0": " ", "_": " "})
# Codes of Google's help pages and names of block lists are words, all else of a link is not.
LISTS = re.compile(r"ipcheck|spamhaus|spamcop|sorbs|barracuda|senderscore|cloudmark|uceprotect|dnsbl|[./]rbl",
                   re.IGNORECASE)
LINK = re.compile(r"https?://[^\s<>]{0,400}?(?:[?&](p=\w{1,40})[^\s<>]{0,400}|(?=[\s<>]|$))|https?://\S{1,800}")
# Only what ASCII has of a domain: Chinese and Japanese words follow it without a space.
ADDRESS = re.compile(r"[^\s<>()\[\],;:\"@（）「」：]{1,128}@[A-Za-z0-9.-]{0,253}")
HOST = re.compile(r"(?<![\w.-])[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,10}\.[a-z]{2,24}(?![\w-])")
REPLY = re.compile(r"(?<![\w.])[2-5][0-9]{2}[ -](?:#?[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![\w.]))?[ -]?")
NUMBER = re.compile(r"(?<![a-z0-9])[0-9]+(?:[.:/-][0-9]+)*(?![a-z0-9])")
ID = re.compile(r"(?<![\w])(?=[a-z-]{0,24}[0-9])[\w-]{10,}")
# Phrases know one way to say no.
NEGATIONS = (("cannot", "can not"), ("can't", "can not"), ("won't", "will not"), ("n't", " not"))
SPACES = re.compile(r"\s+")


def wording_of(text: str) -> str:
    """Return the wording of a text: small letters, one space between words and around all, `@`, `~` and `#` for what
    is hidden."""
    text = SPACES.sub(" ", text[:LONGEST])
    if "://" in text:
        text = LINK.sub(word_of, text)
    if "@" in text:
        text = ADDRESS.sub("@", text).replace("[@]", "@").replace("'@'", "@")
    text = REPLY.sub("", HOST.sub("~", text)).translate(QUOTES).lower()
    for said, meant in NEGATIONS:
        text = text.replace(said, meant)
    return f" {SPACES.sub(' ', NUMBER.sub('#', ID.sub('#', text))).strip()} "


def word_of(link: re.Match[str]) -> str:
    """Return what a link says."""
    named = LISTS.search(link[0])
    return link[1] or (f"{named[0].strip('./')} " if named else "~")
