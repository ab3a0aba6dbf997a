"""The keys of metrics in MLflow, which titles each chart with the key.

So a key is written in words: ``answer/win rate``. The part before its last slash is the section of
the chart. Stages that runs are compared by have plain sections. The sections of all other stages
begin with ``upstream.<stage>``, so that MLflow's alphabet puts them last. The final numbers of the
stages of rounds are also one curve each, whose steps are the rounds: ``rounds/win: win rate``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from halo_mlflow.store.names import PlainStages, clean_name

VERSION = 2
"""Version of these keys. A run keeps the version that it began with (`RunState.keys`)."""
ANSWER, BENCH, SAMPLES, FINAL, UPSTREAM = "answer", "bench", "samples", "final", "upstream"
ROUNDS = "rounds"

CONSTANTS = ("parameters", "vocabulary", "loss_first", "steps", "examples", "exported_step")
"""Final numbers that are facts about a stage, not results. They become tags."""

_JUDGED: Mapping[str, str] = {
    "win": "win rate",
    "win_lo": "win rate low",
    "win_hi": "win rate high",
    "win_lc": "length-controlled win rate",
    "win_lc_lo": "length-controlled win rate low",
    "win_lc_hi": "length-controlled win rate high",
    "win_failures_lost": "win rate with unscored as lost",
    "win_weighted": "win rate weighted by certainty",
    "n": "comparisons",
    "unscored_share": "share unscored",
    "unpaired": "samples without a text to compare",
    "flip": "share where orders disagree",
    "agreement": "share where orders agree",
    "first_shown": "share for the text shown first",
    "len": "median length",
    "baseline_len": "median length of the baseline",
    "calls": "paid requests",
    "cost": "cost in dollars",
}
_SAMPLED: Mapping[str, str] = {
    "n": "completions",
    "len": "median length",
    "len_mean": "mean length",
    "stopped": "share that ended by themselves",
}
_WORDS: Mapping[str, str] = {
    "lr": "learning rate",
    "grad_norm": "gradient norm",
    "accuracies": "accuracy",
    "lengths": "completion length",
    "kl": "KL",
    "tok_s": "tokens per second",
    "step_s": "seconds per step",
    "micro_batch_tokens": "tokens of a micro-batch",
    "peak_gb": "peak memory in GB",
    "age_steps": "age in steps",
    "store_mb": "store in MB",
    "n": "rows",
    "len": "median length",
    "calls": "paid requests",
    "cost": "cost in dollars",
}
_FIRST = ("win", "win_lc", "len")
"""Numbers whose section comes first in the alphabet, so that its charts are the first ones."""
WIN_RATE, WIN_RATE_LC, LENGTH = (f"{ANSWER}/{_JUDGED[name]}" for name in _FIRST)


def in_words(name: str, words: Mapping[str, str] = _WORDS) -> str:
    """Returns the name of a number with its last part in words.

    >>> in_words("eval/test/policy/reference_point"), in_words("perf/tok_s")
    ('eval/test/policy/reference point', 'perf/tokens per second')
    """
    section, slash, last = name.rpartition("/")
    return f"{section}{slash}{words.get(last, last.replace('_', ' '))}"


def curve_key(plain: PlainStages, stage: str, name: str) -> str:
    """Returns the key of a stage's curve."""
    return _key("" if stage == plain.method else stage, in_words(name))


def final_key(
    plain: PlainStages, stage: str, product: str, name: str, curves: Collection[str] = ()
) -> str | None:
    """Returns the key of a stage's final number; None for a constant and a curve's last value.

    Args:
        plain: The stages that runs are compared by.
        stage: The stage's id.
        product: The stage's product.
        name: The number's name.
        curves: The names of the stage's curves so far.
    """
    if "/" in name or name in CONSTANTS:
        return None
    if product == "verdicts":
        words = in_words(name, _JUDGED)
        section = ANSWER if name in _FIRST else BENCH
        return _key("", f"{section}/{words}") if stage == plain.judge else _key(stage, words)
    if product == "samples":
        words = in_words(name, _SAMPLED)
        return _key("", f"{SAMPLES}/{words}") if stage == plain.sample else _key(stage, words)
    if any(name in _short_names(curve) for curve in curves):
        return None
    return _key("" if stage == plain.method else stage, f"{FINAL}/{in_words(name)}")


def round_key(repeats: str, product: str, name: str) -> str | None:
    """Returns the key of a final number over the rounds; None for a constant and a curve's value.

    Args:
        repeats: The written id of the stage, which is the same in all rounds.
        product: The stage's product.
        name: The number's name.

    >>> round_key("win", "verdicts", "win_lc")
    'rounds/win: length-controlled win rate'
    """
    if "/" in name or name in CONSTANTS:
        return None
    words = {"verdicts": _JUDGED, "samples": _SAMPLED}.get(product, _WORDS)
    return clean_name(f"{ROUNDS}/{repeats}: {in_words(name, words)}")


def constant_tag(stage: str, name: str) -> str:
    """Returns the tag of a stage's constant."""
    return clean_name(f"halo.stage.{stage}.{name}")


def _key(upstream: str, words: str) -> str:
    return clean_name(f"{UPSTREAM}.{upstream}/{words}" if upstream else words)


def _short_names(curve: str) -> tuple[str, ...]:
    """Returns a trainer's names for a curve's last value."""
    return curve.rpartition("/")[2], curve.replace("/", "_")
