"""What the environment says, and where things lie by it. Nothing else reads the environment."""

import os
from pathlib import Path

from platformdirs import user_cache_path, user_config_path, user_state_path

ENV_PREFIX = "FFRTMP_"
CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"


def state_dir() -> Path:
    """Where processes keep what must survive them. $FFRTMP_STATE_DIR names another."""
    named = os.environ.get(f"{ENV_PREFIX}STATE_DIR")
    return Path(named) if named else user_state_path("ffrtmp")


def cache_dir() -> Path:
    """What can be found out again. $XDG_CACHE_HOME moves it."""
    return user_cache_path("ffrtmp")


def config_file() -> Path:
    """The TOML file; it need not exist, unless $FFRTMP_CONFIG names it."""
    named = named_config_file()
    return Path(named) if named else user_config_path("ffrtmp") / "config.toml"


def named_config_file() -> str:
    """What $FFRTMP_CONFIG says."""
    return os.environ.get(CONFIG_VARIABLE, "")


def variable(option: str) -> str | None:
    """What the environment says of an option."""
    return os.environ.get(f"{ENV_PREFIX}{option.upper()}")


def variables() -> tuple[str, ...]:
    """Names of the variables that are meant for us."""
    return tuple(name for name in os.environ if name.startswith(ENV_PREFIX))
