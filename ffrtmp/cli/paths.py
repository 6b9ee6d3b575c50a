"""Local paths to ROOT:PATH, as every machine of the cluster understands it."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ffrtmp.cli.errors import UserError
from ffrtmp.domain.spec import MediaPath

_NAMED = re.compile(r"([A-Za-z0-9_-]+):(?!//)(.+)", re.DOTALL)


def to_media(text: str, roots: Mapping[str, Path]) -> MediaPath:
    """`media:a.mkv` as it is; a local path by the root it lies under. Raises UserError."""
    if not text:
        raise UserError("the path is empty: name a file")
    named = _NAMED.fullmatch(text)
    if named is not None and not Path(text).exists():
        return MediaPath(named[1], named[2])
    return local_to_media(Path(text), roots)


def local_to_media(path: Path, roots: Mapping[str, Path]) -> MediaPath:
    """By the innermost root. Raises UserError when there is none."""
    candidates = [path.parent.resolve() / path.name]
    if ".." not in path.parts:
        candidates.append(path.absolute())
    best: tuple[int, MediaPath] | None = None
    for name, folder in roots.items():
        for top in (folder.absolute(), folder.resolve()):
            for candidate in candidates:
                if candidate.is_relative_to(top) and candidate != top:
                    relative = candidate.relative_to(top).as_posix()
                    found = (len(top.parts), MediaPath(name, relative))
                    best = found if best is None or found[0] > best[0] else best
    if best is None:
        raise UserError(_no_root(path, roots))
    return best[1]


def _no_root(path: Path, roots: Mapping[str, Path]) -> str:
    known = ", ".join(f"{name}={folder}" for name, folder in roots.items())
    return (
        f"{path} lies under no root of the cluster ({known or 'none is known here'}): give "
        f"--root NAME={path.absolute().parent} to the workers, and here"
    )


def refuse_folder(
    text: str, roots: Mapping[str, Path], what: str, wanted: str, example: str
) -> None:
    """Raises UserError where `text` is a folder that can be seen from here."""
    root, _, path = text.partition(":")
    if text and Path(text).is_dir():
        named = str(Path(text) / example)
    elif root in roots and (roots[root] / path).is_dir():
        named = f"{root}:{PurePosixPath(path) / example}"
    else:
        return
    raise UserError(f"{what} {text!r} is a folder: name {wanted}, for example {named}")


def to_local(media: MediaPath, roots: Mapping[str, Path]) -> Path | None:
    """Where it is on this machine; None where its root is not known here."""
    folder = roots.get(media.root)
    return folder / media.path if folder is not None else None
