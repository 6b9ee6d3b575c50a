"""What is wrong with a setting: one sentence that names it, its value, and what would be right."""


class SettingError(ValueError):
    """A setting is wrong: one sentence. `option` names it, where it is one alone."""

    option = ""

    @classmethod
    def of(cls, name: str, value: object, expected: str) -> "SettingError":
        """Names the setting, its value, and what would be right."""
        error = cls(f"{name.replace('_', '-')}: {str(value)!r} is not valid: {expected}")
        error.option = name
        return error
