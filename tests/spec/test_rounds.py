"""Rounds of a spec: the stages that they become, what names mean in them, and their mistakes."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from halo_core.errors import SpecErrors
from halo_core.plugins.discovery import discover
from halo_core.run.identity import stage_identity
from halo_core.run.plan import make_plan
from halo_core.run.run_files import resolved_tree
from halo_core.spec.document import apply_overrides, parse_document
from halo_core.spec.json_schema import spec_schema
from halo_core.spec.spec import Spec, check_spec, load_spec
from halo_core.spec.suite import load_suite
from halo_core.workspace.layout import Workspace

MADE = Path(__file__).parents[1] / "made_components.py"
LOSS = f'{{use: "file:{MADE}:PairLoss", beta: 0.1}}'
HEAD = f"""\
name: small
model: {{hub: someone/small}}
data:
  train: {{use: "file:{MADE}:Pairs", prefix: a}}
  test: {{use: "file:{MADE}:Pairs", prefix: b, split: test}}
reports: []
stages:
  sft: {{use: "file:{MADE}:Learn", data: train, loss: {LOSS}}}
  seen: {{use: "file:{MADE}:Answer", prompts: test}}
"""
ROUND = f"""\
  draw: {{use: "file:{MADE}:Answer", from: previous, prompts: train}}
  labels: {{use: "file:{MADE}:Label", of: draw}}
  kto: {{use: "file:{MADE}:Learn", from: previous, data: labels, loss: {LOSS}}}
"""
AFTER = f"""\
  answers: {{use: "file:{MADE}:Answer", from: kto, prompts: test}}
  win: {{use: "file:{MADE}:Compare", of: answers, against: seen}}
