"""The loaders read data sets laid out as they are on the hub, through the real `datasets`.

A stand-in on this machine serves invented rows in the files, folders, columns and splits that the
hub has; one other process reads all of it.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

Rows = Sequence[Mapping[str, Any]]

pytestmark = pytest.mark.slow(seconds=1)
READER = Path(__file__).with_name("hub_reader.py")
COMMIT = "ab" * 20
RANKS = {"a": 1, "b": 0, "c": None}
UF, NONE = "HuggingFaceH4/ultrafeedback_binarized", "nobody/nothing"
READ: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "shp": ("SHP", "train", {}),
    "shp domain": ("SHP", "test", {"domain": "askvet"}),
    "hh": ("HH", "test", {}),
    "hh subset": ("HH", "train", {"subset": "helpful-online"}),
    "oasst": ("OASST", "train", {}),
    "oasst validation": ("OASST", "validation", {"feedback": "scored"}),
    "pairs": ("UltraFeedback", "train", {}),
    "pairs test": ("UltraFeedback", "test", {}),
    "groups": ("UltraFeedback", "train", {"feedback": "scored"}),
    "hub": ("Hub", "test_prefs", {"id": UF}),
    "no split": ("Hub", "train", {"id": UF}),
    "no configuration": ("Hub", "train", {"id": UF, "name": "other"}),
    "no data set": ("Hub", "train", {"id": NONE}),
    "no revision": ("SHP", "train", {"revision": "v9"}),
    "commit": ("SHP", "train", {"revision": COMMIT}),
}


def lines(path: Path, rows: Rows) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def parquet(path: Path, rows: Rows) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def shp(root: Path) -> None:
    for domain in ("askbaking", "askvet"):
        for split in ("train", "validation", "test"):
            row = {
                **{"post_id": f"{domain}-{split}", "domain": f"{domain}_{split}"},
                **{"upvote_ratio": 0.9, "history": f"{domain} {split}?"},
                **{"c_root_id_A": "a", "c_root_id_B": "b", "created_at_utc_A": 1},
                **{"created_at_utc_B": 2, "score_A": 9, "score_B": 3, "human_ref_A": "Yes."},
                **{"human_ref_B": "No.", "labels": 1, "seconds_difference": 1.0},
                "score_ratio": 3.0,
            }
            lines(root / "stanfordnlp" / "SHP" / domain / f"{split}.json", [row])


def hh(root: Path) -> None:
    folder = root / "Anthropic" / "hh-rlhf"
    subsets = ("harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled")
    for subset in subsets:
        for split in ("train", "test"):
            start = f"\n\nHuman: {subset} {split}?\n\nAssistant: "
            row = {"chosen": f"{start}Yes.", "rejected": f"{start}No."}
            lines(folder / subset / f"{split}.jsonl.gz", [row])
    attempts = folder / "red-team-attempts" / "red_team_attempts.jsonl.gz"
    lines(attempts, [{"transcript": "Human: ...", "rating": 0.0}])


def oasst(root: Path) -> None:
    def message(tree: str, name: str, parent: str | None, rank: int | None) -> dict[str, Any]:
        return {
            **{"message_id": f"{tree}{name}", "parent_id": parent, "user_id": "u"},
            **{"created_date": "2023-02-05", "text": f"{tree}{name}", "lang": "en"},
            **{"role": "assistant" if parent else "prompter", "review_count": 3},
            **{"review_result": True, "deleted": False, "rank": rank, "synthetic": False},
            **{"model_name": None, "detoxify": {"toxicity": 0.1}, "message_tree_id": tree},
            "tree_state": "ready_for_export",
            "emojis": {"name": ["+1"], "count": [1]},
            "labels": {"name": ["spam"], "value": [0.0], "count": [3]},
        }

    for split, tree in (
        ("train-00000-of-00001-b42a", "t"),
        ("validation-00000-of-00001-134b", "v"),
    ):
        replies = [message(tree, name, tree, rank) for name, rank in RANKS.items()]
        rows = [{**message(tree, "", None, None), "message_id": tree}, *replies]
        parquet(root / "OpenAssistant" / "oasst1" / "data" / f"{split}.parquet", rows)
    lines(root / "OpenAssistant" / "oasst1" / "2023-04-12_oasst_ready.trees.jsonl.gz", [{"a": 1}])


def ultrafeedback(root: Path) -> None:
    def said(answer: str) -> list[dict[str, str]]:
        turns = (("Sky?", "user"), (answer, "assistant"))
        return [{"content": content, "role": role} for content, role in turns]

    row = {"prompt": "Sky?", "prompt_id": "1", "chosen": said("Blue."), "rejected": said("Red.")}
    row |= {"messages": said("Blue."), "score_chosen": 8.5, "score_rejected": 3.0}
    splits = [f"{part}_{use}" for use in ("prefs", "sft", "gen") for part in ("train", "test")]
    for split in splits:
        tied = [{**row, "score_rejected": 8.5}] if split == "train_prefs" else []
        parquet(root / UF / "data" / f"{split}-00000-of-00001.parquet", [row, *tied])
    listed = "".join(f"  - split: {split}\n    path: data/{split}-*\n" for split in splits)
    head = f"configs:\n- config_name: default\n  data_files:\n{listed}"
    (root / UF / "README.md").write_text(f"---\n{head}---\n")


def ultrafeedback_groups(root: Path) -> None:
    def answer(text: str, score: float) -> dict[str, Any]:
        return {
            "annotations": {"honesty": {"Rating": "4", "Rationale": "..."}},
            **{"custom_system_prompt": "s", "model": "m", "principle": "p", "response": text},
            **{"critique": "c", "overall_score": score, "fine-grained_score": score / 2},
        }

    start = {"source": "flan", "models": ["m"], "correct_answers": ["None"]}
    group = {
        **start,
        "instruction": "Sky?",
        "completions": [answer("Blue.", 9.0), answer("Red.", 1.0)],
    }
    for name in ("evol_instruct", "flan"):
        lines(root / "openbmb" / "UltraFeedback" / f"{name}.jsonl", [group])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of each line of READ, read through the stand-in in a separate process."""
    root = tmp_path_factory.mktemp("hub")
    for lay_out in (shp, hh, oasst, ultrafeedback, ultrafeedback_groups):
        lay_out(root)
    home = str(tmp_path_factory.mktemp("home"))
    own = {"HF_HOME": home, "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, READER, root],
        input=json.dumps(READ),
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def asked(read: Mapping[str, Any]) -> list[str]:
    return sorted(row["prompt"][-1]["content"] for row in read["rows"])


def test_shp_reads_all_domains_or_one(found: dict[str, Any]) -> None:
    assert asked(found["shp"]) == ["askbaking train?", "askvet train?"]
    assert asked(found["shp domain"]) == ["askvet test?"]
    assert [row["chosen"] for row in found["shp"]["rows"]] == ["Yes.", "Yes."]


def test_hh_reads_its_four_subsets_and_no_attempts(found: dict[str, Any]) -> None:
    assert len(asked(found["hh"])) == 4
    assert asked(found["hh"])[0] == "harmless-base test?"
    assert asked(found["hh subset"]) == ["helpful-online train?"]


def test_oasst_reads_the_columns_of_its_messages(found: dict[str, Any]) -> None:
    (pair,) = found["oasst"]["rows"]
    assert (pair["chosen"], pair["rejected"]) == ("tb", "ta")
    assert found["oasst"]["dropped"] == {"unranked": 1}
    (group,) = found["oasst validation"]["rows"]
    assert (group["completions"], group["scores"]) == (["vb", "va"], [0.0, -1.0])


def test_ultrafeedback_reads_the_preference_splits(found: dict[str, Any]) -> None:
    (pair,) = found["pairs"]["rows"]
    assert (pair["chosen"], pair["rejected"]) == ("Blue.", "Red.")
    assert found["pairs"]["dropped"] == {"all scores equal": 1}
    assert len(found["pairs test"]["rows"]) == 1


def test_ultrafeedback_reads_the_groups_of_all_files(found: dict[str, Any]) -> None:
    rows = found["groups"]["rows"]
    assert [row["scores"] for row in rows] == [[9.0, 1.0]] * 2


def test_hub_reads_the_splits_that_the_card_names(found: dict[str, Any]) -> None:
    assert found["hub"]["feedback"] == "paired"
    assert sorted(found["hub"]["splits"])[:2] == ["test_gen", "test_prefs"]
    assert len(found["hub"]["rows"]) == 1


def test_commit_names_the_content_with_and_without_asking_the_hub(found: dict[str, Any]) -> None:
    assert found["commit"]["digest"] == found["shp"]["digest"]
    assert found["commit"]["rows"] == found["shp"]["rows"]


@pytest.mark.parametrize(
    ("label", "step", "message"),
    [
        ("no split", "load", f"{UF}, split 'train': Unknown split \"train\". Should be one of ["),
        (
            "no configuration",
            "inspect",
            f"{UF}: cannot be read: BuilderConfig 'other' not found. Available: ['default']. ",
        ),
        ("no data set", "inspect", f"{NONE}: no such data set on the hub, or it needs a login;"),
        (
            "no revision",
            "inspect",
            "stanfordnlp/SHP: no such data set on the hub at revision 'v9', or it needs",
        ),
    ],
)
def test_what_is_not_on_the_hub_is_one_clear_message(
    found: dict[str, Any], label: str, step: str, message: str
) -> None:
    assert found[label][step].startswith(message)
