"""How a job's function wants to be called: plain or async, with or without its run.

Law: decided once, at registration, from the function alone.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Final, Union, get_args, get_origin

from rota.core.values import Value, value
from rota.errors import Answer, ArgumentsError

NOT_AWAITED: Final = (
    "a plain function returned a coroutine, which nobody awaits: write `async def`, and so what a decorator below the"
    " job's puts around it"
)
"""What is the matter with a job that nobody could tell to be a coroutine function."""

_HOW_TO_GIVE_THEM: Final = "pass them with args=[…] and kwargs={…}"

_RUN_CLASSES: Final = frozenset({"Run", "AsyncRun"})
_UNION: Final = re.compile(r"\s*(?:\w+\.)*(?:Optional|Union)\[(.*)\]\s*", re.DOTALL)
_ARGUMENTS: Final = re.compile(r"\[[^\[\]]*\]")


@value
class CallShape(Value):
    """`run_name`: the parameter that takes the run, at `run_index` among the positional ones (`None`: by name only).
    `is_simple`: it can be called with the run alone, or with nothing. `is_generator`: calling it does nothing."""

    is_async: bool
    run_name: str | None
    run_index: int | None
    is_simple: bool
    is_generator: bool = False

    def arguments(
        self, args: Sequence[object], kwargs: Mapping[str, object], run: object
    ) -> tuple[Sequence[object], Mapping[str, object]]:
        """The arguments to call with, the run put in its place."""
        if self.run_name is None:
            return args, kwargs
        if self.run_index is not None and self.run_index <= len(args):
            return [*args[: self.run_index], run, *args[self.run_index :]], kwargs
        return args, {**kwargs, self.run_name: run}


@functools.lru_cache(maxsize=64)  # for those that follow each other: a larger one would keep removed functions alive
def _known_shape(func: Callable[..., object]) -> CallShape:
    return _inspect(func)


def shape_of(func: Callable[..., object]) -> CallShape:
    """How to call `func`. Callable objects, partials and bound methods are fine."""
    try:
        return _known_shape(func)
    except TypeError:  # an unhashable callable object
        return _inspect(func)


def as_result(value: object) -> object:
    """What a job has returned, which may be any value. `TypeError` for what says that it was meant otherwise."""
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError(NOT_AWAITED)
    if isinstance(value, Answer):
        raise TypeError(
            f"it returned {value!r}, which counts where it is raised: write raise {type(value).__name__}(…)"
        )
    return value


def check_arguments(
    func: Callable[..., object], shape: CallShape, args: Sequence[object], kwargs: Mapping[str, object], where: str
) -> None:
    """Raise `ArgumentsError` where `func` cannot be called with these arguments."""
    if shape.is_simple and not args and not kwargs:
        return
    if shape.run_name is not None and shape.run_name in kwargs:
        raise ArgumentsError(f"{where}: kwargs gives {shape.run_name!r}, which is the parameter that takes the run")
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):
        return
    positional, named = shape.arguments(args, kwargs, None)
    try:
        signature.bind(*positional, **named)
    except TypeError as error:
        is_method = next(iter(signature.parameters), "") == "self"
        advice = "declare the method of an object: scheduler.add(thing.method, …)" if is_method else _HOW_TO_GIVE_THEM
        raise ArgumentsError(
            f"{where}: {getattr(func, '__qualname__', func)}{signature} cannot be called with the arguments given:"
            f" {error}; {advice}"
        ) from None


def takes_one_argument(func: Callable[..., object]) -> bool:
    """Whether it can be called with one argument by position, as far as can be told."""
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(None)
    except TypeError:
        return False
    return True


def _inspect(func: Callable[..., object]) -> CallShape:
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        return CallShape(False, None, None, is_simple=False, is_generator=True)
    is_async = is_coroutine_function(func)
    code = getattr(func, "__code__", None)
    if code is not None and code.co_argcount + code.co_kwonlyargcount == 0 and "__wrapped__" not in vars(func):
        return CallShape(is_async, None, None, is_simple=True)
    try:
        parameters = list(inspect.signature(func).parameters.values())
    except (TypeError, ValueError):
        return CallShape(is_async, None, None, is_simple=False)
    for index, parameter in enumerate(parameters):
        if _takes_run(parameter):
            by_position = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            is_simple = len(parameters) == 1
            return CallShape(is_async, parameter.name, index if by_position else None, is_simple)
    return CallShape(is_async, None, None, is_simple=not parameters)


def _takes_run(parameter: inspect.Parameter) -> bool:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return False
    return parameter.name == "run" or _names_run(parameter.annotation)


def _names_run(annotation: object) -> bool:
    """Whether an annotation is `Run` or `AsyncRun`, alone or in a union, as an object or as text."""
    if isinstance(annotation, str):
        return any(name.strip().rpartition(".")[2] in _RUN_CLASSES for name in _members(annotation))
    if isinstance(annotation, type):
        return annotation.__module__ == "rota.core.context" and annotation.__name__ in _RUN_CLASSES
    return get_origin(annotation) in (Union, UnionType) and any(map(_names_run, get_args(annotation)))


def _members(annotation: str) -> list[str]:
    """What stands in a union that is written as text; the annotation itself where it is none."""
    union = _UNION.fullmatch(annotation)
    text = annotation if union is None else union[1]
    while _ARGUMENTS.search(text):
        text = _ARGUMENTS.sub("<>", text)
    return re.split(r"[|,]", text)


def is_coroutine_function(func: object) -> bool:
    """Whether calling it gives a coroutine: an `async def`, a partial of one, or an object whose `__call__` is one."""
    while isinstance(func, functools.partial):
        func = func.func
    if inspect.iscoroutinefunction(func):
        return True
    call = getattr(type(func), "__call__", None)  # noqa: B004  # the function behind it is looked at, not whether it is
    return not inspect.isroutine(func) and not isinstance(func, type) and inspect.iscoroutinefunction(call)
