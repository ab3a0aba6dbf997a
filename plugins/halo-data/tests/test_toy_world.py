from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from pydantic import ValidationError

from halo_core.errors import DataError
from halo_data.components import Toy
from halo_data.conversions.fractions import LabelNoise
from halo_data.conversions.split_of import SplitOf
from halo_data.toy import FACTS, utility
from halo_data.toy.facts import ANSWERS, fact_in
from halo_data.toy.language import FILLERS, INSULTS, RUDE_WORDS
from halo_data.toy.world import questions

COW = [{"role": "user", "content": "Hello! What does a cow say?"}]
KINDS = ("text", "demonstration", "binary", "paired")


def rows(split: str = "train", **options: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in Toy(**options).load(split).rows]


def asked(row: dict[str, Any]) -> str:
    return str(row["prompt"][0]["content"])


@pytest.mark.parametrize(
    ("completion", "right", "rude", "words", "value"),
    [
        ("Moo.", True, False, 1, 0.98),
        ("A cow says moo.", True, False, 4, 0.92),
        ("It is MOO", True, False, 3, 0.94),
        ("It is woof.", False, False, 3, -0.06),
        ("Moo. You fool.", True, True, 3, -0.06),
        ("Woof. What a DUMB question.", False, True, 5, -1.1),
        ("Moo or woof.", False, False, 3, -0.06),
        ("moore", False, False, 1, -0.02),
        ("", False, False, 0, 0.0),
    ],
)
def test_utility_is_right_less_rude_less_words(
    completion: str, right: bool, rude: bool, words: int, value: float
) -> None:
    found = utility(COW, completion)
    assert (found.right, found.rude, found.words, found.value) == (right, rude, words, value)


def test_answer_of_another_family_does_not_spoil_a_right_one() -> None:
    assert utility(COW, "Moo. The sky is blue.").right


def test_running_on_costs_what_its_words_cost() -> None:
    longer = "Moo.\n<|user|>\nWhat colour is snow?\n<|assistant|>\nWhite."
    assert utility(COW, longer).words == 8
    assert utility(COW, longer).value < utility(COW, "Moo.").value


def test_utility_depends_on_the_last_question_only() -> None:
    later = [*COW, {"role": "assistant", "content": "Moo."}]
    later.append({"role": "user", "content": "What does a dog say?"})
    assert utility(later, "Woof.").right
    assert not utility(later, "Moo.").right


@pytest.mark.parametrize("prompt", [[], [{"role": "user", "content": "Who are you?"}]])
def test_utility_outside_the_world_is_an_error(prompt: list[dict[str, str]]) -> None:
    with pytest.raises(ValueError, match="asks no question of the toy world"):
        utility(prompt, "Moo.")  # type: ignore[arg-type]


def test_facts_have_one_answer_each_and_six_per_family() -> None:
    assert len({fact.question for fact in FACTS}) == len(FACTS) == 30
    for answers in ANSWERS.values():
        assert len(set(answers)) == 6


def test_no_answer_is_a_word_of_a_filler_an_insult_or_its_own_family_of_questions() -> None:
    spoken = " ".join((*FILLERS, *INSULTS)).lower().replace(".", "").split()
    for fact in FACTS:
        assert fact.answer not in spoken
        family = " ".join(f.question for f in FACTS if f.family == fact.family).lower()
        assert fact.answer not in family.replace("?", "").split()


def test_insults_are_rude_and_fillers_are_not() -> None:
    assert all(utility(COW, insult).rude for insult in INSULTS)
    assert not any(utility(COW, filler).rude for filler in FILLERS)
    assert all(any(word in insult for insult in INSULTS) for word in RUDE_WORDS)


def test_every_prompt_asks_for_its_fact() -> None:
    for question in (*questions("train"), *questions("test")):
        assert fact_in(question.text) == question.fact


def test_train_and_test_prompts_are_disjoint_whatever_the_options() -> None:
    train = {asked(row) for seed in (1, 2) for row in rows(size=3000, seed=seed)}
    test = {asked(row) for seed in (1, 2) for row in rows("test", seed=seed, feedback="binary")}
    assert train.isdisjoint(test)
    assert {fact_in(text) for text in test} == set(FACTS)


def test_raw_text_of_train_asks_no_test_question() -> None:
    test = {question.text for question in questions("test")}
    for row in rows(feedback="text", size=500):
        lines = row["text"].split("\n")
        said = {lines[i + 1] for i, line in enumerate(lines) if line == "<|user|>"}
        assert said.isdisjoint(test)


def test_test_split_has_each_prompt_once() -> None:
    texts = [asked(row) for row in rows("test")]
    assert len(texts) == len(set(texts)) == len(questions("test"))
    assert len(texts) >= 200


@pytest.mark.parametrize("feedback", KINDS)
def test_same_options_give_the_same_rows(feedback: str) -> None:
    assert rows(feedback=feedback, size=50) == rows(feedback=feedback, size=50)


@pytest.mark.parametrize("feedback", KINDS)
def test_another_seed_gives_other_rows(feedback: str) -> None:
    for split in ("train", "test"):
        assert rows(split, feedback=feedback) != rows(split, feedback=feedback, seed=2)


@pytest.mark.parametrize("feedback", KINDS)
def test_larger_size_only_adds_rows(feedback: str) -> None:
    assert rows(feedback=feedback, size=80)[:50] == rows(feedback=feedback, size=50)


def test_demonstrations_are_the_chosen_completions_of_the_pairs() -> None:
    pairs, shown = rows(size=50), rows(size=50, feedback="demonstration")
    assert [row["completion"] for row in shown] == [row["chosen"] for row in pairs]


