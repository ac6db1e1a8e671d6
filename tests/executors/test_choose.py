"""Which executor is chosen, and what a process job may be."""

from __future__ import annotations

import functools
import os
import sys

import pytest
from tests.executors import process_jobs

from rota.errors import ConfigurationError
from rota.executors.choose import choose_executor
from rota.executors.targets import find_target, refuse_unless_importable, target_of


async def coroutine() -> None: ...


def plain() -> None: ...


class AsyncCallable:
    async def __call__(self) -> None: ...


class Plain:
    def method(self) -> None: ...

    @classmethod
    def of_class(cls) -> None: ...

    @staticmethod
    def static() -> None: ...


@pytest.mark.parametrize(
    ("func", "name"),
    [
        (plain, "thread"),
        (coroutine, "asyncio"),
        (AsyncCallable(), "asyncio"),
        (functools.partial(coroutine), "asyncio"),
        (functools.partial(plain), "thread"),
        (AsyncCallable, "thread"),
        (Plain().method, "thread"),
        (print, "thread"),
    ],
)
def test_plain_functions_go_to_threads_and_coroutine_functions_to_the_loop(func: object, name: str) -> None:
    assert choose_executor(func) == name


@pytest.mark.parametrize(
    ("func", "option"),
    [
        (plain, "thread"),
        (plain, "inline"),
        (plain, "process"),
        (coroutine, "asyncio"),
        (coroutine, "inline"),
        (coroutine, "process"),
        (plain, "celery"),
    ],
)
def test_an_option_that_fits_is_taken(func: object, option: str) -> None:
    assert choose_executor(func, option, others=["celery"]) == option


@pytest.mark.parametrize(
    ("func", "option", "said"),
    [
        (plain, "asyncio", 'executor="thread"'),
        (coroutine, "thread", 'executor="asyncio"'),
        (plain, "threads", "did you mean 'thread'"),
        (plain, "xyz", "there are inline, thread, asyncio, process"),
        (lambda: None, "process", "a lambda has no name"),
    ],
)
def test_a_contradiction_is_refused_with_what_would_be_right(func: object, option: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="job 'x': ") as raised:
        choose_executor(func, option, where="job 'x'")
    assert said in str(raised.value)


def test_what_another_process_cannot_import_is_refused_at_registration() -> None:
    def inner() -> None: ...

    for func in (lambda: None, inner, functools.partial(plain), Plain().method, AsyncCallable(), "text".upper):
        with pytest.raises(ConfigurationError, match="a function at the top of a module"):
            refuse_unless_importable(func)


def test_a_function_typed_at_a_prompt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    main = type(sys)("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    typed = eval("lambda: None")
    typed.__qualname__, typed.__module__ = "typed", "__main__"
    with pytest.raises(ConfigurationError, match="typed at a prompt"):
        refuse_unless_importable(typed)
    main.__file__ = "script.py"
    refuse_unless_importable(typed)
    assert target_of(typed) == "__main__:typed"


@pytest.mark.parametrize("func", [process_jobs.add, process_jobs.Jobs.of_class, process_jobs.Jobs.static, os.getpid])
def test_a_target_is_found_again_by_its_name(func: object) -> None:
    refuse_unless_importable(func)
    assert find_target(target_of(func)) == func


def test_a_target_that_is_not_there_says_so() -> None:
    with pytest.raises(ConfigurationError, match="process_jobs has no nowhere there"):
        find_target("tests.executors.process_jobs:nowhere")
