# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""POP3 and IMAP against small servers that speak them over TCP and TLS: what is fetched, removed, and told."""

from __future__ import annotations

import re
import socketserver
import ssl
import threading

import certificates
import pytest
from mailfleet.errors import Unavailable
from mailfleet.fetching import fetch
from mailfleet.settings import Remote
from mailfleet.spool import Spool

MESSAGES = [b"Subject: one\r\n\r\n.dot\r\nend\r\n", b"Subject: two\r\n\r\n" + b"x" * 9000 + b"\xff\r\n"]
LITERAL = "* {} FETCH (UID {} BODY[] {{{}}}\r\n"


class Session(socketserver.StreamRequestHandler):
    """What both servers share: a mailbox, the lines that came, and how a session breaks off."""

    disable_nagle_algorithm = True

    def line(self) -> str:
        line = self.rfile.readline().decode().rstrip("\r\n")
        self.server.seen.append(re.sub(r"^[A-Z]+\d+ ", "", line))
        if self.server.breaks and re.search(self.server.breaks, line):
            raise ConnectionError
        return line

    def say(self, text: str | bytes) -> None:
        self.wfile.write((text.encode() if isinstance(text, str) else text) + b"\r\n")

    def handle(self) -> None:
        try:
            self.session()
        except (OSError, ValueError):
            pass

    def secure(self) -> None:
        self.connection = self.server.context.wrap_socket(self.request, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)


class Pop3(Session):
    def session(self) -> None:
        there, gone = self.server.there, []
        self.say("+OK hello")
        while line := self.line():
            verb, _space, rest = line.partition(" ")
            if verb == "STLS":
                self.say("+OK")
                self.secure()
            elif verb == "CAPA":
                self.say("+OK\r\nSTLS\r\n.")
            elif verb == "PASS" and rest != "secret":
                self.say("-ERR no")
            elif verb == "LIST":
                self.say("+OK")
                if self.server.lists:
                    self.say(self.server.lists)
                for number, raw in enumerate(there, 1):
                    self.say(f"{number} {len(raw)}")
                self.say(".")
            elif verb == "RETR" and rest == self.server.refuses:
                self.say("-ERR it is gone")
            elif verb == "RETR":
                self.say("+OK")
                self.say(re.sub(rb"(?m)^\.", b"..", there[int(rest) - 1]) + b".")
            elif verb == "DELE":
                gone.append(int(rest) - 1)
                self.say("+OK")
            elif verb == "QUIT":
                self.server.there = [raw for number, raw in enumerate(there) if number not in gone]
                self.say("+OK")
                return
            else:
                self.say("+OK")


class Imap(Session):
    def session(self) -> None:
        there = {str(number): raw for number, raw in enumerate(self.server.there, 7)}
        gone: set[str] = set()
        self.say("* OK [CAPABILITY IMAP4rev1 STARTTLS] hello")
        known = False
        while line := self.line():
            tag, verb, *rest = line.split(" ", 2)
            told = rest[0] if rest else ""
            end = f"{tag} OK done"
            if verb == "CAPABILITY":
                self.say(f"* CAPABILITY IMAP4rev1 STARTTLS {self.server.extra if known else ''}")
            elif verb == "LOGIN" and told != 'u "secret"':
                end = f"{tag} NO wrong"
            elif verb == "LOGIN":
                known = True
            elif verb == "SELECT":
                end = f"{tag} OK done" if told == '"IN \\"BOX"' else f"{tag} NO no such folder"
                self.say(f"* {len(there)} EXISTS")
            elif told == "SEARCH ALL":
                self.say("* SEARCH " + " ".join(there))
            elif told.endswith("(RFC822.SIZE)"):
                name = told.split()[1]
                self.say(f"* 1 FETCH (UID {name} RFC822.SIZE {len(there[name])})")
            elif "BODY.PEEK[]" in told and told.split()[1] == self.server.refuses:
                end = f"{tag} {self.server.how} it is gone"
            elif "BODY.PEEK[]" in told:
                name = told.split()[1]
                self.wfile.write(LITERAL.format(1, name, len(there[name])).encode() + there[name])
                self.say(")")
            elif told.startswith("STORE"):
                gone = set(told.split()[1].split(","))
            elif told.startswith("EXPUNGE") or verb == "EXPUNGE":
                self.server.there = [raw for name, raw in there.items() if name not in gone]
            elif verb == "STARTTLS":
                self.say(end)
                self.secure()
                continue
            self.say(end)
            if verb == "LOGOUT":
                return


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def get_request(self):
        connection, address = super().get_request()
        if self.implicit:
            connection = self.context.wrap_socket(connection, server_side=True)
        return connection, address

    def handle_error(self, _request, _address) -> None:
        """What a client does not like it does not get."""


@pytest.fixture
def serve(tmp_path):
    """A maker of servers, of a protocol and kind of TLS, and the settings of their mailbox."""
    made = certificates.pair("localhost")
    (tmp_path / "chain.pem").write_text(made.key + made.certificate)
    (tmp_path / "ca.pem").write_text(made.certificate)
    running = []

    def make(protocol: str, tls: str, *, breaks: str = "", extra: str = "UIDPLUS", **changes) -> tuple[Server, Remote]:
        server = Server(("127.0.0.1", 0), Pop3 if protocol == "pop3" else Imap)
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(tmp_path / "chain.pem")
        server.there, server.seen, server.breaks, server.extra = list(MESSAGES), [], breaks, extra
        server.implicit, server.refuses, server.how = tls == "implicit", "", "NO"
        server.lists = ""
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        wanted = {"name": "seed", "protocol": protocol, "host": "localhost", "port": server.server_address[1],
                  "user": "u", "password": "secret", "tls": tls, "ca_file": str(tmp_path / "ca.pem"),
                  "folder": 'IN "BOX', "timeout": 60}
        return server, Remote(**wanted | changes)

    yield make
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(str(tmp_path / "spool"))


