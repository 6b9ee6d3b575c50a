"""What was wrong in a command line, in our words: what it was, and what to write."""

from collections.abc import Iterator, Sequence

from cyclopts import App, CycloptsError
from cyclopts.exceptions import MissingArgumentError, UnknownCommandError, UnknownOptionError

from ffrtmp.cli.sources import meaning, nearest


def sentence_about(error: CycloptsError, app: App) -> str:
    match error:
        case UnknownOptionError():
            return _no_option(error)
        case UnknownCommandError(unused_tokens=[str(word), *_]):
            return _no_command(word, error.command_chain or (), app)
        case MissingArgumentError(argument=argument) if argument is not None:
            return _missing(argument.name, error, app)
    return _as_it_is(error)


def _as_it_is(error: CycloptsError) -> str:
    return " ".join(str(error).split())


def _missing(name: str, error: MissingArgumentError, app: App) -> str:
    what = meaning(name, _below(app, error.command_chain or ()))
    if error.keyword is not None:
        return f"{error.keyword} has no value: {what}"
    _, slip, meant = _as_it_is(error).partition(" Did you mean ")
    return f"{name} is missing: " + (f"did you mean {meant}" if slip else what)


def _no_option(error: UnknownOptionError) -> str:
    name = str(error.token.keyword or error.token.value).strip("[]").split("][")[-1]
    here = [each for part in error.argument_collection or () for each in part.names]
    near = nearest(name, [each for each in here if each.startswith("--")])
    hint = f"did you mean {near}?" if near else "see --help for what there is"
    return f"there is no option {name!r}: {hint}"


def _no_command(word: str, chain: Sequence[str], app: App) -> str:
    above = _below(app, chain)
    if word.startswith("-"):
        after = " ".join(("ffrtmp", *chain))
        return f"{word} stands before the command: write options behind it, {after} COMMAND {word}"
    there = dict(_commands(above))
    grouped = [f"{name} {word}" for name, each in there.items() if word in dict(_commands(each))]
    near = nearest(word, there)
    if grouped or near:
        meant = " or ".join(
            f"`ffrtmp {each}`" for each in grouped or [" ".join((*chain, near or ""))]
        )
        return f"there is no command {word!r}: did you mean {meant}?"
    return f"there is no command {word!r}: there are {', '.join(there)}"


def _commands(app: App) -> Iterator[tuple[str, App]]:
    for name in app:
        if not name.startswith("-"):
            yield name, app[name]


def _below(app: App, commands: Sequence[str]) -> App:
    for name in commands:
        app = app[name]
    return app
