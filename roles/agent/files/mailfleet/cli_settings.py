# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What commands share: the configuration that they run with, the rights that they need not, and who runs them."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import pwd
import typing as t

from .errors import Status, Trouble
from .settings import Settings, load


def settings_of(asked: argparse.Namespace) -> Settings:
    """Read the configuration, and go on as the agent's user, so that files are never root's."""
    settings = load(asked.config)
    if settings.user and os.geteuid() == 0:
        user = _user(settings, asked.config)
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        # The library of PostgreSQL looks for certificates there.
        os.environ["HOME"] = user.pw_dir
    return settings


def _user(settings: Settings, where: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(settings.user)
    except KeyError as error:
        wrong = Trouble(f"{where}: user", f"there is no user {settings.user!r}", "the agent's user")
        wrong.status = Status.SETTINGS
        raise wrong from error


@contextlib.contextmanager
def acting(settings: Settings, where: str) -> t.Iterator[None]:
    """Go on as the agent's user for a moment, where that is root's to say: files that a database makes beside itself
    are then the agent's, and what is written afterwards is root's.

    :arg where: the configuration's file.
    """
    if not settings.user or os.geteuid() != 0:
        yield
        return
    user = _user(settings, where)
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def actor(settings: Settings) -> str:
    """Who changes the list, as the audit trail has it."""
    name = os.environ.get("SUDO_USER") or os.environ.get("USER") or str(os.getuid())
    return f"{name[:64]}@{settings.host}"


def moment(seconds: int) -> str:
    """A moment as people read it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
