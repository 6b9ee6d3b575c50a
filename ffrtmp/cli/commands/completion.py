"""`ffrtmp completion`: a script for the shell."""

from typing import Annotated, Literal

from cyclopts import Parameter

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Annotated[Shell, Parameter(name="SHELL")], /) -> None:
    """Print the completion script of a shell. Nothing of yours is changed: put it where it belongs.

    For bash that is ~/.local/share/bash-completion/completions/ffrtmp; for zsh the file _ffrtmp in
    a folder of $fpath; for fish ~/.config/fish/completions/ffrtmp.fish.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from ffrtmp.cli.app import app

    print(app.generate_completion(shell=shell))
