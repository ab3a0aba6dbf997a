"""The short, seeded form of the fuzzers: mangled specs and files end with 0 or clear mistakes."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SEED = 20


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a module of the benchmarks by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield import_module
    for name in [name for name in sys.modules if name.startswith("fuzz_")]:
        del sys.modules[name]


@pytest.mark.slow(seconds=6)
@pytest.mark.parametrize(("name", "cases"), [("fuzz_specs", 59), ("fuzz_data", 108)])
def test_mangled_input_ends_with_0_or_with_clear_mistakes(
    fuzz: Any, tmp_path: Path, name: str, cases: int
) -> None:
    make, run_case = fuzz(name).mangled, fuzz("fuzz_cases").run_case
    ends = [run_case(number, make(SEED, number, tmp_path)) for number in range(cases)]
    assert [end for end in ends if end.fault] == []
    # Some cases must pass: otherwise the fuzzers would reach only the readers.
    assert {end.code for end in ends} == {0, 2}


@pytest.mark.parametrize(
    ("code", "out", "err", "fault"),
    [
        (1, '{"error": {"message": "x"}, "errors": []}', "", "exit code 1"),
        (3, '{"errors": [{"message": "x", "location": "a"}]}', "", "exit code 3: x"),
        (2, '{"errors": [{"message": "x", "location": null}]}', "", "without a place"),
        (2, '{"errors": [{"message": " ", "location": "a"}]}', "", "without a message"),
        (2, '{"errors": []}', "", "without a mistake"),
        (2, '{"errors": [{"message": "x", "location": "a"}]}', "Traceback", "stderr"),
        (0, "no JSON", "", "not one JSON object"),
        (0, "{}", "", "passed in silence"),
    ],
)
def test_what_is_not_a_clear_end_is_a_fault(
    fuzz: Any, code: int, out: str, err: str, fault: str
) -> None:
    assert fault in fuzz("fuzz_cases").fault_of(code, out, err, must_fail=True)
