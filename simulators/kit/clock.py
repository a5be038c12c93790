"""The simulators' time: the machine's, moved ahead by what a test says."""

import time


class Clock:
    """Seconds since 1970 as Unix time; `advance` moves it ahead (keys expire, disputes age)."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return time.time() + self._ahead

    def unix(self) -> int:
        """Whole seconds, as providers write instants."""
        return int(self.now())

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
