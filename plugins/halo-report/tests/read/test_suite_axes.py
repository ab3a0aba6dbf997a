import pytest

from halo_core.errors import UserError
from halo_report.read.cell_matrix import JudgedCell
from halo_report.read.suite_axes import AxisChoice, imbalance_points, parse_fraction, suite_matrix
from halo_report.read.suite_cells import SuiteCells
from halo_statistics.win_rate import WinRate


def made(axes, *cells):
    """Returns a suite whose cells are named by the names of their axes' cells."""
    found = [
        (
            dict(zip(axes, named, strict=True)),
            JudgedCell("", "", run="/".join(named), rate=WinRate(1, 1, 0, 0)),
        )
        for named in cells
    ]
    return SuiteCells("toy", axes, found)


ARCHANGEL = made(
    {"size": ["1M", "10M"], "method": ["sft", "kto"]},
    ("1M", "sft"),
    ("10M", "sft"),
    ("10M", "kto"),
)


def test_methods_are_columns_and_sizes_series_in_the_suite_s_order():
    matrix = suite_matrix(ARCHANGEL, AxisChoice())
    assert (matrix.x_axis, matrix.series_axis) == ("method", "size")
    assert (list(matrix.xs), list(matrix.series)) == (["sft", "kto"], ["1M", "10M"])
    assert set(matrix.cells) == {("sft", "1M"), ("sft", "10M"), ("kto", "10M")}
    assert matrix.cells["kto", "10M"].run == "10M/kto"


def test_axes_can_be_chosen():
    matrix = suite_matrix(ARCHANGEL, AxisChoice(x="size"))
    assert (list(matrix.xs), list(matrix.series)) == (["1M", "10M"], ["sft", "kto"])


def test_other_axes_join_the_series_the_chosen_one_first():
    suite = made(
        {"beta": ["b1", "b2"], "seed": ["s1", "s2"], "loss": ["kto"]},
        ("b2", "s1", "kto"),
        ("b1", "s2", "kto"),
        ("b1", "s1", "kto"),
    )
    matrix = suite_matrix(suite, AxisChoice(series="seed"))
    assert (matrix.x_axis, matrix.series_axis) == ("loss", "seed · beta")
    assert list(matrix.series) == ["s1 · b1", "s1 · b2", "s2 · b1"]


@pytest.mark.parametrize("axis", ["size", "beta"])
def test_one_axis_is_columns_of_one_series(axis):
    matrix = suite_matrix(made({axis: ["a", "b"]}, ("b",), ("a",)), AxisChoice())
    assert (matrix.x_axis, matrix.series_axis) == (axis, "")
    assert (list(matrix.xs), list(matrix.series)) == (["a", "b"], [""])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (AxisChoice(x="methods"), "--x: unknown axis 'methods'. Did you mean 'method'?"),
        (AxisChoice(series="s"), "--series: unknown axis 's'. Known: method, size"),
        (AxisChoice(x="size", series="size"), "--series: 'size' is along x already"),
    ],
)
def test_an_axis_that_cannot_be_chosen_is_told(choice, message):
    with pytest.raises(UserError) as caught:
        suite_matrix(ARCHANGEL, choice)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("0.1", ("", 0.1)),
        ("10%", ("", 0.1)),
        ("1.0", ("", 1.0)),
        ("1", ("", 1.0)),
        (".25", ("", 0.25)),
        ("desirable-0.05", ("desirable", 0.05)),
        ("d0.5", ("d", 0.5)),
        ("dpo", None),
        ("0", None),
        ("2", None),
        ("0.1M", None),
    ],
)
def test_a_fraction_ends_a_name(name, found):
    assert parse_fraction(name) == found


def curves(suite, choice=AxisChoice()):  # noqa: B008
    kept, lines = imbalance_points(suite, choice)
    return {(each.side, each.fraction): each.cell.run for each in kept}, {
        name: cell.run for name, cell in lines.items()
    }


def test_one_axis_of_both_sides_is_two_curves_that_meet_and_a_line():
    names = ["desirable-0.1", "undesirable-0.1", "1.0", "dpo"]
    kept, lines = curves(made({"kept": names}, *((name,) for name in names)))
    assert kept == {
        ("desirable", 0.1): "desirable-0.1",
        ("undesirable", 0.1): "undesirable-0.1",
        ("desirable", 1.0): "1.0",
        ("undesirable", 1.0): "1.0",
    }
    assert lines == {"dpo": "dpo"}


def test_a_side_of_its_own_axis_names_the_curve_and_a_lonely_cell_is_a_line():
    axes = {"method": ["kto", "dpo"], "fraction": ["0.1", "1"]}
    kept, lines = curves(made(axes, ("kto", "0.1"), ("kto", "1"), ("dpo", "1")))
    assert kept == {("kto", 0.1): "kto/0.1", ("kto", 1.0): "kto/1"}
    assert lines == {"dpo": "dpo/1"}


def test_two_axes_of_fractions_are_two_curves():
    axes = {"desirable": ["0.1", "1"], "undesirable": ["0.1", "1"]}
    suite = made(axes, ("0.1", "1"), ("1", "0.1"), ("1", "1"))
    kept, lines = curves(suite)
    assert kept == {
        ("desirable", 0.1): "0.1/1",
        ("undesirable", 0.1): "1/0.1",
        ("desirable", 1.0): "1/1",
        ("undesirable", 1.0): "1/1",
    }
    assert lines == {}


def test_other_numbers_are_no_fractions_unless_chosen():
    suite = made({"beta": ["0.1", "0.5"]}, ("0.1",), ("0.5",))
    assert curves(suite) == ({}, {})
    assert curves(suite, AxisChoice(fraction="beta"))[0] == {("", 0.1): "0.1", ("", 0.5): "0.5"}


def test_a_chosen_axis_without_fractions_is_told():
    with pytest.raises(UserError, match=r"no cell of 'method' ends with a fraction in \(0, 1\]"):
        imbalance_points(ARCHANGEL, AxisChoice(fraction="method"))
