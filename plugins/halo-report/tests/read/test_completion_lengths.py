from halo_report.read.completion_lengths import completion_lengths
from halo_report.read.run_data import StageData


def sample(id_, text, target="It says moo."):
    return {
        "prompt_id": id_,
        "prompt": [],
        "completion": text,
        "target": target,
        "tokens": len(text),
        "target_tokens": None if target is None else 5,
    }


def test_lengths_are_in_tokens_and_count_each_target_once():
    before = StageData("before", "sample", samples=[sample("p", "meow"), sample("q", "moo moo")])
    after = StageData("after", "sample", samples=[sample("q", "moo"), sample("r", "x", None)])
    win = StageData("win", "judge", verdicts=[{"prompt_id": "q", "completion": "moo"}])
    assert completion_lengths([before, after, win]) == {
        "before": [4, 7],
        "after": [3, 1],
        "target": [5, 5],
    }
