# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys made and read by the real openssl, and the folder that keeps them."""
from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import time

import pytest
from host import PROGRAMS

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_keys, dkim_record
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import KeyFault
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_store import KeyFaults, Store, Wanted
from ansible_collections.mailfleet.sending.plugins.module_utils.state import today

WANTED = Wanted("example.com", "m20261123", "rsa", 1024)  # small, since a test makes many


@pytest.fixture(name="folder")
def _folder(tmp_path):
    return tmp_path / "dkim"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_rsa_2048_is_pkcs8_and_its_public_half_is_a_record():
    pem = dkim_keys.make_private(PROGRAMS, "rsa", 2048)
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    public = dkim_keys.read_private(PROGRAMS, pem)
    assert (public.type, public.bits) == ("rsa", 2048)
    assert dkim_record.parse_record(f"v=DKIM1; k=rsa; p={public.public}").bits == 2048


def test_ed25519_public_half_is_its_32_bytes():
    public = dkim_keys.read_private(PROGRAMS, dkim_keys.make_private(PROGRAMS, "ed25519"))
    assert (public.type, public.bits, len(base64.b64decode(public.public))) == ("ed25519", 256, 32)
    assert dkim_record.parse_record(f"v=DKIM1; k=ed25519; p={public.public}").key_type == "ed25519"


def test_the_example_key_of_rfc_8463():
    pem = subprocess.run(
        ["openssl", "pkey", "-inform", "DER"], check=True, capture_output=True,
        input=bytes.fromhex("302e020100300506032b657004220420")
        + base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")).stdout
    assert dkim_keys.read_private(PROGRAMS, pem).public == "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


@pytest.mark.parametrize("key_type, bits", [("dsa", 2048), ("rsa", 512), ("rsa", 2047)])
def test_what_cannot_be_made(key_type, bits):
    with pytest.raises(KeyFault, match="expected one of"):
        dkim_keys.make_private(PROGRAMS, key_type, bits)


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


@pytest.mark.parametrize("content, said", [
    (b"", "no private key"),
    (b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n", "openssl pkey refused it"),
    (b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n", "no private key"),
    (openssl("genpkey", "-algorithm", "X25519"), "neither an RSA nor an Ed25519"),
    (openssl("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x"), "passphrase"),
])
def test_what_cannot_be_read(content, said):
    with pytest.raises(KeyFault, match=said):
        dkim_keys.read_private(PROGRAMS, content)


@pytest.mark.parametrize("kind, name", [
    ("selector", ""), ("selector", "a_b"), ("selector", "../up"), ("selector", "a/b"), ("selector", ".hidden"),
    ("selector", "-a"), ("selector", "A"), ("selector", "a" * 64), ("selector", "a..b"), ("selector", "a\n"),
    ("domain", "example"), ("domain", "example.com."), ("domain", "exa mple.com"), ("domain", "ex\0ample.com"),
    ("domain", "bücher.example"), ("domain", ".".join(["a" * 60] * 4)),
])
def test_bad_names(kind, name):
    with pytest.raises(KeyFault, match=f"{kind} "):
        dkim_keys.check_name(kind, name)


def test_a_key_is_made_once(folder):
    first = Store(PROGRAMS, folder)
    (made,) = first.ensure([WANTED])
    private = folder / "example.com" / "m20261123.pem"
    assert [mode(path) for path in (folder, private.parent, private)] == [0o700, 0o700, 0o600]
    assert first.changes and sorted(os.listdir(private.parent)) == ["m20261123.json", "m20261123.pem"]
    content = private.read_bytes()
    second = Store(PROGRAMS, folder)
    assert second.ensure([WANTED]) == [made] and not second.changes and private.read_bytes() == content
    assert "PRIVATE" not in (folder / "example.com" / "m20261123.json").read_text()


def test_the_date_is_the_stored_one(folder):
    Store(PROGRAMS, folder).ensure([WANTED])
    beside = folder / "example.com" / "m20261123.json"
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"created": "2020-02-29"}))
    assert Store(PROGRAMS, folder).ensure([WANTED])[0].created == "2020-02-29"


