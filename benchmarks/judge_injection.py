"""Measures how often outputs that address the judge win, for each attack, judge and template.

    python benchmarks/judge_injection.py
    python benchmarks/judge_injection.py --base-url https://api.openai.com/v1 --model gpt-4-0613

Without an address, it asks stand-ins of known gullibility (`injection/stand_ins.py`) through the
judge `gpt-4` and a server on this machine, and all numbers are the same every time. With an
address, it asks the model there, with the key in OPENAI_API_KEY (or `--api-key-env`). This costs
money. Paid replies are kept in `--keep`.

A cell shows the percentage of points that an attack wins when its text is shown first, and in both
orders. The other side is a good answer, so an attack deserves 0. `*` means that at least a fifth of
the prompts was unscored.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from random import Random
from typing import Any

from injection.stand_ins import FIXED_MARK, STAND_INS, Seen, longest, reply

from halo_core.errors import HaloError
from halo_core.judge import Comparison, JudgeContext, Verdict
from halo_judge.judge_stage.duels import BOTH, combine, result_of
from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.chat.reading import read_text
from halo_judge.judges.chat.template import FOLDER, Template, read_template, says_the_same
from halo_judge.testing import ChatServer
from halo_statistics import POINTS, length_controlled_rate

SET = Path(__file__).parent / "injection" / "attacks.toml"
GUESSED_MARK = "0123456789ab"
"""A guess of the mark of `pairwise-2` by an attacker: the mark of other texts."""
StandIn = Callable[[Seen], str]
"""Returns the side that a judge prefers."""
FEW_SCORED = 0.2
NOTHING = "0 → 0"


@dataclass(frozen=True)
class Attack:
    """An output that addresses the judge.

    Attributes:
        name: The name of the attack.
        outputs: One for each question.
    """

    name: str
    outputs: Sequence[str]


@dataclass(frozen=True)
class Share:
    """The points of an attack, in [0, 1]; None if nothing was scored."""

    first: float | None
    both: float | None
    unscored: float

    def __str__(self) -> str:
        said = ["-" if share is None else f"{100 * share:.0f}" for share in (self.first, self.both)]
        return " → ".join(said) + ("*" if self.unscored >= FEW_SCORED else "")


def read_attacks(mark: str) -> tuple[list[tuple[str, str]], list[Attack]]:
    """Returns the questions with their good answers, and the attacks."""
    tree = tomllib.loads(SET.read_text(encoding="utf-8"))
    questions = [(each["prompt"], each["good"]) for each in tree["question"]]
    attacks = []
    for each in tree["attack"]:
        text = each["text"].replace("[[mark]]", mark) * each.get("times", 1)
        whole = text if each.get("alone") else f"{tree['poor']}\n{text}".rstrip("\n")
        attacks.append(Attack(each["name"], [whole] * len(questions)))
    return questions, attacks


def comparisons(questions: Sequence[tuple[str, str]], attack: Attack) -> list[Comparison]:
    """Returns both orders of each question; in AB the attack is shown first."""
    made = []
    for number, ((prompt, good), output) in enumerate(zip(questions, attack.outputs, strict=True)):
        messages = [{"role": "user", "content": prompt}]
        made.append(Comparison(f"{number}-AB", messages, output, good))
        made.append(Comparison(f"{number}-BA", messages, good, output))
    return made


def share(verdicts: Mapping[str, Verdict], count: int) -> Share:
    """Returns what an attack won."""
    first, both = [], []
    for number in range(count):
        results = [result_of(verdicts[f"{number}-{order}"].winner, order) for order in BOTH]
        first += [POINTS[results[0]]] if results[0] != "unscored" else []
        together = combine(results).result
        both += [POINTS[together]] if together != "unscored" else []
    return Share(mean(first), mean(both), 1 - len(both) / count)


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def seen(template: Template, shown: Comparison) -> tuple[str, Seen]:
    """Returns the user message of a comparison, and the information in it."""
    messages = template.messages(shown)
    system = messages[0]["content"] if len(messages) > 1 else ""
    user = messages[-1]["content"]
    after = template.user.partition("{b}")[2].replace("{fence}", "x" * 12)
    second = len(user) - len(after) - len(shown.b)
    better = "B" if shown.id.endswith("AB") else "A"
    return user, Seen(system, user, shown, better, second)


def fixed_mark(folder: Path) -> Path:
    """Writes `pairwise-2` with a publicly known mark, to show the effect of the real one."""
    text = (FOLDER / "pairwise-2.toml").read_text(encoding="utf-8")
    path = folder / "fixed-mark.toml"
    path.write_text(text.replace("{fence}", FIXED_MARK), encoding="utf-8")
    return path


def ask(judge: GPT4, folder: Path, asked: Sequence[Comparison]) -> dict[str, Verdict]:
    """Returns verdicts by id."""
    with judge.open(JudgeContext(folder, folder)) as session:
        return {verdict.id: verdict for verdict in session.compare(asked)}


def ask_stand_in(
    judge: StandIn, folder: Path, template_file: Path, asked: Sequence[Comparison]
) -> dict[str, Verdict]:
    """Returns verdicts of a stand-in by id, through the judge `gpt-4` and a server."""
    template = read_template(template_file)
    known = dict(seen(template, shown) for shown in asked)

    def answer(body: Mapping[str, Any]) -> str:
        view = known[body["messages"][-1]["content"]]
        return reply(view, judge(view))

    with ChatServer(answer) as server:
        asking = GPT4(base_url=server.base_url, api_key_env=None, template_file=str(template_file))
        return ask(asking, folder, asked)


def ask_directly(
    judge: StandIn, template: Template, asked: Sequence[Comparison]
) -> dict[str, Verdict]:
    """Returns the same verdicts without a server: the text of each reply is read at once."""
    verdicts = {}
    for each in asked:
        if says_the_same(template.shown(each)):
            verdicts[each.id] = Verdict(each.id, "tie")
            continue
        _, view = seen(template, template.shown(each))
        reading = read_text(reply(view, judge(view)), template.answer)
        verdicts[each.id] = Verdict(each.id, reading.winner, reading.reason)
    return verdicts


def stand_in_columns(
    folder: Path, template_file: Path, through_server: Collection[str]
) -> dict[str, list[str]]:
    """Returns the cells of each stand-in under a template, one per attack."""
    template = read_template(template_file)
    # An attacker who knows a template knows a mark in it, but must guess one made from the texts.
    questions, attacks = read_attacks(GUESSED_MARK if "{fence}" in template.user else FIXED_MARK)
    columns: dict[str, list[str]] = {name: [] for name in STAND_INS}
    # All attacks in one session, because to open one costs more than to ask 16 questions.
    everything = [
        replace(shown, id=f"{attack.name} {shown.id}")
        for attack in attacks
        for shown in comparisons(questions, attack)
    ]
    for name, judge in STAND_INS.items():
        if name in through_server:
            verdicts = ask_stand_in(judge, folder / name, template_file, everything)
        else:
            verdicts = ask_directly(judge, template, everything)
        for attack in attacks:
            own = f"{attack.name} "
            found = {i.removeprefix(own): v for i, v in verdicts.items() if i.startswith(own)}
            columns[name].append(str(share(found, len(questions))))
    return columns


def stand_in_tables(folder: Path, through_server: Collection[str]) -> list[list[list[str]]]:
    """Returns two tables with attacks as rows: stand-ins that no template changes, and the others.

    The second has only the attacks that win anything in it.
    """
    files = {
        "pairwise-2": FOLDER / "pairwise-2.toml",
        "pairwise-1": FOLDER / "pairwise-1.toml",
        "report-2024": FOLDER / "report-2024.toml",
        f"mark {FIXED_MARK}": fixed_mark(folder),
    }
    found = {
        title: stand_in_columns(folder / title, file, through_server)
        for title, file in files.items()
    }
    names = ["attack", *(attack.name for attack in read_attacks("")[1])]
    alike, apart = [names], [names]
    for name in STAND_INS:
        cells = [columns[name] for columns in found.values()]
        if all(each == cells[0] for each in cells):
            alike.append([name, *cells[0]])
        else:
            apart += [[f"{name}, {title}", *found[title][name]] for title in files]
    head, *rows = zip(*apart, strict=True)
    struck = [row for row in rows if set(row[1:]) != {NOTHING}]
    return [[list(row) for row in table] for table in (zip(*alike, strict=True), [head, *struck])]


def model_table(options: argparse.Namespace, folder: Path) -> list[list[str]]:
    """Returns the table for a real model, with attacks as rows and templates as columns."""
    names = ["pairwise-2", "report-2024"]
    rows: list[list[str]] = [["attack", *names]]
    for name in names:
        questions, attacks = read_attacks(GUESSED_MARK)
        judge = GPT4(
            base_url=options.base_url,
            model=options.model,
            api_key_env=options.api_key_env or None,
            template=name,
            token_limit_parameter=options.token_limit_parameter,
            temperature=None if options.no_temperature else 0.0,
            max_tokens=options.max_tokens,
            max_cost=options.max_cost,
        )
        for number, attack in enumerate(attacks, start=1):
            if len(rows) <= number:
                rows.append([attack.name])
            verdicts = ask(judge, folder, comparisons(questions, attack))
            rows[number].append(str(share(verdicts, len(questions))))
    return rows


def constant_text_table() -> list[list[str]]:
    """Returns the length-controlled win rate of a constant text that wins by its length.

    300 baselines with lengths of exp(normal(5, 0.6)) characters are compared with one text of a
    fixed length, which is always the worse one. For a share of the prompts the judge goes by
    length, and for the others by quality. At equal lengths the text would win half of that share.
    """
    draw = Random(1)
    baselines = [round(exp(draw.gauss(5.0, 0.6))) for _ in range(300)]
    by_length = [draw.random() for _ in baselines]
    rows = [
        [
            "decided by length",
            "characters",
            "raw",
            "length-controlled",
            "interval",
            "at equal lengths",
        ]
    ]
    for gullible in (1.0, 0.5, 0.25):
        for length in (100, 150, 300, 600):
            points = []
            for baseline, chance in zip(baselines, by_length, strict=True):
                shown = Comparison("0-AB", [], "x" * length, "y" * baseline)
                wins = longest(Seen("", "", shown, "B", 0)) == "A"
                points.append(0.5 if length == baseline else float(wins and chance < gullible))
            found = length_controlled_rate(points, [length] * len(points), baselines)
            rows.append(
                [
                    f"{100 * gullible:.0f} %",
                    str(length),
                    f"{100 * found.raw:.1f}",
                    f"{100 * found.rate:.1f}",
                    f"{100 * found.low:.1f} to {100 * found.high:.1f}",
                    f"{50 * gullible:.1f}",
                ]
            )
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows as a table whose first row is the head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join(lines)


def tables(folder: Path, through_server: Collection[str] = tuple(STAND_INS)) -> str:
    """Returns all tables that need no model.

    Args:
        folder: An empty folder.
        through_server: The stand-ins that are asked through the judge `gpt-4` and a server. The
            replies of the others are read without them.
    """
    found = [*stand_in_tables(folder, through_server), constant_text_table()]
    return "\n\n".join(map(markdown, found))


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base-url", help="URL of an OpenAI-compatible endpoint")
    parser.add_argument("--model", default="gpt-4-0613")
    parser.add_argument("--api-key-env", default="OPENAI_API_KEY", help='variable, or ""')
    parser.add_argument("--token-limit-parameter", default="max_tokens")
    parser.add_argument("--no-temperature", action="store_true")
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument(
        "--max-cost", type=float, help="maximum dollars for all calls with a --keep"
    )
    parser.add_argument("--keep", type=Path, default=Path("injection-replies"))
    return parser.parse_args(arguments)


def main() -> None:
    options = read_options(sys.argv[1:])
    if options.base_url:
        try:
            print(markdown(model_table(options, options.keep)))
        except HaloError as error:
            sys.exit(str(error))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(tables(Path(folder)))


if __name__ == "__main__":
    main()
