# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which servers have fallen silent, so that a dead one costs its timeout a few times and not for every question."""

from __future__ import annotations

import threading

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server

SUSPECT_AFTER = 3  # questions in a row that were not answered in all their time


class Silences:
    """Counts the questions in a row that a server left unanswered. All methods may be called from any thread.

    Silence may be a question's fault (a resolver cannot resolve a name whose own servers are dead), so a suspect is not
    yet dead: the caller finds out by a question that every living server answers at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unanswered: dict[tuple[str, int], tuple[int, str]] = {}

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

    def forget(self) -> None:
        """Trust all servers again."""
        with self._lock:
            self._unanswered.clear()
