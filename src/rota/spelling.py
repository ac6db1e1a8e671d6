"""What is said to somebody who misspells the name of an argument or of an option, or gives one without its name.

Law: it costs something only where a call fails. An unknown name raises `ConfigurationError`, which says where it was
written and what to write: the word here for a word of other libraries, else the nearest name that exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import FunctionType
from typing import Any, Final, TypeVar, cast

from rota.peer_words import JOB_WORDS, NO_WORDS

Called = TypeVar("Called", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)

SURELY_MEANT: Final = 0.85
PERHAPS_MEANT: Final = 0.5
"""How alike a name that is not known and one that is must be for the one to be taken for the other."""

TAKES_ANY_NAME: Final = 0x08
IS_COROUTINE: Final = 0x80
"""Flags of a code object, by `inspect`, which takes too long to import for an application that spells well."""


def corrects_names(where: str, words: Mapping[str, str] = NO_WORDS) -> Callable[[Called], Called]:
    """Decorator of a function or method, which errors call `where`: a misspelt argument raises `ConfigurationError`,
    unless it takes any name, and so does more than it takes by position.

    It makes each call one call more. What is called so often that this counts takes `**unknown: Never` instead, and
    hands it to `refuse_misspelt`; of arguments by position Python tells there.
    """

    def correct(called: Called) -> Called:
        @wraps(called)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return called(*args, **kwargs)
            except TypeError:
                if not _flags(called) & TAKES_ANY_NAME:
                    refuse_misspelt(kwargs, called, where, words)
                refuse_too_many(args, called, where)
                raise

        @wraps(called)
        async def call_and_await(*args: Any, **kwargs: Any) -> Any:
            return await call(*args, **kwargs)

        cast(FunctionType, called).__qualname__ = where  # what Python itself says of it
        is_coroutine = _flags(called) & IS_COROUTINE
        return cast(Called, call_and_await if is_coroutine else call)

    return correct


def corrects_methods(words: Mapping[str, Mapping[str, str]]) -> Callable[[Class], Class]:
    """Decorator of a class: `corrects_names` for its public methods; `words` are those of each, by its name."""

    def correct(cls: Class) -> Class:
        for name, value in list(vars(cls).items()):
            if isinstance(value, FunctionType) and not name.startswith("_"):
                setattr(cls, name, corrects_names(name, words.get(name, NO_WORDS))(value))
        return cls

    return correct


def refuse_misspelt(
    given: Mapping[str, object], called: Callable[..., object], where: str, words: Mapping[str, str] = NO_WORDS
) -> None:
    """Raise for the first name given that is no argument of the function."""
    from inspect import Parameter, signature

    kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    known = [name for name, parameter in signature(called).parameters.items() if parameter.kind in kinds]
    refuse_unknown(given, [name for name in known if name not in ("self", "cls")], where, words)


def refuse_too_many(given: Sequence[object], called: Callable[..., object], where: str) -> None:
    """Raise where more is given by position than the function takes so."""
    from inspect import Parameter, signature

    parameters = list(signature(called).parameters.values())
    by_position = [parameter.name for parameter in parameters if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD]
    by_name = [parameter.name for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY]
    if len(given) <= len(by_position) or any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters):
        return
    from rota.errors import ConfigurationError

    own = len([name for name in by_position if name in ("self", "cls")])
    takes = ", ".join(by_position[own:]) or "nothing"
    named = [f"{name}=…" for name in by_name] + ["…"] * any(one.kind is Parameter.VAR_KEYWORD for one in parameters)
    rest = f"; write the others by name: {', '.join(named)}" if named else ""
    raise ConfigurationError(f"{where}: by position it takes {takes}, and {len(given) - own} were given{rest}")


def refuse_unknown(
    given: Mapping[str, object], known: Sequence[str], where: str, words: Mapping[str, str] = JOB_WORDS
) -> None:
    """Raise for the first name that is not known, saying what to write: by `words`, or the nearest that is known."""
    for name in given:
        if name not in known:
            from rota.errors import ConfigurationError

            raise ConfigurationError(f"{where}: unknown option {name!r}; {_hint(name, known, words)}")


def _hint(name: str, known: Sequence[str], words: Mapping[str, str]) -> str:
    from difflib import get_close_matches

    for cutoff in (SURELY_MEANT, PERHAPS_MEANT):
        near = get_close_matches(name, known, n=1, cutoff=cutoff)
        if near:
            return f"did you mean {near[0]!r}?"
        if name in words:
            return words[name]
    if not known:
        return "it takes none"
    if "kwargs" in known:
        return f"there are {', '.join(sorted(known))}; an argument of the job goes in kwargs={{{name!r}: …}}"
    return f"there {'is' if len(known) == 1 else 'are'} {', '.join(sorted(known))}"


def _flags(called: Callable[..., object]) -> int:
    while hasattr(called, "__wrapped__"):
        called = called.__wrapped__
    return cast(FunctionType, called).__code__.co_flags
