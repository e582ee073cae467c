"""What stands beside the code for others' tools agrees with the code: containers, conda, CI, lint, citation.

The image itself is not built here: no registry has its base image for the tests.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from packaging.requirements import Requirement

from chronoflux.__main__ import main
from chronoflux.version import VERSION

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
CONDA = {"matplotlib": "matplotlib-base", "prometheus-client": "prometheus_client"}
"""What conda-forge calls packages whose name differs."""


def read(path: str) -> Any:
    """A YAML file of the checkout."""
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def commands() -> Iterator[list[str]]:
    """The arguments of ``chronoflux`` in the Dockerfile and in the services of compose.yaml."""
    yield json.loads(re.findall(r"^CMD (.*)$", (DEPLOY / "Dockerfile").read_text(), re.M)[-1])
    for service in read("docs/deploy/compose.yaml")["services"].values():
        if service["image"] == "chronoflux":
            yield service["command"]


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_containers_commands_are_accepted(command: list[str], tmp_path: Path) -> None:
    """What a container runs is a command line that `chronoflux` accepts."""
    (tmp_path / "secret").write_text("secret")
    words = [re.sub(r"/run/secrets/[\w-]+", str(tmp_path / "secret"), word) for word in command]
    name, found, rest = main.resolve_command(click.Context(main), words)
    assert found is not None
    found.make_context(name, rest)


def test_secrets_and_volumes_are_declared() -> None:
    """Each secret, volume and config that a service of compose.yaml uses is one that the file has."""
    whole = read("docs/deploy/compose.yaml")
    for service in whole["services"].values():
        assert set(service.get("secrets", [])) <= whole["secrets"].keys()
        assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= whole["volumes"].keys()
        assert {one["source"] for one in service.get("configs", [])} <= whole["configs"].keys()
        named = re.findall(r"/run/secrets/([\w-]+)", str(service))
        assert set(named) <= set(service.get("secrets", []))


def test_the_image_has_what_the_wheel_is_built_from() -> None:
    """.dockerignore lets through the files that the build of the wheel reads."""
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert {
        "pyproject.toml",
        "chronoflux",
        "notebooks/*.ipynb",
        PROJECT["readme"],
        *PROJECT["license-files"],
    } == set(let_in)


def test_the_recipe_needs_what_the_package_needs() -> None:
    """The conda-forge recipe has the version, the dependencies with their bounds, and the script."""
    recipe = read("docs/deploy/conda-forge/recipe.yaml")
    wanted = {
        (CONDA.get(one.name, one.name), one.specifier) for one in map(Requirement, PROJECT["dependencies"])
    }
    _, *run = recipe["requirements"]["run"]
    assert {(one.name, one.specifier) for one in map(Requirement, run)} == wanted
    assert recipe["context"]["version"] == VERSION
    (script,) = recipe["build"]["python"]["entry_points"]
    assert script == f"chronoflux = {PROJECT['scripts']['chronoflux']}"


def test_no_link_is_invented() -> None:
    """The package's links are those of docs/project.toml that are not empty."""
    known = tomllib.loads((ROOT / "docs" / "project.toml").read_text())
    links = {known[name] for name in ("repository", "documentation", "issues") if known[name]}
    assert set(PROJECT.get("urls", {}).values()) == links


def test_the_citation_is_of_this_version() -> None:
    """CITATION.cff names this version and licence."""
    citation = read("CITATION.cff")
    assert (citation["version"], citation["license"]) == (VERSION, PROJECT["license"])


def test_the_workflow_runs_make_with_every_python() -> None:
    """The workflow calls targets that the Makefile has, with each Python that the package names."""
    workflow = read(".github/workflows/tests.yml")["jobs"]
    steps = [step["run"] for job in workflow.values() for step in job["steps"] if "run" in step]
    for step in steps:
        program, target, *_ = shlex.split(step)
        assert program == "make"
        assert re.search(rf"^{target}:", MAKEFILE, re.M), target
    named = {one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", one)}
    assert named <= set(workflow["test"]["strategy"]["matrix"]["python"])


def test_the_hooks_are_the_lint() -> None:
    """pre-commit runs what `make lint` runs."""
    (hooks,) = (repo["hooks"] for repo in read(".pre-commit-config.yaml")["repos"])
    entries = {hook["entry"].removeprefix(".venv/bin/") for hook in hooks}
    recipe = re.search(r"^lint: setup\n((?:\t.*\n)+)", MAKEFILE, re.M)
    assert recipe is not None
    lines = re.findall(r"^\t@\$\(BIN\)/(.*)$", recipe[1], re.M)
    assert entries == {line.removesuffix(" .") for line in lines}


@pytest.mark.parametrize("path", [".binder/requirements.txt", "environment.yml"])
def test_extras_that_are_named_exist(path: str) -> None:
    """The extras that Binder and conda install are those of the package."""
    (extras,) = re.findall(r"\.\[([\w,-]+)\]", (ROOT / path).read_text())
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
