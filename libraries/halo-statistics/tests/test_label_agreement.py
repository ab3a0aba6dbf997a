import math
import random
import warnings
from itertools import permutations

import pytest

from halo_statistics import accuracy, cohen_kappa, krippendorff_alpha, proportion

ROUNDING = 1e-12


def test_accuracy_is_the_share_of_equal_labels_with_its_exact_interval():
    assert accuracy(["A", "B", "tie", "A"], ["A", "B", "A", "A"]) == proportion(3, 4)
    assert accuracy([1], [2], confidence=0.5) == proportion(0, 1, confidence=0.5)


def test_kappa_is_agreement_beyond_chance():
    first, second = "AAAABBBCCC", "AAABBBCCCA"
    agree = 7 / 10
    chance = (4 * 4 + 3 * 3 + 3 * 3) / 100
    assert cohen_kappa(first, second) == pytest.approx((agree - chance) / (1 - chance))


def test_kappa_is_1_for_equal_labels_0_for_a_constant_rater_and_below_for_opposites():
    assert cohen_kappa("ABBA", "ABBA") == pytest.approx(1)
    assert cohen_kappa("ABBA", "AAAA") == pytest.approx(0)
    assert cohen_kappa("ABBA", "BAAB") == pytest.approx(-1)


def test_kappa_is_symmetric_and_does_not_know_the_labels_names():
    first, second = "AABBCCAB", "ABBBCAAB"
    kappa = cohen_kappa(first, second)
    assert cohen_kappa(second, first) == pytest.approx(kappa)
    names = {"A": 1, "B": None, "C": "tie"}
    renamed = [[names[label] for label in labels] for labels in (first, second)]
    assert cohen_kappa(*renamed) == pytest.approx(kappa)


def test_kappa_of_one_label_alone_is_not_a_number_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(cohen_kappa("AAA", "AAA"))


@pytest.mark.parametrize("measure", [accuracy, cohen_kappa])
def test_labels_that_do_not_match_raise(measure):
    message = "expected two labels for each of at least one item: got 2 and 1 labels"
    with pytest.raises(ValueError, match=message):
        measure("AB", "A")
    with pytest.raises(ValueError, match="got 0 and 0 labels"):
        measure("", "")


KRIPPENDORFF = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)
"""The example of section C of Krippendorff 2011: four observers, twelve units, alpha 0.743."""


def rows(texts):
    return [[None if label == "." else label for label in text.split()] for text in texts]


def test_alpha_of_krippendorff_s_own_example():
    assert krippendorff_alpha(rows(KRIPPENDORFF)) == pytest.approx(0.743, abs=5e-4)


def by_coincidences(ratings):
    """Recomputed in plain Python: from the matrix of coincidences."""
    matrix = {}
    for unit in zip(*ratings, strict=True):
        labels = [label for label in unit if label is not None]
        for a, b in permutations(range(len(labels)), 2):
            key = labels[a], labels[b]
            matrix[key] = matrix.get(key, 0) + 1 / (len(labels) - 1)
    margins = {}
    for (label, _), value in matrix.items():
        margins[label] = margins.get(label, 0) + value
    count = sum(margins.values())
    seen = sum(value for (a, b), value in matrix.items() if a != b)
    chance = sum(margins[a] * margins[b] for a, b in permutations(margins, 2)) / (count - 1)
    return 1 - seen / chance


def test_alpha_agrees_with_the_matrix_of_coincidences():
    draw = random.Random(4)
    for _ in range(30):
        ratings = [[draw.choice("AAB.C") for _ in range(15)] for _ in range(3)]
        ratings = [[None if label == "." else label for label in row] for row in ratings]
        assert krippendorff_alpha(ratings) == pytest.approx(by_coincidences(ratings), abs=ROUNDING)


def test_alpha_is_1_for_full_agreement_and_near_0_for_chance():
    assert krippendorff_alpha(["ABBA", "ABBA", "ABBA"]) == 1
    draw = random.Random(5)
    guesses = [[draw.choice("AB") for _ in range(4000)] for _ in range(3)]
    assert krippendorff_alpha(guesses) == pytest.approx(0, abs=0.03)


def test_alpha_ignores_items_with_one_label_and_the_order_of_raters():
    ratings = rows(KRIPPENDORFF)
    assert krippendorff_alpha(ratings[::-1]) == pytest.approx(krippendorff_alpha(ratings))
    more = [[*ratings[0], "9"], *([*row, None] for row in ratings[1:])]
    assert krippendorff_alpha(more) == pytest.approx(krippendorff_alpha(ratings), abs=ROUNDING)


def test_alpha_of_two_complete_raters_is_close_to_kappa():
    draw = random.Random(6)
    first = [draw.choice("ABC") for _ in range(3000)]
    second = [label if draw.random() < 0.6 else draw.choice("ABC") for label in first]
    assert krippendorff_alpha([first, second]) == pytest.approx(
        cohen_kappa(first, second), abs=0.001
    )


def test_alpha_of_one_label_alone_is_not_a_number():
    assert math.isnan(krippendorff_alpha(["AA", "AA"]))


def test_wrong_ratings_raise():
    with pytest.raises(ValueError, match=r"from every rater: rows of \[2, 3\]"):
        krippendorff_alpha(["AB", "ABC"])
    for ratings in ([], ["AB"], [["A", None], [None, "B"]]):
        with pytest.raises(ValueError, match="labels of at least two raters: got none"):
            krippendorff_alpha(ratings)
