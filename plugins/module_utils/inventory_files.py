# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files on the controller that the inventory names: that they can be read, and hold what they should.

Nothing of what they hold shows. The disk is looked at through a port, so that this stays a matter of text.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader

# What a file on the controller holds as text, by its path: with true as second argument what ansible-vault encrypted is
# decrypted, with false it is taken as it is. Raises OSError or ValueError, which say why it cannot be read.
Files = t.Callable[[str, bool], str]


@dataclasses.dataclass(frozen=True)
class Content:
    """What a file should hold: in words, as a pattern that is searched for; if a vault may hold it, if it is secret."""

    words: str
    pattern: re.Pattern[str]
    vaulted: bool = True
    secret: bool = False


_CERTIFICATE = re.compile("^-----BEGIN ([A-Z0-9]+ )*CERTIFICATE-----", re.MULTILINE)
CHAIN = Content("a certificate in PEM form", _CERTIFICATE)
# TLS libraries open it by themselves, and know nothing of vaults.
AUTHORITY = Content("certificates in PEM form, not encrypted", _CERTIFICATE, vaulted=False)
KEY = Content(
    "a private key in PEM form without a passphrase",
    re.compile(
        r"^-----BEGIN (?!ENCRYPTED )([A-Z0-9]+ )*PRIVATE KEY-----(?!\r?\nProc-Type: 4,ENCRYPTED)", re.MULTILINE
    ),
    secret=True,
)
PASSWORD = Content("a password", re.compile(r"\S"), secret=True)


def check_file(reader: Reader, value: t.Any, path: str, content: Content, files: Files | None) -> str:
    """Read the path of a file that must be there, and look into the file.

    :arg reader: takes note of the mistakes.
    :arg value: what the inventory says; none and an empty text name no file.
    :arg path: where it says so.
    :arg content: what the file should hold.
    :arg files: looks at the disk; without it, only the path is read.
    :returns: the file's path, an empty text where none is named.
    """
    place = reader.place(value, path, content.secret) if value not in (None, "") else ""
    if place and files:
        try:
            text = files(place, content.vaulted)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            found = f"<{place}, which cannot be read: {why}>"
            reader.note(path, found, content.words, "put it there, or mend the path")
        else:
            if not content.pattern.search(text):
                reader.note(path, f"<{place}, which holds something else (not shown)>", content.words)
    return place