def test_a_key_from_elsewhere_has_the_date_of_its_file(folder):
    private = folder / "example.com" / "own.pem"
    private.parent.mkdir(parents=True)
    private.write_bytes(dkim_keys.make_private(PROGRAMS, "ed25519"))
    os.utime(private, (86400, 86400))
    wanted = Wanted("example.com", "own", "ed25519")
    store = Store(PROGRAMS, folder)
    assert store.ensure([wanted])[0].created == "1970-01-02"
    assert f"{private}: mode 0644 becomes 0600" in store.changes and mode(private) == 0o600
    again = Store(PROGRAMS, folder)
    assert again.ensure([wanted])[0].created == "1970-01-02" and not again.changes


# Of these two, one has another date than UTC at any moment. POSIX counts westwards.
@pytest.fixture(params=["EAST-14", "WEST+12"])
def zone(request, monkeypatch):
    """A time zone far from UTC."""
    with monkeypatch.context() as there:
        there.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


def test_a_key_has_the_same_date_in_every_time_zone(folder, zone):
    private = folder / "example.com" / "own.pem"
    private.parent.mkdir(parents=True)
    private.write_bytes(dkim_keys.make_private(PROGRAMS, "ed25519"))
    for moment, day in ((86399, "1970-01-01"), (86400, "1970-01-02")):
        os.utime(private, (moment, moment))
        (stored,) = Store(PROGRAMS, folder, dry=True).ensure([Wanted("example.com", "own", "ed25519")])
        assert stored.created == day
    before = time.gmtime()
    (stored,) = Store(PROGRAMS, folder).ensure([WANTED])
    possible = {time.strftime("%Y-%m-%d", moment) for moment in (before, time.gmtime())}
    assert {today().isoformat(), stored.created} <= possible


@pytest.mark.parametrize("dry", [True, False])
def test_a_key_that_no_state_names_any_more_is_taken_instead_of_a_new_one(folder, dry):
    """The state was lost, the date is another one, and DNS serves the key that is still there."""
    made = [Wanted("example.com", f"m{day}{end}", "rsa", 1024)
            for day in (20260101, 20261123) for end in ("", "-mta1", "x")]
    stored = Store(PROGRAMS, folder).ensure([*made, Wanted("example.com", "m2", "rsa", 1024)])
    store = Store(PROGRAMS, folder, dry=dry)
    later = Wanted("example.com", "m20261130", "rsa", 1024, instead="m[0-9]{8}")
    assert store.ensure([later]) == [stored[3]] and not store.changes


def test_where_no_key_can_be_taken_instead_the_wanted_one_is_made(folder):
    Store(PROGRAMS, folder).ensure([WANTED])
    others = [Wanted("example.com", "n20261130", "rsa", 1024, instead="n[0-9]{8}"),
              Wanted("example.us", "m20261130", "rsa", 1024, instead="m[0-9]{8}")]
    assert [key.selector for key in Store(PROGRAMS, folder).ensure(others)] == ["n20261130", "m20261130"]


def test_a_key_that_is_known_is_never_changed_for_another(folder):
    Store(PROGRAMS, folder).ensure([WANTED])
    known = Wanted("example.com", "m20261130", "rsa", 1024, "AAAA", "m[0-9]{8}")
    with pytest.raises(KeyFaults, match=r"m20261130\.pem: the key is gone"):
        Store(PROGRAMS, folder).ensure([known])


def test_what_is_left_of_a_key_that_would_be_taken_is_told(folder):
    Store(PROGRAMS, folder).ensure([WANTED])
    (folder / "example.com" / "m20261123.pem").unlink()
    with pytest.raises(KeyFaults, match=r"m20261123\.pem: the key is gone, though m20261123\.json says"):
        Store(PROGRAMS, folder).ensure([Wanted("example.com", "m20261130", "rsa", 1024, instead="m[0-9]{8}")])


