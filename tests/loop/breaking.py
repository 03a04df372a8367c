# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaking the lab on purpose, and leaving it as it was found: copies of the inventory, services, zones, servers."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dns.query
import dns.rdatatype
import dns.tsigkeyring
import dns.zone
import lab_world as lab
import yaml

ZONES = ("example.com", "example.us", "100.51.198.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa")
GROUP_FILE = "group_vars/sending_servers.yml"


@dataclasses.dataclass(frozen=True)
class Copy:
    """A copy of the lab's inventory with state and secrets, which a test may change as it likes."""

    path: Path

    @property
    def state(self) -> Path:
        """The folder of its state."""
        return self.path / ".mailfleet/state"

    @property
    def secrets(self) -> Path:
        """The folder of its secrets."""
        return self.path / ".mailfleet/secrets"

    def read(self, file: str = GROUP_FILE) -> dict:
        """The variables of one of its files."""
        return yaml.safe_load((self.path / file).read_text())

    def write(self, file: str = GROUP_FILE, **variables: object) -> None:
        """Set variables in one of its files."""
        (self.path / file).write_text(yaml.safe_dump({**self.read(file), **variables}))

    def report(self) -> dict:
        """The last report."""
        return json.loads((self.state / "report.json").read_text())

    def verdicts(self, check: str) -> dict[str, dict]:
        """Subject -> verdict of one check, as the last report has them."""
        return {
            subject: verdict
            for verdict in self.report()["verdicts"]
            if verdict["check"] == check
            for subject in verdict["subjects"]
        }

    def files(self) -> dict[str, bytes]:
        """What state and secrets hold, by path."""
        folder = self.path / ".mailfleet"
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def copy_of_the_inventory(folder: Path) -> Copy:
    """Copy the inventory; the lab's keys and passwords are found beside it, as beside the lab's own."""
    shutil.copytree(lab.INVENTORY, folder / "inventory")
    (folder / "run").symlink_to(lab.RUN)
    return Copy(folder / "inventory")


