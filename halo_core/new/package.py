"""The files of a new plugin: those of the templates, with its names in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from textwrap import indent

from halo_core.new.licences import LICENCES, licence_text
from halo_core.new.names import Part, capitalised
from halo_core.plugins.core_range import core_requirement

WIDTH = 100
"""Number of characters of a line, as in the pyproject.toml of the templates."""

MANY = "Components for halo"
"""The sentence about a package with too many kinds of component for one line."""

TORCH = "torch>=2.6"
WORKFLOW = ".github/workflows/tests.yml"


@dataclass(frozen=True)
class Plan:
    """The facts that a new plugin is made from.

    Attributes:
        name: Its name without ``halo-``.
        parts: Its components, at least one.
        licence: A word of `LICENCES`; empty for none.
        author: Its author; empty if unknown.
        year: The year of the copyright.
    """

    name: str
    parts: Sequence[Part]
    licence: str
    author: str
    year: int

    @property
    def distribution(self) -> str:
        """Name of the distribution and of the folder."""
        return f"halo-{self.name}"

    @property
    def package(self) -> str:
        """Name of the package."""
        return self.distribution.replace("-", "_")

    @property
    def trains(self) -> bool:
        """Whether the check of a component trains a model."""
        return any(part.kind.trains for part in self.parts)

    @property
    def summary(self) -> str:
        """One sentence about the package."""
        titles = list(dict.fromkeys(f"a {part.kind.title}" for part in self.parts))
        said = " and ".join([", ".join(titles[:-1]), titles[-1]] if titles[1:] else titles)
        return f"{said[0].upper()}{said[1:]} for halo" if len(said) < WIDTH - 20 else MANY


def package_files(plan: Plan) -> dict[str, str]:
    """Returns the text of each file by its path in the folder of the plugin.

    Raises:
        UserError: When the licence names an author, and there is none.
    """
    home = f"src/{plan.package}"
    found = {
        "pyproject.toml": _pyproject(plan),
        "README.md": _readme(plan),
        ".gitignore": _template("gitignore"),
        WORKFLOW: _workflow(plan),
        f"{home}/__init__.py": f'"""{plan.summary}."""\n',
        f"{home}/py.typed": "",
        f"{home}/plugin.py": _plugin(plan),
    }
    if plan.licence:
        found["LICENSE"] = licence_text(plan.licence, plan.author, plan.year)
    for part in plan.parts:
        old = f"oak_{part.kind.ending}"
        files_of_part = {
            f"src/halo_acorn/{old}{end}": f"{home}/{part.module}{end}"
            for end in (".py", *part.kind.beside)
        }
        files_of_part[f"tests/test_{old}.py"] = f"tests/test_{part.module}.py"
        for template, path in files_of_part.items():
            found[path] = named(_template(template), plan.name, part.name)
    return found


def named(text: str, plugin: str, component: str = "") -> str:
    """Returns a text of the templates with the names of a plugin and of a component.

    Imports that get longer than a line are wrapped, as ruff does it.

    Args:
        text: The text, in which the plugin is called acorn and the component oak.
        plugin: The name of the plugin.
        component: The name of the component, if the text names one.

    >>> named("from halo_acorn.oak_loss import OakLoss  # acorn/oak", "good-manners", "hinge")
    'from halo_good_manners.hinge_loss import HingeLoss  # good-manners/hinge'
    """
    names = {
        "halo_acorn": f"halo_{plugin.replace('-', '_')}",
        "acorn": plugin,
        "Oak": capitalised(component),
        "oak_": f"{component.replace('-', '_')}_",
        "oak": component,
    }
    text = _PLACES.sub(lambda match: names[match[0]], text)
    return _IMPORT.sub(lambda match: _wrapped_import(*match.groups()), text)


_PLACES = re.compile(r"halo_acorn|acorn|Oak(?=[A-Z])|(?<![A-Za-z])oak(_|(?![A-Za-z]))")
_IMPORT = re.compile(r"^(from halo_\S+ import) (.+)$", re.MULTILINE)


def _wrapped_import(start: str, names: str) -> str:
    line = f"{start} {names}"
    if len(line) <= WIDTH:
        return line
    each = "".join(f"    {name.strip()},\n" for name in names.split(","))
    return f"{start} (\n{each})"


def _template(path: str) -> str:
    return (files("halo_core.new") / "templates" / path).read_text(encoding="utf-8")


def _pyproject(plan: Plan) -> str:
    """Returns the template with other values for some keys. A key without a value is left out."""
    needed = [core_requirement(), *([TORCH] if plan.trains else [])]
    test = [*(["halo-core[all]"] if plan.trains else []), "mypy", "pytest", "ruff"]
    licence = LICENCES[plan.licence].spdx if plan.licence else None
    values: Mapping[str, str | None] = {
        "description": _toml(plan.summary),
        "license": _toml(licence) if licence else None,
        "license-files": '["LICENSE"]' if licence else None,
        "authors": f"[{{ name = {_toml(plan.author)} }}]" if plan.author else None,
        "dependencies": _toml(needed),
        "test": _toml(test),
    }
    lines = []
    for line in named(_template("pyproject.toml"), plan.name).splitlines():
        key = line.partition(" = ")[0]
        value = values.get(key)
        if key not in values:
            lines.append(line)
        elif value is not None:
            lines.append(f"{key} = {value}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    # A text or a list of texts in JSON is one in TOML.
    return json.dumps(value, ensure_ascii=False)


def _readme(plan: Plan) -> str:
    parts = [
        f"## {part.kind.title.capitalize()} `{plan.name}/{part.name}`\n\n"
        f"```{part.kind.language}\n{named(part.kind.use, plan.name, part.name)}\n```"
        for part in plan.parts
    ]
    licence = (
        f"## License\n\n{LICENCES[plan.licence].spdx}, see `LICENSE`."
        if plan.licence
        else "## License\n\nNone yet. Until there is one, nobody else may use this code."
    )
    text = named(_template("README.md"), plan.name)
    text = text.replace("<summary>", f"{plan.summary}.").replace("<licence>", licence)
    return text.replace("<components>", "\n\n".join(parts))


def _workflow(plan: Plan) -> str:
    """Returns the workflow. A component whose check trains needs halo's plugins from main, too."""
    text = named(_template("ci.yml"), plan.name)
    if not plan.trains:
        return text
    core = 'pip install "$RUNNER_TEMP/halo"'
    return text.replace(
        core, f'{core} "$RUNNER_TEMP"/halo/libraries/halo-* "$RUNNER_TEMP"/halo/plugins/halo-*'
    )


def _plugin(plan: Plan) -> str:
    calls = "\n".join(_registration(plan, part) for part in plan.parts)
    return (
        '"""Registers the components. It imports nothing heavy."""\n\n'
        "from __future__ import annotations\n\n"
        "from halo_core import Registrar, hookimpl\n\n\n"
        "@hookimpl\n"
        "def halo_register(registry: Registrar) -> None:\n"
        '    """Registers the components of this package."""\n'
        f"{calls}\n"
    )


def _registration(plan: Plan, part: Part) -> str:
    """Returns the call that registers a component, with lines as ruff breaks them."""
    target = f"{plan.package}.{part.module}:{part.attribute}"
    arguments = [f'"{part.name}"', f'"{target}"']
    arguments += [part.kind.arguments] if part.kind.arguments else []
    call = f"registry.{part.kind.registers}"
    joined = ", ".join(arguments)
    for text in (f"{call}({joined})", f"{call}(\n    {joined}\n)"):
        laid_out = indent(text, "    ")
        if all(len(line) <= WIDTH for line in laid_out.splitlines()):
            return laid_out
    each = "".join(f"    {argument},\n" for argument in arguments)
    return indent(f"{call}(\n{each})", "    ")
