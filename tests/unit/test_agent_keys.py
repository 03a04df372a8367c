# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of return paths: none is lost unsaid, they rotate by two runs, and they are compared without being shown."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils import agent_keys
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_keys import State

A, B, C = ("a" * 43, "b" * 43, "c" * 43)


class TestLost:
    @pytest.mark.parametrize(("there", "ours", "dropped"), [
        ({}, {"a": A}, []),  # a new server
        ({"a": A}, {"a": A}, []),
        ({"a": A}, {"a": A, "b": B}, []),  # the first run of a rotation
        ({"a": A, "b": B}, {"b": B}, ["a"]),  # given up
        ({"b": B}, {"b": B}, ["a"]),  # and still said so
    ])
    def test_nothing_is(self, there, ours, dropped):
        assert agent_keys.lost(there, ours, dropped) == ""

    def test_a_key_that_the_controller_lacks_is_named_with_what_to_do(self):
        told = agent_keys.lost({"a": A, "b": B, "c": C}, {"b": B}, ["c"])
        assert "lacks a key of return paths that this server has: a. Put it back" in told
        assert '"dropped": ["a"]' in told and told.endswith("no bounce of mail is believed")

    def test_another_key_under_its_id_is_none_that_may_be_dropped(self):
        told = agent_keys.lost({"a": A, "b": B}, {"a": B, "b": B}, ["a"])
        assert "has another key of return paths than this server: a. Put back" in told and "dropped" not in told

    def test_no_key_shows(self):
        told = agent_keys.lost({"a": A, "b": B}, {"a": C})
        assert "lacks" in told and "another" in told and not any(key in told for key in (A, B, C))


class TestTooEarly:
    def test_a_key_that_was_there_before_it_makes_tokens_is_in_time(self):
        assert agent_keys.too_early({"a": A, "b": B}, "a", "b") == "" == agent_keys.too_early({"a": A}, "a", "a")

    def test_a_new_server_has_no_key_of_before(self):
        assert agent_keys.too_early({}, "", "b") == ""

    def test_one_that_is_new_and_makes_tokens_at_once_is_told(self):
        assert agent_keys.too_early({"a": A}, "a", "b").startswith("the key b makes tokens from now on")


class TestHeld:
    def test_what_the_servers_files_say(self):
        secrets = json.dumps({"token_keys": {"a": A, "b": 5}, "postgresql": "x"})
        assert agent_keys.held(secrets) == {"a": A}
        assert agent_keys.current_of(json.dumps({"token": {"current": "a", "days": 30}})) == "a"

    @pytest.mark.parametrize("text", [None, "", "{", "[]", '{"token_keys": 1, "token": []}',
                                      '{"token": {"current": 1}}'])
    def test_what_cannot_be_read_holds_nothing(self, text):
        assert agent_keys.held(text) == {} and agent_keys.current_of(text) == ""


class TestCompare:
    def test_each_key_by_its_id(self):
        digests = {name: agent_keys.digest(key, "n") for name, key in {"a": A, "b": C, "d": A}.items()}
        found = agent_keys.compare({"a": A, "b": B, "c": C}, digests, "n")
        assert found == {"a": State.SAME, "b": State.OTHER, "c": State.LACKING, "d": State.LEFT}

    def test_a_digest_is_of_its_run_alone(self):
        digests = {"a": agent_keys.digest(A, "n")}
        assert A not in digests["a"] and agent_keys.compare({"a": A}, digests, "m") == {"a": State.OTHER}


class TestTheControllersFile:
    @pytest.mark.parametrize("more", [{}, {"dropped": []}, {"dropped": ["a"]}])
    def test_what_it_may_say(self, more):
        assert agent_keys.wrong({"current": "b", "keys": {"b": B, "c": C}, **more}) == ""

    @pytest.mark.parametrize(("content", "said"), [
        ([], "it has another form"), ({"current": "a", "keys": [A]}, "it has another form"),
        ({"current": "a", "keys": {"a": 5}}, "it has another form"), ({"current": "a"}, "it has another form"),
        ({"current": "b", "keys": {"a": A}}, "current is none of its keys"),
        ({"current": ["a"], "keys": {"a": A}}, "current is none of its keys"),
        ({"keys": {"a": A}}, "current is none of its keys"),
        ({"current": "a", "keys": {"a": A}, "dropped": "b"}, "dropped is no list of ids"),
        ({"current": "a", "keys": {"a": A}, "dropped": [1]}, "dropped is no list of ids"),
        ({"current": "a", "keys": {"a": A}, "dropped": ["a"]}, "a is among its keys and dropped"),
    ])
    def test_another_form_is_told_and_no_key(self, content, said):
        assert agent_keys.wrong(content) == said
