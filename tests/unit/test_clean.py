# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make clean` and `make lab-down` leave nothing behind. Nothing of this machine is touched here."""

from __future__ import annotations

import fcntl
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))   # the lab's modules stand beside lab.py

from shell import LAB, LabError, Progress

ROOT = LAB.parent


def program(path: Path):
    """A program as a module."""
    spec = importlib.util.spec_from_file_location(f"program_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


clean, lab = program(ROOT / "tools/clean.py"), program(LAB / "lab.py")


def ignored() -> list[str]:
    """The folders that git ignores, since something here makes them."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    return [line.strip("/") for line in lines if line.endswith("/")]


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """A folder with all that is made in a clone, and a source."""
    root = tmp_path / "clone"
    for name in {*ignored(), *clean.MADE}:
        (root / name / "deeper").mkdir(parents=True)
        (root / name / "deeper/file").write_text("made")
    for name in ("plugins/modules", "tests/loop"):
        (root / name / "__pycache__").mkdir(parents=True)
        (root / name / "__pycache__/a.cpython-311.pyc").write_text("made")
        (root / name / "source.py").write_text("written")
    monkeypatch.setattr(clean, "ROOT", root)
    for name, value in {"INVENTORY": root / "lab/inventory", "RUN": root / "lab/run", "LOCK": tmp_path / "lock",
                        "SOCKETS": tmp_path / "sockets"}.items():
        monkeypatch.setattr(lab, name, value)
    return root


@pytest.fixture
def podman(clone, monkeypatch) -> dict[str, list[str]]:
    """What a podman of the test's has, and what of the packet filter is its; the lab's verbs work on it."""
    has = {"containers": [f"mailfleet-lab-{each.name}" for each in lab.NODES] + ["mailfleet-test-a-1", "another"],
           "networks": ["mailfleet-lab"], "rules": ["NETAVARK_FORWARD"]}
    monkeypatch.setattr(lab.nodes, "present", lambda: {name: ("running", "")
                                                       for name in has["containers"] if name.startswith(lab.PREFIX)})
    monkeypatch.setattr(lab.nodes, "remove", has["containers"].remove)
    monkeypatch.setattr(lab.network, "remove", has["networks"].clear)
    monkeypatch.setattr(lab.network, "remove_rules", has["rules"].clear)
    return has


def left(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_after_lab_down_nothing_of_the_lab_is_left(clone, podman, tmp_path):
    (tmp_path / "sockets").mkdir()
    (tmp_path / "sockets/0123456789").touch()
    with lab.alone():
        assert lab.LOCK.exists()
        lab.down(Progress())
    assert podman == {"containers": ["mailfleet-test-a-1", "another"], "networks": [], "rules": []}
    assert {path.name for path in tmp_path.iterdir()} == {"clone"}
    assert not {name for name in left(clone) if name.startswith("lab/")}


def test_after_clean_sources_alone_are_left(clone, podman):
    lab.down(Progress())
    clean.remove_files()
    assert left(clone) == {"plugins/modules/source.py", "tests/loop/source.py"}


def test_links_are_removed_and_never_followed(clone, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("somebody's")
    for name in (".venv", ".cache/deeper"):
        clean.shutil.rmtree(clone / name)
        (clone / name).symlink_to(other)
    clean.remove_files()
    assert not (clone / ".venv").is_symlink() and not (clone / ".cache").exists()
    assert (other / "file").read_text() == "somebody's"


def test_all_containers_and_images_of_ours_go_and_no_other(monkeypatch):
    done = []

    def podman(*arguments: str) -> list[str]:
        done.append(arguments)
        listed = {"ps": ["mailfleet-newest-12", "mailfleet-test-postfix12-34", "somebodys", "my-mailfleet-test-1"],
                  "images": ["localhost/mailfleet-newest:latest", "localhost/somebodys:latest", "<none>:<none>"]}
        return listed.get(arguments[0], [])

    monkeypatch.setattr(clean, "podman", podman)
    monkeypatch.setattr(clean.subprocess, "run", lambda command, **_options: done.append(tuple(command[1:])))
    monkeypatch.setattr(clean.network, "remove_rules", lambda: done.append(("rules",)))
    clean.remove_containers()
    assert done[0] == (str(clean.ROOT / "lab/lab.py"), "clean")
    assert [each for each in done if each[0] == "rm"] == [
        ("rm", "--force", "--time=0", "--volumes", name)
        for name in ("mailfleet-newest-12", "mailfleet-test-postfix12-34")]
    assert [each for each in done if each[0] == "rmi"] == [("rmi", "--force", "localhost/mailfleet-newest:latest")]
    assert done[-1] == ("rules",), "with the last container"


def test_only_one_program_works_on_the_lab(clone):
    with lab.alone(), pytest.raises(LabError, match="another lab.py is at work"), lab.alone():
        pass
    with lab.alone():
        pass


def test_a_lock_that_was_removed_meanwhile_is_none(clone, monkeypatch):
    """Whoever opened it before `down` removed it would hold what nobody else sees."""
    taken = []

    def flock(file, how):
        taken.append(file.fileno())
        if len(taken) == 1:
            lab.LOCK.unlink()
        return fcntl.flock(file, how)

    monkeypatch.setattr(lab, "fcntl", type("Fcntl", (), {"flock": flock, "LOCK_EX": fcntl.LOCK_EX,
                                                         "LOCK_NB": fcntl.LOCK_NB}))
    with lab.alone():
        assert len(taken) == 2
        with lab.LOCK.open("w") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("others", ["", "0123456789ab\n"])
def test_rules_of_podmans_stay_while_it_has_a_container(monkeypatch, others):
    done = []
    monkeypatch.setattr(lab.network, "run", lambda command: others)
    monkeypatch.setattr(lab.network, "_remove_chains", done.append)
    monkeypatch.setattr(lab.network, "attempt", done.append)
    monkeypatch.setattr(lab.network.shutil, "which", lambda name: f"/usr/sbin/{name}")
    lab.network.remove_rules()
    assert bool(done) is not bool(others)


def test_chains_of_podmans_go_with_the_rules_that_lead_to_them_and_no_other(monkeypatch):
    rules = """-P FORWARD ACCEPT
-N NETAVARK-HOSTPORT-MASQ
-N NETAVARK_FORWARD
-N SOMEBODYS
-A FORWARD -m comment --comment "netavark firewall plugin rules" -j NETAVARK_FORWARD
-A FORWARD -s 203.0.113.0/24 -j SOMEBODYS
-A NETAVARK_FORWARD -s 10.88.0.0/16 -j NETAVARK-HOSTPORT-MASQ
"""
    done = []
    monkeypatch.setattr(lab.network, "attempt", lambda command: subprocess.CompletedProcess(command, 0, rules, ""))
    monkeypatch.setattr(lab.network, "run", lambda command: done.append(command[1:]))
    lab.network._remove_chains(["iptables"])
    assert done == [
        ["-D", "FORWARD", "-m", "comment", "--comment", "netavark firewall plugin rules", "-j", "NETAVARK_FORWARD"],
        ["-F", "NETAVARK-HOSTPORT-MASQ"], ["-F", "NETAVARK_FORWARD"],
        ["-X", "NETAVARK-HOSTPORT-MASQ"], ["-X", "NETAVARK_FORWARD"]]
