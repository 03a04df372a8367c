# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The OpenDKIM that verifies: what it is configured to, and what becomes of the service where it does not run."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from mailfleet import verifying
from mailfleet.errors import Unavailable

# Binds the socket that its configuration names, as OpenDKIM does, and ends so long after somebody has connected.
PROGRAM = """#!{python}
import re, socket, sys, time
place = re.search("^Socket local:(.*)$", open(sys.argv[3]).read(), re.M)[1]
server = socket.socket(socket.AF_UNIX)
server.bind(place)
server.listen()
server.accept()
time.sleep({seconds})
sys.exit(75)
"""


@pytest.mark.parametrize(("text", "found"), [
    ("nameserver 192.0.2.53\nnameserver 2001:db8::53\n", ["192.0.2.53", "2001:db8::53"]),
    ("# nameserver 192.0.2.1\noptions edns0\nnameserver\t127.0.0.53\nsearch example.com\n", ["127.0.0.53"]),
    ("nameserver fe80::1%eth0\nnameserver x\nnameserver 192.0.2.1", ["192.0.2.1"]),
    ("".join(f"nameserver 192.0.2.{number}\n" for number in range(5)), ["192.0.2.0", "192.0.2.1", "192.0.2.2"]),
    ("", []),
])
def test_the_hosts_resolvers_are_its_resolvers(tmp_path, text, found):
    (tmp_path / "resolv.conf").write_text(text)
    assert verifying.nameservers(str(tmp_path / "resolv.conf")) == found
    assert verifying.nameservers(str(tmp_path / "none")) == []
    lines = verifying.configuration(found).splitlines()
    assert [line for line in lines if line.startswith("Nameservers")] == (
        [f"Nameservers {','.join(found)}"] if found else [])


class Service:
    """The service in a folder, with a program in OpenDKIM's place."""

    def __init__(self, folder, monkeypatch) -> None:
        self.folder, self.ready, self.told = folder, threading.Event(), []
        self.stopped = threading.Event()
        monkeypatch.setattr(verifying.shutil, "which", lambda *_name, **_more: str(folder / "opendkim"))
        (folder / "resolv.conf").write_text("nameserver 192.0.2.53\n")
        self.program(60)

    def program(self, seconds: float, text: str = PROGRAM) -> None:
        (self.folder / "opendkim").write_text(text.format(python=sys.executable, seconds=seconds))
        (self.folder / "opendkim").chmod(0o755)

    def run(self) -> None:
        verifying.serve(self.stopped.wait, self.ready.set, self.told.append, str(self.folder / "socket"),
                        str(self.folder / "resolv.conf"))


@pytest.fixture
def service(tmp_path, monkeypatch):
    return Service(tmp_path, monkeypatch)


def test_it_runs_until_it_is_told_to_stop_and_begins_again(service):
    for _start in range(2):
        service.ready.clear()
        service.stopped.clear()
        thread = threading.Thread(target=service.run)
        thread.start()
        assert service.ready.wait(60)
        service.stopped.set()
        thread.join(60)
        assert not thread.is_alive()
    assert "Nameservers 192.0.2.53\n" in (service.folder / "opendkim.conf").read_text()


def test_it_ends_where_the_host_has_other_resolvers(service, monkeypatch):
    monkeypatch.setattr(verifying, "LOOK", 0)
    service.ready.set = lambda: (service.folder / "resolv.conf").write_text("nameserver 192.0.2.54\n")
    service.run()
    assert "has other name servers" in service.told[0]


def test_an_opendkim_that_ends_is_told(service):
    service.program(0.1)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="opendkim: ended with the status 75"):
        service.run()
    assert service.ready.is_set() and time.monotonic() - began < 50


def test_one_that_does_not_start_or_does_not_answer_is_told(service, monkeypatch):
    service.program(0, "#!/bin/sh\nexit 3\n")
    with pytest.raises(Unavailable, match="ended with the status 3"):
        service.run()
    monkeypatch.setattr(verifying, "START", 0.2)
    service.program(0, "#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(Unavailable, match="OpenDKIM does not answer; expected an answer within"):
        service.run()
    assert not service.ready.is_set()


def test_that_it_is_not_installed_is_told(service, monkeypatch):
    monkeypatch.setattr(verifying.shutil, "which", lambda *_name, **_more: None)
    with pytest.raises(Unavailable, match="no such program; expected that of Debian's package opendkim"):
        service.run()
