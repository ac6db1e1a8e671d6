"""How a function is named for another process, `module:qualname`, and found there again.

Law: what cannot be found by its name is refused at registration, never at 2 a.m. A name that leads to another function
is refused at the start, since it is bound only after the registration, and at each call.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from itertools import islice
from typing import cast

from rota.core.job import place_of, unwrapped
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


def wrappers_around(func: object, where: str) -> int:
    """How many decorators stand around a function in what its name leads to here, as it would in a child: a function
    that was declared can be decorated again. `ConfigurationError`: the name leads to another function. `where` names
    the job. A module that has run again has made the same functions anew."""
    module, qualname = getattr(func, "__module__", None), getattr(func, "__qualname__", None)
    named = _found(sys.modules.get(str(module)), str(qualname))
    if named is None:
        return 0
    for count, found in enumerate(unwrapped(named)):
        if _is_same(found, func):
            return count
    raise ConfigurationError(
        f"{where}: a process job is found by its module and name, and what {target_of(func)} names is not the function"
        f" declared, at {place_of(func)}: it is at {place_of(named)}. Give each function a name of its own; a"
        " decorator above the job's has to use functools.wraps"
    )


def target_of(func: object) -> str:
    """`module:qualname`, unchecked."""
    return f"{getattr(func, '__module__', None)}:{getattr(func, '__qualname__', None)}"


def find_target(target: str, wrappers: int = 0) -> Callable[..., object]:
    """The function of that name, without so many decorators around it, its module imported; `ConfigurationError` where
    there is none."""
    module_name, _, qualname = target.partition(":")
    found = _found(sys.modules.get(module_name) or importlib.import_module(module_name), qualname)
    found = next(islice(unwrapped(found), wrappers, None), None)
    if found is None:
        raise ConfigurationError(
            f"{target!r} was not found in the child process: {module_name} has no {qualname} there. Is it defined under"
            f" `if __name__ == '__main__'`, or under another name than its own?"
        )
    return cast("Callable[..., object]", found)


def _found(module: object, qualname: str) -> object:
    """What the name leads to in a module; `None`: nothing."""
    found = module
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def _is_same(found: object, func: object) -> bool:
    """Whether they are one function, or were made by the same lines; so what decorators have wrapped in them."""
    if found == func:
        return True
    if getattr(func, "__code__", None) is None or _made_by(found) != _made_by(func):
        return False
    wrapped = getattr(found, "__wrapped__", None), getattr(func, "__wrapped__", None)
    return wrapped == (None, None) or _is_same(*wrapped)


def _made_by(func: object) -> tuple[object, ...]:
    """What makes a function what it is; of a method, the name of its class as well."""
    owner = target_of(getattr(func, "__self__", None))
    return owner, *(getattr(func, name, None) for name in ("__code__", "__defaults__", "__kwdefaults__"))


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
