"""``chronoflux notebooks DIR``: copy the notebooks out of the package, and where they lie in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from chronoflux.cli import run_command, run_face
from chronoflux.errors import ChronofluxError, UsageError, plain
from chronoflux.util.help_page import HelpPage

PACKAGE = Path(__file__).parent
FOLDERS = (PACKAGE / "_notebooks", PACKAGE.parent / "notebooks")
"""Where they lie in an installed package, and in a checkout."""
TUTORIAL = "01_join_a_room.ipynb"
ROOM_PAGE = "02_room_app.ipynb"


def find_notebook(name: str) -> Path:
    """Return the path of a notebook of this installation.

    Raises
    ------
    ChronofluxError
        When this installation has no such notebook.
    """
    for folder in FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise ChronofluxError(f"notebook {name} is missing in this installation: install chronoflux again")


def copy_notebooks(folder: Path, *, force: bool = False) -> list[Path]:
    """Copy all notebooks into `folder`, which is made if need be. Return the paths of the copies.

    Parameters
    ----------
    folder
        Where to.
    force
        Whether files that are there already are replaced.

    Raises
    ------
    UsageError
        When a file of that name is there already, without `force`, or `folder` cannot be written.
    """
    originals = sorted(find_notebook(TUTORIAL).parent.glob("*.ipynb"))
    copies = [folder / original.name for original in originals]
    if not force and (there := [copy.name for copy in copies if copy.exists()]):
        raise UsageError(f"{folder} has {', '.join(there)} already: name another folder, or give --force")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for original, copy in zip(originals, copies, strict=True):
            shutil.copyfile(original, copy)
    except OSError as error:
        raise UsageError(f"{error.filename or folder} cannot be written ({error.strerror})") from None
    return copies


@click.command(
    cls=HelpPage,
    examples=("chronoflux notebooks my-notebooks", "jupyter lab my-notebooks/01_join_a_room.ipynb"),
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="replace files that are there already")
@click.option("--debug", is_flag=True, help="show tracebacks")
def main(folder: Path, force: bool, debug: bool) -> None:
    """Copy the notebooks into FOLDER.

    01 joins a room, 02 is the page of `chronoflux app`, 03 analyses a night, 04 measures emergence, and 05
    validates the measures. To open them: pip install "chronoflux[lab]"
    """

    async def copy() -> None:
        for path in copy_notebooks(folder, force=force):
            click.echo(plain(path))

    run_face(copy, debug=debug)


if __name__ == "__main__":
    run_command(main)
