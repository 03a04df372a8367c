# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Status parts (RFC 3464, RFC 6533) as mail systems write them, and as gateways leave them."""

from __future__ import annotations

import base64
import quopri

import pytest
from mailfleet.notices import read
from mailfleet.notices.addresses import address_of, addresses_in
from notice_world import RETURNED, SENDER, parts, plain, report

UNKNOWN = "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 No such user\n"


def told(raw):
    return [(each.recipient, each.kind, each.reason, each.status) for each in read(raw).findings]


def test_each_recipient_is_told():
    fields = (f"Final-Recipient: rfc822; ann@example.net\n{UNKNOWN}\n"
              "Final-Recipient: rfc822; bob@example.net\nAction: failed\nStatus: 5.2.2\n\n"
              "Final-Recipient: rfc822; cat@example.net\nAction: delivered\nStatus: 2.0.0\n")
    assert told(report(fields)) == [("ann@example.net", "hard", "user-unknown", "5.1.1"),
                                    ("bob@example.net", "soft", "mailbox-full", "5.2.2"),
                                    ("cat@example.net", "delivered", "delivered", "2.0.0")]


@pytest.mark.parametrize("field, recipient", [
    ("Final-Recipient: rfc822; ann@example.net", "ann@example.net"),
    ("Final-Recipient: RFC822;<ann@example.net>", "ann@example.net"),
    ("final-recipient:rfc822;ann@example.net", "ann@example.net"),
    ("Final-Recipient: ann@example.net", "ann@example.net"),
    ("Final-Recipient: rfc822; Ann Example <ann@example.net>", "ann@example.net"),
    ('Final-Recipient: rfc822; "ann..b"@example.net', '"ann..b"@example.net'),
    ("Final-Recipient: rfc822; ann+40example.net", "ann@example.net"),
    ("Final-Recipient: utf-8; \\x{E4}nn@example.net", "änn@example.net"),
    ("Final-Recipient: utf-8; änn@bücher.example", "änn@bücher.example"),
    ("Final-Recipient: utf-8; ผู้ใช้@example.net", "ผู้ใช้@example.net"),
    ("Final-Recipient: utf-8; उपयोगी@example.net", "उपयोगी@example.net"),
    ("Final-Recipient: rfc822; @relay.example:ann@host\nOriginal-Recipient: rfc822; ann@example.net",
     "ann@example.net"),
    ("Final-Recipient: x400; /G=Ann/O=Example/\nOriginal-Recipient: rfc822; ann@example.net", "ann@example.net"),
    ("Final-Recipient: LOCAL;\nX-Actual-Recipient: rfc822; ann@example.net", "ann@example.net"),
])
def test_a_recipient_is_read(field, recipient):
    assert [each[0] for each in told(report(f"{field}\n{UNKNOWN}"))] == [recipient]


def test_a_recipient_that_is_no_address_is_taken_from_elsewhere():
    fields = f"Final-Recipient: rfc822; |/usr/bin/filter --for ann\n{UNKNOWN}"
    assert told(report(fields, X_Failed_Recipients="ann@example.net"))[0][0] == "ann@example.net"
    assert told(report(fields))[0][0] == "ann@example.net"  # from the returned message
    assert told(report(fields, returned="Subject: x\n\n"))[0][0] == ""


def test_another_original_recipient_is_told():
    (found,) = read(report(f"Final-Recipient: rfc822; ann@host.example\nOriginal-Recipient: rfc822; ann@example.net\n"
                           f"{UNKNOWN}")).findings
    assert (found.recipient, found.original) == ("ann@host.example", "ann@example.net")


@pytest.mark.parametrize("fields", [
    f"Final-Recipient: rfc822; ann@example.net\n{UNKNOWN}".replace("Action: failed\n", ""),
    f"Final-Recipient: rfc822; ann@example.net\n{UNKNOWN}".replace("failed", "<failed>"),
    f"Final-Recipient: rfc822; ann@example.net\n{UNKNOWN}".replace("failed", "Failed (permanently)"),
    "Final-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: 5.1.1 (bad destination mailbox address)\n",
    "Final-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: 5.1.1\n\nDiagnostic-Code: smtp; 550 No such "
    "user\n",
    f"Final-Recipient: rfc822;\n ann@example.net\n{UNKNOWN}".replace("550 5.1.1", "550\n 5.1.1"),
])
def test_what_gateways_leave_is_read(fields):
    assert told(report(fields)) == [("ann@example.net", "hard", "user-unknown", "5.1.1")]


