# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What commands share: the configuration that they run with, the rights that they need not, and who runs them."""

from __future__ import annotations

import argparse
import datetime
import os
import pwd

from .errors import Status, Trouble
from .settings import Settings, load


def settings_of(asked: argparse.Namespace) -> Settings:
    """Read the configuration, and go on as the agent's user, so that files are never root's."""
    settings = load(asked.config)
    if settings.user and os.geteuid() == 0:
        try:
            user = pwd.getpwnam(settings.user)
        except KeyError as error:
            wrong = Trouble(f"{asked.config}: user", f"there is no user {settings.user!r}", "the agent's user")
            wrong.status = Status.SETTINGS
            raise wrong from error
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        # The library of PostgreSQL looks for certificates there.
        os.environ["HOME"] = user.pw_dir
    return settings


def actor(settings: Settings) -> str:
    """Who changes the list, as the audit trail has it."""
    name = os.environ.get("SUDO_USER") or os.environ.get("USER") or str(os.getuid())
    return f"{name[:64]}@{settings.host}"


def moment(seconds: int) -> str:
    """A moment as people read it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
