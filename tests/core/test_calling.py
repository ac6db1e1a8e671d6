"""How a function wants to be called: plain or async, with or without its run."""

from __future__ import annotations

import functools
from typing import Any, Optional, Union

import pytest

from rota import AsyncRun, ConfigurationError, Run
from rota.core.calling import check_arguments, is_coroutine_function, shape_of

RUN = object()


def called(func, *args, **kwargs):
    """What the function is given, in the shape found for it."""
    positional, named = shape_of(func).arguments(args, kwargs, RUN)
    return func(*positional, **named)


def annotated(annotation):
    def func(mine):
        return mine

    func.__annotations__["mine"] = annotation
    return func


class Service:
    def method(self, run):
        return run

    def __call__(self, run):
        return run


class AsyncService:
    async def __call__(self):
        return None


def test_a_function_without_parameters_is_called_with_nothing():
    assert called(lambda: "nothing") == "nothing"


def test_a_parameter_named_run_takes_the_run():
    assert called(lambda run: run) is RUN
    assert called(lambda user, run: (user, run), 7) == (7, RUN)
    assert called(lambda run, user: (run, user), 7) == (RUN, 7)
    assert called(lambda run, user: (run, user), user=7) == (RUN, 7)
    assert called(lambda user, run: (user, run), user=7) == (7, RUN)
    assert called(lambda *, run: run) is RUN
    assert called(lambda *rest, run: (rest, run), 1, 2) == ((1, 2), RUN)
    assert called(lambda run=None: run) is RUN


@pytest.mark.parametrize(
    "annotation",
    [
        Run,
        AsyncRun,
        Run | None,
        Optional[Run],  # noqa: UP045  # the old spelling is the thing tested
        Union[AsyncRun, None],  # noqa: UP007  # likewise
        "Run",
        "AsyncRun",
        "rota.Run",
        "Run | None",
        "Optional[Run]",
        "typing.Optional[rota.Run]",
        "Union[None, AsyncRun]",
        "Run | Fake",
        "list[int] | Run | dict[str, list[int]]",
    ],
)
def test_a_parameter_annotated_run_takes_the_run(annotation):
    assert called(annotated(annotation)) is RUN


@pytest.mark.parametrize("annotation", [int, "Runner", list[Run], Any, "list[Run]", "Optional[list[Run]]", "Rerun"])
def test_another_annotation_does_not(annotation):
    assert shape_of(annotated(annotation)).run_name is None


def test_catch_alls_named_run_do_not_take_it():
    assert shape_of(lambda *run: run).run_name is None
    assert shape_of(lambda **run: run).run_name is None


def test_methods_objects_partials_and_wrapped_functions_are_seen_through():
    @functools.wraps(lambda run: run)
    def wrapped(*args, **kwargs):
        return args or kwargs["run"]

    assert called(Service().method) is RUN
    assert called(Service()) is RUN
    assert called(functools.partial(lambda a, run: run, 1)) is RUN
    assert called(wrapped) == (RUN,)


def test_unhashable_callables_are_fine():
    class Unhashable(Service):
        __hash__ = None

    assert called(Unhashable()) is RUN


def test_async_functions_are_told_apart():
    async def coroutine():
        pass

    assert is_coroutine_function(coroutine)
    assert is_coroutine_function(functools.partial(functools.partial(coroutine)))
    assert is_coroutine_function(AsyncService())
    assert not is_coroutine_function(AsyncService)
    assert not is_coroutine_function(lambda: None)
    assert not is_coroutine_function(Service())


def test_arguments_that_do_not_fit_are_refused_with_the_signature():
    def send(user, run):
        pass

    with pytest.raises(ConfigurationError, match=r"send\(user, run\).*'user'"):
        check_arguments(send, shape_of(send), [], {}, "job 'send'")
    check_arguments(send, shape_of(send), [1], {}, "job 'send'")
    check_arguments(send, shape_of(send), [], {"user": 1}, "job 'send'")
    with pytest.raises(ConfigurationError, match=r"'run'.*takes the run"):
        check_arguments(send, shape_of(send), [1], {"run": 1}, "job 'send'")


def test_a_builtin_without_a_signature_is_left_to_itself():
    check_arguments(print, shape_of(print), ["x"], {}, "job 'print'")