"""
ROUNDS = "rounds: {n: 2, stages: [draw, labels, kto]}\n"
WHOLE = HEAD + ROUND + AFTER + ROUNDS
IDS = ["sft", "seen", "draw-1", "labels-1", "kto-1", "draw-2", "labels-2", "kto-2"]


def spec_of(text: str, folder: Path = Path("/nowhere")) -> Spec:
    return check_spec(parse_document(text, name="s.yaml", folder=folder), discover())


def mistakes(text: str) -> list[str]:
    with pytest.raises(SpecErrors) as caught:
        spec_of(text)
    return [str(error) for error in caught.value.errors]


def place(text: str, part: str) -> str:
    """Returns the line and column at which a part of a text begins."""
    before = text[: text.index(part)]
    return f"s.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def models(text: str) -> dict[str, dict[str, str]]:
    return {stage.id: dict(stage.models) for stage in spec_of(text).stages}


def keys(spec: Spec) -> dict[str, str]:
    plan = make_plan(spec, Workspace(Path("/nowhere")))
    return {stage.id: stage.key for stage in plan.stages}


def test_a_round_becomes_stages_with_its_number_in_their_place() -> None:
    spec = spec_of(WHOLE)
    assert [stage.id for stage in spec.stages] == [*IDS, "answers", "win"]
    assert spec.rounds is not None
    assert (spec.rounds.n, spec.rounds.start, spec.rounds.trained) == (2, "sft", "kto")


def test_previous_is_the_model_of_the_round_before_and_the_start_in_the_first() -> None:
    found = models(WHOLE)
    assert [found[id_]["from"] for id_ in ("draw-1", "kto-1")] == ["sft", "sft"]
    assert [found[id_]["from"] for id_ in ("draw-2", "kto-2")] == ["kto-1", "kto-1"]


def test_names_mean_the_same_round_inside_and_the_last_round_outside() -> None:
    spec = spec_of(WHOLE)
    by_id = {stage.id: stage for stage in spec.stages}
    assert [by_id[f"labels-{n}"].inputs["of"] for n in (1, 2)] == ["draw-1", "draw-2"]
    assert [by_id[f"kto-{n}"].feedback_from for n in (1, 2)] == [["labels-1"], ["labels-2"]]
    assert by_id["answers"].start == "kto-2"
    assert by_id["win"].inputs == {"of": "answers", "against": "seen"}


def test_a_stage_outside_can_name_the_stage_of_a_certain_round() -> None:
    assert models(WHOLE.replace("from: kto,", "from: kto-1,"))["answers"]["from"] == "kto-1"


def test_a_given_start_is_that_of_the_first_round_even_if_from_is_left_out() -> None:
    given = WHOLE.replace("rounds: {", "rounds: {from: model, ")
    left_out = given.replace("from: previous, ", "")
    for text in (given, left_out):
        found = models(text)
        assert found["draw-1"]["from"] == found["kto-1"]["from"] == "model"
        assert found["draw-2"]["from"] == found["kto-2"]["from"] == "kto-1"


def test_a_model_that_is_left_out_is_the_one_before_within_a_round_of_two_trainings() -> None:
    second = f'  more: {{use: "file:{MADE}:Learn", data: train, loss: {LOSS}}}\n'
    text = (HEAD + ROUND + second + AFTER + ROUNDS).replace("labels, kto]", "labels, kto, more]")
    found = models(text)
    assert (found["more-1"]["from"], found["draw-2"]["from"]) == ("kto-1", "more-1")


def test_references_inside_components_and_lists_and_mappings_are_of_the_same_round() -> None:
    wise = f'  told: {{use: "file:{MADE}:CompareWith", of: draw, judge: JUDGE}}\n'
    wise = wise.replace("JUDGE", f'{{use: "file:{MADE}:Wise", from: kto}}')
    text = HEAD + ROUND.replace("data: labels", "data: [train, labels]") + wise + ROUNDS
    spec = spec_of(text.replace("labels, kto]", "labels, kto, told]"))
    by_id = {stage.id: stage for stage in spec.stages}
    assert [by_id[f"told-{n}"].models["judge.from"] for n in (1, 2)] == ["kto-1", "kto-2"]
    assert by_id["kto-2"].feedback_from == ["labels-2"]
    assert len(by_id["kto-2"].data["data"].sources) == 2


def test_a_component_with_the_name_of_a_stage_stays_as_it_is() -> None:
    stage = "  kto: {use: train, from: previous, data: labels, loss: kto}\n"
    label = f'  labels: {{use: "file:{MADE}:Label", of: draw, kind_of_rows: binary}}\n'
    text = HEAD + ROUND.splitlines(keepends=True)[0] + label + stage + ROUNDS
    loss = {s.id: s for s in spec_of(text).stages}["kto-2"].loss
    assert loss is not None
    assert loss.name == "kto"


def test_the_reference_stays_or_is_refreshed() -> None:
    label = f'  labels: {{use: "file:{MADE}:Label", of: draw, kind_of_rows: binary}}\n'
    for written, wanted in [
        ("", "kto-1"),
        ("reference: previous, ", "kto-1"),
        ("reference: sft, ", "sft"),
        ("reference: model, ", "model"),
    ]:
        stage = f"  kto: {{use: train, from: previous, {written}data: labels, loss: kto}}\n"
        found = models(HEAD + ROUND.splitlines(keepends=True)[0] + label + stage + ROUNDS)
        assert found["kto-2"] == {"from": "kto-1", "reference": wanted}


def test_the_word_round_is_the_number_of_the_round() -> None:
    draw = "  draw: {use: sample, from: previous, prompts: train, draw: round}\n"
    text = HEAD + draw + "".join(ROUND.splitlines(keepends=True)[1:]) + ROUNDS
    by_id = {stage.id: stage for stage in spec_of(text).stages}
    drawn = [by_id[f"draw-{n}"].component.draw for n in (1, 2)]  # type: ignore[attr-defined]
    assert drawn == [1, 2]
    plain = keys(spec_of(text.replace(", draw: round", "")))
    assert keys(spec_of(text.replace("draw: round", "draw: 0"))) == plain
    assert keys(spec_of(text))["draw-2"] != plain["draw-2"]


def test_the_word_round_outside_of_rounds_is_a_mistake() -> None:
    text = HEAD + "  drawn: {use: sample, prompts: train, draw: round}\n"
    (mistake,) = mistakes(text)
    assert "only a stage in `rounds` has" in mistake
    after = WHOLE.replace(
        "  answers:", "  more: {use: sample, from: kto, prompts: test, draw: round}\n  answers:"
    )
    (mistake,) = mistakes(after)
    assert "only a stage in `rounds` has" in mistake


def by_hand(n: int) -> str:
    """Returns the spec that somebody would write without rounds."""
    text, before = HEAD, "sft"
    for number in range(1, n + 1):
        text += (
            ROUND.replace("previous", before)
            .replace("draw", f"draw{number}")
            .replace("labels", f"labels{number}")
            .replace("  kto:", f"  kto{number}:")
        )
        before = f"kto{number}"
    return text + AFTER.replace("from: kto", f"from: {before}")


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_keys_are_those_of_stages_that_are_written_by_hand(n: int) -> None:
    rounds = keys(spec_of(WHOLE.replace("n: 2", f"n: {n}")))
    assert {id_.replace("-", ""): key for id_, key in rounds.items()} == keys(spec_of(by_hand(n)))


def test_more_rounds_reuse_all_earlier_rounds() -> None:
    two, three = keys(spec_of(WHOLE)), keys(spec_of(WHOLE.replace("n: 2", "n: 3")))
    assert all(three[id_] == two[id_] for id_ in IDS)
    assert three["answers"] != two["answers"]


def test_the_resolved_spec_is_a_spec_without_rounds_and_with_the_same_keys() -> None:
    spec = spec_of(WHOLE)
    tree = resolved_tree(spec)
    assert "rounds" not in tree
    assert list(tree["stages"])[:8] == IDS
    assert tree["stages"]["kto-2"]["data"] == ["labels-2"]
    assert tree["stages"]["labels-2"]["of"] == "draw-2"
    identities = {
        s.id: stage_identity(s, 0, dict.fromkeys([*IDS, "model", "answers"], "k"))
        for s in spec.stages
        if not s.feedback_from
    }
    assert identities["draw-1"] == identities["draw-2"]


def test_a_setting_of_a_stage_is_one_of_all_rounds(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(WHOLE)
    spec = load_spec(path, {"rounds.n": "3", "stages.kto.loss.beta": "0.7"})
    trees = {stage.id: stage.resolved.tree() for stage in spec.stages}
    assert [trees[f"kto-{n}"]["loss"]["beta"] for n in (1, 2, 3)] == [0.7] * 3


def test_a_suite_varies_the_rounds_and_what_is_in_them(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    matrix = (
        "matrix:\n  rounds: {rounds.n: [1, 2, 3]}\n  rate: {slow: , fast: {stages.kto.rate: 9.0}}\n"
    )
    matrix += "  method: {online: , offline: {rounds: null, stages.draw: null, stages.labels: null,"
    matrix += " stages.kto.data: train, stages.kto.from: sft}}\n"
    path.write_text(WHOLE + matrix)
    suite = load_suite(path)
    found = {spec.cell.id: [s.id for s in spec.stages] for spec in suite.specs if spec.cell}
    assert [len(found[f"{n}/slow/online"]) for n in (1, 2, 3)] == [7, 10, 13]
    assert found["2/fast/offline"] == ["sft", "seen", "kto", "answers", "win"]


def test_rounds_that_are_null_are_no_rounds() -> None:
    text = HEAD + ROUND.replace("from: previous, ", "") + "rounds: null\n"
    assert [stage.id for stage in spec_of(text).stages][2:] == ["draw", "labels", "kto"]


@pytest.mark.parametrize("rounds", ["", "rounds: null\n"])
def test_previous_in_a_spec_without_rounds_says_what_it_means(rounds: str) -> None:
    text = HEAD + ROUND + rounds
    (draw, kto) = mistakes(text)
    told = (
        "'previous' is the model of the round before, which only a stage of a round has; leave the "
        "option out for the nearest earlier model"
    )
    assert draw == f"{place(text, 'from: previous, prompts')}: stages.draw.from: {told}"
    assert kto == f"{place(text, 'from: previous, data')}: stages.kto.from: {told}"


@pytest.mark.parametrize(
    ("option", "name"), [("kto.data", "labels"), ("labels.of", "draw"), ("kto.from", "kto")]
)
@pytest.mark.parametrize("number", [1, 2])
def test_the_stage_of_one_round_is_a_mistake_within_a_round(
    option: str, name: str, number: int
) -> None:
    document = parse_document(WHOLE, name="s.yaml", folder=Path("/nowhere"))
    apply_overrides(document, {f"stages.{option}": f"{name}-{number}"})
    with pytest.raises(SpecErrors) as caught:
        check_spec(document, discover())
    (error,) = caught.value.errors
    assert str(error) == (
        f"--set stages.{option}={name}-{number}: stages.{option}: refers to '{name}-{number}', "
        f"which would be the same stage for all rounds; expected '{name}' for that of each round, "
        "or a stage from before the rounds"
    )


MISTAKES = [
    ("n: 2", "n: 0", "n: 0", "rounds.n: got 0; expected the number of rounds, from 1 to 100"),
    ("n: 2", "n: 101", "n: 101", "rounds.n: got 101; expected the number of rounds"),
    ("n: 2", "n: true", "n: true", "rounds.n: got True; expected the number of rounds"),
    ("n: 2, ", "", "rounds:", "rounds: 'n' is missing; expected the number of rounds"),
    (", stages: [draw, labels, kto]", "", "rounds:", "rounds: 'stages' is missing; expected the"),
    ("[draw, labels, kto]", "[]", "stages: []", "rounds.stages: got []; expected the ids of"),
    ("[draw, labels, kto]", "[3]", "3]", "rounds.stages.0: got 3; expected the id of a stage"),
    ("labels, kto]", "lables, kto]", "lables", "rounds.stages.1: unknown stage 'lables'. Did"),
    ("labels, kto]", "labels, kto, kto]", "kto]", "rounds.stages.3: the stage 'kto' is given tw"),
    ("[draw, labels, kto]", "[draw, kto]", "kto]", "the stage 'labels' is written between 'draw'"),
    ("[draw, labels, kto]", "[labels, draw, kto]", "draw, kto]", "expected draw, labels, kto"),
    ("[draw, labels, kto]", "[draw, labels]", "stages: [d", "no stage of the round trains a mode"),
    ("rounds: {", "rounds: {of: 1, ", "of: 1", "rounds.of: unknown key 'of'. Known: from, n, s"),
    ("rounds: {", "rounds: {from: kto, ", "from: kto, n", "got 'kto'; expected a model from bef"),
    ("rounds: {", "rounds: {from: seen, ", "from: seen", "from before the rounds: model, sft"),
    (ROUNDS, "rounds: [{n: 2}]\n", "rounds:", "rounds: got a list; a spec has one block of round"),
    (ROUNDS, "rounds: 2\n", "rounds:", "rounds: got 2; expected {n: 2, stages: [draw, labels, kt"),
    ("  seen:", "  kto-1:", "kto-1:", "stages.kto-1: the id 'kto-1' is that of 'kto' in round 1"),
    ("  seen:", "  previous:", "previous:", "the id 'previous' means the model of the round befo"),
    ("of: draw", "of: draww", "of: draww", "stages.labels.of: unknown earlier stage 'draww'. Did"),
    ("of: draw", "of: kto", "of: kto", "stages.labels.of: refers to 'kto', which comes later in"),
    ("data: labels", "data: kto", "data: kto", "stages.kto.data: refers to itself; expected an"),
    ("data: labels", "data: lables", "data: lables", "Did you mean 'labels'? Known: labels, test"),
    ("of: draw", "of: sft", "of: sft", "stages.labels.of: the stage 'sft' makes model; expected"),
    ("from: kto,", "from: previous,", "from: previous, prompts: test", "only a stage of a round h"),
    ("from: kto,", "from: kt,", "from: kt,", "unknown earlier stage 'kt'. Did you mean 'kto'?"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "message"), MISTAKES)
def test_a_mistake_is_one_sentence_at_its_place(old: str, new: str, at: str, message: str) -> None:
    text = WHOLE.replace(old, new, 1)
    if "  seen:" == old:
        text = text.replace("against: seen", "against: target")
    found = mistakes(text)
    assert len(found) == 1, found
    assert found[0].startswith(f"{place(text, at)}: ")
    assert message in found[0]


@pytest.mark.parametrize(
    "written", ["", "from: previous, reference: previous, "], ids=["left out", "both"]
)
def test_a_reference_to_a_later_stage_says_what_previous_is(written: str) -> None:
    text = WHOLE.replace("draw: {use: ", "draw: {from: kto, use: ").replace(
        "from: previous, prompts: train", "prompts: train"
    )
    (found,) = mistakes(text)
    assert found == (
        f"{place(text, 'from: kto')}: stages.draw.from: refers to 'kto', which comes later in the "
        "round; expected an earlier stage of the round, or 'previous' for the model of the round "
        "before"
    )


def test_rounds_that_do_not_build_on_each_other_are_refused() -> None:
    text = WHOLE.replace("from: previous", "from: sft")
    (found,) = mistakes(text)
    assert found.startswith(f"{place(text, 'rounds:')}: rounds: all rounds would be the same, sinc")
    assert spec_of(text.replace("n: 2", "n: 1")).rounds is not None


@pytest.mark.parametrize("stages", ["stages: 3\n", "stages: {}\n", ""])
def test_rounds_without_stages_do_not_hide_that_there_are_none(stages: str) -> None:
    found = mistakes(HEAD[: HEAD.index("stages:")] + stages + ROUNDS)
    assert any("expected an id for each stage" in line for line in found)


def test_a_wrong_id_is_the_only_mistake_of_a_spec_with_rounds() -> None:
    (found,) = mistakes(WHOLE.replace("  answers:", "  target:").replace("of: answers", "of: draw"))
    assert (
        "stages.target: the id 'target' is reserved: it means the completion that the data have "
        "for a prompt; choose another id"
    ) in found


def test_a_mistake_inside_a_stage_is_reported_once_for_all_rounds() -> None:
    text = WHOLE.replace("beta: 0.1", "betta: 0.1").replace("prefix: a", "prefix: 7")
    found = mistakes(text)
    assert sum("stages.kto.loss.betta" in line for line in found) == 1
    assert not any("kto-" in line for line in found)


@pytest.mark.parametrize(("name", "what"), [("train", "a data set"), ("toy", "a data source")])
def test_a_stage_of_a_round_that_is_also_data_is_ambiguous(name: str, what: str) -> None:
    text = (HEAD + ROUND + ROUNDS).replace("labels", name)
    (found,) = mistakes(text)
    there = place(text, f'{name}: {{use: "file:{MADE}:Label')
    wanted = f"{name!r} is also {what}, so data: {name} is ambiguous; rename it"
    assert found == f"{there}: stages.{name}: {wanted}"


def test_a_setting_of_one_round_is_refused_where_it_was_set(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(WHOLE)
    with pytest.raises(
        SpecErrors,
        match=r"--set stages.kto-2.rate=2: stages.kto-2: the id 'kto-2' is "
        "that of 'kto' in round 2; rename this stage, or write",
    ):
        load_spec(path, {"stages.kto-2.rate": "2"})


def test_a_stage_of_a_round_that_a_cell_removes_is_named_with_what_removed_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        WHOLE + "matrix:\n  a: {x: {stages.labels: null, stages.kto.data: train}, y: }\n"
    )
    with pytest.raises(
        SpecErrors, match=r"rounds.stages.1: the stage 'labels' is removed by a: x "
    ):
        load_suite(path)


def test_the_schema_knows_rounds() -> None:
    schema = spec_schema()["properties"]["rounds"]
    for good in ({"n": 2, "stages": ["a"]}, {"n": 1, "stages": ["a"], "from": "b"}):
        jsonschema.validate(good, schema)
    for bad in ({"n": 0, "stages": ["a"]}, {"stages": ["a"]}, {"n": 1, "stages": []}, [], {"n": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
