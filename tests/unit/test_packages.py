# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages: what is missing, when the lists are read, and what apt says when it cannot."""

from __future__ import annotations

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.packages import (
    PackageFault,
    install,
    lists_are_fresh,
    missing,
    simulate,
)

SIMULATED = "Inst libopendkim11 (2.11.0~beta2-9 Debian:13/stable [amd64])\n"
SIMULATED += "Inst opendkim [1.0] (2.11.0~beta2-9 Debian:13/stable)\n"


class Apt:
    """Answers as dpkg-query and apt-get do; knows packages only after their lists were read."""

    def __init__(self, lists: bool = False) -> None:
        self.lists, self.calls = lists, []

    def __call__(self, arguments):
        self.calls.append(" ".join(word for word in arguments if not word.startswith("-")))
        if arguments[0] == "dpkg-query":
            return 1, "openssl installed\nold config-files\n", "dpkg-query: no packages found matching opendkim"
        if "update" in arguments:
            self.lists = True
            return 0, "", ""
        if not self.lists:
            return 100, "", "E: Unable to locate package opendkim"
        return 0, SIMULATED, ""


def test_missing_is_what_is_not_installed():
    assert missing(["openssl", "opendkim", "old", "opendkim"], Apt()) == ["opendkim", "old"]
    assert missing([], Apt()) == []


def test_a_name_that_could_be_an_option_is_refused():
    with pytest.raises(PackageFault, match="'--purge'"):
        missing(["openssl", "--purge"], Apt())


def test_lists_are_read_only_where_that_is_needed():
    apt = Apt(lists=True)
    assert install(["opendkim"], apt, fresh=lambda: True) == {
        "libopendkim11": "2.11.0~beta2-9",
        "opendkim": "2.11.0~beta2-9",
    }
    assert not any("update" in call for call in apt.calls)
    apt = Apt()
    install(["opendkim"], apt, fresh=lambda: True)
    assert any("update" in call for call in apt.calls), "fresh lists that do not know a package are read anew"
    apt = Apt(lists=True)
    install(["opendkim"], apt, fresh=lambda: False)
    assert any("update" in call for call in apt.calls)


def test_what_the_lists_do_not_know_is_not_told():
    assert simulate(["opendkim"], Apt()) is None


def test_the_reason_is_apts_own():
    def never(arguments):
        return (0, "", "") if "update" in arguments else (100, "", "E: Unable to locate package nosuch")

    with pytest.raises(PackageFault, match="Unable to locate package nosuch"):
        install(["nosuch"], never)


def test_an_empty_folder_of_lists_is_never_fresh(tmp_path):
    assert not lists_are_fresh(tmp_path)
    assert not lists_are_fresh(tmp_path / "none")
    (tmp_path / "deb_main_binary-amd64_Packages.lz4").write_text("")
    assert lists_are_fresh(tmp_path)
    assert not lists_are_fresh(tmp_path, now=lambda: tmp_path.stat().st_mtime + 90000)
