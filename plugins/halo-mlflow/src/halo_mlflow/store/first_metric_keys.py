"""The keys of metrics that an older halo gave. A run that began with them keeps them to its end."""

from __future__ import annotations

from collections.abc import Collection

from halo_mlflow.store.names import PlainStages, clean_name


def curve_key(plain: PlainStages, stage: str, name: str) -> str:
    """Returns the key of a stage's curve."""
    return clean_name(name if stage == plain.method else f"{stage}.{name}")


def final_key(
    plain: PlainStages, stage: str, product: str, name: str, curves: Collection[str] = ()
) -> str | None:
    """Returns the key of a stage's final number; None for the last value of a curve.

    Args:
        plain: The stages whose sections have plain names.
        stage: The stage's id.
        product: The stage's product.
        name: The number's name.
        curves: The keys of all curves of all stages so far.
    """
    if "/" in name:
        return None
    if product == "verdicts":
        return clean_name(f"{_section('bench', stage, plain.judge)}/{name}")
    if product == "samples":
        return clean_name(f"{_section('samples', stage, plain.sample)}/{name}")
    prefix = "" if stage == plain.method else f"{stage}."
    if any(name in _short_names(key, prefix) for key in curves):
        return None
    return clean_name(f"{prefix}final/{name}")


def _short_names(key: str, prefix: str) -> tuple[str, ...]:
    """Returns a trainer's names for a curve's last value; nothing for another stage's curve."""
    curve = key.removeprefix(prefix)
    of_another = not key.startswith(prefix) or "." in curve.partition("/")[0]
    return () if of_another else (curve.rpartition("/")[2], curve.replace("/", "_"))


def _section(section: str, stage: str, plain: str | None) -> str:
    return section if stage == plain else f"{section}.{stage}"
