"""What only stores and those who open them meet."""


class StoreUnusable(Exception):
    """Why a store cannot be opened: one sentence that says what to do."""


class StoreLocked(StoreUnusable):
    """Another master has it."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is in use by another master: stop that one, or give this one a file of its own"
        )


class SchemaTooNew(StoreUnusable):
    def __init__(self, where: str, found: int, known: int) -> None:
        super().__init__(
            f"{where} has schema {found}, this build of ffrtmp knows {known}: use a newer ffrtmp"
        )


class Conflict(Exception):
    """Two transactions were in each other's way; nothing was changed, the same again may pass."""
