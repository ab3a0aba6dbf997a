"""Runs `halo judge --a FILE --b FILE`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from halo_core.cli.output import Output
from halo_core.cli.terminal import drawn, listing, stopping
from halo_core.display.board import Board
from halo_core.display.surfaces import surface_for_stderr
from halo_core.errors import UserError
from halo_core.printing import say, warn
from halo_core.stage import StopFlag
from halo_core.workspace.files import write_json
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import VERDICTS, VerdictLine
from halo_judge.command.choices import Choices
from halo_judge.command.compare_summary import files_lines, files_summary
from halo_judge.command.dry_run import quote_rows, say_quotes
from halo_judge.command.named_judges import name_judge
from halo_judge.command.verdict_store import JudgeWork, judge_work, plan_work
from halo_judge.files.output_pairs import Pairing, pair_outputs, pair_with_targets, subset
from halo_judge.files.outputs import OutputFile, find_file, read_outputs
from halo_judge.judge_stage.cost import dollars
from halo_judge.judge_stage.verdict_numbers import first_failure

TARGET = "target"


def compare_files(
    a: str,
    b: str,
    judge: str,
    overrides: Sequence[str],
    orders: Literal["both", "counterbalanced"],
    choices: Choices,
    output: Output,
) -> None:
    """Judges the outputs of one file against those of another, and prints the win rate.

    Args:
        a: The file of outputs.
        b: The file that they are compared with, or ``target``.
        judge: The judge.
        overrides: Values for the judge's options.
        orders: The orders in which each pair is shown.
        choices: The other options.
        output: The command's output.

    Raises:
        UserError: When an option or a file has a mistake.
        Interrupted: When asked to stop. Verdicts are kept.
    """
    named = name_judge(judge, overrides)
    ours, theirs, pairing = _paired(a, b)
    inputs = [ours.path, *([theirs.path] if theirs else [])]
    place = choices.place(inputs, endings=(".jsonl", ""))
    about: dict[str, Any] = {
        "a": _about(ours),
        "b": _about(theirs) if theirs else TARGET,
        "prompts": pairing.prompts,
        "alone": {"a": pairing.alone, "b": pairing.other_alone},
    }
    duels = subset(pairing.duels, choices.n, choices.seed)
    work = plan_work(named, duels, about, both=orders == "both")
    about |= {"judge": named.resolved.tree(), "orders": orders, "comparisons": len(duels)}
    workspace = choices.workspace()
    rows = quote_rows([work], workspace)
    for line in _notes(ours, theirs, pairing):
        say(line, err=True)
    if len(duels) < len(pairing.duels):
        chosen = f"{len(duels)} of {len(pairing.duels)} comparisons, chosen by the seed"
        say(f"{chosen} {choices.seed}", err=True)
    if choices.dry_run:
        say_quotes(output, about, rows)
        return
    verdicts = judge_and_report(work, workspace, rows[0])
    summary = files_summary(verdicts, confidence=choices.confidence)
    folder = work.folder(workspace)
    payload = {**about, "confidence": choices.confidence, **summary, "folder": str(folder)}
    files = _write(place, verdicts, payload)
    output.emit({**payload, "files": [str(path) for path in files]})
    if not output.json:
        title = f"{ours.name} against {theirs.name if theirs else 'the targets'}"
        lines = files_lines(summary, verdicts, confidence=choices.confidence)
        output.say(drawn(listing(f"{title} ({named.label})", lines)).rstrip())
        output.say(f"verdicts: {files[0] if files else folder / VERDICTS.name}")


def judge_and_report(
    work: JudgeWork, workspace: Workspace, quote: Mapping[str, Any]
) -> Collection[VerdictLine]:
    """Returns the verdicts, and reports their folder, their cost and their failures.

    Raises:
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop. Verdicts are kept.
    """
    stop = StopFlag()
    folder = work.folder(workspace)
    asked, rest = quote["comparisons"], quote["comparisons"] - quote["kept"]
    what = f"{rest} of {asked} verdicts to give{_paid(quote)}" if rest else f"all {asked} verdicts"
    say(f"{work.judge.label}: {what}, kept in {folder}", err=True)
    try:
        with Board(surface_for_stderr()).shown() as board, stopping(stop):
            lines = judge_work(work, workspace, board, stop)
    except KeyboardInterrupt:
        stop.raise_interrupted(
            f"run the same command again to continue from what is kept in {folder}"
        )
    failed = sum(line["result"] == "unscored" for line in lines)
    if failed:
        warn(
            f"{failed} of {len(lines)} comparisons are unscored; the first: "
            f"{first_failure(lines)}. The same command asks for them again"
        )
    return lines


def _paid(quote: Mapping[str, Any]) -> str:
    if not quote["calls"]:
        return ""
    cost = "at an unknown price" if quote["cost"] is None else f"at most ${dollars(quote['cost'])}"
    return f", {quote['calls']} requests to {quote['model']}, {cost}"


def _paired(a: str, b: str) -> tuple[OutputFile, OutputFile | None, Pairing]:
    if b == TARGET:
        ours = read_outputs(a, tokens=False)
        return ours, None, pair_with_targets(ours)
    if find_file(a).samefile(find_file(b)):
        raise UserError(
            "is the file of --a too: a text never differs from itself; give another, or 'target'",
            location=f"--b {b}",
        )
    ours, theirs = (read_outputs(given, tokens=False) for given in (a, b))
    return ours, theirs, pair_outputs(ours, theirs)


def _about(file: OutputFile) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "name": file.name,
        "outputs": len(file.outputs),
        "dropped": dict(file.dropped),
    }


def _notes(ours: OutputFile, theirs: OutputFile | None, pairing: Pairing) -> list[str]:
    """Returns notes about rows that were left out and prompts with several comparisons."""
    lines = [
        f"{file.path}: {count} left out: {why}"
        for file in (ours, theirs)
        if file
        for why, count in file.dropped.items()
    ]
    whom = (theirs and f"in {theirs.path}") or "among the targets"
    if pairing.alone:
        lines.append(f"{ours.path}: {pairing.alone} outputs without a partner {whom}")
    if theirs and pairing.other_alone:
        lines.append(
            f"{theirs.path}: {pairing.other_alone} outputs without a partner in {ours.path}"
        )
    if pairing.prompts < len(pairing.duels):
        lines.append(
            f"{len(pairing.duels)} comparisons of {pairing.prompts} prompts: several of some, "
            "which the interval takes into account"
        )
    return lines


def _write(
    place: Path | None, verdicts: Collection[VerdictLine], payload: Mapping[str, Any]
) -> list[Path]:
    if place is None:
        return []
    if place.suffix == ".jsonl" and not place.is_dir():
        VERDICTS.write(place, verdicts)
        return [place]
    VERDICTS.write(place / VERDICTS.name, verdicts)
    write_json(place / "summary.json", payload)
    return [place / VERDICTS.name, place / "summary.json"]
