"""What every component is: a frozen pydantic model whose fields are its options.

A component holds no state and no tensors. It is a recipe: `halo validate` builds it without torch,
its JSON schema documents it, and its options are part of the identity of every stage that uses it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from halo_core.errors import PluginError, nearest

Role = Literal["start", "learn", "test", "rival"]
"""What a stage does with what an option names, where the core acts on it.

``start``: the model that the stage starts from, or lets answer. ``learn``: rows that it learns
from. ``test``: rows that it is tested on, which nothing may learn from. ``rival``: samples that
others are compared with.
"""


@dataclass(frozen=True)
class Refers:
    """Marks an option that names something of the spec: a model, samples, a data set.

    Attributes:
        product: What the option names: ``"model"``, ``"samples"``, ``"verdicts"``, ``"feedback"``
            or ``"data"``.
        role: What the stage does with it; None for anything that the core does not act on.
        also: What may be written besides the id of a stage.
    """

    product: str
    role: Role | None = None
    also: tuple[str, ...] = ()


PREVIOUS = "previous"


@dataclass(frozen=True)
class Default:
    """Marks a stage's option that, left out, stands for something else of the spec.

    ``Annotated[StartRef | None, Default("previous")]`` is the model of the nearest earlier stage
    that makes one, else the spec's. ``Annotated[ModelRef | None, Default("start")]`` is the model
    that the stage's option `start` names. ``Annotated[RefPointEstimator | None,
    Default("objective")]`` is the reference point that the loss in the option `objective` chooses.

    Attributes:
        of: ``"previous"``, or the name of another option as specs write it.
        when: An attribute of the stage that must be true, else the option stays empty.
    """

    of: str
    when: str | None = None


class Location:
    """Marks an option that is a path: made absolute, checked, and left out of the identity.

    A path may also be written as ``file:PATH:NAME``, for something in a Python file.
    """


@dataclass(frozen=True)
class Execution:
    """Marks an option that changes how fast or where, and never what: left out of the identity.

    Attributes:
        unless: An attribute of the component. Where it is true the option does decide what comes
            out, and is in the identity: ``Execution(unless="exports_best")``.
    """

    unless: str | None = None


class Added:
    """Marks an option that a component got after its results were first stored.

    It is left out of the identity where it has its default, so that results of before are found
    again. The default therefore means: as it was without the option; it can never change.
    """


class Origin(NamedTuple):
    """Where a component comes from.

    Attributes:
        name: The name that specs use: ``kto``, ``namespace/name`` or ``file:PATH:CLASS``.
        distribution: The distribution that registered it; ``file:NAME`` for a local file.
        version: The distribution's version.
        file: The file of the module that registered it, or the local file.
        target: ``module:attribute``, or ``file:PATH:CLASS``.
    """

    name: str
    distribution: str
    version: str
    file: str
    target: str


ComponentT = TypeVar("ComponentT", bound="Component")
ModelRef = Annotated[str, Refers("model")]
"""The id of an earlier stage that makes a model, or `model` for the one that the spec names."""
StartRef = Annotated[str, Refers("model", role="start")]
"""A `ModelRef`: the model that the stage starts from, or lets answer. A stage has at most one."""
SamplesRef = Annotated[str, Refers("samples")]
"""The id of an earlier stage that samples."""
RivalRef = Annotated[str, Refers("samples", role="rival", also=("target",))]
"""What samples are compared with: the id of a stage that samples, or `target`, the completion that
the data holds for the prompt."""
DataRef = Annotated[str | list[Any] | dict[str, Any], Refers("data")]
"""The name of a set under ``data:``, the id of an earlier stage that makes feedback, or sources
written in place."""
LearnRef = Annotated[str | list[Any] | dict[str, Any], Refers("data", role="learn")]
"""A `DataRef` whose rows the stage learns from."""
TestRef = Annotated[str | list[Any] | dict[str, Any], Refers("data", role="test")]
"""A `DataRef` whose rows the stage is tested on: prompts to answer, or sets to evaluate on."""


def is_interface(cls: type) -> bool:
    """Returns whether a class is one of the interfaces, that is, sets `kind` itself."""
    return "kind" in cls.__dict__


class Component(BaseModel):
    """Base of the kinds of component. Subclass one of the interfaces, not this class.

    An interface is a subclass that sets `kind`, also where it refines another interface, as
    `ScoringJudge` does; a component is a final subclass of an interface, never overridden again.
    Each option needs a description.

    Raises:
        PluginError: At class definition, when a needed class variable is missing, an option has
            no description, or an option shadows a member of the interface.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    kind: ClassVar[str]
    required: ClassVar[tuple[str, ...]] = ()
    """Class variables that a component of this kind must set."""
    described: ClassVar[Mapping[str, str]] = {}
    """What is shown in place of class variables that depend on the options: name to words."""
    citation: ClassVar[str | None] = None
    """Author, year and title of what the component implements."""
    results_version: ClassVar[int | None] = None
    """Promises "same inputs, same results" while it stays the same.

    Where it is set, it stands in the identity of a stage's output instead of the distribution's
    version or the hash of its source. So a release that only changes messages or speed computes
    nothing again. Raise it by 1 whenever a result changes.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if is_interface(cls):
            return
        where = f"{cls.__module__}.{cls.__qualname__}"
        for name in cls.required:
            if not hasattr(cls, name):
                raise PluginError(
                    f"a {cls.kind} must set the class variable {name!r}", location=where
                )
        interface = interface_of(cls)
        for name, field in cls.model_fields.items():
            if not field.description:
                raise PluginError(
                    f"option {name!r} has no description: Field(..., description=...)",
                    location=where,
                )
            if hasattr(interface, name):
                raise PluginError(
                    f"option {name!r} shadows a member of {interface.__name__}: call it {name}_, "
                    f"and keep the name in specs with {name}_: ... = Field(alias={name!r}, ...)",
                    location=where,
                )
        _check_results_version(cls.results_version, where)
        _check_names(cls, interface, where)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        if not is_interface(cls):
            return handler(source)

        def take(value: object, info: core_schema.ValidationInfo) -> Component:
            known = (info.context or {}).get("components", {})
            built = known.get(value) if isinstance(value, str) else value
            if not isinstance(built, cls):
                raise ValueError(f"expected a {cls.kind}, got {value!r}")
            return built

        return core_schema.with_info_plain_validator_function(
            take, serialization=core_schema.plain_serializer_function_ser_schema(_serialize)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        if not is_interface(cls):
            return handler(schema)
        return {"type": ["string", "object"], "description": f"a {cls.kind}", "x-halo": cls.kind}

    @property
    def spec_origin(self) -> Origin | None:
        """Where the component comes from; None for one that was built by hand."""
        origin: Origin | None = self.__dict__.get(_ORIGIN)
        return origin

    @property
    def spec_name(self) -> str:
        """The name by which a spec found it; its class's name where it was built by hand."""
        return type(self).__qualname__ if self.spec_origin is None else self.spec_origin.name

    def file_digests(self) -> Mapping[str, str]:
        """Returns what the identity holds of the files that its options name: label to digest.

        A path is left out of the identity (`Location`); what the file says must be in it.
        """
        return {}

    @classmethod
    def build(cls, options: str, components: Mapping[str, Component]) -> Self:
        """Returns the component that strict JSON options describe.

        Args:
            options: A JSON object; where an option is itself a component, its value is a key of
                `components`.
            components: The components that the options hold, already built.

        Raises:
            pydantic.ValidationError: When options are missing, unknown or of the wrong type.
        """
        return cls.model_validate_json(options, context={"components": components})


