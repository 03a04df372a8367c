# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of DKIM keys: C(<domain>/<selector>.pem), and beside it C(<selector>.json), which holds no secret.

The private key is written first and never again. The file beside it says when the key was made and what its public
half is: so a date never comes from the clock of a later run, a key that vanished or changed is noticed, and a key
that its owner encrypted with ansible-vault still has a public half.
"""
from __future__ import annotations

import datetime
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_keys, owned_files
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import KeyFault, Public
from ansible_collections.mailfleet.sending.plugins.module_utils.owned_files import Owner
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

NEVER_REPLACED = "A key is never replaced: mend the file, or choose another selector"


@dataclass(frozen=True)
class Wanted:
    """A key that shall exist: C(bits) is the size of an RSA key, C(public) its public half, if it was made before.

    Where it is not known to have been made, the last key of the folder whose selector matches the regular expression
    C(instead) is the one that is meant: whoever lost the state that named it still has the key, and DNS its record.
    """

    domain: str
    selector: str
    type: str = "rsa"
    bits: int = 2048
    public: str = ""
    instead: str = ""


@dataclass(frozen=True)
class Stored:
    """A key of the folder; C(created) is its date (YYYY-MM-DD). It and C(public) are None where it is to be made."""

    domain: str
    selector: str
    type: str
    bits: int
    public: str | None
    created: str | None


@dataclass(frozen=True)
class Fault:
    """What is wrong with a wanted key; C(cause) names the file."""

    domain: str
    selector: str
    cause: str


class KeyFaults(KeyFault):
    """Every fault of the wanted keys, a line for each."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(fault.cause for fault in self.faults))


