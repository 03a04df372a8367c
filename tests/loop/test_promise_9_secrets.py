# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets are where they must be, readable by whom they concern, and nowhere else: looked for after two whole runs."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import lab_runs
import lab_world as lab
import pytest
import secrecy
from secrecy import given_away

EVERY_SERVER = pytest.mark.parametrize("server", lab.SERVERS)
GENERATIONS = "/var/lib/mailfleet/postfix"
KEPT = re.compile(re.escape(GENERATIONS) + r"/generations/\d+/(manifest\.json|tables/smtpd\.[0-9a-f]{16}\.pem)")
# Everywhere on a server but for what its image brought: /usr, and devices and kernel interfaces.
PLACES = ("/etc", "/var", "/root", "/home", "/srv", "/opt", "/tmp", "/run", "/dev/shm", "/usr/local")


def test_the_search_finds_what_is_there(secrets):
    for name, strings in secrets.items():
        for string in strings:
            assert given_away(json.dumps({"msg": f"x\n{string}\ny"}), secrets) >= {name}


@pytest.mark.parametrize("which", ["first", "second"])
def test_no_output_at_the_highest_useful_verbosity_shows_a_secret(which, secrets, request):
    made = request.getfixturevalue(which)
    run = made.done if which == "first" else made.run
    assert "ESTABLISH SSH CONNECTION" in run.output and len(run.output) > 50_000, "it was verbose"
    assert which == "second" or "+++ after: /etc/postfix/main.cf" in run.output, "it showed diffs"
    assert given_away(run.output, secrets) == set()


def test_check_mode_shows_no_secret(first, secrets):
    assert given_away(first.checked.output, secrets) == set()


@pytest.mark.parametrize("which", ["first", "second"])
def test_results_as_callbacks_see_them_hold_no_secret(which, secrets, request):
    made = request.getfixturevalue(which)
    run = made.done if which == "first" else made.run
    for task in run.tasks:
        assert given_away(json.dumps(task.result), secrets) == set(), task.task


def test_fact_caches_hold_no_secret(first, second, secrets):
    assert "discovered_interpreter_python" in first.cache, "there was a cache"
    assert given_away(first.cache + second.cache, secrets) == set()


def test_state_and_report_hold_no_secret(first, second, secrets):
    files = [path for path in lab_runs.STATE.rglob("*") if path.is_file()]
    assert {"keys.json", "published.json", "records.json", "records.zone", "report.json"} <= {p.name for p in files}
    for path in files:
        assert given_away(path.read_text(encoding="utf-8"), secrets) == set(), path


@pytest.fixture(params=[*secrecy.SCRATCH, str(lab.HOME)])
def scratch(request) -> Iterator[tuple[str, list[Path], dict[str, list[str]]]]:
    """A folder that programs of the controller write into, files put there by the test, and the secret in them."""
    folder, planted = request.param, {"planted": [uuid.uuid4().hex]}
    paths = [Path(folder, f"mailfleet-{uuid.uuid4().hex}") for _mode in range(2)]
    try:
        for path, mode in zip(paths, (0o644, 0o600)):
            path.write_text(f"x {planted['planted'][0]} y")
            path.chmod(mode)
        yield folder, paths, planted
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def test_no_scratch_folder_of_the_controller_gives_a_secret_away(scratch, first, second, secrets):
    """Of a folder that all use, what others could read and what is of these tests' time; of Ansible's own, all."""
    folder, (readable, private), planted = scratch
    shared = folder in secrecy.SCRATCH
    looked_at = secrecy.files(folder, others=shared, since=secrecy.STARTED if shared else 0)
    found = secrecy.found_in(looked_at, {**secrets, **planted})
    assert found == {str(path): ["planted"] for path in ([readable] if shared else [readable, private])}


def test_the_secrets_folder_is_its_owners_alone(first, second):
    found = [lab_runs.SECRETS, *lab_runs.SECRETS.rglob("*")]
    assert len(found) > 6
    for path in found:
        mode = path.stat().st_mode & 0o7777
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path}: {mode:o}"
        assert path.stat().st_uid == os.getuid()


@EVERY_SERVER
def test_the_journal_and_syslog_of_a_server_hold_no_secret(server, first, second, secrets):
    """What modules were called with is there, since Ansible logs it; what is secret in it is not."""
    journal = lab.ssh(server, "journalctl", "--no-pager", "--output", "export")
    assert "mailfleet.sending" in journal or "ansible-" in journal
    assert given_away(journal, secrets) == set()


@EVERY_SERVER
def test_a_secret_stands_on_a_server_in_its_one_file_and_in_no_other(server, first, second, secrets):
    """The certificate's key stands besides in the generations of the configuration that Postfix may go back to."""
    patterns = "\n".join(string for strings in secrets.values() for string in strings)
    listing = lab.ssh(server, "grep", "-rlaF", "-D", "skip", "-f", "-", *PLACES, check=False, stdin=patterns.encode())
    found = [line for line in listing.splitlines() if not line.startswith("grep:")]
    about = lab.ssh(server, "stat", "--format", "%n %a %U:%G", *found) if found else ""
    keys = sorted((lab_runs.SECRETS / "dkim").rglob("*.pem"))
    modes = dict(line.split(" ", 1) for line in about.splitlines())
    kept = {path: modes.pop(path) for path in list(modes) if KEPT.fullmatch(path)}
    assert set(kept.values()) == {"600 root:root"}
    assert lab.ssh(server, "stat", "--format", "%a %U:%G", GENERATIONS) == "700 root:root\n"
    assert modes == {
        **{f"/etc/dkimkeys/{path.parent.name}/{path.name}": "600 opendkim:opendkim" for path in keys},
        "/etc/dovecot/submission-users": "640 root:dovecot",
        lab.ssh(server, "postconf", "-h", "smtpd_tls_chain_files").strip(): "600 root:root",
    }


@EVERY_SERVER
def test_the_folder_of_keys_is_its_users_alone(server, first, second):
    text = lab.ssh(server, "find", "/etc/dkimkeys", "-type", "d", "-printf", "%m %u:%g\\n")
    assert set(text.splitlines()) == {"700 opendkim:opendkim"}


@EVERY_SERVER
def test_nothing_is_left_in_temporary_folders(server, first, second):
    left = lab.ssh(server, "find", "/tmp", "/var/tmp", "/root/.ansible/tmp", "-type", "f")
    assert left == ""


@EVERY_SERVER
def test_a_server_gets_no_secret_that_it_has_no_use_for(server, first, second, secrets):
    """TSIG and mailboxes' passwords stay on the controller, and so does every password that has a hash."""
    stay = [name for name in secrets if name == "TSIG" or name.startswith("password of ")]
    other = [f"TLS key of {each}" for each in lab.SERVERS if each != server]
    assert len(stay) == 5
    patterns = "\n".join(string for name in [*stay, *other] for string in secrets[name])
    listing = lab.ssh(server, "grep", "-rlaF", "-D", "skip", "-f", "-", *PLACES, check=False, stdin=patterns.encode())
    assert [line for line in listing.splitlines() if not line.startswith("grep:")] == []
