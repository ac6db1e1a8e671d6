"""The two contracts, put together of their parts, less what does not apply to the backend at hand."""

from __future__ import annotations

from typing import Any

from rota.testing.conformance._lock_case import LockCapabilities, LockFactory
from rota.testing.conformance._processes import will_need
from rota.testing.conformance._store_case import StoreCapabilities, StoreFactory
from rota.testing.conformance.lock_ambiguity import LockAmbiguity
from rota.testing.conformance.lock_basics import LockBasics
from rota.testing.conformance.lock_claims import LockClaims
from rota.testing.conformance.lock_concurrency import LockConcurrency
from rota.testing.conformance.lock_forgetting import LockForgetting
from rota.testing.conformance.lock_holders import LockHolders
from rota.testing.conformance.lock_operations import LockOperations
from rota.testing.conformance.lock_tokens import LockTokens
from rota.testing.conformance.store_claims import StoreClaims
from rota.testing.conformance.store_faults import StoreFaults
from rota.testing.conformance.store_jobs import StoreJobs
from rota.testing.conformance.store_looking import StoreLooking
from rota.testing.conformance.store_model import StoreModel
from rota.testing.conformance.store_runs import StoreRuns
from rota.testing.conformance.store_values import StoreValues


class LockBackendContract(
    LockBasics, LockTokens, LockForgetting, LockAmbiguity, LockHolders, LockClaims, LockConcurrency, LockOperations
):
    """Every point of the contract of `rota.ports.LockBackend`; subclass it with `factory` and `capabilities`."""


class StoreContract(StoreJobs, StoreClaims, StoreRuns, StoreLooking, StoreValues, StoreFaults, StoreModel):
    """Every point of the contract of `rota.ports.Store`; subclass it with `factory` and `capabilities`."""


def lock_backend_contract(factory: LockFactory, capabilities: LockCapabilities | None = None) -> type:
    """A test class for the lock backends that `factory` makes; bind it to a name that begins with `Test`."""
    declared = capabilities or LockCapabilities()
    will_need(factory.__module__)
    return type(
        "LockBackendContract",
        (LockBackendContract,),
        {"factory": staticmethod(factory), "capabilities": declared, **dict.fromkeys(_not_for_locks(declared))},
    )


def store_contract(factory: StoreFactory, capabilities: StoreCapabilities | None = None) -> type:
    """A test class for the stores that `factory` makes; bind it to a name that begins with `Test`."""
    declared = capabilities or StoreCapabilities()
    will_need(factory.__module__)
    left_out: list[str] = []
    if not declared.takes_clock:
        left_out += _needing(StoreContract, "clock")
    if declared.is_one_object:
        left_out += _needing(StoreContract, "peer", "compete")
    if declared.hang is None:
        left_out.append("test_a_store_that_hangs_is_given_up_in_time")
    if declared.break_storage is None:
        left_out.append("test_an_unusable_store_is_a_typed_error")
    return type(
        "StoreContract",
        (StoreContract,),
        {"factory": staticmethod(factory), "capabilities": declared, **dict.fromkeys(left_out)},
    )


def _not_for_locks(declared: LockCapabilities) -> list[str]:
    left_out: list[str] = []
    if not declared.takes_clock:
        left_out += _needing(LockBackendContract, "clock")
    if declared.is_one_object:
        left_out += _needing(LockBackendContract, "peer", "compete", "spawn", "rebooted", "factory")
        left_out.append("test_40_a_program_started_after_the_jump_is_not_fooled")
    if not declared.forgets_locks:
        left_out += [name for name in dir(LockForgetting) if name.startswith("test_")]
    for name, points in {
        "restart": ("test_23_lease_survives_what_the_server_does",),
        "end_sessions": ("test_24_lease_survives_its_session",),
        "step_server_clock": ("test_28_a_stepped_server_clock",),
        "hang": ("test_25_a_store_that_hangs_is_given_up_in_time",),
        "break_storage": ("test_46_an_unusable_store_is_a_typed_error",),
        "transaction": ("test_38_a_transaction_of_the_program_takes_nothing_back",),
        "other_version": ("test_48_two_versions_share_a_store",),
        "misconfigured": ("test_47_a_misconfigured_server_is_refused",),
    }.items():
        if not getattr(declared, name):
            left_out += points
    return left_out


def _needing(contract: type, *names: str) -> list[str]:
    """The tests whose code speaks of any of these."""
    found: list[str] = []
    for name in dir(contract):
        code: Any = getattr(getattr(contract, name), "__code__", None)
        if name.startswith("test_") and code is not None and not set(names).isdisjoint(code.co_names):
            found.append(name)
    return found
