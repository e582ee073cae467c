"""``chronoflux notebooks``: the notebooks are copied out, and nothing is overwritten unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronoflux import notebooks
from chronoflux.errors import ChronofluxError, UsageError
from chronoflux.notebooks import ROOM_PAGE, TUTORIAL, copy_notebooks, find_notebook


def test_all_are_copied(tmp_path: Path) -> None:
    """Each notebook of the checkout is copied, unchanged, into a folder that is made."""
    copies = copy_notebooks(tmp_path / "new" / "folder")
    assert [copy.name for copy in copies] == sorted(
        path.name for path in find_notebook(TUTORIAL).parent.glob("*.ipynb")
    )
    for copy in copies:
        assert copy.read_bytes() == find_notebook(copy.name).read_bytes()


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    """A file of that name stays as it is, with an error that names it; with `force` it is replaced."""
    (tmp_path / ROOM_PAGE).write_text("mine")
    with pytest.raises(UsageError, match=ROOM_PAGE):
        copy_notebooks(tmp_path)
    assert (tmp_path / ROOM_PAGE).read_text() == "mine"
    assert not (tmp_path / TUTORIAL).exists()
    copy_notebooks(tmp_path, force=True)
    assert (tmp_path / ROOM_PAGE).read_bytes() == find_notebook(ROOM_PAGE).read_bytes()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way of the folder is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file"):
        copy_notebooks(tmp_path / "file" / "folder")


def test_those_of_the_package_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package serves its own copies; an installation without any says so."""
    (tmp_path / TUTORIAL).write_text("")
    monkeypatch.setattr(notebooks, "FOLDERS", (tmp_path, *notebooks.FOLDERS))
    assert find_notebook(TUTORIAL) == tmp_path / TUTORIAL
    monkeypatch.setattr(notebooks, "FOLDERS", ())
    with pytest.raises(ChronofluxError, match="install chronoflux again"):
        find_notebook(TUTORIAL)
