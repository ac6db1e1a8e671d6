"""`@scheduler.idempotent(key)`: the second call with a key gives the first one's result, in the whole fleet.

Law: recall, lock, recall again, mark as started, call, mark as done, unlock. A crash between any two of these leaves
either nothing, or a `started` that nobody holds the lock of: that call may have acted, and `on_death` decides.

The key stands for itself: functions that use equal keys share their results. It is remembered for `ttl` seconds, or
for ever. What a call raises is not remembered, so the next one may try; nor is a result that is not JSON (or is over
64 kB), but that the call is done is.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import re
import string
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, ParamSpec, Protocol, TypeVar, cast

from rota.core.calling import is_coroutine_function
from rota.core.json_values import result_text
from rota.core.lease import Lease
from rota.core.options import LONGEST_SPAN, too_long
from rota.core.run import JSON
from rota.errors import BackendError, ConfigurationError, InProgress, LeaseLost, LockHeld, ResultNotStored, StoreError
from rota.ports import Store

SCOPE: Final = "idempotent"

OnDeath = Literal["retry", "raise"]
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class KeyLock(Protocol):
    """A lock, for a `with` or an `async with` block; entering raises `LockHeld` at once where another holds it."""

    def __enter__(self) -> Lease: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

    async def __aenter__(self) -> Lease: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...


class IdempotencyRuntime(Protocol):
    """What an idempotent call needs of the scheduler at the moment of the call."""

    @property
    def store(self) -> Store:
        """Where results are kept."""
        ...

    def lock(self, key: str) -> KeyLock:
        """The lock of one key. `ConfigurationError` where the key is too long."""
        ...

    def in_pool(self, func: Callable[[], T]) -> Awaitable[T]:
        """Call `func` off the loop."""
        ...


def idempotent(
    runtime: Callable[[], IdempotencyRuntime],
    key: str | Callable[..., str],
    *,
    ttl: float | None = None,
    on_death: OnDeath = "retry",
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The decorator, for `def` and `async def`.

    `key`: a format string over the function's parameters (`"charge:{invoice_id}"`, `"{order.id}"`), or a function of
    the same arguments. `ttl`: seconds for which a call is remembered; `None`: for ever. `on_death`: what becomes of a
    call whose holder died at work, or could not record its end: `"retry"` does it again, `"raise"` raises `LeaseLost`
    for as long as it is remembered.

    Calls raise `InProgress` while the first is at work, `ResultNotStored` where its result could not be kept, and
    `StoreError` where the function was done but that could not be recorded. `ConfigurationError`: the key does not fit
    the function, or an option is wrong.
    """
    _check_options(ttl, on_death)

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        if not callable(func):
            raise ConfigurationError('write @scheduler.idempotent("charge:{invoice_id}"), with its key')
        make_key = _key_maker(func, key)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
            return _Call(runtime(), make_key(*args, **kwargs), ttl, on_death)

        _refuse_generator(func)
        if is_coroutine_function(func):
            return cast("Callable[P, R]", _async_wrapper(cast("Callable[..., Awaitable[object]]", func), begin))
        return cast("Callable[P, R]", _wrapper(func, begin))

    return decorate


Begin = Callable[[tuple[Any, ...], dict[str, Any]], "_Call"]


def _wrapper(func: Callable[..., object], begin: Begin) -> Callable[..., object]:
    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> object:
        this = begin(args, kwargs)
        known = this.recall()
        if known is not None:
            return known.result
        with ExitStack() as stack:
            try:
                lease = stack.enter_context(this.lock)
            except LockHeld:
                return this.recall_or_in_progress().result
            try:
                known = this.start()
                result = func(*args, **kwargs) if known is None else known.result
            except BaseException as error:
                this.forget(lease, error)
                raise
            if known is None:
                this.finish(result, lease)
            return result

    return call


def _async_wrapper(func: Callable[..., Awaitable[object]], begin: Begin) -> Callable[..., Awaitable[object]]:
    @functools.wraps(func)
    async def call(*args: Any, **kwargs: Any) -> object:
        this = begin(args, kwargs)
        known = await this.in_pool(this.recall)
        if known is not None:
            return known.result
        async with AsyncExitStack() as stack:
            try:
                lease = await stack.enter_async_context(this.lock)
            except LockHeld:
                return (await this.in_pool(this.recall_or_in_progress)).result
            try:
                known = await _uninterrupted(this.in_pool(this.start))
                result = await func(*args, **kwargs) if known is None else known.result
            except BaseException as error:
                await _uninterrupted(this.in_pool(partial(this.forget, lease, error)))
                raise
            if known is None:
                await _uninterrupted(this.in_pool(partial(this.finish, result, lease)))
            return result

    return call


async def _uninterrupted(awaitable: Awaitable[T]) -> T:
    """Its answer; a cancellation is put off until it is there. What still writes must not outlive the lock."""
    import asyncio  # loaded already: this is awaited

    future = asyncio.ensure_future(awaitable)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from (None if future.cancelled() else future.exception())
    return future.result()


# One call --------------------------------------------------------------------------------------------------------


class _Done(NamedTuple):
    """A call that was done before; its result comes as a fresh copy."""

    result: JSON


