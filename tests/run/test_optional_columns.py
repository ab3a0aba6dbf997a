"""Further fields of messages and completions, tools, and sampled ids, on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from halo_core.component import with_origin
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import Feedback, prompt_id
from halo_core.plugins.registrar import Registration
from halo_core.rows import DataSet, RowWriter, arrow_schema
from halo_core.run.materialise import Rows, materialise
from halo_core.run.write_rows import CHUNK
from halo_core.spec.data_sets import Source
from halo_core.spec.resolved import Resolved, origin_of
from halo_core.testing.data.rules import check_rows
from halo_core.testing.rows import data_set
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import ROWS

HI: Any = {"role": "user", "content": "hi"}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"unit": "C", "at": "x"}}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"z": 1, "a": 2}}}]
PLAIN = {"prompt": [HI], "completion": "hello"}
FULL = {
    "prompt": [
        {"role": "developer", "content": "Be brief.", "name": "Ana"},
        HI,
        {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [CALL]},
        {"role": "tool", "content": "21", "tool_call_id": "7"},
    ],
    "completion": "",
    "tools": TOOLS,
    "completion_fields": {"thinking": "Warm.", "tool_calls": [CALL]},
    "completion_token_ids": [5, 0, 2**31 - 1],
    "completion_token_logps": [-0.5, 0.0, -1e300],
    "completion_sampling": {"temperature": 0.5, "top_p": 1.0, "top_k": 3},
    "finish": "length",
    "tokenizer": "0a",
    "template": "1b",
}
SCORED = {"prompt": [HI], "completions": ["a", "b"], "scores": [1.0, 0.5]}
PAIR = {"prompt": [HI], "chosen": "a", "rejected": "b"}


def given(rows: Sequence[Mapping[str, Any]], feedback: Feedback = "demonstration") -> DataSource:
    """A third party's source with these rows."""

    class Given(DataSource):
        def inspect(self) -> DataInfo:
            return DataInfo(feedback, ("train",), "1")

        def load(self, split: str) -> Loaded:
            if split != "train":
                raise DataError("there is: train")
            return Loaded(iter(rows))

    return Given()


def written(
    tmp_path: Path, rows: Sequence[Mapping[str, Any]], feedback: Feedback = "demonstration"
) -> Rows:
    registration = Registration("data", "given", f"{__name__}:Given", "halo-core", "1", __file__)
    component = given(rows, feedback)
    resolved = Resolved(
        with_origin(component, origin_of("given", registration)), "given", registration, {}
    )
    return materialise(Source(resolved, "train", component.inspect()), Workspace(tmp_path / "w"))


def read(rows: Rows) -> DataSet:
    return DataSet("train", rows.feedback, [rows.file])


