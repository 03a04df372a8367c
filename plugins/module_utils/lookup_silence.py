# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which servers have fallen silent, so that a dead one costs its timeout a few times and not for every question."""

from __future__ import annotations

import threading

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server

SUSPECT_AFTER = 3  # questions in a row that were not answered in all their time
# Addresses of authoritative servers that were asked and not heard, before any was: more than the four that two dead
# servers have with both families, among others that live.
NOBODY_AFTER = 5
NAMED = 3  # of them in words
# Why the resolvers are asked for all that is left. It is told once, by a verdict of its own (verify_authorities.py).
CUT_OFF = "this machine hears no authoritative server"


class Silences:
    """Counts the questions in a row that a server left unanswered. All methods may be called from any thread.

    Silence may be a question's fault (a resolver cannot resolve a name whose own servers are dead), so a suspect is not
    yet dead: the caller finds out by a question that every living server answers at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unanswered: dict[tuple[str, int], tuple[int, str]] = {}
        self._unheard: dict[tuple[str, int], str] = {}
        self._heard = False
        self._why = ""

    def answered(self, server: Server) -> None:
        """Note that the server sent an answer, whatever it says."""
        if self._unanswered:
            with self._lock:
                self._unanswered.pop((server.address, server.port), None)

    def unanswered(self, server: Server, cause: str) -> None:
        """Note that a question was given all its time, and why that was not enough."""
        with self._lock:
            count, _cause = self._unanswered.get((server.address, server.port), (0, ""))
            self._unanswered[server.address, server.port] = count + 1, cause

    def suspect(self, server: Server) -> bool:
        """Return whether too many questions in a row were not answered."""
        return self._unanswered.get((server.address, server.port), (0, ""))[0] >= SUSPECT_AFTER

    def why(self, server: Server) -> str:
        """Return in words why a server that is dead is not asked."""
        count, cause = self._unanswered.get((server.address, server.port), (0, "no answer"))
        return f"{cause} to the last {count} questions, so it was not asked this one"

    def heard(self) -> None:
        """Note that an authoritative server sent anything at all."""
        self._heard = True

    def unheard(self, server: Server, cause: str) -> None:
        """Note that nothing came back from an authoritative server, and why."""
        with self._lock:
            self._unheard.setdefault((server.address, server.port), f"{server}: {cause}")

    @property
    def cut_off(self) -> bool:
        """Return whether several authoritative servers were asked and none was ever heard, as behind a firewall."""
        return not self._heard and len(self._unheard) >= NOBODY_AFTER

    @property
    def why_cut_off(self) -> str:
        """Return in words why authoritative servers were given up, empty where they were not."""
        return self._why

    def give_up(self) -> None:
        """Note that a question was not asked of authoritative servers, since this machine seems to be cut off."""
        with self._lock:
            if not self._why:
                some = "; ".join(list(self._unheard.values())[:NAMED])
                self._why = f"none of {len(self._unheard)} that were asked was heard, such as {some}"

    def forget(self) -> None:
        """Trust all servers again."""
        with self._lock:
            self._unanswered.clear()
            self._unheard.clear()
            self._heard = False
