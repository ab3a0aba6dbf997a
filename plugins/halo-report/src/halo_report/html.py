"""HTML documents of the package's templates: all that is put into them is escaped."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from halo_report.plot import Plot, inline
from halo_statistics.win_rate import rate_text


def render(template: str, values: Mapping[str, object]) -> str:
    """Returns the document that a template gives.

    Args:
        template: Its file in the package's folder ``templates``.
        values: Name to value. Text is escaped; figures are put in with the filter ``svg``.
    """
    document: str = _environment().get_template(template).render(values)
    return document


def number(value: float) -> str:
    """Returns a number with as many digits as a reader needs.

    >>> number(200), number(12345.0), number(0.59512), number(5e-7)
    ('200', '12345', '0.5951', '5e-07')
    """
    return str(int(value)) if value == int(value) else f"{value:.4g}"


def svg(figure: Plot | str) -> Markup:
    """Returns a figure, or one that is drawn already, as an element that is not escaped."""
    return Markup(figure if isinstance(figure, str) else inline(figure))


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("halo_report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "rate": rate_text, "svg": svg}
    return environment
