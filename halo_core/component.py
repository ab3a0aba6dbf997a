"""The base of all components: a frozen pydantic model whose fields are its options.

A component has no state and no tensors. It is a recipe. `halo validate` builds it without torch,
its JSON schema documents it, and its options are part of the identity of every stage that uses it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from halo_core.errors import PluginError, nearest
from halo_core.finding import Requirement

# Plugins of earlier versions import the markers from here.
from halo_core.option_markers import (
    Added as Added,
    DataRef as DataRef,
    Default as Default,
    Execution as Execution,
    LearnRef as LearnRef,
    Location as Location,
    ModelRef as ModelRef,
    OtherNames as OtherNames,
    RivalRef as RivalRef,
    SamplesRef as SamplesRef,
    StartRef as StartRef,
    TestRef as TestRef,
)
from halo_core.secret import records_its_value


class Origin(NamedTuple):
    """The origin of a component.

    Attributes:
        name: The name that specs use: ``kto``, ``namespace/name`` or ``file:PATH:CLASS``.
        distribution: The distribution that registered it; ``file:NAME`` for a local file.
        version: The distribution's version.
        file: The file of the module that registered it, or the local file.
        target: The import string ``module:attribute``, or ``file:PATH:CLASS``.
    """

    name: str
    distribution: str
    version: str
    file: str
    target: str


ComponentT = TypeVar("ComponentT", bound="Component")


def is_interface(cls: type) -> bool:
    """Returns whether a class is one of the interfaces, which means that it sets `kind` itself."""
    return "kind" in cls.__dict__


class Component(BaseModel):
    """Base of all kinds of component. Subclass one of the interfaces, not this class.

    An interface is a subclass that sets `kind`, even if it refines another interface, as
    `ScoringJudge` does. A component is a final subclass of an interface and is not subclassed
    again. Each option needs a description.

    Raises:
        PluginError: At class definition, when a required class variable is missing, an option has
            no description, or an option shadows a member of the interface.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    kind: ClassVar[str]
    required: ClassVar[tuple[str, ...]] = ()
    """Class variables that a component of this kind must set."""
    described: ClassVar[Mapping[str, str]] = {}
    """Descriptions that replace class variables which depend on the options, by name."""
    citation: ClassVar[str | None] = None
    """Author, year and title of what the component implements."""
    results_version: ClassVar[int | None] = None
    """Number that promises "same inputs, same results" while it is unchanged.

    If it is set, the identity of a stage's output contains it instead of the distribution's version
    or the hash of its source. So a release that only changes messages or speed computes nothing
    again. Raise it by 1 whenever a result changes.
    """

    def needed_here(self) -> Sequence[Requirement]:
        """Returns the packages and environment variables that it needs where it runs.

        `halo doctor SPEC` looks for them. Requirements of the distribution itself need not be
        named, but those of its extras.
        """
        return ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if is_interface(cls):
            return
        where, interface = f"{cls.__module__}.{cls.__qualname__}", interface_of(cls)
        for name in cls.required:
            if not hasattr(cls, name):
                raise PluginError(
                    f"the class variable {name!r} is missing; "
                    f"help(halo_core.{interface.__name__}) describes it",
                    location=where,
                )
        for name, field in cls.model_fields.items():
            if not (field.description or "").strip():
                raise PluginError(
                    f"option {name!r} has no description: Field(..., description=...)",
                    location=where,
                )
            if records_its_value(field.annotation):
                raise PluginError(
                    f"option {name!r} has a secret type of pydantic, but a spec and the records of "
                    "a run would hold its value; use halo_core.Secret, which names an environment "
                    "variable",
                    location=where,
                )
            if hasattr(interface, name):
                raise PluginError(
                    f"option {name!r} shadows a member of {interface.__name__}: call it {name}_, "
                    f"and keep the name in specs with {name}_: ... = Field(alias={name!r}, ...)",
                    location=where,
                )
        _check_results_version(cls.results_version, where)
        _check_methods(cls, interface, where)
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
        """The component's origin; None if it was built by hand."""
        origin: Origin | None = self.__dict__.get(_ORIGIN)
        return origin

    @property
    def spec_name(self) -> str:
        """The name that a spec used for it; the name of its class if it was built by hand."""
        return type(self).__qualname__ if self.spec_origin is None else self.spec_origin.name

    def unchecked_rules(self) -> Mapping[str, str]:
        """Returns rules of `halo check` that do not hold for this component, with the reasons.

        A rule that is named here is not checked, and its reason is printed. An example is a loss
        that stops a part of its gradient: ``{"gradient": "advantages are constants"}``.
        """
        return {}

    def file_digests(self) -> Mapping[str, str]:
        """Returns digests, by label, for the files that its options name.

        The identity contains them, because it leaves out the paths themselves (`Location`).
        """
        return {}

    @classmethod
    def build(cls, options: str, components: Mapping[str, Component]) -> Self:
        """Builds the component that strict JSON options describe.

        Args:
            options: A JSON object. If an option is itself a component, its value is a key of
                `components`.
            components: The components inside the options, already built.

        Raises:
            pydantic.ValidationError: When options are missing, unknown or of the wrong type.
        """
        return cls.model_validate_json(options, context={"components": components})


