# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Knot DNS of one's own: an ordinary process on a loopback port, in a folder of its own (Debian's package knot)."""
import shutil
import socket
import subprocess
import time
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rrset
import dns.tsig
import dns.update

SECRET = "bm90IGEgc2VjcmV0LCBhIHRlc3Q="
OTHER_SECRET = "YW5vdGhlciBzZWNyZXQgYWx0b2dldGhlcg=="
KEY = dns.tsig.Key("test.", SECRET, dns.tsig.HMAC_SHA256)

CONFIG = """\
server:
  listen: 127.0.0.1@{port}
  rundir: {folder}
database:
  storage: {folder}
log:
  - target: {folder}/log
    any: info
key:
  - id: test.
    algorithm: hmac-sha256
    secret: {secret}
  - id: reader.
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: update
    key: test.
    action: [update, query]
  - id: read
    key: reader.
    action: query
  - id: everybody
    address: 127.0.0.1
    action: query
zone:
"""
ZONE = "  - domain: {name}\n    storage: {folder}\n    file: {file}\n    acl: [update, read, everybody]\n"
HEAD = "$TTL 300\n@ IN SOA ns1.{name} hostmaster.{name} 1 3600 600 86400 5\n@ IN NS ns1.{name}\nns1 IN A 127.0.0.1\n"


class Knot:
    """`zones`: {name: records as zone text, relative to the zone}."""

    def __init__(self, folder: Path, zones: dict[str, str]) -> None:
        self.folder, self.zones = folder, zones
        with socket.socket() as tcp:
            tcp.bind(("127.0.0.1", 0))
            self.port = tcp.getsockname()[1]
        config = CONFIG.format(port=self.port, folder=folder, secret=SECRET)
        for name, text in zones.items():
            file = f"{name}zone".replace("/", "-")
            config += ZONE.format(name=name, folder=folder, file=file)
            (folder / file).write_text(f"$ORIGIN {name}\n" + HEAD.format(name=name) + text)
        (folder / "knot.conf").write_text(config)
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        knotd = shutil.which("knotd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        assert knotd, "knotd is missing: install Debian's package knot"
        self.process = subprocess.Popen(
            [knotd, "-c", str(self.folder / "knot.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if all(self.query(name, "SOA").flags & dns.flags.AA for name in self.zones):
                    return
            except OSError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)
        raise AssertionError("knotd does not serve: " + (self.folder / "log").read_text())

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def query(self, owner: str, rtype: str) -> dns.message.Message:
        return dns.query.tcp(dns.message.make_query(owner, rtype), "127.0.0.1", 5, self.port)

    def rrset(self, owner: str, rtype: str) -> dns.rrset.RRset | None:
        return next((rrset for rrset in self.query(owner, rtype).answer if rrset.match(
            dns.name.from_text(owner), dns.rdataclass.IN, dns.rdatatype.from_text(rtype), dns.rdatatype.NONE)), None)

    def values(self, owner: str, rtype: str) -> list[str]:
        return sorted(rdata.to_text() for rdata in self.rrset(owner, rtype) or [])

    def strings(self, owner: str) -> set[tuple[bytes, ...]]:
        return {rdata.strings for rdata in self.rrset(owner, "TXT") or []}

    def serial(self, zone: str) -> int:
        return self.rrset(zone, "SOA")[0].serial

    def change(self, zone: str, *steps: tuple) -> None:
        """Somebody else's update: steps are ("add", owner, ttl, type, value) or ("delete", owner, type[, value])."""
        message = dns.update.UpdateMessage(zone)
        message.use_tsig(KEY)
        for action, *arguments in steps:
            getattr(message, action)(*arguments)
        response = dns.query.tcp(message, "127.0.0.1", 5, self.port)
        assert response.rcode() == 0, response
