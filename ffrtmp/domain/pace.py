"""How fast a peer may talk: a bucket of tokens that refills with time."""


class Pace:
    """`a_second` in the long run, `at_once` in a burst. Times in seconds of any steady clock."""

    def __init__(self, *, a_second: float, at_once: float) -> None:
        self._a_second = a_second
        self._at_once = at_once
        self._left = at_once
        self._since: float | None = None

    def allows(self, at: float) -> bool:
        """Takes one token; False when there is none."""
        waited = at - self._since if self._since is not None else 0.0
        self._since = at
        self._left = min(self._at_once, self._left + self._a_second * max(0.0, waited))
        if self._left < 1:
            return False
        self._left -= 1
        return True
