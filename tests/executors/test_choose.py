"""Which executor is chosen, and what a process job may be."""

from __future__ import annotations

import functools
import os
import sys
from types import ModuleType

import pytest
from tests.executors import process_jobs

from rota.errors import ConfigurationError
from rota.executors.choose import choose_executor
from rota.executors.targets import find_target, refuse_unless_importable, target_of, wrappers_around


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


MODULE = """
import functools

declared = {}

def job(func):
    declared[func.__qualname__] = func
    return func

def traced(func):
    @functools.wraps(func)
    def call(*args):
        return func(*args)
    return call

@traced
@job
def wrapped_above(): ...

@job
@traced
def wrapped_below(): ...

@traced
@job
@traced
def wrapped_on_both_sides(): ...

@traced
@traced
@job
def wrapped_thrice(): ...

@job
def given_twice(): ...

def given_twice(): ...

@lambda func: lambda: func()
@job
def replaced_above(): ...

@job
@traced
def given_twice_in_one_wrapper(): ...

@traced
def given_twice_in_one_wrapper(): ...

for number in (1, 2):
    @job
    def of_a_loop(): ...

for number in (1, 2):
    def with_a_default(number=number): ...
    declared.setdefault("with_a_default", with_a_default)

class Base:
    @classmethod
    def of_class(cls): ...

    @staticmethod
    @job
    def static(): ...

class Heir(Base): ...

declared["of_class"] = Base.of_class
declared["of_an_heir"] = Heir.of_class
declared["gone"] = job(lambda: None)
"""


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", module)
    run(module)
    return module


def run(module: ModuleType) -> None:
    exec(compile(MODULE, "shop.py", "exec"), module.__dict__)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("given_twice", "declared, at shop.py:34: it is at shop.py:37. Give each function a name of its own"),
        ("given_twice_in_one_wrapper", "Give each function a name of its own"),
        ("replaced_above", "a decorator above the job's has to use functools.wraps"),
        ("with_a_default", "Give each function a name of its own"),
        ("of_an_heir", "shop:Base.of_class"),
    ],
)
def test_a_name_that_leads_to_another_function_is_refused(module: ModuleType, name: str, right: str) -> None:
    with pytest.raises(ConfigurationError, match=r"job 'x': .* is not the function declared") as raised:
        wrappers_around(module.declared[name], "job 'x'")
    assert right in str(raised.value)


@pytest.mark.parametrize("name", ["wrapped_below", "of_a_loop", "of_class", "Base.static", "gone"])
def test_a_module_that_ran_again_has_the_same_functions(module: ModuleType, name: str) -> None:
    before = module.declared[name]
    assert wrappers_around(before, "job 'x'") == 0
    run(module)
    assert wrappers_around(before, "job 'x'") == 0


@pytest.mark.parametrize(("name", "count"), [("wrapped_above", 1), ("wrapped_on_both_sides", 1), ("wrapped_thrice", 2)])
def test_a_function_that_was_decorated_again_is_found_below(module: ModuleType, name: str, count: int) -> None:
    func = module.declared[name]
    assert wrappers_around(func, "job 'x'") == count
    assert find_target(target_of(func), count) is func


def test_a_function_whose_module_is_not_there_is_left_to_the_child(module: ModuleType) -> None:
    given = module.declared["given_twice"]
    given.__module__ = "nowhere"
    assert wrappers_around(given, "job 'x'") == 0
    assert wrappers_around(os.getpid, "job 'x'") == 0