def fetched(spool: Spool, most: int = 1 << 20) -> list[bytes]:
    return sorted(spool.read(name, most)[0] for name in spool.names())


@pytest.mark.parametrize("tls", ["implicit", "starttls", "none"])
@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_a_mailbox_is_emptied_into_the_spool(serve, spool, protocol, tls):
    server, remote = serve(protocol, tls)
    assert fetch(remote, spool, print) == 2
    assert fetched(spool) == [raw.replace(b"\r\n", b"\n") for raw in MESSAGES]
    assert server.there == []
    assert fetch(remote, spool, print) == 0
    secured = [line for line in server.seen if line in ("STLS", "STARTTLS")]
    assert len(secured) == (2 if tls == "starttls" else 0)


@pytest.mark.parametrize(("protocol", "breaks"), [
    ("pop3", "^RETR 2"), ("pop3", "^DELE 2"), ("pop3", "^QUIT"), ("imap", r"FETCH 8 \(BODY"), ("imap", "STORE"),
    ("imap", "EXPUNGE")])
def test_where_it_breaks_off_nothing_is_removed_and_nothing_is_lost(serve, spool, protocol, breaks):
    server, remote = serve(protocol, "none", breaks=breaks)
    with pytest.raises(Unavailable, match=f"mailbox seed .{protocol} at localhost"):
        fetch(remote, spool, print)
    assert server.there == MESSAGES
    server.breaks = ""
    assert fetch(remote, spool, print) == 2 and server.there == []
    assert set(fetched(spool)) == {raw.replace(b"\r\n", b"\n") for raw in MESSAGES}


@pytest.mark.parametrize(("protocol", "refuses", "how"), [("pop3", "1", ""), ("imap", "7", "NO"), ("imap", "7", "OK")])
def test_a_message_that_is_not_given_keeps_no_other_back(serve, spool, protocol, refuses, how):
    server, remote = serve(protocol, "none")
    server.refuses, server.how = refuses, how
    told: list[str] = []
    assert fetch(remote, spool, told.append) == 1 and server.there == MESSAGES[:1]
    assert told == [f"mailbox seed: the server does not give message {refuses}; it stays there"]


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_neither_a_long_line_nor_a_long_list_keeps_a_mailbox_full(serve, spool, monkeypatch, protocol):
    monkeypatch.setattr("mailfleet.fetching.MOST_AT_ONCE", 3)
    server, remote = serve(protocol, "none")
    server.there = [b"Subject: long\r\n\r\n" + b"x" * (3 << 20) + b"\r\n", *[b"x\r\n"] * 160000]
    assert fetch(remote, spool, print) == 3
    assert max(map(len, fetched(spool, 4 << 20))) > 3 << 20 and len(server.there) == 159998


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_messages_that_stay_hide_none_behind_them(serve, spool, monkeypatch, protocol):
    monkeypatch.setattr("mailfleet.fetching.MOST_AT_ONCE", 2)
    monkeypatch.setattr("mailfleet.fetching.LARGEST", 9000)
    server, remote = serve(protocol, "none")
    large, small = MESSAGES[1], [b"Subject: %d\r\n\r\n" % n for n in range(3)]
    server.there = [large, large, large, *small]
    told: list[str] = []
    assert fetch(remote, spool, told.append) == 2 and server.there == [large, large, large, small[2]]
    assert fetch(remote, spool, told.append) == 1 and len(told) == 6


@pytest.mark.parametrize("line", ["1", "x y", "* 0 FETCH", "\xff"])
def test_a_server_that_speaks_nonsense_stops_none_of_the_others(serve, spool, line):
    server, remote = serve("pop3", "none")
    server.lists = line
    with pytest.raises(Unavailable, match="mailbox seed"):
        fetch(remote, spool, print)
    assert server.there == MESSAGES


def test_only_the_named_messages_are_expunged_where_the_server_can(serve, spool):
    for extra, wanted in (("UIDPLUS", "UID EXPUNGE 7,8"), ("", "EXPUNGE")):
        server, remote = serve("imap", "none", extra=extra)
        fetch(remote, spool, print)
        assert wanted in server.seen


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_what_is_wrong_is_told_without_the_password(serve, spool, protocol):
    for changes, told in (
        ({"password": "wrong-pass"}, "NO wrong|-ERR no|wrong"), ({"ca_file": ""}, "certificate verify failed"),
        ({"host": "127.0.0.1"}, "certificate verify failed.*host has to be a name of the certificate"),
        ({"port": 1}, "refused"), *(() if protocol == "pop3" else (({"folder": "none"}, "no such folder"),)),
    ):
        server, remote = serve(protocol, "implicit", **changes)
        with pytest.raises(Unavailable, match=told) as found:
            fetch(remote, spool, print)
        assert "wrong-pass" not in str(found.value) and "Check mailboxes.seed" in str(found.value)
        assert server.there == MESSAGES and spool.names() == []