def inside(node: str, *command: str, stdin: str = "") -> str:
    """Run a command in one of the lab's nodes that Ansible does not know, and return what it wrote."""
    done = subprocess.run(
        ["podman", "--runtime", "runc", "exec", "-i", f"mailfleet-lab-{node}", *command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{node}: {' '.join(command)}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def stopped(unit: str, *nodes: str) -> Iterator[None]:
    """A service that does not run on some nodes for a while; afterwards it runs again."""
    for node in nodes:
        inside(node, "systemctl", "stop", unit)
    try:
        yield
    finally:
        for node in nodes:
            inside(node, "systemctl", "start", unit)


@contextlib.contextmanager
def may_make_databases() -> Iterator[None]:
    """The fleet's role may make and use other databases for a while, as a test of another encoding has to."""
    access = "/etc/postgresql/lab_hba.conf"
    command = ("runuser", "-u", "postgres", "--", "psql", "--quiet", "--no-psqlrc", "-c")
    inside("db", "sed", "-i.before", "$a hostssl all mailfleet all scram-sha-256", access)
    inside("db", *command, "ALTER ROLE mailfleet CREATEDB", "-c", "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        inside("db", "mv", f"{access}.before", access)
        inside("db", *command, "ALTER ROLE mailfleet NOCREATEDB", "-c", "SELECT pg_reload_conf()")


@contextlib.contextmanager
def frozen(*zones: str) -> Iterator[None]:
    """The secondary goes on serving what it has of some zones and takes over nothing new."""
    for zone in zones:
        inside("ns2", "knotc", "--blocking", "zone-freeze", zone)
    try:
        yield
    finally:
        thaw(*zones)


def thaw(*zones: str) -> None:
    """Let the secondary take over again, and wait until it has."""
    for zone in zones:
        inside("ns2", "knotc", "--blocking", "zone-thaw", zone)
        inside("ns2", "knotc", "--blocking", "zone-retransfer", zone)
    settle(*zones)


def selectors(copy: Copy, prefix: str) -> set[str]:
    """The selectors of a prefix that the copy's state knows."""
    known = json.loads((copy.state / "keys.json").read_text())
    return {name for keys in known.values() for name in keys if name.startswith(prefix)}


def serial(zone: str, server: str = lab.PRIMARY) -> int:
    """A zone's serial number, which grows with every change."""
    return int(lab.answer(zone, "SOA", server)[0].split()[2])


def settle(*zones: str) -> None:
    """Wait until the secondary has what the primary has of zones, and have the resolver forget what was before."""
    def spread() -> bool:
        return all(serial(zone, lab.SECONDARY) == serial(zone) for zone in zones)

    until(spread, f"the secondary has {', '.join(zones)}")
    forget()


def forget() -> None:
    """Have the resolver forget all answers, and which servers answered."""
    inside("resolver", "unbound-control", "flush_zone", ".")
    inside("resolver", "unbound-control", "flush_infra", "all")


def until(true, what: str, seconds: float = lab.PATIENCE) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"still not after {seconds:g} s: {what}"
        time.sleep(0.3)


def zone_contents(zone: str) -> dict[tuple[str, str], set[str]]:
    """All that the primary has of a zone, but its SOA."""
    keys = dns.tsigkeyring.from_text({"mailfleet-lab": (lab.RUN / "tsig.secret").read_text().strip()})
    transfer = dns.query.xfr(lab.PRIMARY, zone, keyring=keys, keyalgorithm="hmac-sha256", timeout=lab.PATIENCE,
                             relativize=False)
    found = dns.zone.from_xfr(transfer, relativize=False)
    return {
        (name.to_text(), dns.rdatatype.to_text(rdataset.rdtype)): {value.to_text() for value in rdataset}
        for name, rdataset in found.iterate_rdatasets()
        if rdataset.rdtype != dns.rdatatype.SOA
    }


@contextlib.contextmanager
def zones_put_back() -> Iterator[None]:
    """Whatever is done to the zones meanwhile, afterwards they hold what they held before."""
    before = {zone: zone_contents(zone) for zone in ZONES}
    try:
        yield
    finally:
        for zone, wanted in before.items():
            now = zone_contents(zone)
            differing = [key for key in now | wanted if now.get(key) != wanted.get(key)]
            changes = [("delete", *key) for key in differing]
            changes += [("add", *key, value) for key in differing for value in wanted.get(key, ())]
            if changes:
                lab.change(zone, *changes)
        settle(*ZONES)


STANDING = """
postconf -n; postconf -M; ls /etc/postfix/mailfleet; readlink /var/lib/mailfleet/postfix/current
cat /etc/opendkim.conf; cd /etc/dkimkeys; find . -type f -exec sha256sum {} + | sort
"""


def standing(server: str) -> str:
    """What a server runs with: Postfix's settings, services, tables, generation; OpenDKIM's configuration and keys."""
    return lab.ssh(server, "sh", "-ec", STANDING)


def submit(server: str, sender: str = "news@example.com") -> str:
    """Send a message to gmail.com through a server as an application does; returns its nonce."""
    made = lab.message(sender)
    with lab.submission(server) as session:
        session.send_message(made, "b@e.example.com", "probe@gmail.com")
    return lab.nonce(made)


def refusal(server: str, sender: str) -> tuple[int, str]:
    """What a server says to a message that it does not take now."""
    try:
        submit(server, sender)
    except smtplib.SMTPResponseException as error:
        return error.smtp_code, error.smtp_error.decode()
    raise AssertionError(f"{server} took a message from {sender}")


def signature(arrived) -> tuple[str, str] | None:
    """Domain and selector of a message's signature, None where it has none."""
    if arrived["DKIM-Signature"] is None:
        return None
    text = "".join(str(arrived["DKIM-Signature"]).split())
    tags = dict(part.split("=", 1) for part in text.split(";") if part)
    return tags["d"], tags["s"]


def assert_up(*servers: str) -> None:
    """Each server answers with 220, and a message through it arrives, signed by the key that the lab's state names."""
    known = json.loads((lab.INVENTORY / ".mailfleet/state/keys.json").read_text())["example.com"]
    nonces = {}
    for server in servers or lab.SERVERS:
        with smtplib.SMTP(timeout=30) as session:
            assert session.connect(lab.SERVERS[server], 25)[0] == 220
        nonces[server] = submit(server)
    for server, nonce in nonces.items():
        arrived = lab.received("probe@gmail.com", nonce)
        assert arrived is not None, f"{server}: the message did not arrive"
        passed = {"dkim": "pass", "spf": "pass", "dmarc": "pass"}
        assert lab.results(arrived) == passed, f"{server}: {arrived.items()}"
        assert signature(arrived) == ("example.com", max(known)), f"{server}: {arrived.items()}"


def prove_all() -> None:
    """The lab's own inventory proves everything, as before."""
    assert "\nPROVED: " in lab.play().ok().output


def make_bare(*servers: str) -> None:
    """Make servers anew, as they were before the first run; whoever does so lets them converge again."""
    for server in servers:
        node = f"mailfleet-lab-{server.partition('.')[0]}"
        remove = ["podman", "--runtime", "runc", "rm", "--force", "--time", "0", "--volumes", node]
        subprocess.run(remove, check=True, capture_output=True, timeout=120)
    up = [sys.executable, str(lab.LAB / "lab.py"), "up"]
    subprocess.run(up, check=True, stdout=subprocess.DEVNULL, timeout=300)


def forget_keys(*names: str) -> None:
    """Remove the files of selectors from the servers: the lab's own inventory knows nothing of them."""
    for server in lab.SERVERS:
        for name in names:
            lab.ssh(server, "find", "/etc/dkimkeys", "-name", f"{name}.pem", "-delete")


def queue_ids(server: str, sender: str) -> set[str]:
    """The queue ids under which a server's Postfix has had messages with a return path."""
    log = lab.ssh(server, "journalctl", "--quiet", "--no-pager", "-t", "postfix/pickup", "-t", "postfix/qmgr")
    return set(re.findall(rf": ([0-9A-Za-z]+): (?:uid=\d+ )?from=<{re.escape(sender)}>", log))


def deliveries(server: str, sender: str) -> list[str]:
    """The lines by which a server's Postfix says that it sent messages with a return path, whichever transport did."""
    ids = queue_ids(server, sender)
    log = lab.ssh(server, "journalctl", "--quiet", "--no-pager", "--grep", "status=sent", check=False)
    return [line for line in log.splitlines() if any(f"]: {each}: to=<" in line for each in ids)]


def bounces_to_read(server: str, domain: str) -> list[str]:
    """What came to a bounce domain and was not read yet: the recipients in Postfix' queue, the files of the spool."""
    queue = [json.loads(line) for line in lab.ssh(server, "postqueue", "-j").splitlines()]
    addresses = [recipient["address"] for message in queue for recipient in message["recipients"]]
    files = lab.ssh(server, "find", "/var/spool/mailfleet/bounces", "-type", "f").splitlines()
    return [address for address in addresses if address.endswith(f"@{domain}")] + files


def empty_queues() -> None:
    """Drop what waits on the servers, so that nothing of a test is left in their queues."""
    for server in lab.SERVERS:
        lab.ssh(server, "postsuper", "-d", "ALL")


@contextlib.contextmanager
def lame(zone: str) -> Iterator[None]:
    """The secondary, to which a zone is delegated as before, knows nothing of it for a while.

    It serves the root too, and so refers to the zone's servers, which Unbound now and then passes on as no data: the
    resolver is told whom to ask.
    """
    conf = "/etc/knot/knot.conf"
    inside("ns2", "sed", "-i.before", f"/- domain: {zone}$/d", conf)
    inside("ns2", "knotc", "--blocking", "reload")
    inside("resolver", "unbound-control", "stub_add", zone, lab.PRIMARY)
    try:
        yield
    finally:
        inside("resolver", "unbound-control", "stub_remove", zone)
        inside("ns2", "mv", f"{conf}.before", conf)
        inside("ns2", "chmod", "0644", conf)
        inside("ns2", "knotc", "--blocking", "reload")
        until(lambda: serial_or_none(zone, lab.SECONDARY) == serial(zone), f"the secondary serves {zone} again")


def serial_or_none(zone: str, server: str) -> int | None:
    """A zone's serial number, None where the server does not serve it."""
    return serial(zone, server) if lab.answer(zone, "SOA", server) else None
