import re
from pathlib import Path

import pytest

from halo_core.errors import PluginError
from halo_core.judge import Comparison, JudgeContext
from halo_core.plugins.discovery import discover
from halo_core.run.identity import component_identity
from halo_core.scoring_judge import Answer
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolver import Resolver
from halo_core.testing import check_scoring_judge
from halo_judge.judges.python import PythonJudge

UNUSED = JudgeContext(Path("unused"), Path("unused"))
PROMPT = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]


@pytest.fixture
def write(tmp_path):
    def go(source, name="judge.py"):
        path = tmp_path / name
        path.write_text(source)
        return path

    return go


def scored(path, *texts, function="score"):
    answers = [Answer(str(i), PROMPT, text) for i, text in enumerate(texts)]
    with PythonJudge(function=f"file:{path}:{function}").open_scoring(UNUSED) as session:
        return list(session.score(answers))


def test_the_function_gets_messages_and_text_and_its_number_is_the_score(write):
    path = write(
        "def score(prompt, completion):\n"
        "    assert [m['role'] for m in prompt] == ['system', 'user']\n"
        "    return len(prompt[-1]['content'] + completion) / 2\n"
    )
    assert [(s.id, s.value) for s in scored(path, "a", "bcd")] == [("0", 1.0), ("1", 2.0)]


def test_true_and_numpy_numbers_are_numbers(write):
    source = "import numpy\ndef score(p, c): return numpy.float32(0.5) if c else True\n"
    assert [s.value for s in scored(write(source), "x", "")] == [0.5, 1.0]


def test_it_compares_by_score(write, tmp_path):
    path = write("def score(prompt, completion): return -len(completion)\n")
    with PythonJudge(function=f"file:{path}:score").open(UNUSED) as session:
        (verdict,) = session.compare([Comparison("1", PROMPT, "long", "no")])
    assert verdict.winner == "B"


def test_what_the_function_raises_makes_that_completion_unscored_with_its_line(write):
    path = write(
        "import json\n"
        "def score(prompt, completion):\n"
        "    if completion == 'bad':\n"
        "        json.loads('{')\n"
        "    return 1 / len(completion)\n"
    )
    fine, empty, bad, late = scored(path, "ab", "", "bad", "c")
    assert (fine.value, late.value) == (0.5, 1.0)
    assert empty.value is bad.value is None
    assert empty.reason == f"{path}:5: ZeroDivisionError: division by zero"
    assert bad.reason.startswith(f"{path}:4: JSONDecodeError: ")


@pytest.mark.parametrize(
    ("returned", "came"),
    [
        ("'yes'", "'yes' (str)"),
        ("None", "None (NoneType)"),
        ("float('nan')", "nan (float)"),
        ("[0.5]", "[0.5] (list)"),
    ],
)
def test_what_is_no_number_is_named(write, returned, came):
    (found,) = scored(write(f"def score(p, c): return {returned}\n"), "x")
    assert found.value is None
    assert found.reason == f"score() returned {came}; expected a finite number"


def test_the_function_cannot_change_the_prompt(write):
    path = write("def score(prompt, completion):\n    prompt.clear()\n    return 1\n")
    scored(path, "x")
    assert len(PROMPT) == 2


def test_python_keeps_the_rules_of_judges_that_score(write, tmp_path):
    path = write("def score(prompt, completion): return completion.count('o')\n")
    check_scoring_judge(PythonJudge(function=f"file:{path}:score"), tmp_path / "kept")


def resolved(path, value):
    mistakes = Mistakes(Document(str(path), path, {}))
    given = {"use": "python", "function": value}
    found = Resolver(discover(), mistakes).resolve("judge", given, ("judge",))
    return found, [error.message for error in mistakes.errors]


def test_a_path_is_relative_to_the_spec_and_not_part_of_the_identity(write, tmp_path):
    source = "def score(p, c): return 1\n"
    (tmp_path / "other").mkdir()
    write(source)
    write(source, "other/judge.py")
    first, _ = resolved(tmp_path, "file:./judge.py:score")
    second, _ = resolved(tmp_path / "other", "file:judge.py:score")
    assert first.component.function == f"file:{tmp_path}/judge.py:score"
    assert component_identity(first) == component_identity(second)


def test_the_source_and_the_name_of_the_function_are_in_the_identity(write, tmp_path):
    write("def score(p, c): return 1\nother = score\n")
    first = component_identity(resolved(tmp_path, "file:judge.py:score")[0])
    second = component_identity(resolved(tmp_path, "file:judge.py:other")[0])
    write("def score(p, c): return 2\nother = score\n")
    third = component_identity(resolved(tmp_path, "file:judge.py:score")[0])
    assert len({str(found) for found in (first, second, third)}) == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("judge.py:score", "; expected file:PATH:FUNCTION, as in file:./judge.py:score"),
        ("file:judge.py", "; expected file:PATH:FUNCTION, as in file:./judge.py:score"),
        ("file:judge.py:sc ore", "; expected file:PATH:FUNCTION, as in file:./judge.py:score"),
        ("file:nowhere.py:score", "no such file: {folder}/nowhere.py; expected file:PATH"),
        ("file:judge.py:scores", "{folder}/judge.py defines no 'scores'; expected file:PATH"),
        ("file:broken.py:score", "{folder}/broken.py:2: "),
    ],
)
def test_a_function_that_is_not_there_is_told_before_anything_runs(write, tmp_path, value, message):
    write("def score(p, c): return 1\n")
    write("x = 1\ndef score(:\n", "broken.py")
    _, (found,) = resolved(tmp_path, value)
    assert message.format(folder=tmp_path) in found


def test_validation_does_not_run_the_file(write, tmp_path):
    write("raise RuntimeError('ran')\ndef score(p, c): return 1\n")
    found, mistakes = resolved(tmp_path, "file:judge.py:score")
    assert mistakes == []
    with pytest.raises(PluginError, match="RuntimeError: ran") as error:
        found.component.open_scoring(UNUSED)
    assert error.value.location == f"{tmp_path}/judge.py:1"


def test_something_that_cannot_be_called_is_told(write):
    path = write("score = 3\n")
    with pytest.raises(PluginError, match=re.escape("'score' is 3; expected a function of")):
        scored(path, "x")
