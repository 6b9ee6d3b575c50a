"""What can be wrong with certificates. These never cross the wire: a person reads them."""


class PkiError(Exception):
    """One sentence that says what to do."""
