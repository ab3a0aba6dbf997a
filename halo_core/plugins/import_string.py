"""Checks the name and the import string of a registration, and says what to write instead."""

from __future__ import annotations

from types import FunctionType, ModuleType


def wrong_name(name: object, namespace: str) -> str:
    """Returns the end of a sentence about a name; empty if it can be one.

    Args:
        name: The name of a component that a plugin gave. It may be of any type.
        namespace: The namespace of the plugin, which is before the name in specs.
    """
    if not isinstance(name, str):
        return "; expected a text as its name, and then a text 'module:attribute'"
    if _is_name(name):
        return ""
    first, _, rest = name.partition("/")
    if first in (namespace, f"halo-{namespace}") and _is_name(rest):
        return f"; expected {rest!r}, because halo puts {namespace + '/'!r} before it"
    if not wrong_target(name):
        return "; expected its name first, and then the text 'module:attribute'"
    return "; expected letters, digits, '.', '_' and '-' only"


def wrong_target(target: object) -> str:
    """Returns the end of a sentence about an import string; empty if it has the right form.

    Args:
        target: The import string of a component that a plugin gave. It may be of any type.
    """
    if not isinstance(target, str):
        return f" as {described(target)}; expected {_text_for(target)}"
    if target.startswith("."):
        return f" as {target!r}; expected 'package.module:attribute', because nothing is relative"
    if _is_target(target):
        return ""
    guess = _meant(target)
    return f" as {target!r}; expected 'module:attribute'{f', as in {guess!r}' if guess else ''}"


def full_module(target: str) -> bool:
    """Returns whether the module of an entry point is not empty, relative or the path of a file."""
    module = target.partition(":")[0].strip()
    is_path = "/" in module or "\\" in module or module.endswith(".py")
    return bool(module) and not module.startswith(".") and not is_path


def described(value: object) -> str:
    """Returns what a value is, without its place in the memory."""
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    if isinstance(value, ModuleType):
        return f"the module {value.__name__}"
    if isinstance(value, FunctionType):
        return f"the function {value.__name__}"
    text = repr(value)
    short = len(text) <= 80 and " at 0x" not in text
    return text if short else f"an object of the class {type(value).__name__}"


def _text_for(value: object) -> str:
    if isinstance(value, ModuleType):
        return f"a text, as in '{value.__name__}:MyClass'"
    if isinstance(value, type | FunctionType) and value.__module__ != "builtins":
        guess = f"{value.__module__}:{value.__qualname__}"
        if _is_target(guess):
            return f"the text {guess!r}"
    return "a text 'module:attribute'"


def _meant(target: str) -> str:
    """Returns a path, or a name with a dot before the attribute, as an import string."""
    module, _, attribute = target.rpartition(":" if ":" in target else ".")
    module = module.removesuffix(".py").replace("/", ".").replace("\\", ".")
    guess = f"{module}:{attribute}"
    return guess if _is_target(guess) else ""


def _is_target(target: str) -> bool:
    module, _, attribute = target.partition(":")
    return all(part.isidentifier() for part in [*module.split("."), attribute])


def _is_name(text: str) -> bool:
    return text.isascii() and text[:1].isalnum() and all(c.isalnum() or c in "._-" for c in text)
