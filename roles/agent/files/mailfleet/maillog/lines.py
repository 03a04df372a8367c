# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lines look like that tell of a message: their fields.

``TIME HOST NAME/SERVICE[PID]: QUEUE-ID: …``; NAME is the syslog_name of the instance, and may have parts, of which the
first is the instance's (and a second that begins with a hyphen), the others the service's own.
"""

from __future__ import annotations

import re

# Between the brackets of `to=<>` a comma, a bracket or a space stands only within quotes (smtp_address_form and
# info_log_address_format are external by default). After the recipient all is Postfix' own up to the reply.
DELIVERY = re.compile(
    rb"to=<([^\"<>]*)>, (?:orig_to=<([^\"<>]*)>, )?relay=([^,]*), (?:conn_use=\d+, )?delay=([^,]*), delays=([^,]*), "
    rb"(?:(?!dsn=)[^,=]+=[^,]*, ){0,4}dsn=([^,]*), status=([\w-]+) ?(?:\((.*)\)\Z|(.*)\Z)", re.DOTALL)
_FIELDS = re.compile(
    rb"relay=([^,]*), (?:conn_use=\d+, )?delay=([^,]*), delays=([^,]*), (?:(?!dsn=)[^,=]+=[^,]*, ){0,4}dsn=([^,]*), "
    rb"status=([\w-]+) ?(?:\((.*)\)\Z|(.*)\Z)", re.DOTALL)
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.){0,1000}"(?:@[^\s<>,]{0,255})?', re.DOTALL)
# From `from=<` to the end; a reply may quote as much, so the first that is whole counts. Postfix 3.10 also says who had
# logged in.
_ENVELOPE = re.compile(
    rb"; (?:from=<([^<>]*)>,? ?)?(?:to=<([^<>]*)>,? ?)?(?:proto=\w+,? ?)?(?:helo=<.*>)?(?: ?sasl_\w+=.*|: .*)?\Z",
    re.DOTALL)
_REFUSED = re.compile(
    rb"(?:milter-reject|proxy-reject|reject): [\w-]+(?: [\w-]+)?(?: from [^\s\[]*\[[^\]]*\](?::\d+)?)?: ", re.DOTALL)
_HEADER = re.compile(rb"reject: (?:mime header|nested header|header|body) .*? from [^\s;]+(?=; )", re.DOTALL)
# What cleanup(8) itself has against a message: its words, and the field that they are about.
_MIME = re.compile(rb"reject: mime-error (.*?) from [^\s;]+(?=; )", re.DOTALL)
_ENVELOPES = (b"; from=<", b"; to=<", b"; proto=")
STATUS = re.compile(rb"(?<![\w.])([245]\.\d{1,3}\.\d{1,3})(?![\w.])")
# Whom Postfix passes mail on to on this host: content filters, and lanes, whose own line comes later. The address tells
# it: a name is the receiver's to choose, and Debian has this host's own at 127.0.1.1.
LOOPBACK = re.compile(rb"[^,\[]*\[(127\.[0-9.]+|::1)\]")


def delivery(line: bytes, at: int) -> tuple[bytes | None, ...] | None:
    """Read ``to=…`` at a place of a line in whatever form: the groups of DELIVERY; None where it is no delivery."""
    if not line.startswith(b"to=", at):
        return None
    recipient, at = _address(line, at + len(b"to="))
    original = b""
    if line.startswith(b", orig_to=", at):
        original, at = _address(line, at + len(b", orig_to="))
    found = _FIELDS.match(line, at + 2) if line.startswith(b", ", at) else None
    return (recipient, original, *found.groups()) if found else None


def _address(line: bytes, at: int) -> tuple[bytes, int]:
    """The address at a place, in brackets or without, and where what follows begins."""
    bracket = line.startswith(b"<", at)
    begin = at + bracket
    quoted = _QUOTED.match(line, begin)
    if quoted and (not bracket or line.startswith(b">", quoted.end())):
        return quoted[0], quoted.end() + bracket
    if not bracket:
        end = line.find(b", ", begin)
        return (line[begin:end], end) if end >= 0 else (b"", len(line))
    # Older ones, and info_log_address_format = internal, have no quotes: what follows the recipient tells its end.
    ends = [end for each in (b">, relay=", b">, orig_to=<") if (end := line.find(each, begin)) >= 0]
    return (line[begin:min(ends)], min(ends) + 1) if ends else (b"", len(line))


def refusal(line: bytes, at: int) -> tuple[bytes, bytes, bytes, bytes] | None:
    """Read ``reject: …`` at a place of a line: status, text, sender and recipient; None where it is none."""
    if mime := _MIME.match(line, at):
        _end, sender, recipient = _envelope(line, mime.end())
        return b"5.6.0", mime[1], sender, recipient  # what it answers, and does not log
    header = _HEADER.match(line, at)
    front = header or _REFUSED.match(line, at)
    if not front:
        return None
    begin = place = front.end()
    if not header and (bracket := line.find(b"<", begin, begin + 16)) >= 0:
        # The text begins with an address, which may quote anything.
        quoted = _QUOTED.match(line, bracket + 1)
        place = quoted.end() if quoted else begin
    end, sender, recipient = _envelope(line, place)
    text = line[end:].rpartition(b">: ")[2] if header else line[begin:end]
    status = STATUS.search(text[:200])
    return status[1] if status else b"", text, sender, recipient


def _envelope(line: bytes, place: int) -> tuple[int, bytes, bytes]:
    """Where `; from=<` begins, behind a place, and the sender and recipient there."""
    for _try in range(20):
        ends = [found for each in _ENVELOPES if (found := line.find(each, place)) >= 0]
        if not ends:
            break
        if envelope := _ENVELOPE.match(line, min(ends)):
            return min(ends), envelope[1] or b"", envelope[2] or b""
        place = min(ends) + 1
    return len(line), b"", b""
