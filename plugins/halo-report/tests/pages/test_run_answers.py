"""The answers of a run's models side by side, and the verdicts on them."""

from halo_report.pages.page_parts import Badge
from halo_report.pages.run_answers import change_of, run_authors, run_samples, sampling_pair
from halo_report.read.judged_stages import before_and_after, judged_stages
from halo_report.read.run_data import StageData


def sample(id_, text, target="It says moo."):
    return {
        "prompt_id": id_,
        "prompt": [{"role": "user", "content": f"prompt {id_}"}],
        "completion": text,
        "target": target,
        "tokens": len(text),
        "target_tokens": None if target is None else 5,
    }


def verdict(id_, text, result):
    return {"prompt_id": id_, "completion": text, "result": result, "flip": False}


def sampler(id_, model, texts, **options):
    samples = [sample(prompt, text, **options) for prompt, text in texts.items()]
    return StageData(id_, "sample", "computed", start=model, samples=samples)


def judge(id_, of, verdicts):
    lines = [verdict(*line) for line in verdicts]
    return StageData(id_, "judge", "computed", judged=of, rival="target", verdicts=lines)


BEFORE = sampler("before", "sft", {"p": "meow", "q": "moo moo", "r": "same"})
AFTER = sampler("after", "kto", {"q": "moo", "p": "a meow", "r": "same"})
WIN_BEFORE = judge("win-before", "before", [("q", "moo moo", "loss"), ("r", "same", "win")])
WIN_AFTER = judge("win-after", "after", [("q", "moo", "win"), ("r", "same", "loss")])
RUN = [
    StageData("sft", "train", product="model"),
    StageData("kto", "train", product="model", start="sft"),
    *(BEFORE, AFTER, WIN_BEFORE, WIN_AFTER),
]


def samples_of(stages, count=20):
    judged = judged_stages(stages)
    pair = sampling_pair(stages, *before_and_after(judged, stages))
    return run_samples(stages, run_authors(stages, judged), pair, count)


def card_of(samples, prompt):
    return next(card for card in samples.cards if card.prompt[0]["content"] == f"prompt {prompt}")


def badges_of(card):
    return {column.title: list(column.badges) for column in card.columns}


def test_the_answers_before_and_after_stand_next_to_the_target():
    columns = card_of(samples_of(RUN), "q").columns
    assert [(column.title, column.text) for column in columns] == [
        ("sft", "moo moo"),
        ("kto", "moo"),
        ("target", "It says moo."),
    ]


def test_words_that_only_one_of_the_answers_has_are_marked():
    before, after, target = card_of(samples_of(RUN), "p").columns
    assert [(piece.text, piece.changed) for piece in after.pieces] == [
        ("a ", True),
        ("meow", False),
    ]
    assert not any(piece.changed for piece in (*before.pieces, *target.pieces))


def test_two_stages_with_the_same_text_each_have_their_own_verdict():
    assert badges_of(card_of(samples_of(RUN), "r")) == {
        "sft": [Badge("win-before", "win", False)],
        "kto": [Badge("win-after", "loss", False)],
        "target": [],
    }


def test_without_a_record_a_verdict_stands_only_where_one_stage_wrote_the_text():
    unknown = [judge("win", "", [("q", "moo", "win"), ("r", "same", "loss")])]
    samples = samples_of([BEFORE, AFTER, *unknown])
    assert badges_of(card_of(samples, "q"))["kto"] == [Badge("win", "win", False)]
    assert badges_of(card_of(samples, "r")) == {"sft": [], "kto": [], "target": []}


def test_prompts_are_filtered_by_what_became_of_them():
    samples = samples_of(RUN)
    assert {f.kind: f.label for f in samples.filters} == {
        "all": "all prompts: 3",
        "won": "sft lost, kto won: 1",
        "lost": "sft won, kto lost: 1",
        "same": "the same answer: 1",
    }
    assert card_of(samples, "q").kinds == {"all", "won"}
    assert card_of(samples, "r").kinds == {"all", "lost", "same"}


def test_each_filter_has_its_first_prompts_and_says_how_many_there_are():
    samples = samples_of(RUN, 1)
    assert [card.prompt[0]["content"] for card in samples.cards] == [
        "prompt p",
        "prompt q",
        "prompt r",
    ]
    assert samples.filters[0].label == "all prompts: first 1 of 3"
    assert card_of(samples, "q").kinds == {"won"}


def test_prompts_that_only_one_model_answered_are_left_out():
    samples = samples_of([BEFORE, sampler("after", "kto", {"q": "moo"})])
    assert [card.prompt[0]["content"] for card in samples.cards] == ["prompt q"]


def test_further_models_are_folded():
    base = sampler("first", "base", {"q": "m"}, target=None)
    card = card_of(samples_of([base, *RUN]), "q")
    assert [column.title for column in card.further] == ["base"]


def test_a_prompt_without_a_target_has_no_target_column():
    card = card_of(samples_of([sampler("after", "kto", {"q": "moo"}, target=None)]), "q")
    assert [column.title for column in card.columns] == ["kto"]


def test_two_stages_that_sampled_one_model_are_called_by_their_ids():
    authors = run_authors([BEFORE, sampler("again", "sft", {"p": "x"})], [])
    assert [author.title for author in authors.values()] == ["before", "again", "target"]


def test_the_change_counts_answers_and_verdicts():
    authors = run_authors(RUN, judged_stages(RUN))
    change = change_of(authors["before"], authors["after"])
    assert (change.shared, change.changed, change.won, change.lost) == (3, 2, 1, 1)


def test_a_page_never_holds_more_text_than_fits(monkeypatch):
    monkeypatch.setattr("halo_report.pages.answer_cards.MOST_BYTES", 60)
    samples = samples_of(RUN)
    assert len(samples.cards) == 1
    assert "2 more are left out, so that the page stays below 5 MB." in samples.note
    assert samples.filters[0].label == "all prompts: first 1 of 3"


def test_a_run_without_samples_has_no_cards():
    assert samples_of([WIN_AFTER]) is None
