# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for the collection as a whole, read from its files: the walls between its parts, and the house rules.

Every test returns all that is wrong at once, each as `file: what`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LISTED = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                        cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
FILES = sorted(name for name in LISTED if name and (ROOT / name).is_file())
PYTHON = [name for name in FILES if name.endswith(".py")]
ROLES = sorted({name.split("/")[1] for name in FILES if re.match(r"roles/[^/]+/tasks/", name)})

# plugin_utils is what action plugins share, and runs on the controller only.
KINDS_OF_GLUE = ("modules", "action", "callback", "filter", "doc_fragments", "plugin_utils")
GLUE = tuple(f"plugins/{kind}/" for kind in KINDS_OF_GLUE)
GLUE_OF_TESTS = ("tests/loop/callbacks/",)
DNS = tuple(f"plugins/module_utils/{name}.py" for name in ("lookup", "dns_wire", "dns_update"))
HEADER = [
    "# Copyright: mailfleet.sending contributors",
    "# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
]
WAVED_THROUGH = re.compile(
    r"ignore_errors: *(true|yes)|ignore_unreachable: *(true|yes)|failed_when: *false|\|\| *true\b"
    r"|\bTO[D]O\b|mark\.(skip|xfail)|# *no[q]a|# *no[l]int|tags: .*\bskip_ansible_lint\b"
)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def imports(name: str) -> set[str]:
    """Return the full names of all modules that the file imports, and of what it imports from them, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(text(name), name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imports_package(name: str, package: str) -> bool:
    return any(module.split(".")[0] == package for module in imports(name))


def test_the_tests_below_see_files():
    assert len(PYTHON) > 10
    assert any(name.startswith("plugins/module_utils/") for name in PYTHON)
    assert any(name.startswith("plugins/modules/") for name in PYTHON)
    assert ROLES


def test_only_glue_imports_ansible():
    glue = (*GLUE, *GLUE_OF_TESTS)
    assert [name for name in PYTHON if imports_package(name, "ansible") and not name.startswith(glue)] == []


def test_only_the_lookup_and_the_update_import_dns():
    # Tests and the lab speak DNS too, as the other side of it.
    plugins = [name for name in PYTHON if name.startswith("plugins/")]
    assert [name for name in plugins if imports_package(name, "dns") and name not in DNS] == []


def test_knowledge_needs_the_standard_library_only():
    known = sys.stdlib_module_names | {"ansible_collections", "dns"}
    knowledge = [name for name in PYTHON if name.startswith("plugins/module_utils/")]
    assert [f"{name}: {module}" for name in knowledge
            for module in sorted(imports(name)) if module.split(".")[0] not in known] == []


def test_knowledge_does_not_import_glue():
    glue = tuple("ansible_collections.mailfleet.sending." + folder.replace("/", ".") for folder in GLUE)
    knowledge = [name for name in PYTHON if name.startswith("plugins/module_utils/")]
    assert [name for name in knowledge if any(module.startswith(glue) for module in imports(name))] == []


def test_every_source_has_the_licence_header():
    def header(name: str) -> list[str]:
        lines = text(name).splitlines()
        return lines[1:4] if lines and lines[0].startswith("#!") else lines[:3]

    assert [name for name in PYTHON if header(name) != HEADER] == []


def test_plugins_have_lazy_annotations():
    plugins = [name for name in PYTHON if name.startswith("plugins/") and not name.endswith("__init__.py")]
    assert [name for name in plugins if "\nfrom __future__ import annotations\n" not in text(name)] == []


def test_no_file_has_two_subjects():
    sources = [name for name in FILES if name.endswith((".py", ".yml", ".yaml", ".j2"))]
    # Ansible wants the variables of a role in one file.
    sources = [name for name in sources if not name.endswith("/meta/argument_specs.yml")]
    lengths = {name: len(text(name).splitlines()) for name in sources}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_nothing_is_waved_through():
    """No failure is ignored, no test is skipped by a mark, no warning is silenced by a comment."""
    endings = (".py", ".yml", ".yaml", ".j2", ".sh", ".cfg", "Makefile", ".ci/run")
    sources = [name for name in FILES if name.endswith(endings)]
    assert [f"{name}:{number}: {line.strip()}" for name in sources
            for number, line in enumerate(text(name).splitlines(), 1) if WAVED_THROUGH.search(line)] == []


def test_nothing_is_ignored_by_sanity():
    assert [name for name in FILES if name.startswith("tests/sanity/ignore")] == []


@pytest.mark.parametrize("name", [name for name in PYTHON if name.startswith("plugins/modules/")])
def test_a_module_says_what_it_supports(name):
    said = text(name)
    assert "  - mailfleet.sending.attributes\n" in said
    for part in ("DOCUMENTATION = r", "EXAMPLES = r", "RETURN = r"):
        assert f"\n{part}" in said, f"{name} has no {part.split()[0]}"


TYPES = {"str": str, "path": str, "int": int, "float": (int, float), "bool": bool, "list": list, "dict": dict,
         "raw": object}


def options_of(role: str) -> dict[str, dict]:
    """Return the options of all entry points of a role's argument_specs; an entry point may repeat another's."""
    specs = yaml.safe_load(text(f"roles/{role}/meta/argument_specs.yml"))["argument_specs"]
    return {name: option for entry in specs.values() for name, option in entry.get("options", {}).items()}


def has_type(value: object, wanted: str) -> bool:
    if isinstance(value, str) and "{{" in value:
        return True  # a template: its type is known only once it is filled in
    if isinstance(value, bool) and wanted in ("int", "float"):
        return False
    return isinstance(value, TYPES[wanted])


def spec_mistakes(specs: dict, path: str = "") -> list[str]:
    """Return what is not documented, or not of its type, in options and in options of options."""
    mistakes = []
    for name, option in specs.items():
        here = f"{path}{name}"
        if not option.get("description"):
            mistakes.append(f"{here}: no description")
        if option.get("type") not in TYPES:
            mistakes.append(f"{here}: type {option.get('type')!r}")
        elif "default" in option and not has_type(option["default"], option["type"]):
            mistakes.append(f"{here}: default {option['default']!r} is no {option['type']}")
        if option.get("type") == "list" and "elements" not in option:
            mistakes.append(f"{here}: a list of what?")
        mistakes += spec_mistakes(option.get("options", {}), f"{here}.")
    return mistakes


@pytest.mark.parametrize("role", ROLES)
def test_a_role_documents_its_options(role):
    specs = yaml.safe_load(text(f"roles/{role}/meta/argument_specs.yml"))["argument_specs"]
    assert "main" in specs
    assert [name for name, entry in specs.items() if not entry.get("short_description")] == []
    assert [mistake for name, entry in specs.items()
            for mistake in spec_mistakes(entry.get("options", {}), f"{name}: ")] == []


@pytest.mark.parametrize("role", ROLES)
def test_the_defaults_of_a_role_are_those_of_its_specs(role):
    """An option is required, or has the same default in both files; no variable is in one of them only."""
    path = f"roles/{role}/defaults/main.yml"
    defaults = (yaml.safe_load(text(path)) or {}) if path in FILES else {}
    options = options_of(role)
    documented = {name: option["default"] for name, option in options.items() if "default" in option}
    assert defaults == documented
    assert [name for name, option in options.items() if "default" not in option and not option.get("required")] == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_its_meta(role):
    assert {f"roles/{role}/meta/main.yml", f"roles/{role}/meta/argument_specs.yml"} <= set(FILES)


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_names_the_commands(command):
    assert command in text("README.md")


def test_the_targets_of_make_are_listed_by_help():
    makefile = text("Makefile")
    targets = set(re.search(r"^TARGETS := (.*)$", makefile, re.MULTILINE)[1].split())
    listed = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert listed == targets | {"help"}
    assert {"demo", "test", "test-long", "lab-down", "clean"} <= targets