class _Call:
    """One call with a key: what is known of the key, and what is written of it."""

    def __init__(self, runtime: IdempotencyRuntime, key: str, ttl: float | None, on_death: OnDeath) -> None:
        self.key = key
        self.lock = runtime.lock(key)
        self.in_pool = runtime.in_pool
        self._store = runtime.store
        self._ttl = ttl
        self._on_death = on_death
        self._is_started = False

    def recall(self) -> _Done | None:
        """The result of a call that was done; `ResultNotStored` where that was not kept; `None`: not done."""
        entry = self._read()
        if entry is None or entry["state"] != "done":
            return None
        if not entry["has_result"]:
            raise ResultNotStored(
                f"the call with the key {self.key!r} was done before, but its result was not kept ({entry['reason']})"
            )
        return _Done(entry["result"])

    def recall_or_in_progress(self) -> _Done:
        """As `recall`, for when another holds the lock: it may just have ended."""
        known = self.recall()
        if known is None:
            raise InProgress(f"the first call with the key {self.key!r} is still at work") from None
        return known

    def start(self) -> _Done | None:
        """Recall again, now that nobody else can write; else mark the call as started."""
        known = self.recall()
        if known is not None:
            return known
        if self._on_death == "raise" and self._read() is not None:
            raise LeaseLost(
                f"the call with the key {self.key!r} was started before, and its holder died or lost its lease before"
                f" it could record an end: whether it acted is unknown (on_death='raise')"
            )
        self._is_started = True
        self._write({"state": "started"})
        return None

    def finish(self, result: object, lease: Lease) -> None:
        """Mark the call as done. `StoreError`, and the mark stays `started`, where that fails twice."""
        if not lease.held and self._was_done_by_another():
            return
        text, reason = result_text(result)
        has_result = text is not None or result is None
        entry = {"state": "done", "has_result": has_result, "result": result if has_result else None, "reason": reason}
        try:
            try:
                self._write(entry)
            except BackendError:
                self._write(entry)
        except BackendError as error:
            raise StoreError(
                f"the call with the key {self.key!r} was done, but that could not be recorded: {error}"
            ) from error

    def forget(self, lease: Lease, error: BaseException) -> None:
        """The call raised `error`: the next one may try. With the lease lost the mark may be another's, and stays."""
        if not self._is_started or not lease.held:
            return
        try:
            self._store.delete_value(SCOPE, self.key)
        except BackendError as failure:
            error.add_note(f"the idempotency key {self.key!r} stays marked as started: {failure!r}")

    def _was_done_by_another(self) -> bool:
        try:
            entry = self._read()
        except BackendError:
            return False
        return entry is not None and entry["state"] == "done"

    def _read(self) -> dict[str, Any] | None:
        text = self._store.value(SCOPE, self.key)
        if text is None:
            return None
        entry: dict[str, Any] = json.loads(text)
        return entry

    def _write(self, entry: dict[str, object]) -> None:
        self._store.put_value(SCOPE, self.key, json.dumps(entry, separators=(",", ":")), ttl=self._ttl)


# Options and keys ------------------------------------------------------------------------------------------------


def _check_options(ttl: float | None, on_death: str) -> None:
    if ttl is not None and (type(ttl) not in (int, float) or not 0 < ttl < math.inf):
        raise ConfigurationError(f"ttl is a number of seconds above 0, or None for ever, not {ttl!r}")
    if ttl is not None and ttl > LONGEST_SPAN:
        raise ConfigurationError(f"ttl: {too_long(ttl)}; None is for ever")
    if on_death not in ("retry", "raise"):
        raise ConfigurationError(f"on_death is 'retry' or 'raise', not {on_death!r}")


def _refuse_generator(func: Callable[..., object]) -> None:
    if any(is_kind(func) for is_kind in (inspect.isgeneratorfunction, inspect.isasyncgenfunction)):
        raise ConfigurationError(f"{_name(func)} is a generator, which gives no result that could be kept")


def _key_maker(func: Callable[..., object], key: object) -> Callable[..., str]:
    if isinstance(key, str):
        make = _formatter(func, key)
    elif callable(key):
        make = key
    else:
        raise ConfigurationError(f"key is a format string or a function of the arguments, not {type(key).__name__}")

    def checked(*args: Any, **kwargs: Any) -> str:
        made = make(*args, **kwargs)
        if type(made) is not str or not made:
            raise ConfigurationError(f"the idempotency key of {_name(func)} is to be a text, not {made!r}")
        return made

    return checked


def _formatter(func: Callable[..., object], key: str) -> Callable[..., str]:
    if not key:
        raise ConfigurationError(f"the idempotency key of {_name(func)} is empty: every call would be the same one")
    signature = inspect.signature(func)
    for name in _field_names(key):
        if name not in signature.parameters:
            known = ", ".join(signature.parameters) or "none"
            raise ConfigurationError(f"key {key!r} names {name!r}, which is no parameter of {_name(func)}: {known}")

    def make(*args: Any, **kwargs: Any) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            return key.format_map(bound.arguments)
        except (AttributeError, LookupError, ValueError, TypeError) as error:
            raise ConfigurationError(f"key {key!r} cannot be made of these arguments: {error!r}") from error

    return make


def _field_names(text: str) -> Iterator[str]:
    """The arguments that a format string asks for, without the attributes and items it takes of them."""
    try:
        fields = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ConfigurationError(f"key {text!r} is no format string: {error}") from error
    for _, field, specification, _ in fields:
        if field is not None:
            yield re.split(r"[.\[]", field, maxsplit=1)[0]
            yield from _field_names(specification or "")


def _name(func: Callable[..., object]) -> str:
    return getattr(func, "__qualname__", None) or repr(func)
