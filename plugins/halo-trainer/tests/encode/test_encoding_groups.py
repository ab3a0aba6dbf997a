"""Scored groups as token ids: their scores, the sampler's log-probabilities, what is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from halo_core.errors import DataError
from halo_core.hashing import file_hash, short_hash
from halo_core.rows import DataSet
from halo_models.conversation import ChatOptions
from halo_models.digests import template_digest, tokenizer_digest
from halo_trainer.encode import examples
from halo_trainer.encode.encode_sets import (
    check_sampler_logps,
    encode_sets,
    encoding_remarks,
    sampling_remarks,
)
from halo_trainer.encode.examples import EncodedCompletion, EncodedExample
from halo_trainer.encode.rows_to_tokens import (
    ENCODER_VERSION,
    EncodingOptions,
    cache_key,
    encode,
)
from halo_trainer.encode.view_rows import view_rows

LONG = EncodingOptions(max_length=64, max_prompt_length=32)
NEEDED = replace(LONG, needs_logps=True)
COW = [{"role": "user", "content": "What says a cow?"}]
END = 0
MakeData = Callable[..., DataSet]


def group(texts: list[str], scores: list[float], **more: Any) -> dict[str, Any]:
    return {"prompt": COW, "completions": texts, "scores": scores, **more}


def drawn(tokenizer: Any, /, **more: Any) -> dict[str, Any]:
    """A group as a model with this tokenizer draws it: the second completion was cut off."""
    return {
        **group(["Moo.", "Moo moo"], [1.0, -0.5]),
        "completions_token_ids": [[5, 6], [7, 8]],
        "finishes": ["stop", "length"],
        "completions_token_logps": [[-0.5, -1.5, -0.25], [-2.0, -3.0]],
        "tokenizer": tokenizer_digest(tokenizer),
        "template": template_digest(tokenizer, ChatOptions()),
        **more,
    }


@pytest.fixture
def encoded(make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path) -> Callable[..., Any]:
    def go(*rows: dict[str, Any], options: EncodingOptions = LONG) -> Any:
        return encode(
            make_data("scored", list(rows)), tiny_tokenizer, options=options, cache=tmp_path
        )

    return go


def test_groups_of_any_size_keep_their_scores_and_share_their_prompt(
    encoded: Callable[..., Any], tiny_tokenizer: Any
) -> None:
    data = encoded(
        group(["Moo.", "Quack."], [2.0, 1e9 + 0.25]), group(["a", "b", "c"], [0, 1, 2.0])
    )
    first, second = data
    assert [c.score for c in first.completions] == [2.0, 1e9 + 0.25]
    assert [c.score for c in second.completions] == [0.0, 1.0, 2.0]
    assert {c.prompt_ids.tobytes() for c in second.completions} == {
        second.completions[0].prompt_ids.tobytes()
    }
    for completion, text in zip(first.completions, ["Moo.", "Quack."], strict=True):
        assert completion.completion_ids.tolist() == [*tiny_tokenizer(text)["input_ids"], END]
        assert completion.desirable
        assert completion.sampler_logps is None


def test_drawn_ids_are_trained_with_the_log_probabilities_of_the_sampler(
    encoded: Callable[..., Any], tiny_tokenizer: Any
) -> None:
    ((example),) = encoded(drawn(tiny_tokenizer))
    ended, cut = example.completions
    assert ended.completion_ids.tolist() == [5, 6, END]
    assert ended.sampler_logps.tolist() == [-0.5, -1.5, -0.25]
    assert cut.completion_ids.tolist() == [7, 8]
    assert cut.sampler_logps.tolist() == [-2.0, -3.0]


def test_a_completion_that_is_cut_keeps_as_many_log_probabilities(
    encoded: Callable[..., Any], tiny_tokenizer: Any
) -> None:
    prompt = len(encoded(drawn(tiny_tokenizer))[0].completions[0].prompt_ids)
    short = replace(LONG, max_length=prompt + 2, max_prompt_length=prompt)
    ((example),) = encoded(drawn(tiny_tokenizer), options=short)
    assert example.completions[0].completion_ids.tolist() == [5, 6]
    assert example.completions[0].sampler_logps.tolist() == [-0.5, -1.5]


def test_rows_with_and_without_log_probabilities_can_be_mixed(
    encoded: Callable[..., Any], tiny_tokenizer: Any
) -> None:
    partly = drawn(tiny_tokenizer, completions_token_logps=[None, [-2.0, -3.0]])
    data = encoded(group(["a", "b"], [0.0, 1.0]), partly, drawn(tiny_tokenizer))
    found = [[c.sampler_logps is not None for c in e.completions] for e in data]
    assert found == [[False, False], [False, True], [True, True]]
    assert data.counts.sampler_logps == 3


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"tokenizer": "other"}, "2 were sampled with another tokenizer or template, and are"),
        ({"completions_token_logps": [[-1.0], [-2.0, -3.0]]}, "1 have another number of log-prob"),
        (
            {"completions_token_logps": [[-1.0, -1.0, float("-inf")], None]},
            "that are not finite; 1",
        ),
        ({"completions_token_logps": None}, "2 have none in their rows"),
    ],
)
def test_completions_without_usable_log_probabilities_are_counted_and_refused(
    encoded: Callable[..., Any], tiny_tokenizer: Any, more: dict[str, Any], reason: str
) -> None:
    counts = encoded(drawn(tiny_tokenizer, **more)).counts
    with pytest.raises(DataError, match="of 2 completions lack the sampler's log-prob") as caught:
        check_sampler_logps(counts, "draws")
    assert reason in str(caught.value)
    assert "or choose options of the loss that compare with the reference" in str(caught.value)


def test_a_draft_of_a_tokenizer_refuses_only_rows_without_any(
    encoded: Callable[..., Any], tiny_tokenizer: Any
) -> None:
    other = encoded(drawn(tiny_tokenizer, tokenizer="other")).counts
    check_sampler_logps(other, "draws", is_sketch=True)
    none = encoded(drawn(tiny_tokenizer, completions_token_logps=None)).counts
    with pytest.raises(DataError, match="2 of 2 completions lack the sampler's"):
        check_sampler_logps(none, "draws", is_sketch=True)


def test_a_training_checks_log_probabilities_only_if_its_loss_needs_them(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    sets = {"data": make_data("scored", [group(["a", "b"], [0.0, 1.0])])}
    told: list[str] = []
    options: dict[str, Any] = {"samples": None, "cache": tmp_path, "warn": told.append}
    encode_sets(sets, tiny_tokenizer, LONG, **options)
    assert told == []
    with pytest.raises(DataError, match="2 of 2 completions lack"):
        encode_sets(sets, tiny_tokenizer, NEEDED, **options)


def test_groups_that_teach_nothing_are_left_out_and_counted(encoded: Callable[..., Any]) -> None:
    cut = replace(LONG, max_length=34)
    long = "moo " * 40
    data = encoded(
        group(["alone"], [1.0]),
        group([long + "a", long + "b"], [0.0, 1.0]),  # one text when cut
        group(["same", "same"], [0.5, 0.5]),  # drawn twice
        options=cut,
    )
    assert [[c.score for c in e.completions] for e in data] == [[0.5, 0.5]]
    assert {reason: n for reason, n in data.counts.dropped.items() if n} == {
        "groups with less than two completions": 1,
        "groups of identical completions when cut to max_length": 1,
    }


def test_unfinished_completions_are_left_out_of_their_group(encoded: Callable[..., Any]) -> None:
    unfinished = replace(LONG, unfinished="drop")
    three = group(["a", "b", "c"], [0.0, 1.0, 2.0], finishes=["stop", "length", "stop"])
    two = group(["a", "b"], [0.0, 1.0], finishes=["length", "stop"])
    data = encoded(three, two, options=unfinished)
    assert [[c.score for c in e.completions] for e in data] == [[0.0, 2.0]]
    assert sorted(encoding_remarks(data.counts)[:2]) == [
        "dropped 1: groups with less than two finished completions",
        "dropped 1: unfinished completions of groups",
    ]


def test_files_of_an_older_halo_have_neither_scores_nor_log_probabilities(
    tiny_tokenizer: Any, tmp_path: Path
) -> None:
    ids = np.array([3, 4], dtype=np.int32)
    example = EncodedExample("a", "p", (EncodedCompletion(ids, ids, True, "x"),))
    examples._SCHEMA, new = pa.schema(list(examples._SCHEMA)[:-2]), examples._SCHEMA
    try:
        examples.write_counts(tmp_path, examples.write(tmp_path, [example]))
    finally:
        examples._SCHEMA = new
    (read,) = examples.EncodedData(tmp_path, "demonstration")
    assert (read.completions[0].score, read.completions[0].sampler_logps) == (None, None)
    assert read.completions[0].completion_ids.tolist() == [3, 4]


OWN = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}


def test_completions_of_another_distribution_and_unknown_ones_are_counted_and_told(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    nucleus = {**OWN, "top_p": 0.95}
    rows = [
        drawn(tiny_tokenizer),
        drawn(tiny_tokenizer, completions_sampling=[OWN, nucleus]),
        drawn(tiny_tokenizer, completions_sampling=[None, nucleus]),
        # Log-probabilities that are not used need no sampling.
        drawn(tiny_tokenizer, completions_sampling=[nucleus] * 2, tokenizer="other"),
    ]
    sets = {"data": make_data("scored", rows[:3])}
    told: list[str] = []
    encode_sets(sets, tiny_tokenizer, NEEDED, samples=None, cache=tmp_path, warn=told.append)
    other, unknown = told
    assert "2 of 6 completions were sampled with top_p 0.95. The loss takes the stored" in other
    assert "3 of 6 completions do not say with which temperature, top_p and top_k" in unknown
    counts = encode(
        make_data("scored", rows[1:], name="more"), tiny_tokenizer, options=LONG, cache=tmp_path
    ).counts
    assert counts.samplings == {"temperature 1": 1, "top_p 0.95": 2}
    assert "1 of 6 completions do not say" in sampling_remarks(counts)[1]


def test_samples_of_the_models_own_distribution_need_no_warning(
    encoded: Callable[..., Any], tiny_tokenizer: Any
) -> None:
    counts = encoded(drawn(tiny_tokenizer, completions_sampling=[OWN, OWN])).counts
    assert sampling_remarks(counts) == []


OTHER_END = [-0.5, -1.5]  # without a number for the end that training replaces


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        (OTHER_END, "were ended by another token than the one that is trained"),
        ([-0.5], "have another number of log-probabilities than of trained tokens"),
        ([-0.5, float("nan"), -0.5], "have log-probabilities that are not finite"),
        (None, "have token ids, but no log-probabilities"),
    ],
)
def test_one_completion_without_usable_numbers_is_left_out_of_its_group_and_told(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path, numbers: Any, reason: str
) -> None:
    three = {
        **drawn(tiny_tokenizer),
        **group(["Moo.", "Moo moo", "Baa."], [1.0, -0.5, 0.25]),
        "completions_token_ids": [[5, 6], [7, 8], [9]],
        "finishes": ["stop", "length", "stop"],
        "completions_token_logps": [numbers, [-2.0, -3.0], [-1.0, -0.5]],
    }
    # Of this group, one completion is left, which cannot be compared with another.
    two = drawn(tiny_tokenizer, completions_token_logps=[numbers, [-2.0, -3.0]])
    sets = {"data": make_data("scored", [three, two, drawn(tiny_tokenizer)])}
    told: list[str] = []
    data, _ = encode_sets(
        sets, tiny_tokenizer, NEEDED, samples=None, cache=tmp_path, warn=told.append
    )
    assert [[c.score for c in e.completions] for e in data] == [[-0.5, 0.25], [1.0, -0.5]]
    assert all(c.sampler_logps is not None for e in data for c in e.completions)
    dropped = [line.partition(": ")[2] for line in told if "dropped" in line]
    few = "groups with less than two completions that have the sampler's log-probabilities"
    assert dropped == [f"dropped 2: completions that {reason}", f"dropped 1: {few}"]


def test_a_pair_is_left_out_whole_and_a_single_completion_alone(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    digests = {name: drawn(tiny_tokenizer)[name] for name in ("tokenizer", "template")}
    single = {
        "prompt": COW,
        "completion": "Moo.",
        "desirable": True,
        "completion_token_ids": [5, 6],
        "finish": "stop",
        "completion_token_logps": OTHER_END,
        **digests,
    }
    whole = {**single, "completion_token_logps": [-0.5, -1.5, -0.25]}
    pair = {
        "prompt": COW,
        **{
            f"chosen{name.removeprefix('completion')}": whole[name]
            for name in whole
            if "comp" in name
        },
        "rejected": "Baa.",
        "rejected_token_ids": [9],
        "rejected_token_logps": [-1.0],
        "chosen_finish": "stop",
        "rejected_finish": "stop",
        **digests,
    }
    for feedback, rows, left, lost in (
        ("binary", [single, whole], 1, "completions that were ended by another token"),
        ("paired", [pair], 0, "pairs in which a completion lacks the sampler's log-prob"),
    ):
        data = make_data(feedback, rows, name=feedback)
        found = encode(data, tiny_tokenizer, options=NEEDED, cache=tmp_path)
        assert len(found) == left
        assert [n for reason, n in found.counts.dropped.items() if reason.startswith(lost)] == [1]
        # Other losses train on them.
        assert len(encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)) == len(rows)


def test_a_set_of_which_nothing_is_left_is_refused_with_the_reasons(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    def refused(numbers: Any) -> str:
        rows = [drawn(tiny_tokenizer, completions_token_logps=[numbers, None])]
        sets = {"data": make_data("scored", rows, name=str(numbers))}
        with pytest.raises(DataError) as caught:
            encode_sets(sets, tiny_tokenizer, NEEDED, samples=None, cache=tmp_path, warn=list)
        return str(caught.value)

    assert "1 dropped: completions that were ended by another token" in refused([-0.5, -1.5])
    assert "all completions have token ids, but no log-probabilities (2)" in refused(None)


def test_tokens_of_other_losses_keep_the_key_of_an_older_halo(
    make_data: MakeData, tiny_tokenizer: Any
) -> None:
    data = make_data("scored", [drawn(tiny_tokenizer)])
    keys = [cache_key(data, tiny_tokenizer, options) for options in (LONG, NEEDED)]
    assert keys[0] != keys[1]
    content = [
        ENCODER_VERSION,
        "scored",
        [file_hash(path) for path in data.files],
        tokenizer_digest(tiny_tokenizer),
        template_digest(tiny_tokenizer, ChatOptions()),
        {name: value for name, value in asdict(LONG).items() if name != "needs_logps"},
    ]
    assert keys[0] == short_hash(json.dumps(content, sort_keys=True), 32)


def test_a_completion_that_is_left_out_is_shown_as_such(
    make_data: MakeData, tiny_tokenizer: Any
) -> None:
    rows = make_data(
        "scored", [drawn(tiny_tokenizer, completions_token_logps=[OTHER_END, [-2.0, -3.0]])]
    )
    (view,) = view_rows(rows, 1, tiny_tokenizer, NEEDED, "own")
    reason = "are left out, because they were ended by another token than the one that is trained"
    assert [completion.remarks for completion in view.completions] == [[reason], []]


@pytest.mark.parametrize("good", [1, 2, 4])
def test_a_set_that_loses_most_of_its_rows_says_how_many_are_left(
    make_data: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path, good: int
) -> None:
    kept = [group([f"a{i}", "b"], [0.0, 1.0]) for i in range(good)]
    lost = [group([f"c{i}"], [0.0]) for i in range(4 - good)]
    told: list[str] = []
    sets = {"data": make_data("scored", [*kept, *lost])}
    encode_sets(sets, tiny_tokenizer, LONG, samples=None, cache=tmp_path, warn=told.append)
    said = [line for line in told if "rows are left" in line]
    if good == 1:
        assert said[0].startswith("train: only 1 of 4 rows are left (25%). Expected most of them")
    else:
        assert not said
