"""Registrations declare components that specs need not name. The core knows no plugin's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import SpecErrors
from halo_core.plugins.discovery import load
from halo_core.plugins.entry_points import announcements
from halo_core.plugins.registry import Registry
from halo_core.run.run_files import resolved_tree
from halo_core.spec.document import parse_document
from halo_core.spec.json_schema import spec_schema
from halo_core.spec.spec import Spec, check_spec

MADE = Path(__file__).parents[1] / "made_components.py"

COMPONENTS = """
from typing import ClassVar

from pydantic import Field

from halo_core import (
    DataInfo, DataSource, LearnRef, Loaded, Loss, LossBatch, LossOutput, Report, Stage, StageContext
)


class Best(DataSource):
    given: DataSource = Field(description="scored rows")

    def inspect(self) -> DataInfo:
        return DataInfo("demonstration", ("train",), "1")

    def load(self, split: str) -> Loaded:
        raise NotImplementedError


class Unfit(Best):
    other: DataSource | None = Field(default=None, description="another")


class Scored(DataSource):
    def inspect(self) -> DataInfo:
        return DataInfo("scored", ("train", "test"), "1")

    def load(self, split: str) -> Loaded:
        raise NotImplementedError


class Both(DataSource):
    sources: list[DataSource] = Field(description="of both")

    def inspect(self) -> DataInfo:
        return self.sources[0].inspect()

    def load(self, split: str) -> Loaded:
        raise NotImplementedError


class Shown(Loss):
    feedback: ClassVar = "demonstration"
    needs: ClassVar = ("policy_logps",)

    def __call__(self, batch: LossBatch) -> LossOutput:
        raise NotImplementedError


class OfPairs(Shown):
    feedback: ClassVar = "paired"


class Seed(Stage):
    produces: ClassVar = "model"
    corpus: LearnRef = Field(description="what its words are from")
    width: int = Field(default=8, ge=1, description="how wide")

    def run(self, context: StageContext) -> None:
        raise NotImplementedError


class Answers(Stage):
    produces: ClassVar = "samples"

    def run(self, context: StageContext) -> None:
        raise NotImplementedError


class Poem(Report):
    def write(self, run):
        raise NotImplementedError
"""
SPEC = f"""\
name: inserted
seed: 1
model: MODEL
data:
  train: DATA
stages:
  learn: {{use: "file:{MADE}:Learn", data: train, loss: LOSS}}