def test_a_pattern_that_is_none_is_a_fault(folder):
    with pytest.raises(KeyFaults, match=r"instead '\[' is no regular expression"):
        Store(PROGRAMS, folder).ensure([Wanted("example.com", "m20261123", "rsa", 1024, instead="[")])


def test_check_mode_makes_nothing_and_says_what_it_would(folder):
    dry = Store(PROGRAMS, folder, dry=True)
    (stored,) = dry.ensure([WANTED])
    assert stored.public is None and stored.created is None and not folder.exists()
    real = Store(PROGRAMS, folder)
    real.ensure([WANTED])
    assert [change for change in real.changes if not change.endswith(".json: made")] == dry.changes


def test_a_vaulted_key_keeps_its_public_half(folder):
    (made,) = Store(PROGRAMS, folder).ensure([WANTED])
    private = folder / "example.com" / "m20261123.pem"
    private.write_bytes(b"$ANSIBLE_VAULT;1.1;AES256\n3131\n")
    assert Store(PROGRAMS, folder).ensure([WANTED]) == [made]
    (folder / "example.com" / "m20261123.json").unlink()
    with pytest.raises(KeyFaults, match="encrypted with ansible-vault"):
        Store(PROGRAMS, folder).ensure([WANTED])


@pytest.mark.parametrize("damage, said", [
    (lambda private: private.write_bytes(private.read_bytes()[:200]), "openssl pkey refused it"),
    (lambda private: private.write_bytes(dkim_keys.make_private(PROGRAMS, "rsa", 1024)),
     "not the key whose public half"),
    (lambda private: private.with_suffix(".json").write_text("{"), "m20261123.json: it is damaged"),
    (lambda private: private.with_suffix(".json").write_text("{}"), "there is no 'public' in it"),
    (lambda private: private.unlink(), "the key is gone"),
    (lambda private: (private.rename(private.with_name("x")), private.symlink_to("x")), "symbolic link"),
])
def test_a_damaged_key_fails_and_nothing_is_made(folder, damage, said):
    Store(PROGRAMS, folder).ensure([WANTED])
    private = folder / "example.com" / "m20261123.pem"
    damage(private)
    before = sorted((path, path.read_bytes()) for path in folder.rglob("*") if path.is_file())
    with pytest.raises(KeyFaults, match=said) as caught:
        Store(PROGRAMS, folder).ensure([Wanted("example.us", "m20261123", "rsa", 1024), WANTED])
    assert str(private.parent) in str(caught.value)
    assert sorted((path, path.read_bytes()) for path in folder.rglob("*") if path.is_file()) == before


def test_all_faults_at_once(folder):
    with pytest.raises(KeyFaults) as caught:
        Store(PROGRAMS, folder).ensure([Wanted("../x", "a"), Wanted("example.com", "a_b"), WANTED, WANTED])
    assert len(caught.value.faults) == 3


def test_another_size_is_a_fault(folder):
    Store(PROGRAMS, folder).ensure([WANTED])
    with pytest.raises(KeyFaults, match="type rsa with 1024 bits, expected rsa of 2048 bits"):
        Store(PROGRAMS, folder).ensure([Wanted("example.com", "m20261123")])


def test_a_known_key_that_is_gone_or_another_is_never_made_anew(tmp_path):
    """Whoever loses the folder gets his keys back from a copy: DNS serves their public halves."""
    known = Wanted(WANTED.domain, WANTED.selector, WANTED.type, WANTED.bits, "AAAA")
    with pytest.raises(KeyFaults, match=r"m20261123\.pem: the key is gone, though .* put it back"):
        Store(PROGRAMS, tmp_path / "lost").ensure([known])
    assert not (tmp_path / "lost").exists()
    Store(PROGRAMS, tmp_path / "kept").ensure([WANTED])
    with pytest.raises(KeyFaults, match="not the key whose public half is known"):
        Store(PROGRAMS, tmp_path / "kept").ensure([known])
