# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role's specs document is what the reader takes: the same keys, required ones, choices and defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.mailfleet.sending.plugins.module_utils import inventory
from ansible_collections.mailfleet.sending.plugins.module_utils.blocklists import BLOCKLIST
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_names import OF_HOST
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_mailboxes import MAILBOX
from ansible_collections.mailfleet.sending.plugins.module_utils.profiles import PROFILES
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader

ROOT = Path(__file__).resolve().parents[2]
ROLE = yaml.safe_load((ROOT / "roles/sending/meta/argument_specs.yml").read_text())["argument_specs"]["main"]
SPECS = ROLE["options"]
# What is not documented as a default where the reader takes nothing.
NOTHING = {"choice": "", "integer": 0}


class Recorder(Reader):
    """Writes down how each value was read: by its path without numbers, by which method, with which bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[str, tuple] = {}

    def _record(self, path: str, *how: object) -> None:
        self.read[re.sub(r"^.*: |\d+", "", path)] = how

    def mapping(self, value, path, known, required=(), secret=False):
        self._record(path, "mapping", sorted(known), sorted(required), secret)
        return super().mapping(value, path, known, required, secret)

    def items(self, value, path, secret=False):
        self._record(path, "items")
        return super().items(value, path, secret)

    def choice(self, value, path, choices, default):
        self._record(path, "choice", list(choices), default)
        return super().choice(value, path, choices, default)

    def integer(self, value, path, low, high, default):
        self._record(path, "integer", default)
        return super().integer(value, path, low, high, default)

    def flag(self, value, path, default):
        self._record(path, "flag", default)
        return super().flag(value, path, default)


def value_of(option: dict) -> object:
    """A value in which everything that an option documents is given, so that the reader comes upon all of it."""
    one = {name: value_of(inner) for name, inner in option["options"].items()} if "options" in option else "x"
    return [one] if option["type"] == "list" else one


def flat(options: dict, path: str = "") -> dict[str, dict]:
    """All options, those in options among them, by their paths."""
    found = {}
    for name, option in options.items():
        here = f"{path}.{name}" if path else name
        found[here] = option
        found |= flat(option.get("options", {}), here + ("[]" if option["type"] == "list" else ""))
    return found


@pytest.fixture(scope="module")
def read() -> dict[str, tuple]:
    recorder = Recorder()
    values = {name: value_of(option) for name, option in SPECS.items()}
    own = {name: values.pop(name) for name in OF_HOST}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Mistakes):
        patch.setattr(inventory, "Reader", lambda: recorder)
        inventory.read_fleet(values, {"mta1": own})
    return recorder.read


def test_the_reader_came_upon_everything(read):
    assert len(read) > 50 and "sending_probe_mailboxes[].imap" in read and "sending_zones[].key.algorithm" in read


def test_the_keys_of_every_mapping_are_documented_and_no_others(read):
    documented = {}
    for path, option in flat(SPECS).items():
        if "options" in option:
            options = option["options"]
            needed = [name for name, inner in options.items() if inner.get("required")]
            documented[path + ("[]" if option["type"] == "list" else "")] = (sorted(options), sorted(needed))
    assert documented == {path: how[1:3] for path, how in read.items() if how[0] == "mapping"}


def test_each_is_read_as_the_type_that_is_documented(read):
    expected = {"int": "integer", "bool": "flag", "list": "items"}
    methods = {}
    for path, option in flat(SPECS).items():
        if option["type"] == "list" and "choices" in option:
            methods[f"{path}[]"] = "choice"
        if option["type"] in expected and ("choices" not in option or option["type"] == "list"):
            methods[path] = expected[option["type"]]
        elif "choices" in option:
            methods[path] = "choice"
    assert methods == {path: how[0] for path, how in read.items() if how[0] != "mapping"}


def test_choices_and_defaults_are_those_that_are_documented(read):
    options = flat(SPECS)
    for path, (method, *bounds) in read.items():
        option = options[path.removesuffix("[]")]
        if method == "choice":
            assert sorted(option["choices"], key=str) == sorted(bounds[0], key=str), path
        if method in ("choice", "integer", "flag") and not path.endswith("[]"):
            assert option.get("default", NOTHING.get(method)) == bounds[-1], path


@pytest.mark.parametrize("name, options", [("sending_probe_mailboxes", MAILBOX), ("sending_blocklists", BLOCKLIST)])
def test_a_module_takes_what_the_role_takes(name, options):
    def spec(documented: dict) -> dict:
        return {key: {word: spec(value) if word == "options" else value
                      for word, value in option.items() if word != "description"}
                for key, option in documented.items()}

    assert spec(SPECS[name]["options"]) == options


def test_what_may_hold_a_secret_is_never_shown(read):
    secret = [path for path, option in flat(SPECS).items() if option.get("no_log")]
    assert [path.rpartition(".")[2] for path in secret] == [
        "password_hash", "secret", "postgresql", "mailboxes", "webhooks", "password", "zone"]
    for path in secret:
        above = path.rpartition(".")[0]
        assert read[above][3], above


def test_the_shipped_profiles_are_named():
    words = set(re.findall(r"V\(([\w-]+)\)", SPECS["sending_providers"]["description"]))
    assert words == set(PROFILES)
