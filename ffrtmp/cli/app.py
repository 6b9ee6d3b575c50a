"""`ffrtmp`: the commands, and how each of them ends: an exit code, and a line when it went wrong.

What a command offers is imported when it is named, what it does when it runs: see `commands`.
"""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App, CycloptsError, Parameter

from ffrtmp import __version__
from ffrtmp.cli.errors import Exit, UserError, sentence_of
from ffrtmp.cli.mistakes import sentence_about
from ffrtmp.cli.prose import Prose
from ffrtmp.cli.sources import origins, sources
from ffrtmp.config import SettingError, state_dir
from ffrtmp.groups import first_of


def _shown(default: object) -> str | None:
    """A default that is no value is told by the option's help, where it means something."""
    return str(default) if default not in {None, "", (), 0} else None


app = App(
    name="ffrtmp",
    version=__version__,
    help="An FFmpeg cluster: a master, workers, jobs, and nothing lost.",
    help_epilogue=(
        "Settings such as --log-format can also be variables, FFRTMP_LOG_FORMAT, "
        "or lines of the configuration file."
    ),
    help_format="plaintext",
    help_formatter=Prose(),
    help_on_error=False,
    default_parameter=Parameter(show_default=_shown),
)
HELP = ("--help", "-h")
NOT_ON_WINDOWS = "ffrtmp does not run on Windows itself: use WSL 2, which is Linux"
COMMANDS = {
    "transcode:transcode": "Transcode one file.",
    "up:up": "Run a cluster on this machine.",
    "plan:plan": "Print the FFmpeg command of a job.",
    "presets:presets": "Show what each preset means.",
    "jobs:jobs": "Submit, look at, change jobs.",
    "workers:workers": "Look at the workers, drain, remove.",
    "top:top": "Watch workers and jobs.",
    "overview:overview": "The whole cluster at a glance.",
    "sla:sla": "Did the cluster keep its promises?",
    "serve:master": "Run a master.",
    "serve:worker": "Run a worker.",
    "simulate:simulate": "Run simulated workers.",
    "health:health": "Is the master or worker of this machine well?",
    "docs:docs": "Print tables of the documentation.",
    "certs:certs": "Make and issue certificates.",
    "backup:backup": "Copy a running master's store.",
    "backup:restore": "Put a copy made by backup back.",
    "doctor:doctor": "Is this machine fit for a cluster?",
    "config:config": "Show settings; files for this machine and monitoring.",
    "completion:completion": "Print completion for a shell.",
}
"""Where each is offered, `module:name` below `ffrtmp.cli.commands`; what the list says of it."""
for _path, _help in COMMANDS.items():
    app.command(f"ffrtmp.cli.commands.{_path}", name=_path.partition(":")[2], help=_help)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Ends the process."""
    # gRPC would add lines of its own to the sentence that explains an error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: Sequence[str]) -> int:
    """Runs one command; returns its exit code. Never a traceback for a user's mistake."""
    if sys.platform == "win32":
        return _fail(NOT_ON_WINDOWS, Exit.USAGE)
    app.config = sources(arguments)
    if sys.stdout is None:  # closed by the caller: what is said there is said to nobody
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    try:
        _tell_all(arguments)
        result = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except CycloptsError as error:
        return _fail(sentence_about(error, app), Exit.USAGE)
    except Exception as error:
        if isinstance(first_of(error), BrokenPipeError):
            _hang_up()
            return Exit.DONE
        if _is_full(error):
            _hang_up()
        sentence, code = explain(error)
        if sentence is None:
            raise
        return _fail(sentence, code)
    return result if isinstance(result, int) else Exit.DONE


def _hang_up() -> None:
    """Nothing is written to standard output any more, also not at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_full(error: BaseException) -> bool:
    """Whether what a command says cannot be written: of any file its name would be known."""
    first = first_of(error)
    return isinstance(first, OSError) and first.errno == errno.ENOSPC and first.filename is None


def _tell_all(arguments: Sequence[str]) -> None:
    """The list of commands has a few words of each; its own --help has all of its docstring."""
    named = [each for each in arguments if each not in HELP]
    if len(named) == len(arguments):
        return
    command = app.parse_commands(named)[1][-1]
    if command is not app and command.default_command is not None:
        command.help = None


def _fail(sentence: str, code: int) -> int:
    print(f"ffrtmp: {sentence}", file=sys.stderr)
    return code


def explain(error: BaseException) -> tuple[str | None, int]:
    """The sentence and exit code for an error; no sentence: it is ours, not the user's."""
    error = first_of(error)
    if isinstance(error, UserError):
        return str(error), error.exit_code
    if isinstance(error, SettingError):
        found = origins().get(error.option)
        return str(error) + (
            f" (from {found.source})" if found and found.source else ""
        ), Exit.USAGE
    if _is_full(error):
        return "cannot write to standard output: the disk is full", Exit.USAGE
    if isinstance(error, OSError) and error.filename is not None and _is_theirs(error):
        why = (error.strerror or "").lower()
        return f"cannot use {error.filename}: {why}{_whose(error.filename)}", Exit.USAGE
    for code, names in _EXITS.items():
        if any(kind.__name__ in names for kind in type(error).__mro__):
            return sentence_of(error), code
    return None, 1


def _is_theirs(error: OSError) -> bool:
    """A folder that this user may not use, or a state folder that cannot be made at all. Anything
    else that the system says of a file is for us to mend."""
    if error.errno != errno.ENOENT:
        return error.errno in _FILES
    return bool(_whose(error.filename)) and not state_dir().exists()


def _whose(file: object) -> str:
    """Where it is in the way of the state folder, or in it."""
    folder, named = state_dir(), Path(os.fsdecode(file)) if isinstance(file, str | bytes) else None
    if named is None or not (folder.is_relative_to(named) or named.is_relative_to(folder)):
        return ""
    return f"; the state folder is {folder}: FFRTMP_STATE_DIR (--state-dir of a worker) moves it"


_FILES = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)

_EXITS: dict[int, frozenset[str]] = {
    Exit.NOT_REACHABLE: frozenset({"Unreachable", "NotAllowed", "Unavailable"}),
    Exit.USAGE: frozenset(
        {
            "DomainError",
            "FfmpegMissing",
            "JournalUnusable",
            "NotEnded",
            "NothingToRetry",
            "PkiError",
            "PortTaken",
            "StoreUnusable",
        }
    ),
}
"""By name, so that a quick command need not import what it does not use."""
