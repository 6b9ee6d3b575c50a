"""Where the values of options come from besides flags: `FFRTMP_*`, then the TOML file."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_origin

from cyclopts import App, ArgumentCollection, Token
from cyclopts.config import Env

from ffrtmp.cli.errors import UserError
from ffrtmp.config import (
    CONFIG_VARIABLE,
    ENV_PREFIX,
    SECTIONS,
    Found,
    Option,
    config_file,
    named_config_file,
    shown_store,
    variable,
    variables,
    written_default,
)
from ffrtmp.domain.origin import Origin

_WHOLE = re.compile(r"\s*[+-]?\d+(_\d+)*\s*")
Source = Callable[[App, tuple[str, ...], ArgumentCollection], None]
NEAR = 0.85
"""How alike a variable must be to an option to be a slip of the pen, not somebody else's."""


def sources(arguments: Iterable[str]) -> tuple[Source, ...]:
    """For the command that `arguments` name; the first source that has a value wins."""
    command = next(iter(arguments), "")
    return (
        _Variables(ENV_PREFIX, command=False, show=False),
        _refuse_misspelt_variables,
        _from_file(config_file(), _section(command), named=bool(named_config_file())),
        _refuse_nothing,
        _refuse_no_numbers,
        _note_origins,
    )


_origins: dict[str, Found] = {}


def origins() -> Mapping[str, Found]:
    """Of the options of the command that runs, by name: where those came from that are no defaults.
    A process runs one command."""
    return dict(_origins)


