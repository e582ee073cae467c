"""The report on a room: what is in it, and that it stands alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import chronoflux as cf
from chronoflux.analysis.report import study_room
from chronoflux.analysis.sections import SECTIONS
from chronoflux.analysis.study import Section, Study
from chronoflux.errors import ParameterError
from tests.analysis.test_information import var
from tests.analysis.test_rooms import write


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Three nodes for 20 minutes; a drives b; a step of order at 10 minutes; one event a minute in a."""
    folder = tmp_path_factory.mktemp("logs")
    x = 0.5 + 0.03 * var([[0.5, 0, 0], [0.6, 0.5, 0], [0, 0, 0.5]], 1200, 1)
    seconds = np.arange(1200.0)
    x[600:] += 0.2
    wander = np.cumsum(0.3 * np.random.default_rng(5).normal(size=(1200, 3)), axis=0)
    for i, node in enumerate(["a", "b<script>", "_c$\\frac$"]):
        write(
            folder,
            node,
            seconds,
            order=np.clip(x[:, i], 0, 1),
            phase=np.angle(np.exp(1j * (2 * np.pi * (1.2 + 0.05 * i) * seconds + wander[:, i]))),
            hertz=1.2 + 0.05 * i,
            events=tuple((e, "intent") for e in np.arange(30.0, 1150, 60)) if node == "a" else (),
            strengths=tuple(0.1 + 0.8 * np.random.default_rng(2).random(19)) if node == "a" else (),
        )
    return cf.load(folder)


def test_the_report_answers_every_question(frame: pd.DataFrame) -> None:
    """Every section is measured; the planted step, events and drive are named with their numbers."""
    seen: list[str] = []

    def progress(titles: object) -> object:
        for title in titles:  # type: ignore[attr-defined]
            seen.append(title)
            yield title

    report = study_room(frame, surrogates=99, ksg=1, progress=progress)
    assert seen == [section.title for section in report.sections] == list(SECTIONS)
    text = report.text()
    refused = [line for line in text.splitlines() if "not measured" in line]
    assert (
        len(refused) == 3
    )  # pulls, information flow, emergence: the step of H violates their null hypothesis
    assert sum("its level changes in a step" in line for line in refused) == 2
    assert "3 runs of 3 nodes over 0.33 h; 0.0% of the node-seconds are not on record" in text
    assert re.search(r"1 change points, at (9\.9|10\.0|10\.1) min", text)
    assert "intent: 19 events (0 left out)" in text
    assert "intent: slope of the response over the dose = " in text
    assert "1 of 3 pairs are significant" in text
    assert "strongest: a → b<script> after 1 s" in text
    later = study_room(frame, surrogates=99, ksg=1, begin=601).text()  # after the step
    assert "not measured" not in later
    assert "primary measure, chosen before the data were seen: 0 of 6 directions" in later
    assert "strongest: a → b<script>" in later
    assert "a → b<script> by KSG: transfer entropy = " in later
    assert "causal emergence Ψ = " in later


def test_the_page_stands_alone_and_is_safe(frame: pd.DataFrame) -> None:
    """The page refers to no other file, and a node's name cannot become markup or a formula."""
    page = study_room(frame, surrogates=19, ksg=0, begin=601).html()
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            if tag == "img":
                assert str(dict(attrs)["src"]).startswith("data:image/png;base64,")

    Tags().feed(page)
    assert not {"script", "link", "iframe"} & set(tags)
    assert tags.count("img") == 6
    assert "b&lt;script&gt;" in page
    assert "Schreiber, Physical Review Letters 85, 461, 2000" in page
    assert page.count("Quian Quiroga") == 1
    assert "p-values by surrogates: Phipson and Smyth" in page
    assert "19 surrogates where no other number is given, drawn from seed 0" in page
    assert f"numpy {np.__version__}" in page


def test_what_cannot_be_measured_says_why(tmp_path: Path) -> None:
    """On a record of one node and half a minute each section still stands, with the reason in its place."""
    seconds = np.arange(30.0)
    write(tmp_path, "a", seconds, order=0.5 + 0.01 * seconds, phase=0 * seconds, hertz=1.2)
    report = study_room(cf.load(tmp_path))
    text = report.text()
    assert text.count("not measured: ") >= 4
    assert "at least 2 in the room" in text
    assert "is not allowed" not in text + report.html()  # the text of an error
    assert "Not tested: " in report.summary[4]
    assert "1 node; needed: at least 2 in the room" in report.summary[4]
    assert "no events on record" in text
    assert ">Methods</h2>" in report.html()


def test_the_overview_says_when_and_what_is_missing(tmp_path: Path) -> None:
    """Hours are those of mesh time, however fast it passed; each gap has its node, start and length."""
    seconds = np.arange(1200.0)
    for node, lost in (("a", slice(600, 700)), ("b", slice(300, 310))):
        kept = np.delete(seconds, lost)
        write(tmp_path, node, kept, order=0.5 + 0.1 * np.sin(kept), phase=0 * kept, hertz=1.2)
    found = cf.load(tmp_path)
    section = Section("Runs and gaps")
    SECTIONS[section.title](Study(found), section)
    runs, gaps = section.tables["runs"], section.tables["longest gaps"]
    assert runs["hours"].tolist() == [pytest.approx(1199 / 3600, abs=1e-3)] * 2
    assert runs["first record (mesh time, UTC)"].tolist() == ["2026-09-21 14:13:20"] * 2
    assert gaps["node"].tolist() == ["a", "b"]
    assert gaps["duration [s]"].tolist() == [pytest.approx(100, abs=1), pytest.approx(10, abs=1)]
    assert gaps["start [s]"].tolist() == [pytest.approx(599, abs=1), pytest.approx(299, abs=1)]
    assert "2 gaps within the record of a node" in section.lines[1]
    assert len(section.figures) == 1


def test_the_overview_says_which_events_did_not_arrive(tmp_path: Path) -> None:
    """What nodes lacked of each other's events is counted, by both sides' records, and listed."""
    seconds = np.arange(300.0)
    for node in ("a", "b"):
        write(tmp_path, node, seconds, order=0.5 + 0 * seconds, phase=0 * seconds, hertz=1.2)
    found = cf.load(tmp_path)
    section = Section("Runs and gaps")
    SECTIONS[section.title](Study(found), section)
    assert not any("did not arrive" in line for line in section.lines)
    numbers = {"from": 5, "to": 16, "count": 12}
    facts = [{"origin": "b", **numbers}, {"peer": "b", **numbers}]
    told = found.iloc[[0, 1]].assign(type="missed", data=pd.Series(facts).to_numpy())
    section = Section("Runs and gaps")
    SECTIONS[section.title](Study(pd.concat([found, told])), section)
    assert (
        "events that did not arrive: 12 according to the nodes that did not receive them, 12"
        in section.lines[-1]
    )
    assert section.tables["missed events"]["count"].tolist() == [12, 12]


def test_one_room_at_a_time(frame: pd.DataFrame) -> None:
    """A frame of several rooms is refused until one is named."""
    both = pd.concat([frame, frame.assign(room="attic")])
    with pytest.raises(ParameterError, match="one of attic, lab"):
        study_room(both)
    assert study_room(both, room="attic", surrogates=19, ksg=0).name == "ChronoFlux: attic"
