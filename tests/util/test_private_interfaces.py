"""Private interfaces of other libraries: each that is used is there, and one file alone uses it."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JIT, INTRINSICS = "model/engine/jit.py", "model/engine/intrinsics.py"
CANDIDATES, SCTP, FRAMES = "mesh/candidates.py", "mesh/sctp_limits.py", "widget/frame_port.py"

# library, where it is defined (module or module:class), name, the file that uses it
PRIVATE = [
    ("numba", "numba.core.caching:_Cache", "load_overload", JIT),
    ("numba", "numba.core.caching:_Cache", "save_overload", JIT),
    ("numba", "numba.core.caching:FunctionCache", "_impl_class", JIT),
    ("numba", "numba.core.caching:FunctionCache", "_cache_file", JIT),
    ("numba", "numba.core.caching:IndexDataCacheFile", "_source_stamp", JIT),
    ("numba", "numba.core.caching:CompileResultCacheImpl", "_locator_classes", JIT),
    ("numba", "numba.core.caching:InTreeCacheLocator", "ensure_cache_path", JIT),
    ("numba", "numba.core.cgutils", "get_or_insert_function", JIT),
    ("numba", "numba.core.datamodel.models", "PrimitiveModel", JIT),
    ("numba", "numba.core.dispatcher:Dispatcher", "_cache", JIT),
    ("aioice", "aioice.ice", "CONSENT_FAILURES", CANDIDATES),
    ("aioice", "aioice.ice", "get_host_addresses", CANDIDATES),
    ("aioice", "aioice.ice:Connection", "_pair_remote_candidate", CANDIDATES),
    ("aioice", "aioice.ice:Connection", "_check_list", CANDIDATES),
    ("aioice", "aioice.ice:Connection", "_nominated", CANDIDATES),
    ("aioice", "aioice.ice:Connection", "_protocols", CANDIDATES),
    ("aioice", "aioice.candidate:Candidate", "_network_host", CANDIDATES),
    ("aiortc", "aiortc.rtcicetransport:RTCIceTransport", "_connection", SCTP),
    ("aiortc", "aiortc.rtcsctptransport:RTCSctpTransport", "_handle_data", SCTP),
    ("aiortc", "aiortc.rtcsctptransport:RTCSctpTransport", "_receive_chunk", SCTP),
    ("aiortc", "aiortc.rtcsctptransport:RTCSctpTransport", "_advertised_rwnd", SCTP),
    ("aiortc", "aiortc.rtcsctptransport:RTCSctpTransport", "_inbound_streams", SCTP),
    ("aiortc", "aiortc.rtcsctptransport:RTCSctpTransport", "_data_channels", SCTP),
    ("aiortc", "aiortc.rtcsctptransport:RTCSctpTransport", "_sack_misordered", SCTP),
    ("ipycanvas", "ipycanvas.canvas", "_CANVAS_MANAGER", FRAMES),
    ("ipycanvas", "ipycanvas.canvas:_CanvasManager", "_caching", FRAMES),
    ("ipycanvas", "ipycanvas.canvas:_CanvasManager", "_commands_cache", FRAMES),
    ("ipycanvas", "ipycanvas.canvas:_CanvasManager", "_buffers_cache", FRAMES),
    ("ipycanvas", "ipycanvas.canvas:_CanvasManager", "_current_canvas", FRAMES),
]
BOUNDED = ["numba", "llvmlite", "aiortc", "aioice", "ipycanvas"]


def files_with(pattern: str) -> set[str]:
    """The files of the package in which a line matches."""
    package = ROOT / "chronoflux"
    return {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(pattern, path.read_text(encoding="utf-8"), re.M)
    }


def has(place: str, name: str) -> bool:
    """Whether a module, a class or the instances of a class have that name."""
    module, _, kind = place.partition(":")
    try:
        thing = importlib.import_module(module)
        if not kind:
            return hasattr(thing, name)
        kinds = inspect.getmro(getattr(thing, kind))
    except (ImportError, AttributeError):
        return False
    sources = (inspect.getsource(one) for one in kinds if one.__module__.partition(".")[0] != "builtins")
    return hasattr(kinds[0], name) or any(re.search(rf"\bself\.{name}\b", source) for source in sources)


@pytest.mark.parametrize(("library", "place", "name", "file"), PRIVATE)
def test_is_there(library, place, name, file):
    """Each private name that is used exists in the version installed."""
    version = importlib.metadata.version(library)
    assert has(place, name), (
        f"{library} {version} no longer has {place} {name}: mend chronoflux/{file}, then move the bound of "
        f"{library} in pyproject.toml"
    )


def test_numba_takes_the_option():
    """numba's decorator still takes the private option that leaves out counting of references."""
    from numba.core.options import DefaultOptions

    version = importlib.metadata.version("numba")
    assert hasattr(DefaultOptions, "_nrt"), (
        f"numba {version} no longer has the option _nrt: mend chronoflux/{JIT}, then move the bound of "
        "numba in pyproject.toml"
    )


@pytest.mark.parametrize(("library", "place", "name", "file"), PRIVATE)
def test_one_file_alone(library, place, name, file):
    """Each is used by the file that is named with it; those with an underscore by no other."""
    use = rf"(?<!self)(?<!cls)\.{name}\b|import .*\b{name}\b|def {name}\b|^ +{name} = "
    using = files_with(use)
    assert file in using
    if name.startswith("_") and name not in ("_cache", "_connection"):  # words that others use of their own
        assert using == {file}


def test_internals_are_imported_by_one_file():
    """``numba.core`` is imported by one file alone."""
    assert files_with(r"^\s*(from|import) numba\.core") == {JIT}


def test_llvmlite_is_imported_by_one_file():
    """``llvmlite`` is imported by one file alone."""
    assert files_with(r"^\s*(from|import) llvmlite\b") == {INTRINSICS}


@pytest.mark.parametrize("library", BOUNDED)
def test_bounds(library):
    """Each library whose insides are used is bounded below and above, and the installed one lies within."""
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (found,) = [r for r in map(Requirement, project["dependencies"]) if r.name == library]
    assert {one.operator for one in found.specifier} == {">=", "<"}
    assert importlib.metadata.version(library) in found.specifier
