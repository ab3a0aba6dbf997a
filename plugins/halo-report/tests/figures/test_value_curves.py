import re

from halo_report.figures.plot import svg_element
from halo_report.figures.value_curves import same_functions, value_plots
from halo_report.values.declared import ImpliedValue
from halo_report.values.sampled import sample_value


def line(slope):
    return lambda gain: slope * gain


def test_functions_that_lie_on_each_other_are_one_group():
    values = {
        "a": sample_value(line(1.0), 4, "a"),
        "b": sample_value(line(2.0), 4, "b"),
        "c": sample_value(line(1.001), 4, "c"),
    }
    assert same_functions(values) == [["a", "c"], ["b"]]


def test_lines_on_each_other_are_drawn_apart_by_dashes_that_alternate():
    values = [
        ImpliedValue("a", "a", {}, line(1.0)),
        ImpliedValue("b", "b", {}, line(1.0)),
        ImpliedValue("c", "c", {}, line(3.0)),
    ]
    plots = value_plots(values)
    assert plots[0].caption.endswith("On each other, with alternating dashes: a = b")
    element = svg_element(plots[0])
    dashes = set(re.findall(r"stroke-dasharray: ([\d.,]+); stroke-dashoffset: ([\d.]+)", element))
    shared = [(pattern, offset) for pattern, offset in dashes if len(set(pattern.split(","))) == 1]
    assert len(shared) == 2
    assert len({pattern for pattern, _ in shared}) == 1
    assert len({offset for _, offset in shared}) == 2
