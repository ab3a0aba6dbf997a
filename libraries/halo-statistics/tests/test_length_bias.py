import math

import pytest

from halo_statistics import length_bias, proportion


def spearman(xs, ys):
    """Recomputed in plain Python: the correlation of mean ranks."""

    def ranks(values):
        ordered = sorted(values)
        return [ordered.index(v) + (ordered.count(v) - 1) / 2 for v in values]

    rx, ry = ranks(xs), ranks(ys)
    mx, my = sum(rx) / len(rx), sum(ry) / len(ry)
    top = sum((a - mx) * (b - my) for a, b in zip(rx, ry, strict=True))
    return top / math.sqrt(sum((a - mx) ** 2 for a in rx) * sum((b - my) ** 2 for b in ry))


POINTS = [1, 0, 0.5, 1, 0, 1, 1]
LENGTHS = [30, 10, 25, 5, 20, 20, 41]
BASELINES = [20, 20, 20, 20, 20, 20, 40]


def test_points_of_the_longer_text_are_those_counted_by_hand():
    # won longer, lost shorter, tied longer, won shorter, two of one length, won longer
    found = length_bias(POINTS, LENGTHS, BASELINES)
    assert found.longer == proportion(1 + 1 + 0.5 + 0 + 1, 5)
    assert found.n == 7


def test_correlation_is_spearman_s():
    gaps = [ours - theirs for ours, theirs in zip(LENGTHS, BASELINES, strict=True)]
    found = length_bias(POINTS, LENGTHS, BASELINES)
    assert found.correlation == pytest.approx(spearman(POINTS, gaps))


def test_the_judge_longest_gives_everything_to_the_longer_text():
    lengths, baselines = [5, 9, 2, 8], [7, 3, 1, 9]
    points = [float(a > b) for a, b in zip(lengths, baselines, strict=True)]
    found = length_bias(points, lengths, baselines)
    assert found.longer.rate == 1.0
    assert found.correlation > 0.8


def test_it_is_the_same_seen_from_the_baseline():
    here = length_bias(POINTS, LENGTHS, BASELINES)
    there = length_bias([1 - p for p in POINTS], BASELINES, LENGTHS)
    assert there.longer == here.longer
    assert there.correlation == pytest.approx(here.correlation)


def test_the_unit_does_not_matter():
    here = length_bias(POINTS, LENGTHS, BASELINES)
    assert length_bias(POINTS, [4 * x for x in LENGTHS], [4 * x for x in BASELINES]) == here


def test_a_better_model_that_is_always_longer_has_no_correlation():
    found = length_bias([1, 1, 0, 1], [15, 16, 17, 18], [5, 6, 7, 8])
    assert found.longer.rate == 0.75
    assert found.correlation == 0.0


def test_equal_lengths_and_equal_points_say_nothing():
    assert length_bias([1, 0], [5, 6], [5, 6]).longer is None
    assert length_bias([1, 1], [5, 9], [5, 6]).correlation == 0.0
    assert length_bias([1], [5], [4]).correlation == 0.0


@pytest.mark.parametrize(
    ("points", "lengths", "baselines", "message"),
    [
        ([], [], [], "expected the points of at least one comparison: got none"),
        ([1], [1, 2], [1], "two lengths for each comparison: 1 points, 2 lengths, 1 of baselines"),
        ([1, 0], [1, 2], [1], "2 points, 2 lengths, 1 of baselines"),
        ([1], [-1], [1], "expected lengths of at least 0: -1"),
        ([1], [1], [math.nan], "expected lengths of at least 0: nan"),
        ([1], [1], [math.inf], "expected lengths of at least 0: inf"),
        ([1.5], [1], [1], r"expected points from 0 \(loss\) to 1 \(win\): 1.5"),
    ],
)
def test_wrong_input_raises(points, lengths, baselines, message):
    with pytest.raises(ValueError, match=message):
        length_bias(points, lengths, baselines)


def test_a_completion_without_tokens_has_the_length_0():
    found = length_bias([1.0, 0.0], [0, 3], [2, 0])
    assert found.longer is not None
    assert (found.n, found.longer.rate) == (2, 0.0)
