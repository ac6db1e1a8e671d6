"""How a function is named for another process, `module:qualname`, and found there again.

Law: what cannot be found by its name is refused at registration, never at 2 a.m.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import cast

from rota.errors import ConfigurationError


def refuse_unless_importable(func: object) -> None:
    """`ConfigurationError` for a function that another process cannot import: lambdas, functions within functions,
    partials, bound methods, callable objects, functions typed at a prompt."""
    why = _why_not_importable(func)
    if why is not None:
        raise ConfigurationError(
            f"a process job is found by its module and name, and {why}; write a function at the top of a module"
            f" (what it needs goes in with args=[…] or is made inside it)"
        )


def target_of(func: object) -> str:
    """`module:qualname`, unchecked."""
    return f"{getattr(func, '__module__', None)}:{getattr(func, '__qualname__', None)}"


def find_target(target: str) -> Callable[..., object]:
    """The function of that name, its module imported; `ConfigurationError` where there is none."""
    module_name, _, qualname = target.partition(":")
    found: object = sys.modules.get(module_name) or importlib.import_module(module_name)
    try:
        for name in qualname.split("."):
            found = getattr(found, name)
    except AttributeError:
        raise ConfigurationError(
            f"{target!r} was not found in the child process: {module_name} has no {qualname} there. Is it defined under"
            f" `if __name__ == '__main__'`, or under another name than its own?"
        ) from None
    return cast("Callable[..., object]", found)


def _why_not_importable(func: object) -> str | None:
    if isinstance(func, functools.partial):
        return "a functools.partial has none"
    owner = getattr(func, "__self__", None)
    if owner is not None and not isinstance(owner, type) and not inspect.ismodule(owner):
        return f"{func!r} is bound to an object that exists in this process only"
    module, qualname = getattr(func, "__module__", None), getattr(func, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        return f"{func!r} has none"
    return _why_not_found(module, qualname)


def _why_not_found(module: str, qualname: str) -> str | None:
    if "<lambda>" in qualname:
        return "a lambda has no name"
    if "<locals>" in qualname:
        return f"{qualname} exists only while the function around it runs"
    if module == "__main__" and not _main_can_be_imported():
        return f"{qualname} was typed at a prompt, which no other process can import"
    return None


def _main_can_be_imported() -> bool:
    main = sys.modules["__main__"]
    return getattr(main, "__spec__", None) is not None or getattr(main, "__file__", None) is not None