class Store:
    """The folder, its owner and the changes that were made in it (or would be, when C(dry))."""

    def __init__(self, run: Programs, directory: Path, owner: Owner = owned_files.KEEP, *, dry: bool = False) -> None:
        self.directory = directory
        self.changes: list[str] = []
        self._run = run
        self._owner = owner
        self._dry = dry

    def ensure(self, wanted: Iterable[Wanted]) -> list[Stored]:
        """Return each wanted key in its order, made where there was none.

        Nothing is made while any of them has a fault. A key that is there is never replaced.
        Raises: KeyFaults with all faults, each naming its file.
        """
        names, found, faults = [], [], []
        for key in wanted:
            names.append((key.domain, key.selector))
            try:
                meant = self._meant(key)
                found.append((meant, self._inspect(meant)))
            except KeyFault as fault:
                faults.append(Fault(key.domain, key.selector, str(fault)))
        faults += [Fault(domain, selector, f"{domain}: the selector {selector} is listed {times} times, expected once")
                   for (domain, selector), times in Counter(names).items() if times > 1]
        if faults:
            raise KeyFaults(faults)
        stored = [self._ensure(key, there) for key, there in found]
        self.changes = list(dict.fromkeys(self.changes))  # a dry run finds the same folder missing for each key
        return stored

    def _ensure(self, key: Wanted, stored: Stored | None) -> Stored:
        folder, private, beside = self._paths(key)
        for path in (self.directory, folder):
            self.changes += owned_files.hold_folder(path, 0o700, self._owner, dry=self._dry)
        if stored is None:
            self.changes.append(f"{private}: made")
            if self._dry:
                return Stored(key.domain, key.selector, key.type, key.bits, None, None)
            pem = dkim_keys.make_private(self._run, key.type, key.bits)
            owned_files.write(private, pem, 0o600, self._owner, replace=False)
            public = dkim_keys.read_private(self._run, pem)
            stored = Stored(key.domain, key.selector, public.type, public.bits, public.public, _date_of(private))
        if not beside.exists():
            self.changes.append(f"{beside}: made")
            if not self._dry:
                data = {name: value for name, value in asdict(stored).items() if name not in ("domain", "selector")}
                text = json.dumps(data, indent=1, sort_keys=True) + "\n"
                owned_files.write(beside, text.encode(), 0o600, self._owner, replace=False)
        for path in (private, beside):
            if path.exists():
                self.changes += owned_files.hold(path, 0o600, self._owner, dry=self._dry)
        return stored

    def _paths(self, key: Wanted) -> tuple[Path, Path, Path]:
        folder = self.directory / key.domain
        return folder, folder / f"{key.selector}.pem", folder / f"{key.selector}.json"

    def _meant(self, key: Wanted) -> Wanted:
        """Return the wanted key, or the one of the folder that serves instead.

        Raises: KeyFault for a bad domain or pattern.
        """
        if key.public or not key.instead:
            return key
        dkim_keys.check_name("domain", key.domain)
        try:
            pattern = re.compile(key.instead)
            files = [path.stem for path in (self.directory / key.domain).iterdir() if path.suffix in (".pem", ".json")]
        except re.error as error:
            raise KeyFault(f"{key.selector}: instead {key.instead!r} is no regular expression: {error}") from error
        except FileNotFoundError:
            files = []
        return replace(key, selector=max(filter(pattern.fullmatch, files), default=key.selector))

    def _inspect(self, key: Wanted) -> Stored | None:
        """Return the key as the folder has it, None where it has none.

        Raises: KeyFault for a bad name, a damaged key, one that is not what is wanted, or one that vanished.
        """
        dkim_keys.check_name("domain", key.domain)
        dkim_keys.check_name("selector", key.selector)
        folder, private, beside = self._paths(key)
        for path in (self.directory, folder, private, beside):
            if path.is_symlink():
                raise KeyFault(f"{path}: found a symbolic link, expected a file or folder of its own")
        noted = _read_beside(beside)
        if not private.exists():
            if noted is None:
                if key.public:
                    raise KeyFault(f"{private}: the key is gone, though its public half is known and DNS may serve it; "
                                   "put it back from a copy, or choose another selector")
                if key.type == "rsa" and key.bits not in dkim_keys.RSA_BITS:
                    raise KeyFault(f"{private}: an RSA key of {key.bits} bits is wanted, expected one of "
                                   f"{', '.join(map(str, dkim_keys.RSA_BITS))}")
                return None
            raise KeyFault(f"{private}: the key is gone, though {beside.name} says that it was made on "
                           f"{noted['created']}; put it back, or choose another selector")
        try:
            content = private.read_bytes()
            if content.startswith(dkim_keys.VAULT_HEADER):
                if noted is None:
                    raise KeyFault(f"it is encrypted with ansible-vault and there is no {beside.name} beside it, "
                                   "which would hold its public half; decrypt it for the first run")
                public = Public(noted["type"], noted["bits"], noted["public"])
            else:
                public = dkim_keys.read_private(self._run, content)
                if noted is not None and noted["public"] != public.public:
                    raise KeyFault(f"it is not the key whose public half stands in {beside.name}; put that one back")
            if key.public and key.public != public.public:
                raise KeyFault("it is not the key whose public half is known; put that one back")
            dkim_keys.require(public, key.type, key.bits)
        except OSError as error:
            raise KeyFault(f"{private}: the key cannot be read: {error.strerror}") from error
        except KeyFault as fault:
            raise KeyFault(f"{private}: {fault}. {NEVER_REPLACED}") from fault
        created = noted["created"] if noted is not None else _date_of(private)
        return Stored(key.domain, key.selector, public.type, public.bits, public.public, created)


def _read_beside(path: Path) -> dict[str, object] | None:
    """Return what stands beside a key, None where there is nothing."""
    try:
        noted = json.loads(path.read_text("utf-8"))
        if not isinstance(noted["public"], str) or not isinstance(noted["bits"], int):
            raise ValueError("public is to be a text, bits a number")
        if noted["type"] not in dkim_keys.KEY_TYPES:
            raise ValueError(f"type is {noted['type']!r}")
        datetime.date.fromisoformat(noted["created"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFault(f"{path}: it cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise KeyFault(f"{path}: there is no {error} in it; expected created, type, bits and public") from error
    except (ValueError, TypeError) as error:
        raise KeyFault(f"{path}: it is damaged: {error}; put it back, or remove it: the key's file has a date too"
                       ) from error
    return noted


def _date_of(path: Path) -> str:
    """Return the day (UTC) on which a file was written: that of a key which came from elsewhere."""
    return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC).date().isoformat()
