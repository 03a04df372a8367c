# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes by age goes by a clock that is to be believed."""

from __future__ import annotations

import pytest
from agent_world import DAY, NOW
from mailfleet.upkeep import EVERY, Steady


class Clocks:
    """The clock of UTC, and the one that nobody sets."""

    def __init__(self) -> None:
        self.now, self.even = float(NOW), 50.0
        self.steady = Steady(lambda: self.now, lambda: self.even)

    def after(self, seconds: float, jump: float = 0) -> bool:
        """Whether it is to be believed some seconds later, and after it was set by some."""
        self.now += seconds + jump
        self.even += seconds
        return self.steady()


def test_a_clock_that_goes_on_is_believed_at_once_and_after_a_year():
    clocks = Clocks()
    assert clocks.steady() and clocks.after(365 * DAY) and clocks.after(60, jump=2)


@pytest.mark.parametrize("jump", [400 * DAY, -400 * DAY, EVERY + 1])
def test_a_clock_that_was_set_is_believed_once_it_went_on_for_a_day(jump):
    clocks = Clocks()
    assert not clocks.after(EVERY, jump)
    assert not clocks.after(DAY - EVERY) and clocks.after(EVERY)
    # Set right again it has to go on for another.
    assert not clocks.after(EVERY, -jump) and clocks.after(DAY)


def test_without_other_clocks_it_takes_those_of_the_host():
    assert Steady()()
