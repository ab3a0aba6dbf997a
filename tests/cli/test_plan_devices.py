"""The devices of a plan, and what it says about stages on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli.plan_fit import fit_lines, hours_text
from halo_core.devices import EXAMPLE_DEVICES, GPUS, Devices, known_gpu, parse_devices
from halo_core.errors import UserError
from halo_core.fit import Change, Fit
from halo_core.run import devices_here as here

NEEDS = """
from typing import Annotated, ClassVar

from pydantic import Field

from halo_core import Change, Default, Fit, Forecast, Known, LearnRef, Stage, StageContext, StartRef


class Needs(Stage):
    produces: ClassVar = "model"
    start: Annotated[StartRef | None, Default("previous")] = Field(default=None, description="it")
    corpus: LearnRef = Field(description="rows")
    gigabytes: float = Field(default=10.0, description="memory")

    def forecast(self, known: Known) -> Forecast:
        usable = known.devices.usable
        fits = self.gigabytes <= usable
        changes = () if fits else (Change(options="gigabytes: 1", gigabytes=1.0, fits=True),)
        fit = Fit(
            used=1,
            gigabytes=self.gigabytes,
            usable=usable,
            parts={"weights": self.gigabytes, "cache": 0.5},
            fits=fits,
            tokens_per_second=known.devices.tflops * 1000,
            hours=2.5,
            assumed=("nothing much",),
            changes=changes,
        )
        return Forecast(weights=7_000_000, fit=fit)

    def run(self, context: StageContext) -> None:
        raise NotImplementedError
"""
MATRIX = """\
matrix:
  size:
    small: {stages.one.gigabytes: 4.0}
    large: {stages.one.gigabytes: 100.0}
"""


@pytest.fixture
def planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, halo: Callable[..., Any]
) -> Callable[..., Any]:
    """Returns the output of `halo plan` for a stage that knows what it needs."""
    monkeypatch.setattr(here, "_asked_driver", list)

    def plan(*options: str, matrix: str = "") -> Any:
        (tmp_path / "needs.py").write_text(NEEDS)
        source = f"file:{Path(__file__).parents[1] / 'made_components.py'}:Pairs"
        (tmp_path / "spec.yaml").write_text(
            f"""\
name: needing
seed: 1
model: {{hub: someone/small-1b}}
data:
  train: {{use: "{source}", count: 7}}
