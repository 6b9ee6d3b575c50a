"""Every option, once: its name, default, unit and help. One frozen dataclass a process.

Flags, `FFRTMP_*` variables, the TOML file and the documentation's table all come from here (by
cyclopts). Nothing else reads the environment.
"""

from ffrtmp.config.environment import (
    CONFIG_VARIABLE,
    ENV_PREFIX,
    cache_dir,
    config_file,
    named_config_file,
    state_dir,
    variable,
    variables,
)
from ffrtmp.config.errors import SettingError
from ffrtmp.config.local import SimulateSettings, UpSettings
from ffrtmp.config.sections import (
    SECTIONS,
    Found,
    Option,
    Settings,
    options_of,
    shown_store,
    written_default,
)
from ffrtmp.config.settings import ClientSettings, MasterSettings, WorkerSettings
from ffrtmp.config.units import (
    Duration,
    Names,
    parse_bytes,
    parse_duration,
    show_duration,
    show_size,
)
from ffrtmp.config.values import parse_retention, parse_roots

__all__ = [
    "CONFIG_VARIABLE",
    "ENV_PREFIX",
    "SECTIONS",
    "ClientSettings",
    "Duration",
    "Found",
    "MasterSettings",
    "Names",
    "Option",
    "SettingError",
    "Settings",
    "SimulateSettings",
    "UpSettings",
    "WorkerSettings",
    "cache_dir",
    "config_file",
    "named_config_file",
    "options_of",
    "parse_bytes",
    "parse_duration",
    "parse_retention",
    "parse_roots",
    "show_duration",
    "show_size",
    "shown_store",
    "state_dir",
    "variable",
    "variables",
    "written_default",
]
