# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes each role's README.md out of its argument_specs, a heading a variable, so that none is kept by hand.

``python tools/role_readmes.py`` writes, with ``--check`` it only says which are out of date (exit status 1).
What a role exports, and other words of its own, stand in ``roles/<role>/NOTES.md`` and follow at the end.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
MARKUP = re.compile(r"\b[CVOPME]\(([^)#]*)(?:#[a-z]+)?\)")


def plain(text: str | list[str]) -> str:
    """Ansible's markup as Markdown."""
    paragraphs = [text] if isinstance(text, str) else text
    return "\n\n".join(MARKUP.sub(r"`\1`", paragraph.strip()) for paragraph in paragraphs)


def terms(option: dict) -> str:
    """Type, choices and default of an option in one line."""
    kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
    default = (
        f"default `{json.dumps(option['default'])}`"
        if "default" in option
        else "required"
        if option.get("required")
        else "no default"
    )
    choices = f", one of {', '.join(f'`{choice}`' for choice in option['choices'])}" if "choices" in option else ""
    return f"{kind}{choices}; {default}"


def items(options: dict, indent: str = "") -> list[str]:
    """The lines of a list of options, with those in options below them."""
    lines = []
    for name, option in options.items():
        lines.append(f"{indent}- `{name}` ({terms(option)}): {plain(option['description'])}")
        lines += items(option.get("options", {}), indent + "  ")
    return lines


def readme(role: str) -> str:
    """The text of a role's README.md."""
    folder = ROOT / "roles" / role
    spec = yaml.safe_load((folder / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]
    parts = [f"# mailfleet.sending.{role}", plain(spec["description"]), "## Variables"]
    for name, option in spec["options"].items():
        parts += [f"### `{name}`", terms(option), plain(option["description"])]
        parts += ["\n".join(items(option["options"]))] if "options" in option else []
    notes = folder / "NOTES.md"
    parts += [notes.read_text(encoding="utf-8").strip()] if notes.exists() else []
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write or check; returns the exit status."""
    stale = []
    for spec in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        path = spec.parents[1] / "README.md"
        text = readme(path.parent.name)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'out of date: run python tools/role_readmes.py' if '--check' in sys.argv else 'written'}")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
