# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode on bare servers lists what the first run then makes, apart from what it marks as not to be told yet."""

from __future__ import annotations

import hashlib
import re
import ssl

import lab_runs
import lab_world as lab
import pytest

EVERY_SERVER = pytest.mark.parametrize("server", lab.SERVERS)
MARK = re.compile(r"(?P<name>\S+) = (?P<value>.*): only (?:since|before) [\d.]+ of Postfix")


def versions(run: lab_runs.Run, server: str) -> dict[str, str]:
    """Every package that came, or would come, with its version."""
    return {name: each for task in run.of("packages", server) for name, each in task.result["versions"].items()}


def parts(run: lab_runs.Run, module: str, server: str) -> dict[str, tuple[str, str]]:
    """What a module's tasks show as changed, each file as the first of them shows it: file -> (before, after)."""
    found: dict[str, tuple[str, str]] = {}
    for task in run.of(module, server):
        for part in task.result.get("diff") or []:
            name = part["after_header"]
            found.setdefault(name, (part["before"], part["after"]))
    return found


def parameters(text: str) -> dict[str, str]:
    """main.cf, with spaces as they do not matter."""
    lines = re.sub(r"\n[ \t]+", " ", re.sub(r"^[ \t]*#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _equals, value in pairs}


def services(text: str) -> dict[str, list[str]]:
    """master.cf: name/type -> its words."""
    text = re.sub(r"\n[ \t]+", " ", re.sub(r"^[ \t]*#.*\n", "", text, flags=re.MULTILINE))
    return {"/".join(line.split()[:2]): line.split() for line in text.splitlines() if line.strip()}


def marks(run: lab_runs.Run, module: str, server: str) -> list[str]:
    return [mark for task in run.of(module, server) for mark in task.result["unverified"]]


def test_check_mode_fails_no_task(first):
    checked = first.checked
    checked.ok()
    assert set(checked.recap) == set(lab.SERVERS)
    for counts in checked.recap.values():
        assert counts["failed"] == counts["unreachable"] == counts["ignored"] == counts["rescued"] == 0
        assert counts["changed"] > 0


@EVERY_SERVER
def test_check_mode_changes_nothing_on_a_server(first, server):
    assert first.before.servers[server] and "/etc/ssh/sshd_config" in first.before.servers[server]
    before, after = (set(each.servers[server].splitlines()) for each in (first.before, first.after_check))
    assert before == after


def test_check_mode_changes_no_zone_and_writes_no_state(first):
    assert first.before.serials == first.after_check.serials
    assert not first.after_check.left


@EVERY_SERVER
def test_the_packages_that_come_were_listed_with_their_versions(first, server):
    assert versions(first.checked, server) == versions(first.done, server)
    assert {"postfix", "postfix-pcre", "opendkim", "dovecot-core"} <= set(versions(first.done, server))


def test_the_records_that_are_made_were_listed_and_the_keys_in_them_marked(first):
    listed, made = lab_runs.records(first.checked), lab_runs.records(first.done)
    untold = {(f"{selector}._domainkey.{domain}.", "TXT") for domain, selector in unmade(first)}
    assert len(untold) == 2
    assert made == {**listed, **{key: made[key] for key in untold}}
    assert {listed[key][0] == ['"v=DKIM1; k=rsa; p=(told when the key is made)"'] for key in untold} == {True}
    assert not [values for values, _removed, _ttl in made.values() if "told when" in str(values)]


@EVERY_SERVER
def test_the_settings_that_are_made_were_listed_but_for_those_marked_with_their_version(first, server):
    path = "/etc/postfix/main.cf"
    listed = {}
    for task in first.checked.of("postfix_config", server):
        for part in task.result["diff"]:
            if part["after_header"] == path:
                listed |= parameters(part["after"])
    before, after = map(parameters, parts(first.done, "postfix_config", server)[path])
    assert len(listed) > 40
    assert {name: after.get(name) for name in listed} == listed
    changed = {name for name in after if after[name] != before.get(name)}
    found = map(MARK.match, marks(first.checked, "postfix_config", server))
    marked = {each["name"]: each["value"] for each in found if each}
    assert changed - set(listed) <= set(marked)
    for name in changed - set(listed):
        assert re.sub(r"\w+:/etc/postfix/mailfleet/(\w+)\.\w+", r"{table:\1}", after[name]) == marked[name]
    assert not set(before) - set(after), "nothing of Debian's own goes"


@EVERY_SERVER
def test_the_services_that_are_made_were_listed(first, server):
    listed = services(parts(first.checked, "postfix_config", server)["/etc/postfix/master.cf"][1])
    before, after = map(services, parts(first.done, "postfix_config", server)["/etc/postfix/master.cf"])
    assert "throttle/unix" in listed and "submission/inet" in listed
    assert {name: words for name, words in after.items() if words != before.get(name)} == listed
    assert not set(before) - set(after)


@EVERY_SERVER
def test_the_tables_that_are_made_were_listed_but_for_those_of_marked_settings(first, server):
    listed, made = (
        {name: texts[1] for name, texts in parts(run, "postfix_config", server).items() if name.startswith("table ")}
        for run in (first.checked, first.done)
    )
    named = re.findall(r"\{table:(\w+)\}", " ".join(marks(first.checked, "postfix_config", server)))
    assert {"table transport", "table logins"} <= set(listed)
    assert {name: made.get(name) for name in listed} == listed
    assert set(made) - set(listed) <= {f"table {name}" for name in named}


@EVERY_SERVER
def test_the_certificate_that_is_shown_was_listed(first, server):
    listed, made = (
        {name: texts for name, texts in parts(run, "postfix_config", server).items() if name.startswith("certificate ")}
        for run in (first.checked, first.done)
    )
    pem = (lab.RUN / f"tls/{server}.crt").read_text(encoding="utf-8")
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest().hex(":").upper()
    assert listed == made and listed["certificate smtpd"][1].startswith(f"{fingerprint} until ")
    shown = first.done.of("postfix_config", server)[0].result["proof"]["certificates"]
    assert shown == dict.fromkeys(("127.0.0.1:25", "127.0.0.1:587", "127.0.0.1:10026"), fingerprint)


@EVERY_SERVER
def test_the_files_of_signing_that_are_made_were_listed_but_for_those_of_the_package(first, server):
    listed, made = (parts(run, "opendkim_config", server) for run in (first.checked, first.done))
    assert {name: texts[1] for name, texts in listed.items()} == {name: texts[1] for name, texts in made.items()}
    said, did = ({line.rpartition(":")[0] for line in changes(run, server)} for run in (first.checked, first.done))
    for domain, selector in unmade(first):
        assert f"/etc/dkimkeys/{domain}/{selector}.pem" in said
    assert said <= did
    marked = " ".join(marks(first.checked, "opendkim_config", server))
    assert "which folders and files its package brings" in marked
    for path in did - said:
        lab.ssh(server, "test", "-d", path)


def changes(run: lab_runs.Run, server: str) -> list[str]:
    return [line for task in run.of("opendkim_config", server) for line in task.result["changes"]]


def unmade(first) -> list[tuple[str, str]]:
    """Domain and selector of the keys that check mode would make."""
    known = first.checked.of("desired_state")[-1].result["known_keys"]
    return [(domain, name) for domain, keys in known.items() for name, key in keys.items() if not key["public"]]


@EVERY_SERVER
def test_the_logins_that_are_let_in_were_listed_and_what_depends_on_dovecot_was_marked(first, server):
    listed, made = (parts(run, "submission_auth", server) for run in (first.checked, first.done))
    assert listed == {"/etc/dovecot/submission-users": ("", "app\nprobe\nshop\n")}
    marked = " ".join(marks(first.checked, "submission_auth", server))
    assert all(name in marked for name in set(made) - set(listed))
    assert {name: made[name] for name in listed} == listed


def test_the_other_tasks_that_change_something_said_so(first):
    """One task comes upon what another of the same run did: check mode lists it twice."""
    said, did = (
        {(task.host, task.task.rpartition(" : ")[2]) for task in run.tasks if task.result.get("changed")}
        for run in (first.checked, first.done)
    )
    assert not did - said
    again = {"Remove the records that nothing needs any more"}
    assert {task for _host, task in said - did} <= again


def test_what_cannot_be_proved_in_check_mode_is_unknown(first):
    report = first.checked.of("fleet_report")[-1].result
    assert report["proved"] is False and report["summary"]["unknown"] == len(lab.HELO)
    assert first.done.of("fleet_report")[-1].result["proved"] is True