def test_what_stands_among_the_fields_of_the_message_is_of_no_recipient():
    """Gateways that ask senders to prove themselves write so."""
    status = ("Reporting-MTA: dns; mx.example.org\nAction: failed\n\nFinal-Recipient: rfc822; ann@example.net\n"
              "Diagnostic-Code: X-Notice; Sender not pre-approved\nStatus: 4.7.0\n")
    raw = parts("noreply@gate.example", "Re: The news", ("text/plain", "Please tell who you are."),
                ("message/delivery-status", status), kind="report; report-type=delivery-status")
    assert told(raw) == [("ann@example.net", "soft", "sender", "4.7.0")]
    alone = parts("MAILER-DAEMON@x.example", "Failure", ("text/plain", "No such user: ann@example.net"),
                  ("message/delivery-status", "Reporting-MTA: dns; x\nAction: failed\nStatus: 5.1.1\n"),
                  kind="report; report-type=delivery-status")
    assert told(alone) == [("ann@example.net", "hard", "user-unknown", "5.1.1")]


@pytest.mark.parametrize("encode", [lambda raw: ("", raw), lambda raw: (
    "\nContent-Transfer-Encoding: base64", base64.encodebytes(raw))], ids=["as it was", "in base64"])
def test_a_report_that_a_gateway_wrapped_is_read(encode):
    inner = report(f"Final-Recipient: rfc822; ann@example.net\n{UNKNOWN}").replace(b"=_limit", b"=_in")
    encoding, inner = encode(inner)
    raw = parts("postmaster@gate.example", "Delivery Status Notification (Failure)",
                (f"message/rfc822{encoding}", inner.decode()), ("text/plain", "This e-mail is confidential."),
                Delivered_To="b+outer@bounce.example.com")
    assert told(raw) == [("ann@example.net", "hard", "user-unknown", "5.1.1")]
    assert read(raw).mentions[0].address == "b+outer@bounce.example.com"
    assert SENDER in [each.address for each in read(raw).mentions]
    assert told(raw.replace(b"postmaster@gate", b"bob@gate").replace(b"Return-Path: <>", b"X: y", 1)) == []


def test_a_returned_message_in_base64_is_read():
    returned = base64.encodebytes(RETURNED.encode()).decode()
    raw = parts("MAILER-DAEMON@x.example", "Undelivered Mail", ("text/plain", "The mailbox is full."),
                ("message/rfc822\nContent-Transfer-Encoding: base64", returned))
    assert told(raw) == [("ann@example.net", "soft", "mailbox-full", "")]


@pytest.mark.parametrize(("encoding", "encode"), [
    ("8bit", bytes), ("base64", base64.encodebytes), ("quoted-printable", quopri.encodestring)])
def test_a_returned_message_of_other_scripts_may_be_encoded(encoding, encode):
    sender = "srs0=abcd=ef=e.example.com=b+abr2wmzn4k5tqxvd6e7jhiu2cp@forwarder.mail.example.org"
    returned = f"Return-Path: <{sender}>\nSubject: \u00fc\nTo: \u7528\u6237@\u4f8b.example\n\nx\n"
    raw = parts("MAILER-DAEMON@x.example", "Undelivered Mail",
                ("message/global-delivery-status", "Final-Recipient: utf-8;\\x{7528}\\x{6237}@\u4f8b.example\n"
                 "Action: failed\nStatus: 5.1.1\n"),
                (f"message/global\nContent-Transfer-Encoding: {encoding}", encode(returned.encode()).decode()),
                kind="report; report-type=delivery-status")
    notice = read(raw)
    assert [each.recipient for each in notice.findings] == ["\u7528\u6237@\u4f8b.example"] == list(notice.to)
    assert sender in [each.address for each in notice.mentions]


def test_groups_without_a_blank_line_between_them():
    fields = f"Final-Recipient: rfc822; ann@example.net\n{UNKNOWN}Final-Recipient: rfc822; bob@example.net\n{UNKNOWN}"
    assert [each[0] for each in told(report(fields))] == ["ann@example.net", "bob@example.net"]


def test_a_status_part_may_be_encoded():
    fields = f"Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; ann@example.net\n{UNKNOWN}"
    raw = parts("MAILER-DAEMON@x.example", "Undeliverable", ("text/plain", "Sorry."), (
        "message/global-delivery-status\nContent-Transfer-Encoding: base64",
        base64.b64encode(fields.encode()).decode()),
        kind="report; report-type=delivery-status")
    assert told(raw) == [("ann@example.net", "hard", "user-unknown", "5.1.1")]
    spoilt = raw.replace(b'boundary="=_limit"', b'boundary="=_other"')
    assert told(spoilt) == told(raw)


