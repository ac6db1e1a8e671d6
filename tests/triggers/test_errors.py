"""The error tree: what is what, and that all of it survives pickling."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import pytest

from rota import errors
from rota.errors import Answer, ConfigurationError, GiveUp, RetryAfter, RotaError, Snooze

ERRORS: list[Exception] = [
    errors.CronSyntaxError("0 24 * * *", "hour", 2, "24 is out of range 0-23", 2),
    errors.RRuleSyntaxError("no"),
    errors.UnknownTimeZoneError("Pariss", "Europe/Paris"),
    errors.DuplicateJobError("two"),
    errors.UnknownJobError("no job 'x'; did you mean 'y'?"),
    errors.StateError("started"),
    errors.LockBackendError("?"),
    errors.StoreError("down"),
    errors.LockHeld("held"),
    errors.LeaseLost("lost"),
    errors.InProgress("key"),
    errors.ResultNotStored("key"),
    errors.RunCancelled("shutdown"),
    errors.RunTimeout("60 s"),
    Snooze(5),
    RetryAfter(timedelta(minutes=1)),
    GiveUp("no such user"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_survives_pickling(error: Exception) -> None:
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert str(copied) == str(error)
    assert vars(copied) == vars(error)


def test_the_tree_is_as_drawn() -> None:
    answers = {error for error in ERRORS if isinstance(error, Answer)}
    assert {type(error) for error in answers} == {Snooze, RetryAfter, GiveUp}
    assert all(isinstance(error, RotaError) for error in ERRORS if error not in answers)
    assert not any(isinstance(error, RotaError) for error in answers)
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(errors.UnknownJobError, LookupError)
    assert issubclass(errors.RunTimeout, TimeoutError)
    assert issubclass(errors.LockBackendError, errors.BackendError)
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and kind.__module__ == errors.__name__:
            assert f" {name}" in (errors.__doc__ or ""), name


def test_answers_take_seconds() -> None:
    assert Snooze(5).seconds == 5.0
    assert RetryAfter(timedelta(minutes=1)).seconds == 60.0
    refused: tuple[Any, ...] = (-1, float("nan"), float("inf"), "5", None, True, timedelta(seconds=-1))
    for wrong in refused:
        with pytest.raises(ConfigurationError):
            Snooze(wrong)


def test_messages_stay_on_one_line_and_readable() -> None:
    assert str(errors.UnknownJobError("no job 'x'")) == "no job 'x'"
    shown = str(errors.CronSyntaxError("\n\0" * 3000, "fields", 0, "no", 6000))
    assert len(shown) < 400
    assert shown.count("\n") == 2
    assert "^" not in str(errors.CronSyntaxError("1," * 400, "minute", 700, "no"))