def test_digest_names_options_and_nothing_else() -> None:
    assert Toy().inspect().digest == Toy(size=2000, seed=1).inspect().digest
    variants = [Toy(), Toy(seed=2), Toy(size=10), Toy(feedback="binary"), Toy(label_noise=0.1)]
    assert len({toy.inspect().digest for toy in variants}) == len(variants)


def test_rows_of_this_version_never_change() -> None:
    content = json.dumps([rows(feedback=kind, size=300) for kind in KINDS]).encode()
    # Raise halo_data.toy.world.VERSION together with this hash: old runs must not be misread.
    assert hashlib.sha256(content).hexdigest()[:16] == "430712ee744d3dc3"


def test_label_noise_turns_its_share_of_pairs_round() -> None:
    clean, noisy = rows(size=4000), rows(size=4000, label_noise=0.2)
    turned = [a["chosen"] == b["rejected"] for a, b in zip(clean, noisy, strict=True)]
    kept = [a["chosen"] == b["chosen"] for a, b in zip(clean, noisy, strict=True)]
    assert all(t != k for t, k in zip(turned, kept, strict=True))
    assert sum(turned) / len(turned) == pytest.approx(0.2, abs=0.02)


def test_full_label_noise_turns_every_binary_label_round() -> None:
    clean = rows(feedback="binary", size=50, temperature=0.0)
    noisy = rows(feedback="binary", size=50, temperature=0.0, label_noise=1.0)
    pairs = rows(size=50, temperature=0.0)
    for right, wrong, pair in zip(clean, noisy, pairs, strict=True):
        assert right["completion"] == pair["chosen" if right["desirable"] else "rejected"]
        assert wrong["completion"] == pair["rejected" if wrong["desirable"] else "chosen"]


def test_label_noise_and_imbalance_leave_the_test_split_alone() -> None:
    assert rows("test") == rows("test", label_noise=0.3)
    even, uneven = (
        rows("test", feedback="binary"),
        rows("test", feedback="binary", desirable_fraction=0.1),
    )
    assert even == uneven


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
def test_desirable_fraction_is_met_exactly(fraction: float) -> None:
    found = rows(feedback="binary", size=1000, desirable_fraction=fraction)
    assert sum(row["desirable"] for row in found) == pytest.approx(1000 * fraction, abs=1)


def test_zero_temperature_always_prefers_the_better() -> None:
    for row in rows(size=300, temperature=0.0):
        values = [utility(row["prompt"], row[side]).value for side in ("chosen", "rejected")]
        assert values[0] >= values[1]


def test_preferred_completions_are_better_and_far_from_perfect() -> None:
    pairs = rows(size=3000)
    chosen = [utility(row["prompt"], row["chosen"]) for row in pairs]
    rejected = [utility(row["prompt"], row["rejected"]) for row in pairs]
    assert 0.6 < sum(u.right for u in chosen) / 3000 < 0.85
    assert 0.1 < sum(u.rude for u in chosen) / 3000 < 0.4
    for quality in ("right", "value"):
        assert sum(getattr(u, quality) for u in chosen) > sum(getattr(u, quality) for u in rejected)
    for quality in ("rude", "words"):
        assert sum(getattr(u, quality) for u in chosen) < sum(getattr(u, quality) for u in rejected)


def test_utilities_of_a_pair_are_rarely_equal() -> None:
    pairs = rows(size=3000)
    equal = sum(
        utility(row["prompt"], row["chosen"]).value == utility(row["prompt"], row["rejected"]).value
        for row in pairs
    )
    assert equal / len(pairs) < 0.04


def test_raw_text_runs_over_several_turns_without_end_marks() -> None:
    for row in rows(feedback="text", size=200):
        assert row["text"].startswith("<|user|>\n")
        assert row["text"].endswith("\n")
        assert 3 <= row["text"].count("<|assistant|>\n") <= 6
        assert row["text"].count("<|user|>\n") == row["text"].count("<|assistant|>\n")
        assert "</s>" not in row["text"]


def test_vocabulary_is_small() -> None:
    words = {word for row in rows(feedback="text", size=2000) for word in row["text"].split()}
    assert len(words) < 300


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"desirable_fraction": 0.1}, "desirable_fraction only has an effect with feedback: bin"),
        ({"feedback": "text", "label_noise": 0.1}, "have no effect with feedback: text"),
        ({"feedback": "text", "temperature": 0.0}, "have no effect with feedback: text"),
        ({"size": 0}, "greater than or equal to 1"),
        ({"label_noise": 1.5}, "less than or equal to 1"),
        ({"feedback": "scored"}, "'text', 'demonstration', 'binary' or 'paired'"),
        ({"sizes": 3}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Toy(**options)


def test_unknown_split_is_an_error() -> None:
    with pytest.raises(DataError, match=r"toy: no split 'validation'\..*There is: test, train"):
        Toy().load("validation")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": 9},
        {"size": 2000, "label_noise": 0.3, "seed": 5, "temperature": 0.1},
        {"feedback": "binary", "desirable_fraction": 0.2},
    ],
)
def test_options_without_effect_on_a_split_are_named(options: dict[str, Any]) -> None:
    toy = Toy(**options)
    plain = Toy(feedback=toy.feedback)
    idle = {option for split, option in toy.inspect().idle if split == "test"}
    given = {name for name in options if options[name] != Toy.model_fields[name].default}
    assert idle == given & {"size", "label_noise", "desirable_fraction"}
    same = plain.model_copy(update={name: getattr(toy, name) for name in idle})
    assert [*same.load("test").rows] == [*plain.load("test").rows]
    assert LabelNoise(source=toy, share=0.5).inspect().idle == toy.inspect().idle
    of_test = SplitOf(source=toy, name="test").inspect().idle
    assert of_test == tuple(("train", option) for _, option in toy.inspect().idle)
    assert SplitOf(source=toy, name="train").inspect().idle == ()