"""


@pytest.fixture
def plugin(site: Any, registers: Callable[..., str]) -> Callable[..., None]:
    """Adds a plugin that makes some calls of the registry with the components above."""

    def add(*calls: str, name: str = "acme") -> None:
        module = f"{name}_components"
        (site.folder / f"{module}.py").write_text(COMPONENTS)
        targets = [call.replace("'@", f"'{module}:") for call in calls]
        site.add(f"halo-{name}", registers(*targets))

    return add


def installed(only: Sequence[str] = ()) -> Registry:
    return load(announcements(), allowlist=",".join(only))


def spec(registry: Registry, **changes: str) -> Spec:
    given = {"model": "{hub: a/b}", "data": "acme/scored", "loss": "acme/shown", **changes}
    text = SPEC
    for name, value in given.items():
        text = text.replace(name.upper(), value)
    return check_spec(parse_document(text, name="spec.yaml", folder=Path()), registry)


def mistakes(registry: Registry, **changes: str) -> str:
    with pytest.raises(SpecErrors) as caught:
        spec(registry, **changes)
    return str(caught.value)


SHOWN = ("data('scored', '@Scored')", "loss('shown', '@Shown')")
BEST = "data('best', '@Best', converts=('scored', 'demonstration'))"


def test_a_strangers_conversion_is_inserted_whatever_its_option_is_called(
    plugin: Callable[..., None],
) -> None:
    plugin(*SHOWN, BEST)
    found = spec(installed())
    (source,) = found.stages[0].data["data"].sources
    assert source.converted == "acme/best"
    (tree,) = resolved_tree(found)["stages"]["learn"]["data"]
    assert tree == {"use": "acme/best", "given": {"use": "acme/scored"}, "split": "train"}


def test_without_a_conversion_the_data_does_not_fit(plugin: Callable[..., None]) -> None:
    plugin(*SHOWN)
    told = "acme/shown learns from demonstration feedback, but the data 'train' (acme/scored) is"
    assert told in mistakes(installed())


def test_a_built_in_conversion_that_is_not_installed_is_named_with_its_package(
    plugin: Callable[..., None],
) -> None:
    plugin("data('scored', '@Scored')", "loss('pairs', '@OfPairs')")
    told = (
        "acme/pairs learns from paired feedback, but the data 'train' (acme/scored) is scored, and "
        "the data source 'scored-to-paired' is in halo-data, which "
    )
    absent = load([each for each in announcements() if each.distribution != "halo-data"])
    found = mistakes(absent, loss="acme/pairs")
    assert f"{told}is not installed: pip install halo-data" in found
    left_out = mistakes(installed(["halo-acme"]), loss="acme/pairs")
    assert f"{told}HALO_PLUGINS leaves out: add halo-data to HALO_PLUGINS" in left_out


def test_two_strangers_who_convert_the_same_must_be_named(plugin: Callable[..., None]) -> None:
    plugin(*SHOWN, BEST)
    plugin(BEST, name="other")
    assert (
        "learn.data: acme/best and other/best turn scored into demonstration feedback; name the "
        "one you want, as in {use: acme/best, ...}, or leave one out with HALO_PLUGINS"
    ) in mistakes(installed())
    named = spec(installed(), data="{use: other/best, given: acme/scored}")
    assert named.stages[0].data["data"].sources[0].converted is None


def test_the_built_in_conversion_is_taken_where_a_stranger_has_one_too(
    plugin: Callable[..., None],
) -> None:
    plugin("data('best', '@Best', converts=('paired', 'demonstration'))", *SHOWN)
    found = spec(installed(), data=f'{{use: "file:{MADE}:Pairs"}}')
    assert found.stages[0].data["data"].sources[0].converted == "paired-to-demonstration"


def test_a_conversion_takes_one_source(plugin: Callable[..., None]) -> None:
    plugin(*SHOWN, BEST.replace("@Best", "@Unfit"))
    found = mistakes(installed())
    assert "it needs exactly one option that takes a data source; it has given, other" in found
    assert "halo_acme_plugin.py" in found


def test_a_conversion_is_between_kinds_of_feedback(plugin: Callable[..., None]) -> None:
    plugin(*SHOWN, BEST.replace("scored'", "scord'"))
    (broken,) = installed().broken
    assert broken.error == (
        "PluginError: halo-acme registers the data source 'best' with converts=('scord', "
        "'demonstration'); expected two of text, prompts, demonstration, binary, paired, scored"
    )


def test_a_split_within_a_component_is_read_by_what_is_registered_for_it(
    plugin: Callable[..., None],
) -> None:
    mixture = "{use: acme/both, sources: [{use: acme/best, given: acme/scored, split: train}]}"
    plugin(*SHOWN, BEST, "data('both', '@Both')")
    (tree,) = resolved_tree(spec(installed(), data=mixture))["stages"]["learn"]["data"]
    assert tree["sources"][0]["use"] == "split-of"
    assert tree["sources"][0]["name"] == "train"
    told = "split: no installed plugin reads one split of another source; leave it out"
    assert told in mistakes(installed(["halo-acme"]), data=mixture)


def test_a_strangers_stage_may_make_the_model_of_a_spec(plugin: Callable[..., None]) -> None:
    plugin(*SHOWN, BEST, "stage('seed', '@Seed', makes_base_model=True)")
    model, learn = spec(installed(), model="{acme/seed: {corpus: train, width: 16}}").stages
    assert (model.id, model.resolved.name) == ("model", "acme/seed")
    assert model.component.model_dump()["width"] == 16
    assert learn.models == {"from": "model"}
    wrong = mistakes(installed(), model="{acme/seed: {corpus: train, width: 0}}")
    assert "spec.yaml:3:36: model.acme/seed.width: got 0; expected a number" in wrong
    both = mistakes(installed(), model="{acme/seed: {corpus: train}, hub: a/b}")
    assert (
        "model: got hub, acme/seed; expected exactly one of hub:, path:, acme/seed:, gguf: and "
        "scratch:"
    ) in both


def test_only_a_stage_that_is_registered_for_it_makes_the_model_of_a_spec(
    plugin: Callable[..., None],
) -> None:
    plugin(*SHOWN, BEST, "stage('seed', '@Seed')")
    told = "model.acme/seed: unknown key 'acme/seed'. Known: gguf, hub, path, revision, scratch"
    assert told in mistakes(installed(), model="{acme/seed: {corpus: train}}")
    told = "model.train: unknown key 'train'. Known: gguf, hub, path, revision, scratch"
    assert told in mistakes(installed(), model="{train: {corpus: train}}")


def test_the_stage_that_makes_the_model_must_make_one(plugin: Callable[..., None]) -> None:
    plugin(*SHOWN, BEST, "stage('seed', '@Answers', makes_base_model=True)")
    found = mistakes(installed(), model="{acme/seed: {}}")
    assert "acme/seed is registered with makes_base_model, and makes samples" in found
    assert "acme_components.py" in found


def test_a_model_of_a_stage_that_is_not_installed_says_what_to_install(
    plugin: Callable[..., None],
) -> None:
    plugin(*SHOWN, BEST)
    found = mistakes(installed(["halo-acme"]), model="{scratch: {data: train}}")
    assert "model.scratch" in found
    assert "the stage 'scratch' is in halo-trainer, which HALO_PLUGINS leaves out" in found


def test_what_a_model_is_made_by_takes_options(plugin: Callable[..., None]) -> None:
    plugin(*SHOWN, BEST)
    told = "model.scratch: got 3; expected the options of the stage scratch: halo plugins show"
    assert told in mistakes(installed(), model="{scratch: 3}")
    # Only a stage with one required option, a text, can have it in place of its options.
    told = "model.scratch: got 'train'; expected the options of the stage scratch"
    assert told in mistakes(installed(), model="{scratch: train}")
    told = "model.gguf.file: /"
    assert told in mistakes(installed(), model="{gguf: none.gguf}")
    told = "model.gguf: got 3; expected the options of the stage gguf: halo plugins show gguf"
    assert told in mistakes(installed(), model="{gguf: 3}")


def test_a_stranger_s_report_may_be_written_by_default(plugin: Callable[..., None]) -> None:
    plugin(*SHOWN, BEST, "report('poem', '@Poem', by_default=True)", "report('ode', '@Poem')")
    assert [report.name for report in spec(installed()).reports] == ["acme/poem", "html"]


def test_the_schema_knows_the_stages_that_make_a_model() -> None:
    model = spec_schema()["properties"]["model"]["properties"]
    assert list(model) == ["hub", "revision", "path", "gguf", "scratch"]
    assert model["gguf"]["type"] == ["object", "string"]
    assert model["scratch"]["type"] == "object"
