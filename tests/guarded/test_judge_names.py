"""Messages use a judge's name in the spec, and not the name of its class."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

JUDGE = '''
from contextlib import nullcontext
from types import SimpleNamespace

from halo_core import Score, ScoringJudge


class Same(ScoringJudge):
    """Scores by SIGN the length."""

    def open_scoring(self, context):
        def score(answers):
            return [Score(each.id, SIGN len(each.completion) / 1) for each in answers]

        return nullcontext(SimpleNamespace(score=score))
'''


@pytest.fixture
def two_of_a_name(site: Any, registers: Callable[..., str]) -> Any:
    """Installs two judges whose classes have one name, in two modules of one distribution."""
    site.add(
        "halo-acme",
        registers('judge("first", "acme.one:Same")', 'judge("second", "acme.two:Same")'),
    )
    package = site.folder / "acme"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "one.py").write_text(JUDGE.replace("SIGN", ""), encoding="utf-8")
    (package / "two.py").write_text(JUDGE.replace("SIGN", "-"), encoding="utf-8")
    return site


@pytest.mark.parametrize(("name", "good"), [("first", "long text"), ("second", "short")])
def test_two_judges_with_one_class_name_are_told_apart(
    two_of_a_name: Any, halo: Callable[..., Any], tmp_path: Path, name: str, good: str
) -> None:
    rows = [{"prompt": "q", "completion": text} for text in ("long text", "short")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = halo(
        *("label", "--judge", f"acme/{name}", "--of", "rows.jsonl", "--threshold", "median"),
        *("--out", "out.jsonl", "--json"),
        env=two_of_a_name.env,
    )
    assert done.code == 0, done.out + done.err
    assert done.json["judge"] == f"acme/{name}"
    labelled = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["completion"] for row in labelled if row["desirable"]] == [good]


def test_a_fault_of_the_second_names_it_and_its_file(
    two_of_a_name: Any, halo: Callable[..., Any], tmp_path: Path
) -> None:
    two = two_of_a_name.folder / "acme" / "two.py"
    two.write_text(two.read_text().replace("/ 1)", "/ 1 + 1j)"), encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "q", "completion": "moo"}) + "\n")
    done = halo(
        *("label", "--judge", "acme/second", "--of", "rows.jsonl", "--threshold", "0"),
        *("--out", "out.jsonl"),
        env=two_of_a_name.env,
    )
    assert done.code == 3
    expected = (
        rf"{two}:\d+: acme/second\.score\(\) gave the value \(-3\+1j\); expected one Score per "
        r"answer, with its id and a finite float or None \(halo-acme 1\.0\)"
    )
    assert re.search(expected, done.err), done.err
