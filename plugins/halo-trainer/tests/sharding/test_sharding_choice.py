"""The meaning of the option `sharding`, and the reason that the log gives."""

from __future__ import annotations

from halo_trainer.sharding.choice import choose

GB = 10**9


def test_auto_spreads_what_does_not_fit_on_a_device() -> None:
    choice = choose("auto", processes=8, needed=65 * GB, device=80 * GB)
    assert choice.full
    assert choice.reason == (
        "sharding: full, because 65.0 GB do not fit into 80 % of a device with 80.0 GB"
    )


def test_auto_spreads_nothing_that_fits() -> None:
    choice = choose("auto", processes=8, needed=63 * GB, device=80 * GB)
    assert not choice.full
    assert choice.reason == (
        "sharding: none, because 63.0 GB fit into 80 % of a device with 80.0 GB"
    )


def test_auto_spreads_nothing_on_a_cpu_and_says_so() -> None:
    choice = choose("auto", processes=2, needed=10**15, device=None)
    assert not choice.full
    assert "processes on a CPU share its memory" in choice.reason


def test_an_option_decides_and_the_log_says_so() -> None:
    for option in ("none", "full"):
        choice = choose(option, processes=2, needed=0, device=None)
        assert (choice.full, choice.reason) == (option == "full", f"sharding: {option}, as asked")


def test_one_process_spreads_nothing_and_says_so_only_if_asked() -> None:
    assert choose("auto", processes=1, needed=0, device=None).reason == ""
    asked = choose("full", processes=1, needed=0, device=None)
    assert not asked.full
    assert "there is one process; set processes" in asked.reason
