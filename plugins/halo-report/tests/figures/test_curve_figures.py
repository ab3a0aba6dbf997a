import re

from halo_report.figures.curves import curve_figures, thin_curve
from halo_report.figures.method_curves import method_curves
from halo_report.figures.plot import HEIGHT, LEGEND, WIDTH, svg_element
from halo_report.read.cell_matrix import CellMatrix, JudgedCell
from halo_report.read.run_data import StageData

KTO = StageData(
    "kto",
    "train",
    loss="kto",
    curves={
        "train/loss": {1: 0.5, 2: 0.4},
        "rewards/desirable": {1: 0.0, 2: 0.1},
        "policy/reference_point": {1: 0.0, 2: 0.2},
    },
)


def matrix_of(stage):
    cell = JudgedCell("kto", "", trained=stage)
    return CellMatrix("toy", "method", "", ["kto"], [""], {("kto", ""): cell}, "left out")


def test_a_figure_of_a_stage_has_one_panel_and_one_size():
    sizes = {plot.name: (plot.width, plot.height) for plot in curve_figures(KTO)}
    assert sizes == dict.fromkeys(
        ("kto loss", "kto rewards", "kto reference point"), (WIDTH, HEIGHT + LEGEND)
    )


def texts_of(plot):
    return re.findall(r">([^<>]+)</text>", svg_element(plot))


def test_the_estimate_of_the_kl_is_drawn_with_what_was_clipped_at_0():
    curves = {
        "policy/kl": {1: -0.5, 2: -0.1, 3: 0.3},
        "policy/reference_point": {1: 0.0, 2: 0.0, 3: 0.3},
    }
    (plot,) = curve_figures(StageData("kto", "train", loss="kto", curves=curves))
    assert plot.caption == "kto: KL estimate, clipped at 0 in 2 of 3 points"
    texts = texts_of(plot)
    assert {"estimate", "reference point", "clipped at 0", "KL estimate (nats)"} <= set(texts)
    # The axis reaches down to the estimate, not only to the reference point.
    assert any(text.startswith("\N{MINUS SIGN}0.") for text in texts)


def test_a_caption_says_where_not_all_points_are_drawn():
    curve = {step: 1.0 for step in range(1, 1001)}
    (plot,) = curve_figures(StageData("sft", "train", loss="sft", curves={"train/loss": curve}))
    assert plot.caption == "sft: loss; 334 of 1000 points are drawn"
    assert svg_element(plot).count("L ") < 1000


def test_a_figure_of_a_method_has_its_panels_in_a_column_that_fits_on_a_phone():
    (plot,) = method_curves(matrix_of(KTO))
    assert (plot.name, plot.width) == ("curves-kto", WIDTH)
    assert {"loss", "implied reward", "KL estimate (nats)"} <= set(texts_of(plot))


def test_figures_of_methods_have_the_same_scales():
    low = StageData("sft", "train", loss="kto", curves={"train/loss": {1: 0.1, 2: 0.2}})
    cells = {(x, ""): JudgedCell(x, "", trained=stage) for x, stage in (("a", low), ("b", KTO))}
    matrix = CellMatrix("toy", "method", "", ["a", "b"], [""], cells, "left out")
    scales = [
        [text for text in texts_of(plot) if re.fullmatch(r"0\.\d", text)]
        for plot in method_curves(matrix)
    ]
    assert scales[0]
    assert scales[0] == scales[1][: len(scales[0])]


def test_a_method_that_logged_nothing_has_no_figure():
    assert method_curves(matrix_of(StageData("sft", "train"))) == []


def test_a_thinned_curve_keeps_its_first_and_its_last_point():
    curve = {step: float(step) for step in range(1, 1001)}
    steps = list(thin_curve(curve))
    assert (steps[0], steps[-1]) == (1, 1000)
    assert 300 <= len(steps) <= 335