_METHODS = (FunctionType, staticmethod, classmethod, property)
"""What a class holds in place of a method."""

_ORIGIN = "_spec_origin"
"""Not an option: pydantic leaves it out of what is dumped and compared, and copies keep it."""


def with_origin(component: ComponentT, origin: Origin) -> ComponentT:
    """Returns a component that knows the name and the distribution that it was found by."""
    named = component.model_copy()
    named.__dict__[_ORIGIN] = origin
    return named


def _check_results_version(version: object, where: str) -> None:
    if version is None or (isinstance(version, int) and version > 0 and version is not True):
        return
    raise PluginError(
        f"results_version is {version!r}; expected a whole number from 1 on, or None",
        location=where,
    )


def _check_names(cls: type[Component], interface: type[Component], where: str) -> None:
    """Refuses a public name that is nearly that of a member of the interface.

    A misspelt method or class variable is never looked at, and nothing would say so.
    """
    # An interface may refine another one, as ScoringJudge does.
    interfaces = [base for base in inspect.getmro(interface) if is_interface(base)]
    methods = {n for base in interfaces for n, v in vars(base).items() if isinstance(v, _METHODS)}
    variables = {n for base in (*interfaces, Component) for n in base.__annotations__}
    for name, value in vars(cls).items():
        known_already = hasattr(interface, name) or name in variables or name in cls.model_fields
        if name.startswith("_") or known_already:
            continue
        method = isinstance(value, _METHODS)
        known = methods if method else variables
        if near := nearest(name, [n for n in known if not n.startswith("_")], cutoff=0.8):
            call = "()" if method else ""
            what = "method" if method else "class variable"
            raise PluginError(
                f"{name}{call} is no {what} of {interface.__name__}, and nothing "
                f"{'calls' if method else 'reads'} it. Did you mean {near[0]}{call}? A {what} of "
                "your own needs a name less like it, or a leading _",
                location=where,
            )


def _serialize(component: Component) -> dict[str, Any]:
    return component.model_dump(mode="json", by_alias=True)


def interface_of(cls: type[Component]) -> type[Component]:
    """Returns the interface that a component class implements."""
    for base in inspect.getmro(cls):
        if "kind" in base.__dict__ and issubclass(base, Component):
            return base
    raise PluginError(
        "a component subclasses Loss, RefPointEstimator, ReferenceUpdate, DataSource, Judge, "
        "Stage, Tracker or Report",
        location=f"{cls.__module__}.{cls.__qualname__}",
    )
