"""Runs `halo judge --validate FILE`: measures judges against people's labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halo_core.cli.output import Output
from halo_core.cli.terminal import drawn
from halo_core.errors import UserError
from halo_core.printing import say
from halo_core.workspace.files import write_json, write_text
from halo_core.workspace.layout import Workspace
from halo_judge.command.accuracy import (
    JudgedComparison,
    against_floor,
    beats,
    evaluation,
    human_agreement,
)
from halo_judge.command.choices import Choices
from halo_judge.command.compare_files import judge_and_report
from halo_judge.command.dry_run import quote_rows, say_quotes
from halo_judge.command.named_judges import FLOOR, NamedJudge, name_judges
from halo_judge.command.tables import (
    csv_columns,
    judge_cells,
    judge_header,
    numbers_table,
    people_cells,
)
from halo_judge.command.verdict_store import JudgeWork, plan_work
from halo_judge.files.labelled import Labelled, LabelledFile, read_labelled
from halo_judge.files.output_pairs import subset

ALL = "all files"

LEGEND = (
    "Accuracy: points on what most people said, a tie is half a point, both orders averaged.",
    "First place: points of the text shown first; 0.5 without a bias. Kappa (Cohen's, judge and",
    "people) and alpha (Krippendorff's, among people): 1 is full agreement, 0 that of chance.",
    "Against longest: accuracy above that of longest, and p of the exact sign test.",
)
"""Explanation of the columns."""


@dataclass(frozen=True)
class JudgedFile:
    """A file with comparisons to judge, some or all of them."""

    file: LabelledFile
    comparisons: Sequence[Labelled]

    @property
    def about(self) -> Mapping[str, Any]:
        """Description of the verdicts for readers of their folder."""
        return {"validate": str(self.file.path)}


def validate_judges(
    paths: Sequence[str],
    judges: Sequence[str],
    overrides: Sequence[str],
    choices: Choices,
    output: Output,
) -> None:
    """Judges labelled comparisons in both orders, and prints the agreement of judges with people.

    Args:
        paths: The files.
        judges: The judges, in addition to `longest`.
        overrides: Values for the options of a single judge.
        choices: The other options.
        output: The command's output.

    Raises:
        UserError: When an option or a file has a mistake.
        Interrupted: When asked to stop. Verdicts are kept.
    """
    named = name_judges(judges, overrides)
    parts = _parts(paths, choices)
    place = choices.place([part.file.path for part in parts], endings=(".csv", ".json"))
    workspace = choices.workspace()
    works = {judge.label: [_work(judge, part) for part in parts] for judge in named}
    for part in parts:
        for why, count in part.file.dropped.items():
            say(f"{part.file.path}: {count} left out: {why}", err=True)
    if choices.dry_run:
        rows = quote_rows([work for of_judge in works.values() for work in of_judge], workspace)
        say_quotes(output, {"files": [_about(part) for part in parts]}, rows)
        return
    judged = {label: _judged(parts, of_judge, workspace) for label, of_judge in works.items()}
    payload = {
        "confidence": choices.confidence,
        "files": [_about(part, choices.confidence) for part in parts],
        "judges": {judge.label: judge.resolved.tree() for judge in named},
        "rows": _rows(judged, choices.confidence),
    }
    if place is not None:
        _write(place, payload)
    output.emit({**payload, "out": None if place is None else str(place)})
    if not output.json:
        _print(payload, output)


def _parts(paths: Sequence[str], choices: Choices) -> list[JudgedFile]:
    files = [read_labelled(path) for path in paths]
    for file in files:
        if [other.path.resolve() for other in files].count(file.path.resolve()) > 1:
            raise UserError("given twice; leave one out", location=f"--validate {file.path}")
    parts = []
    for file in files:
        chosen = subset(
            [comparison.duel for comparison in file.comparisons], choices.n, choices.seed
        )
        ids = {duel.prompt_id for duel in chosen}
        parts.append(JudgedFile(file, [c for c in file.comparisons if c.duel.prompt_id in ids]))
    return parts


def _work(judge: NamedJudge, part: JudgedFile) -> JudgeWork:
    return plan_work(
        judge, [comparison.duel for comparison in part.comparisons], part.about, both=True
    )


def _judged(
    parts: Sequence[JudgedFile], works: Sequence[JudgeWork], workspace: Workspace
) -> dict[str, list[JudgedComparison]]:
    """Returns a judge's results on the comparisons of each file, by the file's path."""
    judged = {}
    for part, work in zip(parts, works, strict=True):
        lines = judge_and_report(work, workspace, quote_rows([work], workspace)[0])
        judged[str(part.file.path)] = [
            JudgedComparison(f"{part.file.path} {line['prompt_id']}", labelled, line)
            for labelled, line in zip(part.comparisons, lines, strict=True)
        ]
    return judged


def _rows(
    judged: Mapping[str, Mapping[str, Sequence[JudgedComparison]]], confidence: float
) -> list[dict[str, Any]]:
    """Returns one row per file and judge; with several files also one per judge for all files."""
    pooled = {
        label: {ALL: [comparison for of_file in files.values() for comparison in of_file]}
        for label, files in judged.items()
    }
    several = len(judged[FLOOR]) > 1
    rows = []
    for tables in (judged, pooled) if several else (judged,):
        for file in tables[FLOOR]:
            for label, files in tables.items():
                rows.append(_row(file, label, files[file], tables[FLOOR][file], confidence))
    return rows


def _row(
    file: str,
    label: str,
    judged: Sequence[JudgedComparison],
    floor: Sequence[JudgedComparison],
    confidence: float,
) -> dict[str, Any]:
    row = {"file": file, "judge": label, **evaluation(judged, confidence=confidence)}
    difference = None
    if label != FLOOR:
        difference = against_floor(judged, floor, confidence=confidence)
    return row | {
        "against_longest": None if difference is None else asdict(difference),
        "beats_longest": None if difference is None else beats(difference, confidence=confidence),
    }


def _about(part: JudgedFile, confidence: float | None = None) -> dict[str, Any]:
    about: dict[str, Any] = {
        "path": str(part.file.path),
        "name": part.file.name,
        "comparisons": len(part.comparisons),
        "dropped": dict(part.file.dropped),
    }
    if confidence is not None:
        about["people"] = human_agreement(part.file.rated, confidence=confidence)
    return about


def _write(place: Path, payload: Mapping[str, Any]) -> None:
    if place.suffix == ".json":
        write_json(place, payload)
        return
    rows = [csv_columns(row) for row in payload["rows"]]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_text(place, text.getvalue())


def _print(payload: Mapping[str, Any], output: Output) -> None:
    files = {about["path"]: about for about in payload["files"]}
    for file in dict.fromkeys(row["file"] for row in payload["rows"]):
        rows = [judge_cells(row) for row in payload["rows"] if row["file"] == file]
        about = files.get(file, {"name": ALL, "people": None})
        if about["people"]:
            rows.append(people_cells(about["people"]))
        count = next(row["n"] for row in payload["rows"] if row["file"] == file)
        title = f"{about['name']}: {count} comparisons"
        output.say(drawn(numbers_table(title, judge_header(payload["confidence"]), rows)))
        for line in _sentences(about, [row for row in payload["rows"] if row["file"] == file]):
            output.say(line)
    for line in LEGEND:
        output.say(line)


def _sentences(about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"{row['judge']} does not beat longest here: it may measure length and nothing else."
        for row in rows
        if row["beats_longest"] is False
    ]
    if about["people"] and about["people"]["kappa"]:
        kappas = ", ".join(f"{k:.3f} ({who})" for who, k in about["people"]["kappa"].items())
        lines.append(f"People among themselves: Cohen's kappa {kappas}.")
    return [*lines, ""] if lines else []
