"""What a run starts from: its options, or those of the run that it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chronoflux.errors import UsageError
from chronoflux.model.params import Params
from chronoflux.node.options import NodeOptions
from chronoflux.node.run_setup import RunSetup
from tests.runs import PARAMS, make_run


def test_a_new_run_has_the_options_and_a_seed_of_its_own() -> None:
    """Parameters and seed are the options'; without them ``Params()``, and each run another seed."""
    setup = RunSetup(NodeOptions(params=PARAMS, seed=5, schedule="classic"))
    assert (setup.params, setup.seed, setup.schedule.name) == (PARAMS, 5, "classic")
    assert not setup.resumes
    assert not setup.record_pending
    first, second = RunSetup(NodeOptions()), RunSetup(NodeOptions())
    assert first.params == Params()
    assert first.seed != second.seed


def test_a_resumed_run_keeps_its_own_room_name_and_seed(tmp_path: Path) -> None:
    """Whatever the options say by default, a resumed run keeps what its manifest says."""
    run = make_run(tmp_path, node="n7", seed=3)
    manifest = json.loads((run / "run.json").read_text()) | {"kind": "headless"}
    (run / "run.json").write_text(json.dumps(manifest))
    setup = RunSetup(NodeOptions("elsewhere", server=None, resume=run))
    assert setup.resumes
    assert (setup.options.room, setup.options.node_id, setup.options.kind) == ("room1", "n7", "headless")
    assert (setup.params, setup.seed) == (PARAMS, 3)
    assert setup.manifest == manifest


def test_other_phases_than_those_of_the_run_are_refused(tmp_path: Path) -> None:
    """A resumed run that records phases goes on with the same ones; the error says which they are."""
    run = make_run(tmp_path)
    manifest = json.loads((run / "run.json").read_text()) | {"kind": "headless"}
    (run / "run.json").write_text(json.dumps(manifest | {"phases": {"seconds": 0.5, "of": None}}))
    RunSetup(NodeOptions(server=None, resume=run, phases=0.5))
    with pytest.raises(UsageError, match=r"leave out phases, or give .*0\.5"):
        RunSetup(NodeOptions(server=None, resume=run, phases=1.0))