stages:
  one: {{use: "file:./needs.py:Needs", corpus: train}}
{matrix}"""
        )
        done = halo("plan", "spec.yaml", *options)
        assert done.code == 0, done.err
        return done

    return plan


@pytest.mark.parametrize(
    ("text", "count", "gigabytes", "tflops"),
    [
        ("8x80GB", 8, 80.0, 312),
        ("2 x 24.5gb", 2, 24.5, 312),
        ("H100", 1, 80, 989),
        ("4xh200", 4, 141, 989),
        ("a100-40", 1, 40, 312),
    ],
)
def test_devices_are_named_by_memory_or_by_kind(
    text: str, count: int, gigabytes: float, tflops: float
) -> None:
    found = parse_devices(text)
    assert (found.count, found.gigabytes, found.tflops) == (count, gigabytes, tflops)
    assert found.usable == pytest.approx(0.9 * gigabytes)


def test_the_peak_of_a_device_may_be_given() -> None:
    assert parse_devices("8x80GB", 500.0).tflops == 500.0


@pytest.mark.parametrize("text", ["8xH1000", "80", "eight", "", "8xx80GB"])
def test_devices_that_nobody_knows_are_refused_with_the_known_names(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_devices(text)
    told = str(caught.value)
    assert told.startswith(f"--devices: got {text!r};")
    assert told.endswith(f"as in 8x80GB or 8xH100; names: {', '.join(GPUS)}")


@pytest.mark.parametrize("text", ["0x80GB", "8x0GB"])
def test_no_devices_and_no_memory_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected at least one device with memory"):
        parse_devices(text)


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(UserError, match=r"Did you mean 'h100'\?"):
        parse_devices("8xH1000")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100-PCIE-40GB", "A100-40"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA GeForce RTX 4090", "4090"),
        ("Tesla T4", ""),
    ],
)
def test_a_gpu_is_known_by_its_drivers_name(model: str, name: str) -> None:
    assert known_gpu(model) == name


FOUND = [("0", "GPU-aa", 81_920, "NVIDIA H100"), ("1", "GPU-bb", 40_960, "NVIDIA H100")]


def test_the_gpus_of_this_machine_count_with_the_memory_of_the_smallest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(here, "_asked_driver", lambda: FOUND)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert here.devices_here() == Devices(2, 42.9, 989, 3350, "H100", "here")


@pytest.mark.parametrize(
    ("visible", "count"), [("0", 1), ("1,0", 2), ("GPU-b", 1), ("", 0), ("-1", 0), ("0,7,1", 1)]
)
def test_only_gpus_that_cuda_may_use_count(
    monkeypatch: pytest.MonkeyPatch, visible: str, count: int
) -> None:
    monkeypatch.setattr(here, "_asked_driver", lambda: FOUND)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = here.devices_here()
    assert found.count == count if count else found is EXAMPLE_DEVICES


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo '0, GPU-aa, 81920, NVIDIA H100'; echo rubbish", [FOUND[0]]),
        ("echo 'no driver' >&2; exit 9", []),
    ],
)
def test_the_driver_is_asked_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: list[here.Found]
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert here._asked_driver() == found


def test_a_machine_without_gpus_gets_an_example_and_is_told_so(
    planned: Callable[..., Any],
) -> None:
    told = planned().out
    assert "devices: 8 x 80 GB, an example, because this machine has no GPU" in told
    assert "  memory       10.0 of 72.0 GB per device: fits\n" in told
    assert "               weights 10, cache 0.5\n" in told
    assert "  speed        about 310,000 tokens per second on 1, 2.5 hours\n" in told
    assert "  assumed      nothing much\n" in told
    assert "instead" not in told


def test_what_does_not_fit_is_told_with_what_to_change(planned: Callable[..., Any]) -> None:
    told = planned("--devices", "2x10GB").out
    assert "devices: 2 x 10 GB, as asked; 9.0 GB of each count\n" in told
    assert "  memory       10.0 of 9.0 GB per device: DOES NOT FIT\n" in told
    assert "  instead      1.0 GB, fits: gigabytes: 1\n" in told


def test_json_has_the_devices_and_every_number(planned: Callable[..., Any]) -> None:
    said = planned("--devices", "2xH100", "--tflops", "500", "--json").json
    assert said["devices"] == {
        "count": 2,
        "gigabytes": 80,
        "usable": 72.0,
        "tflops": 500.0,
        "bandwidth": 3350,
        "name": "H100",
        "origin": "asked",
    }
    (stage,) = said["stages"]
    assert stage["fit"]["gigabytes"] == 10.0
    assert stage["fit"]["tokens_per_second"] == 500_000
    assert stage["fit"]["parts"] == {"weights": 10.0, "cache": 0.5}


def test_a_suite_has_memory_fit_and_hours_of_each_cell_in_80_columns(
    planned: Callable[..., Any],
) -> None:
    told = planned("--devices", "8x80GB", matrix=MATRIX).out
    assert "CELL   DONE  TO DO  GB     FITS  HOURS\n" in told
    assert "small  -     one    4.0    yes   2.5\n" in told
    assert "large  -     one    100.0  NO    2.5\n" in told
    assert "Each stage once, one after another: 5 hours." in told.replace("\n", " ")
    assert "  large does not fit\n    1.0 GB, fits: gigabytes: 1\n" in told
    below = told[told.index("CELL") : told.index("\nmodels")]
    assert max(map(len, below.splitlines())) <= 80


def test_a_suites_json_has_each_stages_fit(planned: Callable[..., Any]) -> None:
    said = planned("--json", matrix=MATRIX).json
    assert said["devices"]["origin"] == "example"
    assert [stage["fit"]["fits"] for stage in said["stages"]] == [True, False]


def test_hours_are_rounded_up_and_speeds_down() -> None:
    assert [hours_text(hours) for hours in (0.0, 3.11, 99.1)] == ["0.01", "3.2", "100"]
    fit = Fit(used=1, gigabytes=1, usable=2, fits=True, tokens_per_second=1999.0, hours=0.5)
    assert dict(fit_lines(fit))["speed"] == "about 1,900 tokens per second on 1, 0.5 hours"


def test_too_few_devices_are_named() -> None:
    change = Change(options="processes: 1", gigabytes=1.0, fits=True)
    fit = Fit(
        used=1, gigabytes=1, usable=2, fits=False, problem="too few devices", changes=(change,)
    )
    assert dict(fit_lines(fit))["memory"].endswith("DOES NOT FIT; too few devices")
