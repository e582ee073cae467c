"""How Sphinx builds this documentation: ``make docs``."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import gallery  # noqa: E402
import generated  # noqa: E402

from chronoflux.version import VERSION  # noqa: E402

facts = tomllib.loads((HERE / "project.toml").read_text("utf-8"))

project = facts["name"]
author = ", ".join(facts["authors"])
copyright = ""
release = version = VERSION
extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_generated", "gallery/outputs", "deploy"]
suppress_warnings = ["myst.header"]  # notebooks begin with headings of their own

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # outputs are kept, see _ext/gallery.py
nb_merge_streams = True

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc shows them where docstrings say them
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"{project} {VERSION}"
html_static_path = ["_static"]
html_css_files = ["chronoflux.css"]
html_show_sourcelink = False
html_show_copyright = False
html_theme_options: dict[str, Any] = {
    "logo": {"text": project},
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "footer_start": ["sphinx-version"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
}
if facts["repository"]:
    html_theme_options["icon_links"] = [
        {"name": "Repository", "url": facts["repository"], "icon": "fa-solid fa-code-branch"}
    ]


def setup(app: Any) -> None:
    """Make the pages that come from the code and from the notebooks, before Sphinx looks for sources."""
    generated.write(HERE / "_generated")
    gallery.write_pages()
