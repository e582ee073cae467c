"""``chronoflux app``: what it refuses. (That it serves is tests/notebook/test_voila_page_browser.py.)"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from chronoflux import app


def test_without_voila_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Voilà it ends with code 1 and the line that installs it."""
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    done = CliRunner().invoke(app.main, ["--log-dir", str(tmp_path / "logs")])
    assert done.exit_code == 1
    assert 'pip install "chronoflux[app]"' in done.stderr
    assert not (tmp_path / "logs").exists()


def test_an_empty_token_file_is_refused(tmp_path: Path) -> None:
    """A file without a token is wrong use: the page would be open to everybody."""
    (tmp_path / "token").write_text("\n")
    done = CliRunner().invoke(app.main, ["--token-file", str(tmp_path / "token")])
    assert done.exit_code == 2
    assert "is empty" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")
def test_logs_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    """A file in place of the log folder is wrong use, before anything is served."""
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(app.main, ["--log-dir", str(tmp_path / "file" / "logs")])
    assert done.exit_code == 2
    assert "--log-dir" in done.stderr
