"""Options that judges of an endpoint share, as types. None of them is part of an identity.

concurrency: AtOnce = 16
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from halo_core.option_markers import Execution
from halo_judge.judges.endpoint.secret import variable_name

KeyVariable = Annotated[
    str | None,
    Execution(),
    # This runs before the type check, whose error would show the value, perhaps the key itself.
    BeforeValidator(variable_name),
    Field(description="Environment variable that has the key; null for no key."),
]
AtOnce = Annotated[
    int,
    Execution(),
    Field(ge=1, le=512, description="Maximum number of concurrent requests; fewer after a 429."),
]
Seconds = Annotated[
    float,
    Execution(),
    Field(gt=0, description="Maximum seconds to wait for the answer to a request."),
]
Retries = Annotated[
    int,
    Execution(),
    Field(ge=0, le=100, description="Number of times that a failed request is sent again."),
]
