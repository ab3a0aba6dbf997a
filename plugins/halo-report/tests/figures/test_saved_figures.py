"""A figure that is interrupted while it is written leaves no file."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.stop_flag import BySignal
from halo_report.figures.plot import Plot, save


def test_an_interrupted_figure_leaves_the_earlier_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plot = Plot("line", "A line.", lambda figure: None, 1.0, 1.0)
    earlier = save(plot, tmp_path / "line.svg").read_bytes()

    def interrupted(figure: object, path: Path, **_: object) -> None:
        path.write_text("<svg")
        raise BySignal

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", interrupted)
    with pytest.raises(BySignal):
        save(plot, tmp_path / "line.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["line.svg"]
    assert (tmp_path / "line.svg").read_bytes() == earlier