def test_rows_without_optional_columns_have_the_bytes_that_they_had(tmp_path: Path) -> None:
    rows = [{"prompt": [HI], "completion": f"hello {i}"} for i in range(CHUNK + 1)]
    found = written(tmp_path, rows)
    text = pa.string()
    message = pa.struct([("role", text), ("content", text)])
    columns = [("id", text), ("prompt_id", text), ("source", text)]
    schema = pa.schema([*columns, ("prompt", pa.list_(message)), ("completion", text)])
    kept = [
        {"id": f"given/train/{i}", "source": "given", **row, "prompt_id": "897be8e1f0370e7f"}
        for i, row in enumerate(rows)
    ]
    digest = hashlib.sha256()
    before = tmp_path / "before.arrow"
    with pa.OSFile(str(before), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for chunk in (kept[:CHUNK], kept[CHUNK:]):
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
            digest.update(repr(chunk).encode())
    assert found.file.read_bytes() == before.read_bytes()
    assert found.digest == digest.hexdigest()[:16]


def test_all_that_a_row_says_comes_back(tmp_path: Path) -> None:
    (row,) = read(written(tmp_path, [FULL]))
    ids = {"id": "given/train/0", "source": "given", "prompt_id": row["prompt_id"]}
    assert row == {**FULL, **ids}
    # A template writes tools and arguments in the order in which they came.
    assert list(row["tools"][0]["function"]["parameters"]) == ["z", "a"]
    assert list(row["prompt"][2]["tool_calls"][0]["function"]["arguments"]) == ["unit", "at"]


def test_the_largest_whole_number_that_is_a_float_is_a_score(tmp_path: Path) -> None:
    (row,) = read(written(tmp_path, [{**SCORED, "scores": [2**53, -(2**53)]}], "scored"))
    assert row["scores"] == [2.0**53, -(2.0**53)]


def test_rows_can_be_read_with_some_of_their_columns(tmp_path: Path) -> None:
    data = read(written(tmp_path, [FULL, PLAIN]))
    assert [*data.select({"completion", "finish"})] == [
        {"completion": "", "finish": "length"},
        {"completion": "hello"},
    ]
    assert [*data.select()] == [*data]
    plain = read(written(tmp_path / "plain", [PLAIN, PLAIN]))
    assert [*plain.select({"finish"})] == [*plain.select(())] == [{}, {}]


def test_a_row_has_the_columns_and_fields_that_it_has_something_for(tmp_path: Path) -> None:
    empty: dict[str, Any] = {
        "tools": [],
        "completion_fields": {"name": None},
        "finish": None,
        "template": None,
    }
    named = [{**HI, "name": None, "tool_calls": None}]
    data = read(written(tmp_path, [FULL, {**PLAIN, **empty, "prompt": named}]))
    assert set(data[1]) == {"id", "prompt_id", "source", "prompt", "completion"}
    assert data[1]["prompt"] == [HI]
    assert data[1]["prompt_id"] == prompt_id([HI])
    assert data.column("finish") == ["length", None]
    assert data.column("tools") == [TOOLS, None]
    assert data.column("prompt") == [FULL["prompt"], [HI]]
    assert list(data) == [data[0], data[1]]


def test_columns_that_come_late_are_those_of_the_whole_file(tmp_path: Path) -> None:
    rows = [PLAIN] * (CHUNK + 5)
    found = written(tmp_path, [*rows, {**PLAIN, "finish": "stop"}, *rows, FULL])
    data = read(found)
    assert len(data) == 2 * len(rows) + 2
    assert {row.get("finish") for row in data} == {None, "stop", "length"}
    assert data[-1]["prompt"] == FULL["prompt"]
    assert data[0] == {**PLAIN, "id": "given/train/0", "source": "given"} | {
        "prompt_id": prompt_id([HI])
    }
    assert sorted(path.name for path in found.file.parent.iterdir()) == [
        "checked.json",
        "data.json",
        ROWS,
    ]


def test_files_with_and_without_optional_columns_are_one_set(tmp_path: Path) -> None:
    old = tmp_path / "old.arrow"
    schema = arrow_schema("demonstration")
    before = {**PLAIN, "id": "1", "prompt_id": "p", "source": "s"}
    table = pa.Table.from_pylist([before], schema=schema)
    with pa.OSFile(str(old), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(table)
    data = DataSet(
        "train", "demonstration", [old, *data_set(tmp_path, "demonstration", [FULL]).files]
    )
    assert data[0] == before
    assert data[1]["prompt"] == FULL["prompt"]
    alone = DataSet("train", "demonstration", [old])
    assert list(alone) == [before]
    assert alone.column("tools") == [None]
    with pytest.raises(KeyError):
        alone.column("no such column")


def test_completions_of_scored_feedback_have_a_list_each(tmp_path: Path) -> None:
    beside = {
        "completions_fields": [None, {"tool_calls": [CALL]}],
        "completions_token_ids": [[1, 2], None],
        "finishes": ["stop", None],
        "completions_token_logps": [[-0.25, -1, -2.5], None],
    }
    (row,) = read(written(tmp_path, [{**SCORED, **beside}], "scored"))
    assert {name: row[name] for name in beside} == beside
    nothing = {name: [None, None] for name in beside}
    (row,) = read(written(tmp_path / "b", [{**SCORED, **nothing}], "scored"))
    assert not beside.keys() & row.keys()


def test_a_completion_of_calls_or_thoughts_alone_is_not_empty(tmp_path: Path) -> None:
    blank: dict[str, Any] = {"prompt": [HI], "completion": " "}
    rows = [
        {**blank, "completion_fields": {"tool_calls": [CALL]}},
        {**blank, "completion_fields": {"thinking": "Hm."}},
        {**blank, "completion_fields": {"name": "bot"}},
        {**blank, "completion_fields": {"tool_calls": []}},
        blank,
    ]
    found = written(tmp_path, rows)
    assert found.count == 2
    assert found.dropped == {"empty completion": 3}


def test_a_prompt_is_named_by_all_that_it_holds() -> None:
    call = {**HI, "role": "assistant", "tool_calls": [CALL]}
    prompts: list[Any] = [
        [HI],
        [{**HI, "name": "Ana"}],
        [{**HI, "tool_call_id": "Ana"}],
        [{**HI, "reasoning_content": "Ana"}],
        [{**HI, "thinking": "Ana"}],
        [call, HI],
        [{**call, "tool_calls": [CALL, CALL]}, HI],
    ]
    named = [prompt_id(prompt) for prompt in prompts]
    named += [prompt_id([HI], TOOLS), prompt_id([HI], [CALL])]
    assert len(set(named)) == len(named)
    nameless: Any = [{**HI, "name": None}]
    assert prompt_id(nameless, []) == prompt_id([HI]) == "897be8e1f0370e7f"


def test_an_id_of_a_row_covers_its_tools(tmp_path: Path) -> None:
    data = read(written(tmp_path, [PLAIN, {**PLAIN, "tools": TOOLS}]))
    assert [row["prompt_id"] for row in data] == [prompt_id([HI]), prompt_id([HI], TOOLS)]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"tools": "weather"}, "column 'tools': got 'weather'; expected a list of JSON objects"),
        ({"tools": [{"a": float("nan")}]}, "column 'tools': got [{'a': nan}]; expected a list of"),
        ({"completion_fields": []}, "column 'completion_fields': got []; expected further fields"),
        ({"completion_fields": {"role": "x"}}, "got {'role': 'x'}; expected further fields of a"),
        ({"completion_fields": {"at": Path()}}, "PosixPath('.')}; expected further fields of a"),
        ({"completion_token_ids": [1, -1]}, "got [1, -1]; expected a list of token ids: whole"),
        ({"completion_token_ids": [True]}, "got [True]; expected a list of token ids: whole"),
        ({"completion_token_ids": [2**31]}, "got [2147483648]; expected a list of token ids"),
        ({"completion_token_ids": "12"}, "got '12'; expected a list of token ids: whole numbers"),
        ({"completion_token_logps": [0.5]}, "got [0.5]; expected a list of log-probabilities in"),
        ({"completion_token_logps": [float("nan")]}, "got [nan]; expected a list of log-prob"),
        ({"completion_token_logps": [-(10**400)]}, "a list of log-probabilities in nats: finite"),
        ({"completion_token_logps": [-(10**17)]}, "a list of log-probabilities in nats: finite"),
        ({"completion_token_logps": [True]}, "got [True]; expected a list of log-probabilities"),
        ({"completion_token_logps": -1.0}, "got -1.0; expected a list of log-probabilities in"),
        ({"finish": "eos"}, "column 'finish': got 'eos'; expected stop or length"),
        (
            {"completion_sampling": {"temperature": 1.0, "top_p": 0.0, "top_k": 0}},
            "an object with the numbers temperature, top_p, top_k",
        ),
        ({"completion_sampling": {"temperature": 1.0}}, "column 'completion_sampling': got"),
        (
            {"completion_sampling": {"temperature": float("nan"), "top_p": 1, "top_k": 0}},
            "column 'completion_sampling': got",
        ),
        (
            {"completion_sampling": {"temperature": 10**400, "top_p": 1, "top_k": 0}},
            "column 'completion_sampling': got",
        ),
        ({"tokenizer": 3}, "column 'tokenizer': got 3; expected text"),
        ({"prompt": [{**HI, "name": 3}]}, "'name': 3}; its name is not a text"),
        ({"prompt": [{**HI, "tool_calls": {}}]}, "its tool_calls are not a list of objects"),
        ({"prompt": [{**HI, "cited": {1}}]}, "'cited': {1}}; its cited cannot be written as JSON"),
        ({"prompt": [{**HI, "role": "judge"}]}, "roles are system, developer, user, assistant, t"),
        ({"prompt": [{"role": "user", "name": "x"}]}, "expected {role, content}"),
    ],
)
def test_an_optional_column_of_another_type_is_told(
    tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    with pytest.raises(DataError) as caught:
        written(tmp_path, [PLAIN, {**PLAIN, **columns}])
    assert told in caught.value.message
    assert caught.value.location == "given, split 'train', row given/train/1"


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"scores": [1.0]}, "column 'scores' has 1 values for 2 completions; expected one score"),
        ({"scores": [1.0, float("nan")]}, "column 'scores': got [1.0, nan]; expected a list of f"),
        ({"scores": [1.0, float("inf")]}, "column 'scores': got [1.0, inf]; expected a list of f"),
        ({"scores": [1.0, 10**400]}, "expected a list of finite numbers"),
        ({"scores": [1.0, 2**53 + 1]}, "expected a list of finite numbers, whole ones up to 2^53"),
        ({"scores": [1.0, True]}, "column 'scores': got [1.0, True]; expected a list of finite"),
        ({"finishes": ["stop"]}, "column 'finishes' has 1 values for 2 completions; expected one"),
        ({"finishes": "stop"}, "column 'finishes': got 'stop'; expected a list with one value per"),
        ({"finishes": ["stop", "eos"]}, "column 'finishes': got 'eos'; expected stop or length"),
        ({"completions_token_logps": [[-1.0], ["x"]]}, "got ['x']; expected a list of log-prob"),
        ({"completions_token_ids": [[1], [-1]]}, "got [-1]; expected a list of token ids"),
        ({"completions_fields": [{}, "x"]}, "got 'x'; expected further fields of a message"),
    ],
)
def test_a_list_beside_scored_completions_is_checked(
    tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    with pytest.raises(DataError) as caught:
        written(tmp_path, [{**SCORED, **columns}], "scored")
    assert told in caught.value.message


def test_columns_of_another_kind_are_left_out(tmp_path: Path) -> None:
    (row,) = read(written(tmp_path, [{**PAIR, "finish": 3, "chosen_finish": "stop"}], "paired"))
    assert row["chosen_finish"] == "stop"
    assert "finish" not in row


def test_the_test_kit_checks_optional_columns() -> None:
    check_rows(given([PLAIN, FULL]))
    with pytest.raises(AssertionError, match="row 1 of 'train': column 'finish': got 'eos'"):
        check_rows(given([PLAIN, {**PLAIN, "finish": "eos"}]))


def test_a_writer_that_is_closed_without_rows_leaves_an_empty_file(tmp_path: Path) -> None:
    with RowWriter(tmp_path / ROWS, "paired"):
        pass
    assert len(DataSet("train", "paired", [tmp_path / ROWS])) == 0
