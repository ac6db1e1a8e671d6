"""Small values and logs."""

from __future__ import annotations

from rota.testing.conformance._store_case import StoreCase


class StoreValues(StoreCase):
    """Small values and logs."""

    def test_values_by_scope_and_key(self) -> None:
        assert self.store.put_value("scope", "a", "1")
        assert self.store.put_value("scope", "b", '"ü"')
        assert self.store.put_value("other", "a", "3")
        assert self.store.put_value("scope", "a", "2")
        assert self.store.values("scope") == {"a": "2", "b": '"ü"'}
        assert self.open().value("other", "a") == "3"
        assert self.store.value("scope", "c") is None
        assert self.store.values("unknown") == {}
        self.store.delete_value("scope", "a")
        self.store.delete_value("scope", "a")
        self.store.delete_value("unknown", "a")
        assert self.store.values("scope") == {"b": '"ü"'}

    def test_a_value_ceases_after_its_ttl(self) -> None:
        self.store.put_value("scope", "short", "1", ttl=10.0)
        self.store.put_value("scope", "long", "2", ttl=100.0)
        self.store.put_value("scope", "ever", "3")
        self.clock.advance(9.0)
        assert self.store.value("scope", "short") == "1"
        self.clock.advance(1.5)
        assert self.store.value("scope", "short") is None
        assert self.store.values("scope") == {"long": "2", "ever": "3"}
        self.store.forget(0)
        assert self.store.values("scope") == {"long": "2", "ever": "3"}
        self.store.put_value("scope", "short", "4")
        assert self.store.value("scope", "short") == "4"

    def test_values_that_are_over_are_forgotten_so_many_at_a_time(self) -> None:
        for number in range(7):
            self.store.put_value(f"scope {number % 2}", f"short {number}", "1", ttl=10.0)
        self.store.put_value("scope 0", "short 0", "2", ttl=100.0)
        self.store.put_value("scope 0", "ever", "3")
        assert not self.store.forget(0, limit=2)
        self.clock.advance(11.0)
        assert [self.store.forget(0, limit=4) for _ in range(3)] == [True, False, False]
        assert self.store.values("scope 0") == {"short 0": "2", "ever": "3"}
        assert self.store.values("scope 1") == {}

    def test_a_jump_of_a_day_and_back_loses_no_value(self) -> None:
        self.store.put_value("scope", "key", "1", ttl=3600.0)
        self.clock.step(86_400.0)
        assert self.store.value("scope", "key") == "1"
        self.store.forget(0)
        self.clock.step(-86_400.0)
        assert self.store.value("scope", "key") == "1"

    def test_only_the_holder_writes_for_a_run(self) -> None:
        self.declared()
        begun = self.begun(self.row(origin="run_now"))
        scope = f"run:{begun.id}"
        assert self.store.put_value(scope, "k", "1", holder=begun.token)
        assert not self.store.put_value(scope, "k", "2", holder="foreign")
        assert not self.store.put_value("run:unknown", "k", "2", holder=begun.token)
        assert not self.store.put_value("no run", "k", "2", holder=begun.token)
        self.store.swap([self.ended(begun, "waiting")])
        assert not self.store.put_value(scope, "k", "2", holder=begun.token)
        assert self.store.values(scope) == {"k": "1"}

    def test_logs_are_appended(self) -> None:
        self.declared()
        begun = self.begun(self.row(origin="run_now"))
        self.store.swap([self.ended(begun, "waiting", logs=('"a"', '"b"'))])
        again = self.store.begin([self.ask(self.kept(begun.id))])[0].row
        assert again is not None
        self.open().swap([self.ended(again, logs=('"c"',))])
        assert list(self.store.logs(begun.id)) == ['"a"', '"b"', '"c"']
        assert list(self.store.logs("other")) == []
