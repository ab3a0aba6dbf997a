"""Options that the judges behind an endpoint share, as types; none of them is in an identity.

concurrency: AtOnce = 16
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from halo_core.component import Execution
from halo_judge.judges.endpoint.secret import variable_name

KeyVariable = Annotated[
    str | None,
    Execution(),
    # Before the type is looked at: that mistake would show the value, which may be the key itself.
    BeforeValidator(variable_name),
    Field(description="The environment variable that holds the key; null for none."),
]
AtOnce = Annotated[
    int,
    Execution(),
    Field(ge=1, le=512, description="Requests at once, at most; fewer after a 429."),
]
Seconds = Annotated[
    float,
    Execution(),
    Field(gt=0, description="Seconds to wait for the answer to a request."),
]
Retries = Annotated[
    int,
    Execution(),
    Field(ge=0, le=100, description="How often a request that failed is sent again."),
]