def meaning(option: str, app: App) -> str:
    """What the help of this command says of it."""
    known = app.assemble_argument_collection(parse_docstring=True)
    help_of = {name: each.parameter.help for each in known for name in (each.name, *each.names)}
    text = " ".join((help_of.get(option) or "see --help").split()).rstrip(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _refuse_no_numbers(app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Cyclopts would round halves, and of others says only that they are none."""
    plain = (each for each in arguments if not each.parameter.converter)
    for argument in plain:
        for token in argument.tokens if argument.hint in (int, int | None) else ():
            if not _WHOLE.fullmatch(token.value):
                where = "" if token.source == "cli" else f" from {token.source}"
                wrong = f"{token.keyword}{where}: {token.value!r} is not a whole number"
                raise UserError(f"{wrong}: {meaning(argument.name, app)}")


def _refuse_nothing(_app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """An option that is given without a value, by a shell's variable that is not set, say. A
    `FFRTMP_*` variable that is empty says nothing, as is usual."""
    for token in (
        each for argument in arguments if argument.hint is not bool for each in argument.tokens
    ):
        if token.source == "cli" and token.keyword and not token.value.strip():
            raise UserError(f"{token.keyword} is empty: give it a value, or leave it out")


def _note_origins(_app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Last in the chain: whoever has said something has said it."""
    _origins.clear()
    for argument in arguments:
        if argument.tokens:
            token = argument.tokens[0]
            _origins[argument.name.lstrip("-").replace("-", "_")] = _found(token)


def _found(token: Token) -> Found:
    match token.source:
        case "cli":
            return Found(Origin.FLAG)
        case "env":
            return Found(Origin.VARIABLE, str(token.keyword))
        case file:
            return Found(Origin.FILE, file)


def _section(command: str) -> str:
    if command in {"backup", "restore"}:
        return "master"  # whose store it is
    return command if command in SECTIONS else "client"


class _Variables(Env):
    """Of settings only: what to do with one file is said on the command line alone."""

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        known = {_flag(name) for name in _options()}
        settings = ArgumentCollection()  # type: ignore[no-untyped-call]
        settings.extend(each for each in arguments if each.name in known)
        super().__call__(app, commands, settings)


def _options() -> set[str]:
    return {each.name for kind in SECTIONS.values() for each in fields(kind)}


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _refuse_misspelt_variables(
    _app: App, _commands: tuple[str, ...], arguments: ArgumentCollection
) -> None:
    known = {_variable(name) for name in _options()}
    here = {_variable(argument.name.lstrip("-")) for argument in arguments}
    for name in sorted(set(variables()) - known - here):
        if near := get_close_matches(name, known, n=1, cutoff=NEAR):
            raise UserError(f"there is no variable {name}: did you mean {near[0]}?")


def _variable(option: str) -> str:
    return ENV_PREFIX + option.upper().replace("-", "_")


def _from_file(path: Path, section: str, *, named: bool) -> Source:
    """Not cyclopts' own: that one drops keys called as a command is, such as `master`."""

    def apply(_app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        for key, value in read_file(path, named=named).get(section, {}).items():
            argument = arguments.get(_flag(key), None)
            if argument is None or argument.tokens:
                continue  # not an option of this command, or somebody has said it already
            if isinstance(value, list) and get_origin(argument.hint) is not tuple:
                raise UserError(f"{path}: {section}.{key} takes one value, not a list")
            if isinstance(value, dict):
                raise UserError(f"{path}: {section}.{key} takes a value, not a table")
            for index, text in enumerate(_texts(value)):
                keyword = f"{section}.{key}"
                argument.append(Token(keyword=keyword, value=text, source=str(path), index=index))

    return apply


def read_file(path: Path, *, named: bool = False) -> Mapping[str, Mapping[str, Any]]:
    """`named`: by somebody, so that it must be there. Raises UserError, naming the first wrong
    section or key and the nearest right one."""
    found = _toml(path, named=named)
    for section, values in found.items():
        if not isinstance(values, dict):
            raise UserError(f"{path}: {section} stands in no section: write it below [client]")
        if section not in SECTIONS:
            refuse(f"section [{section}]", section, SECTIONS, f"{path}: ")
        known = [each.name for each in fields(SECTIONS[section])]
        for key in values:
            if key.replace("-", "_") not in known:
                refuse(f"option {key!r} in [{section}]", key, known, f"{path}: ")
    return found


def _toml(path: Path, *, named: bool) -> dict[str, Any]:
    """Empty where there is no file and nobody has named one. Raises UserError."""
    who = f"{CONFIG_VARIABLE}={path}" if named else str(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if not named:
            return {}
        raise UserError(f"{who}: there is no such file: name a TOML file, or unset it") from None
    except IsADirectoryError:
        raise UserError(f"{who} is a folder: name the file in it, such as config.toml") from None
    except UnicodeDecodeError:
        raise UserError(f"{who} is no text in UTF-8: save it as such, or name another") from None
    except tomllib.TOMLDecodeError as error:
        why = str(error)[:1].lower() + str(error)[1:]
        raise UserError(f"{who} is no TOML: {why}: see `ffrtmp docs config`") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(f"{who} cannot be read ({why}): let this user read it") from None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """What was probably meant: what begins so, else what is alike."""
    names = sorted(set(known))
    near = [each for each in names if name.strip("-") and each.startswith(name)]
    return next(iter(near or get_close_matches(name, names, n=1)), None)


def refuse(what: str, name: str, known: Iterable[str], where: str = "") -> None:
    """Raises UserError, naming the nearest that there is."""
    choice = list(known)
    near = get_close_matches(name.replace("-", "_"), choice, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(choice)}"
    raise UserError(f"{where}there is no {what}: {hint}")


def offered(section: str) -> list[Option]:
    """Every option of a section as variables, file and defaults have it."""
    in_file = {key.replace("-", "_"): value for key, value in _in_file(section).items()}
    found = []
    for each in fields(SECTIONS[section]):
        text = variable(each.name)
        if text is not None:
            value, origin = text, Found(Origin.VARIABLE, _variable(each.name))
        elif each.name in in_file:
            value = ",".join(_texts(in_file[each.name]))
            origin = Found(Origin.FILE, str(config_file()))
        else:
            value, origin = written_default(each), Found(Origin.DEFAULT)
        value = shown_store(value) if each.name == "store" else value
        found.append(Option(name=each.name, value=value, found=origin))
    return found


def _in_file(section: str) -> Mapping[str, Any]:
    return read_file(config_file(), named=bool(named_config_file())).get(section, {})


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(part) for part in value]
    return [str(value).lower() if isinstance(value, bool) else str(value)]
