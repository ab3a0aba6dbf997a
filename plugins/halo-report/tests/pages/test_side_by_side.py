from halo_report.pages.run_page import Badge, side_by_side
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


BEFORE = StageData("before", "sample", samples=[sample("p", "meow"), sample("q", "moo moo")])
AFTER = StageData("after", "sample", samples=[sample("q", "moo"), sample("r", "x", target=None)])
WIN = StageData(
    "win",
    "judge",
    verdicts=[{"prompt_id": "q", "completion": "moo", "result": "win", "flip": False}],
)


def test_only_prompts_of_every_sampling_stage_are_shown():
    (card,) = side_by_side([BEFORE, AFTER, WIN], 20)
    assert [(c.title, c.text) for c in card.columns] == [
        ("before", "moo moo"),
        ("after", "moo"),
        ("target", "It says moo."),
    ]


def test_a_verdict_stands_under_the_text_it_is_about():
    (card,) = side_by_side([BEFORE, AFTER, WIN], 20)
    assert [list(c.badges) for c in card.columns] == [[], [Badge("win", "win", False)], []]


def test_prompts_come_in_the_order_of_the_samples():
    cards = side_by_side([BEFORE], 20)
    assert [card.columns[0].text for card in cards] == ["meow", "moo moo"]
    assert len(side_by_side([BEFORE], 1)) == 1


def test_a_prompt_without_a_target_has_no_target_column():
    cards = side_by_side([AFTER], 20)
    assert [c.title for c in cards[1].columns] == ["after"]


def test_a_run_without_samples_has_no_cards():
    assert side_by_side([WIN], 20) == []
