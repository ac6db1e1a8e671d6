"""Every error Rota raises, in one tree, and the answers a job may raise.

::

    Exception
    ├── RotaError
    │   ├── ConfigurationError (also ValueError)   a definition, an option or a type is wrong
    │   │   ├── ArgumentsError (also TypeError)    arguments a job cannot be given
    │   │   ├── CronSyntaxError                    .expression .field .position .length .reason
    │   │   ├── RRuleSyntaxError
    │   │   ├── UnknownTimeZoneError               .key .suggestion
    │   │   └── DuplicateJobError
    │   ├── UnknownJobError (also LookupError)     no job or run of that name
    │   ├── StateError                             not now: already started, already used
    │   ├── BackendError                           a store or lock service failed; .unreachable .nothing_done
    │   │   ├── LockBackendError                   the answer is unknown: ask again with the same token
    │   │   └── StoreError
    │   ├── LockHeld                               somebody else holds it
    │   ├── LeaseLost                              we held it, and no longer do
    │   ├── InProgress                             the first call with this key is still at work
    │   ├── ResultNotStored                        done before, but its result was not JSON
    │   ├── RunCancelled                           .reason: timeout shutdown cancel replaced lease_lost
    │   └── RunTimeout (also TimeoutError)
    └── Answer                                     not an error: what a job may raise to say what is next
        ├── Snooze                                 .seconds   later; costs no attempt
        ├── RetryAfter                             .seconds   again, then; costs an attempt
        └── GiveUp                                 .why       failed at once

Law: an error says what is wrong, where, and what to write instead; all of them survive pickling.
"""

from __future__ import annotations

from datetime import timedelta
from sys import float_info

from rota.spelling import corrects_names

LONGEST_SHOWN = 100
"""How many characters of a refused expression are repeated in the message."""


class RotaError(Exception):
    """Base of every error of Rota."""


class ConfigurationError(RotaError, ValueError):
    """A definition cannot be meant: an unknown or contradictory option, a wrong type or value."""


class ArgumentsError(ConfigurationError, TypeError):
    """Arguments for a job that are no list and dict, or not JSON, or that its function cannot be called with."""


class CronSyntaxError(ConfigurationError):
    """A cron expression that cannot be read, or that names no instant.

    ``field`` is the name of the field (``"fields"`` if their number is wrong, ``"macro"`` for ``@…``),
    ``position`` the index of the offending text in ``expression``, ``length`` how long that text is.
    """

    def __init__(self, expression: str, field: str, position: int, reason: str, length: int = 1) -> None:
        super().__init__(expression, field, position, reason, length)
        self.expression: str = expression
        self.field: str = field
        self.position: int = position
        self.reason: str = reason
        self.length: int = length

    def __str__(self) -> str:
        shown = _on_one_line(self.expression)
        head = f"bad cron expression: {self.field}: {self.reason}\n  {shown}"
        if self.position >= LONGEST_SHOWN:
            return head
        width = max(1, min(self.length, len(shown) - self.position))
        return f"{head}\n  {' ' * self.position}{'^' * width}"


class RRuleSyntaxError(ConfigurationError):
    """A recurrence rule that RFC 5545, or dateutil's reading of it, does not allow."""


class UnknownTimeZoneError(ConfigurationError):
    """A time zone that the zone data in force does not hold; ``suggestion`` is the nearest name that it does."""

    def __init__(self, key: str, suggestion: str | None = None) -> None:
        super().__init__(key, suggestion)
        self.key: str = key
        self.suggestion: str | None = suggestion

    def __str__(self) -> str:
        place = "write the name of a place, such as 'America/New_York'"
        hint = f"did you mean {self.suggestion!r}?" if self.suggestion else place
        return f"unknown time zone {_on_one_line(self.key)!r}; {hint}"


class DuplicateJobError(ConfigurationError):
    """Two jobs of one id; the message names both places."""


class UnknownJobError(RotaError, LookupError):
    """No job, run or schedule of that name is known here."""


class StateError(RotaError):
    """The object is not in the state the call needs."""


class BackendError(RotaError):
    """A store or lock service did not do what was asked.

    ``unreachable``: nobody answered, or not in time. That may be over soon by itself, so a scheduler that is started
    meanwhile waits for it; whatever else is wrong, a person has to mend. ``nothing_done``: it failed before any of what
    was asked was begun, so there is no answer to be asked for again.
    """

    unreachable = False
    nothing_done = False


class LockBackendError(BackendError):
    """Whether the lock was taken is unknown; ask again with the same token."""


class StoreError(BackendError):
    """The store could not be read or written."""


class LockHeld(RotaError):
    """Somebody else holds the lock, and the time to wait is over."""


class LeaseLost(RotaError):
    """The lease can no longer be trusted: stop, another may be at work."""


class InProgress(RotaError):
    """The first call with this idempotency key has not ended yet."""


class ResultNotStored(RotaError):
    """The call was done before, but its result was not JSON and could not be kept."""


class RunCancelled(RotaError):
    """The run was told to stop; ``reason`` is one of timeout, shutdown, cancel, replaced, lease_lost."""

    def __init__(self, reason: str = "cancel") -> None:
        super().__init__(reason)
        self.reason: str = reason


class RunTimeout(RotaError, TimeoutError):
    """An attempt took longer than its ``timeout``."""


class Answer(Exception):
    """What a job raises to say what shall happen next. Not an error, and no ``RotaError``."""


class Snooze(Answer):
    """Run me again in so many seconds; costs no attempt."""

    @corrects_names("Snooze")
    def __init__(self, seconds: float | timedelta) -> None:
        self.seconds: float = _seconds(type(self).__name__, seconds)
        super().__init__(self.seconds)


class RetryAfter(Answer):
    """This attempt failed; the next one in so many seconds. Costs an attempt."""

    @corrects_names("RetryAfter")
    def __init__(self, seconds: float | timedelta) -> None:
        self.seconds: float = _seconds(type(self).__name__, seconds)
        super().__init__(self.seconds)


class GiveUp(Answer):
    """Failed for good: no further attempt. ``why`` goes into the record."""

    @corrects_names("GiveUp")
    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why: str = why


def _seconds(name: str, value: float | timedelta) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise ConfigurationError(f"{name} takes seconds, a number or a timedelta, not {type(value).__name__}")
    if not 0 <= seconds <= float_info.max:
        raise ConfigurationError(f"{name} takes a finite number of seconds, 0 or more, not {value!r}")
    return float(seconds)


def _on_one_line(text: str) -> str:
    shown = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
    # One character stands for one, so that the caret stays below what it points at.
    return "".join(character if character.isprintable() else " " for character in shown)
