"""The kinds of component that `halo new` can write, and what a package needs for each of them.

The component and its tests are files of `templates/`, where the plugin is called acorn and the
component oak.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of component.

    Attributes:
        option: The word for it after ``--kind``.
        registers: The method of `Registrar` that registers it, which is also its kind in the core.
        ending: The last part of the name of its module and, capitalised, of its class.
        title: The words for it.
        use: Lines that use it in a spec, or a command.
        trains: Whether its check trains a model, for which it needs torch and halo's plugins.
        default_name: Its name if none is given; that of the plugin if empty.
        arguments: Further arguments of its registration.
        beside: Endings of further files in the package that belong to it.
    """

    option: str
    registers: str
    ending: str
    title: str
    use: str
    trains: bool = False
    default_name: str = ""
    arguments: str = ""
    beside: tuple[str, ...] = ()

    @property
    def template(self) -> str:
        """Name of its module in the templates."""
        return f"oak_{self.ending}.py"

    @property
    def language(self) -> str:
        """Language of `use`, for the README."""
        return "" if self.registers == "command" else "yaml"


_KINDS = (
    Kind(
        "loss",
        "loss",
        "loss",
        "loss",
        "stages:\n  oak: {use: train, data: train, loss: {use: acorn/oak, beta: 0.1}}",
        trains=True,
    ),
    Kind(
        "reference-point",
        "reference_point",
        "point",
        "reference point",
        "stages:\n  kto: {use: train, data: train, loss: kto, reference_point: acorn/oak}",
        trains=True,
    ),
    Kind(
        "reference-update",
        "reference_update",
        "update",
        "reference update",
        "stages:\n  dpo: {use: train, data: train, loss: dpo, reference_update: acorn/oak}",
    ),
    Kind(
        "data",
        "data",
        "data",
        "data source",
        "data:\n  train: {use: acorn/oak, path: ratings.csv}",
        beside=(".csv",),
    ),
    Kind(
        "conversion",
        "data",
        "conversion",
        "conversion",
        "data:\n  train: {use: acorn/oak, source: {use: files, path: scored.jsonl}}",
        default_name="best",
        arguments='converts=("scored", "demonstration")',
    ),
    Kind(
        "judge",
        "judge",
        "judge",
        "judge",
        "stages:\n  win: {use: judge, judge: acorn/oak, of: answers, against: target}",
    ),
    Kind(
        "stage",
        "stage",
        "stage",
        "stage",
        "stages:\n  short: {use: acorn/oak, rows: train, max_words: 30}\n"
        "  sft: {use: train, data: short, loss: sft}",
    ),
    Kind("tracker", "tracker", "tracker", "tracker", "tracking: [acorn/oak]"),
    Kind("report", "report", "report", "report", "reports: [acorn/oak]"),
    Kind(
        "command",
        "command",
        "command",
        "command",
        "halo acorn/oak workspace/runs/NAME",
        arguments='help="Print the final numbers of a run."',
    ),
)

KINDS: Mapping[str, Kind] = {kind.option: kind for kind in _KINDS}
"""The kinds, by the word after ``--kind``."""
