from pathlib import Path

from halo_noticeboard.board import Board

from halo_core.testing import check_tracker


def test_the_board_keeps_the_rules_of_a_tracker(tmp_path: Path) -> None:
    check_tracker(Board(), tmp_path)
