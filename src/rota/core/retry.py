"""How often, for what, and how long after a failure an attempt is made again.

Law: pure. The jitter is a hash of run and attempt, so that a simulation repeats it and two nodes agree on it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias

from rota.core.calling import takes_one_argument
from rota.errors import ConfigurationError
from rota.peer_words import RETRY_WORDS
from rota.spelling import corrects_names

Errors: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]
Predicate: TypeAlias = Callable[[BaseException], bool | float | timedelta]

DEFAULT_ATTEMPTS: Final = 3
"""Attempts of a run that asks to be tried again (`RetryAfter`, `on_crash="rerun"`) in a job without a `Retry`."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try a failed attempt again, after growing pauses that hold no thread and no lease. Spans are in seconds.

    `attempts` counts the first. `on`: the exceptions (or one) that are tried again, or a predicate of the exception;
    one that gives a number gives the wait. `give_up_on` wins over `on`. The n-th wait is
    `min(wait_max, wait_initial * wait_exp_base ** (n - 1) + jitter)`, the jitter in `[0, wait_jitter)`.
    """

    attempts: int = DEFAULT_ATTEMPTS
    on: Errors | Predicate = Exception
    give_up_on: Errors = ()
    wait_initial: float = 1.0
    wait_max: float = 300.0
    wait_exp_base: float = 2.0
    wait_jitter: float = 1.0

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise ConfigurationError(
                f"Retry: attempts is a whole number from 1, the first counts, not {self.attempts!r}"
            )
        if not _is_errors(self.on) and (isinstance(self.on, type | tuple) or not callable(self.on)):
            raise ConfigurationError(
                f"Retry: on is exception classes or a predicate of the exception, not {self.on!r}{_as_tuple(self.on)}"
            )
        if not isinstance(self.on, type | tuple) and not takes_one_argument(self.on):
            raise ConfigurationError(
                f"Retry: on is called with the exception, which {self.on!r} does not take: write on=lambda error: …"
            )
        if not _is_errors(self.give_up_on):
            raise ConfigurationError(
                f"Retry: give_up_on is exception classes, not {self.give_up_on!r}{_as_tuple(self.give_up_on)}"
            )
        for name, least in (("wait_initial", 0.0), ("wait_max", 0.0), ("wait_jitter", 0.0), ("wait_exp_base", 1.0)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not least <= value <= sys.float_info.max:
                raise ConfigurationError(f"Retry: {name} is a finite number of at least {least:g}, not {value!r}")

    def wait_after(self, error: BaseException, spent: int, seed: str) -> float | None:
        """Seconds until the next attempt, after `spent` have been made; `None`: there is none.

        A predicate, or a class whose `isinstance` is the user's, that itself raises gives up: the error it was asked
        about is the one to be told.
        """
        if spent >= self.attempts:
            return None
        try:
            verdict = not isinstance(error, self.give_up_on) and self._verdict(error)
        except BaseException:  # noqa: BLE001  # a user's predicate may raise anything; the run must end all the same
            return None
        if isinstance(verdict, bool):
            return self._backoff(spent, seed) if verdict else None
        return verdict if math.isfinite(verdict) and verdict >= 0 else None

    def _verdict(self, error: BaseException) -> bool | float:
        """Whether to try again, or after how many seconds. Of a predicate's answer that is no number its truth counts,
        as everywhere in Python."""
        if isinstance(self.on, type | tuple):
            return isinstance(error, self.on)
        answer: object = self.on(error)
        if isinstance(answer, timedelta):
            return answer.total_seconds()
        return float(answer) if isinstance(answer, int | float) and not isinstance(answer, bool) else bool(answer)

    def _backoff(self, spent: int, seed: str) -> float:
        try:
            grown = self.wait_initial * float(self.wait_exp_base) ** (spent - 1)
        except OverflowError:
            grown = self.wait_max if self.wait_initial else 0.0
        return min(self.wait_max, grown + self.wait_jitter * fraction(f"retry:{seed}:{spent}"))


Retry.__init__ = corrects_names("Retry", RETRY_WORDS)(Retry.__init__)  # type: ignore[method-assign]  # is made by dataclass


def fraction(text: str) -> float:
    """A number in [0, 1) that is the same for the same text everywhere and for ever."""
    from hashlib import blake2b

    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest()) / 2**48


def _is_errors(value: object) -> bool:
    kinds = value if isinstance(value, tuple) else (value,)
    return all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds)


def _as_tuple(value: object) -> str:
    """What to write for exception classes in another collection."""
    if not isinstance(value, list | set | frozenset) or not _is_errors(tuple(value)):
        return ""
    names = [kind.__name__ for kind in value]
    return f"; write a tuple: ({', '.join(names)}{',' if len(names) == 1 else ''})"
