# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenDKIM as the worker asks it: one that verifies and does nothing else, beside the one that signs.

It is a process and a user of its own, without a key: what strangers write is read by it, and what signs reads nothing
of theirs. It resolves names by a library that ignores /etc/resolv.conf, so it is told which servers stand there, and
started anew when they change.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shutil
import socket
import subprocess
import time
import typing as t

from .errors import Unavailable
from .verifier import PLACE

NAME = "verifier.mailfleet.invalid"  # how it signs its results, which never leave the host
RESOLVERS = "/etc/resolv.conf"
START = 10.0  # seconds until it has to answer
LOOK = 30.0  # seconds between two looks at the resolvers
_SERVER = re.compile(r"^nameserver[ \t]+(\S+)", re.MULTILINE)


def nameservers(place: str = RESOLVERS) -> list[str]:
    """The host's resolvers (resolv.conf(5)), three at most; without any, OpenDKIM asks the root's servers itself."""
    try:
        with open(place, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return []
    found = []
    for name in _SERVER.findall(text):
        with contextlib.suppress(ValueError):  # one with a zone, such as fe80::1%eth0, it does not take
            if not getattr(address := ipaddress.ip_address(name), "scope_id", None):
                found.append(str(address))
    return found[:3]


def configuration(resolvers: t.Sequence[str], place: str = PLACE) -> str:
    """The text of its configuration (opendkim.conf(5))."""
    settings = {
        "Mode": "v",
        "Socket": f"local:{place}",
        "UMask": "007",
        "Syslog": "yes",
        "SyslogSuccess": "no",
        "AuthservID": NAME,
        # What has no signature has a result too: that it answers can be seen without one.
        "AlwaysAddARHeader": "yes",
        # It has no say in whether mail is taken. Where a key cannot be had, it writes no result, and is asked again.
        "On-Default": "accept",
        "On-Security": "accept",
        "MaximumHeaders": str(1 << 19),
        "MaximumSignaturesToVerify": "1",
        "DNSTimeout": "5",
    }
    if resolvers:
        settings["Nameservers"] = ",".join(resolvers)
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def serve(stop: t.Callable[[float], bool], ready: t.Callable[[], None], say: t.Callable[[str], None],
          place: str = PLACE, resolvers: str = RESOLVERS) -> None:
    """Run OpenDKIM until told to stop, or until the host has other resolvers: systemd then starts both anew.

    :arg stop: waits some seconds, and tells whether to.
    :arg ready: is called once it answers.
    :raises Unavailable: where it is not installed, does not answer or ends.
    """
    program = shutil.which("opendkim", path="/usr/sbin:/usr/bin")
    if not program:
        raise Unavailable("opendkim", "no such program", "that of Debian's package opendkim",
                          "Install it, or leave feedback.sources out")
    known = nameservers(resolvers)
    file = os.path.join(os.path.dirname(place), "opendkim.conf")
    with open(file, "w", encoding="ascii") as written:
        written.write(configuration(known, place))
    with contextlib.suppress(FileNotFoundError):  # of one that was killed
        os.unlink(place)
    # It logs to syslog; what it says here is why it does not start.
    with subprocess.Popen([program, "-f", "-x", file], stdin=subprocess.DEVNULL) as child:
        try:
            _wait(child, stop, place)
            ready()
            looked = time.monotonic()
            while not stop(0.5):
                _alive(child)
                if time.monotonic() - looked > LOOK:
                    looked = time.monotonic()
                    if nameservers(resolvers) != known:
                        say(f"{resolvers} has other name servers: OpenDKIM is started anew")
                        return
        finally:
            child.terminate()


def _wait(child: subprocess.Popen[bytes], stop: t.Callable[[float], bool], place: str) -> None:
    """Wait until it can be connected to."""
    until = time.monotonic() + START
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked, contextlib.suppress(OSError):
            asked.connect(place)
            return
        _alive(child)
        if time.monotonic() > until:
            raise Unavailable(place, "OpenDKIM does not answer", f"an answer within {START:.0f} s")
        if stop(0.05):
            return


def _alive(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        raise Unavailable("opendkim", f"ended with the status {child.returncode}", "none", "Its log says why")
