"""Why a store cannot be opened. Only the start of a master meets these."""


class StoreUnusable(Exception):
    """One sentence that says what to do."""


class StoreLocked(StoreUnusable):
    """Another master has it."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is in use by another master: stop that one, or give this one a file of its own"
        )