def test_fields_in_a_text_are_read_where_a_mail_system_wrote_it():
    text = ("Technical report:\n\nReporting-MTA: dsn; mx.example.org\n\nAction: failed\nFinal-Recipient: rfc822; "
            "ann@example.net\nDiagnostic-Code: smtp; 552 5.2.2 mailbox full\nStatus: 5.2.2\n")
    assert told(plain("MAILER-DAEMON@x.example", "Failure", text)) == [
        ("ann@example.net", "soft", "mailbox-full", "5.2.2")]
    assert told(plain("Bob <bob@example.net>", "See this", text, Return_Path="<bob@example.net>")) == []


@pytest.mark.parametrize("spoil", [
    lambda raw: raw.replace(b'boundary="=_limit"', b'boundary="=_other"'),
    lambda raw: raw.replace(b"--=_limit--\n", b""),
    lambda raw: raw.replace(b'boundary="=_limit"', b"charset=x"),
    lambda raw: raw.replace(b"multipart/report; report-type=delivery-status; b", b"Multipart/Report; B"),
    lambda raw: b"From MAILER-DAEMON Mon Mar  2 10:00:00 2026\n" + raw,
    lambda raw: b"\n\n" + raw,
])
def test_damage_that_is_seen_does_not_hide_a_report(spoil):
    raw = spoil(report(f"Final-Recipient: rfc822; ann@example.net\n{UNKNOWN}"))
    assert told(raw) == [("ann@example.net", "hard", "user-unknown", "5.1.1")]


def test_the_text_says_what_a_report_does_not():
    fields = "Final-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: 5.0.0\n"
    text = "<ann@example.net>: user's mailbox is full\n"
    assert told(report(fields, text)) == [("ann@example.net", "soft", "mailbox-full", "5.0.0")]


@pytest.mark.parametrize("said, expected", [
    ("Status: 4.4.1 (Persistent transient failure - routing/network: no answer from host)", ("soft", "unreachable")),
    ("Status: 5.0.0\nDiagnostic-Code: Reason 1 (Unable-To-Transfer); Diagnostic -1 (Unknown)\n"
     "X400-Supplementary-Info: \"MTA 'x' gives error message 5.7.1 Unable to relay for ann\"", ("soft", "relay")),
    ("Status: 5.0.0\nDiagnostic-Code: X-Postfix; unknown user: \"ann\"", ("hard", "user-unknown")),
    ("Status: 5.0.0\nX-Supplementary-Info: < #5.1.1 smtp;550 5.1.1 no such user>", ("hard", "user-unknown")),
    ("Status: 5.0.0\nDiagnostic-Code: smtp; 5.3.0 - Other mail system problem 550-'Unknown user ann@example.net'",
     ("soft", "filtered")),
    ("Status: 5.0.0\nDiagnostic-Code: smtp; 5.3.0 - Other mail system problem 550-'5.1.1 Unknown user'",
     ("hard", "user-unknown")),
])
def test_what_gateways_say_beside_is_read(said, expected):
    fields = f"Final-Recipient: rfc822; ann@example.net\nAction: failed\n{said}\n"
    assert [each[1:3] for each in told(report(fields))] == [expected]


def test_a_disclaimer_says_nothing():
    fields = "Final-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: 5.1.1\n"
    text = ("Delivery to the following recipients failed.\n\n       ann@example.net\n\n___________________________\n"
            "This message has been scanned for all viruses by Example.\n")
    assert told(report(fields, text)) == [("ann@example.net", "hard", "user-unknown", "5.1.1")]


def test_what_waits_is_never_hard():
    raw = report(f"Final-Recipient: rfc822; ann@example.net\n{UNKNOWN}".replace("failed", "delayed"))
    (found,) = read(raw).findings
    assert (found.kind, found.reason) == ("soft", "user-unknown")


def test_what_is_said_of_one_is_not_said_of_another():
    fields = (f"Final-Recipient: rfc822; ann@example.net\n{UNKNOWN}\n"
              "Final-Recipient: rfc822; bob@example.net\nAction: failed\nStatus: 5.0.0\n")
    text = "<ann@example.net>: no such user\n"
    assert [each[1:3] for each in told(report(fields, text))] == [("hard", "user-unknown"), ("soft", "undetermined")]


def test_what_a_text_says_before_all_is_said_of_each():
    text = "Delivery failed, the recipients' host is not reachable:\n\n<ann@example.net>\n\n<bob@example.net>\n"
    assert [each[:3] for each in told(plain("MAILER-DAEMON@x.example", "Failure", text))] == [
        ("ann@example.net", "soft", "unreachable"), ("bob@example.net", "soft", "unreachable")]


