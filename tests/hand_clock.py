"""A clock for tests of one part: it drives nothing, and stands still until it is told."""


class HandClock:
    """Wall, monotonic and boot clock in one: `seconds`, set by the test."""

    def __init__(self, seconds: float = 1_000.0) -> None:
        self.seconds = seconds

    def now(self) -> int:
        return round(self.seconds * 1_000_000)

    def monotonic(self) -> float:
        return self.seconds

    def boottime(self) -> float:
        return self.seconds

    def boot_id(self) -> str:
        return "boot"