_METHODS = (FunctionType, staticmethod, classmethod, property)
"""Types of class members that count as methods."""

_OF_EVERY_KIND = ("needed_here", "unchecked_rules", "file_digests")
"""Methods that components of every kind may override."""

_ORIGIN = "_spec_origin"
"""Name of an attribute that is not an option. Pydantic does not dump or compare it; copies keep
it."""


def with_origin(component: ComponentT, origin: Origin) -> ComponentT:
    """Returns a component that knows its name in the spec and its distribution."""
    named = component.model_copy()
    named.__dict__[_ORIGIN] = origin
    return named


def _check_results_version(version: object, where: str) -> None:
    if version is None or (isinstance(version, int) and version > 0 and version is not True):
        return
    raise PluginError(
        f"results_version is {version!r}; expected a whole number of at least 1, or None",
        location=where,
    )


def _check_methods(cls: type[Component], interface: type[Component], where: str) -> None:
    """Refuses a value in place of a method, which halo calls."""
    for name, value in vars(cls).items():
        replaced = inspect.getattr_static(interface, name, None)
        is_method = isinstance(replaced, FunctionType) and not name.startswith("_")
        if is_method and not callable(value) and not isinstance(value, _METHODS):
            raise PluginError(
                f"{name} is a {type(value).__name__}; expected a method, def {name}(self, ...), "
                "which returns the value",
                location=where,
            )


def _check_names(cls: type[Component], interface: type[Component], where: str) -> None:
    """Refuses a public name that is similar to the name of a member of the interface.

    Otherwise a misspelt method or class variable would be ignored without a message.
    """
    # An interface may refine another one, as ScoringJudge does.
    interfaces = [base for base in inspect.getmro(interface) if is_interface(base)]
    methods = {n for base in interfaces for n, v in vars(base).items() if isinstance(v, _METHODS)}
    methods |= set(_OF_EVERY_KIND)
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
                f"{name}{call} is not a {what} of {interface.__name__}, so nothing "
                f"{'calls' if method else 'reads'} it. Did you mean {near[0]}{call}? For your own "
                f"{what}, choose a less similar name or a leading _",
                location=where,
            )


def _serialize(component: Component) -> dict[str, Any]:
    return component.model_dump(mode="json", by_alias=True)


def interface_of(cls: type[Component]) -> type[Component]:
    """Returns the interface that a component class implements.

    Raises:
        PluginError: When it implements none.
    """
    for base in inspect.getmro(cls):
        if "kind" in base.__dict__ and issubclass(base, Component):
            return base
    raise PluginError(
        "a component subclasses Loss, RefPointEstimator, ReferenceUpdate, DataSource, Judge, "
        "Stage, Tracker or Report",
        location=f"{cls.__module__}.{cls.__qualname__}",
    )