@pytest.mark.parametrize("session, kind", [
    (">>> RCPT To:<ann@example.net>\n<<< 550 5.2.1 User unknown\n", "hard"),
    (">>> DATA\n<<< 550 User unknown\n554 5.0.0 Service unavailable\n", "soft"),
    (">>> DATA\n<<< 550 User unknown\n550 5.1.1 <ann@example.net>... User unknown\n<<< 503 need RCPT\n", "hard"),
])
def test_a_session_tells_what_was_answered(session, kind):
    """sendmail sends DATA without waiting: only its own line says whether it took the reply to be on the recipient."""
    reply = next(line[4:] for line in session.split("\n") if line.startswith("<<<"))
    fields = ("Final-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: 5.0.0\n"
              f"Diagnostic-Code: smtp; {reply}\n")
    raw = report(fields, f"   ----- Transcript of session follows -----\n{session}")
    assert [each[1] for each in told(raw)] == [kind]


@pytest.mark.parametrize("lines, expected", [
    (["550-Verification failed for <b@example.com>", "550-No such account may exist", "550 Sender verify failed"],
     ("soft", "sender")),
    (["550-We have looked at it, and it is", "550 on our block list"], ("soft", "blocked")),
    (["550-We do not want it", "550 so call us"], ("soft", "undetermined")),
    (["550-5.1.1 We do not want it", "550 5.1.1 so call us"], ("hard", "user-unknown")),
    (["550-We know of", "550 no such user"], ("hard", "user-unknown")),
])
def test_of_a_reply_that_sendmail_cuts_all_lines_are_read(lines, expected):
    """Its own "User unknown" proves nothing: it says so of every 550."""
    session = "".join(f"<<< {line}\n" for line in lines)
    text = (f"   ----- Transcript of session follows -----\n... while talking to mx.example.net.:\n>>> DATA\n{session}"
            "550 5.1.1 <ann@example.net>... User unknown\n<<< 503 need RCPT\n")
    fields = ("Final-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: 5.1.1\n"
              f"Diagnostic-Code: smtp; {lines[0]}\n")
    assert [each[1:3] for each in told(report(fields, text))] == [expected]


def test_mentions_are_in_the_order_of_belief():
    raw = report(f"Final-Recipient: rfc822; ann@example.net\n{UNKNOWN}", Delivered_To="b+one@bounce.example.com",
                 X_Original_To="b+two@bounce.example.com")
    found = [(each.place, each.address) for each in read(raw).mentions]
    assert found == [("delivered-to", "b+one@bounce.example.com"), ("x-original-to", "b+two@bounce.example.com"),
                     ("to", SENDER), ("original-envelope-id", SENDER), ("returned return-path", SENDER)]


def test_a_rewritten_return_path_stays_as_it_is():
    srs = "SRS0=HHH=TT=bounce.example.com=b+abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnop@forwarder.example"
    raw = report(f"Final-Recipient: rfc822; ann@example.net\n{UNKNOWN}", Delivered_To=srs)
    assert read(raw).mentions[0].address == srs


def test_all_that_can_have_been_the_recipient_are_addressed():
    returned = RETURNED.replace("To: <ann@example.net>", "To: Ann <ann@example.net>,\n Bob <bob@example.net>\nCc: "
                                                         "cat@example.net")
    raw = report(f"Final-Recipient: rfc822; ann@host.example\nOriginal-Recipient: rfc822; dan@example.net\n{UNKNOWN}",
                 returned=returned, X_Failed_Recipients="eve@example.net")
    assert set(read(raw).addressed) == {"ann@host.example", "dan@example.net", "ann@example.net", "bob@example.net",
                                        "cat@example.net", "eve@example.net"}


@pytest.mark.parametrize("text, address", [
    ("ann@example.net", "ann@example.net"), ("<ann@example.net>", "ann@example.net"),
    (" Ann <ann@example.net> ", "ann@example.net"), ("@a.example,@b.example:ann@example.net", "ann@example.net"),
    ("ann@host", "ann@host"), ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
    ("ann@example.net.", "ann@example.net"), ("ann", ""), ("@example.net", ""), ("ann@", ""), ("ann@@example.net", ""),
    ("a nn@example.net", ""), ("ann@exa_mple.net", ""), ("ann@-example.net", ""), ("ann@192", ""),
    ("ann@example..net", ""),
    (f"{'a' * 65}@example.net", ""), (f"ann@{'e' * 64}.net", ""), ("", ""), ("<>", ""), ("MAILER-DAEMON", ""),
    ("/var/mail/ann", ""), ("ann@example.net bob@example.net", ""),
])
def test_an_address_is_valid_in_form(text, address):
    assert address_of(text) == address


def test_addresses_are_found_in_a_text_once_each():
    text = "To <ann@example.net>, Ann@example.NET; mailto:bob@example.net, x@y, http://u@, cat@example.net."
    assert addresses_in(text) == ["ann@example.net", "bob@example.net", "cat@example.net"]
