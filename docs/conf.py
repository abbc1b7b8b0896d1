"""Sphinx: `make docs` builds the site into build/docs. Nothing is fetched, neither at build time nor by a reader."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
project = metadata["name"]
author = metadata["authors"][0]["name"]
version = release = metadata["version"]
project_copyright = author

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docstrings",  # the four in _ext
    "generated",
    "mathml",
    "plain_text",
]
exclude_patterns = ["_*", "**/.ipynb_checkpoints"]
nitpicky = True  # every name in backticks exists, here or in the package (_ext/docstrings.py)

# -- pages ------------------------------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
# Code cells run at every build: an output shown is what this version of resmc gives, and an error fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 240
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "show"

# Figures of cells as SVG: sharp on every screen. IPython is told so by a profile of its own, beside the site.
os.environ["IPYTHONDIR"] = str(ROOT / "build" / "ipython")
profile = ROOT / "build" / "ipython" / "profile_default"
profile.mkdir(parents=True, exist_ok=True)
(profile / "ipython_config.py").write_text(
    "c = get_config()\nc.InlineBackend.figure_formats = {'svg'}\nc.HistoryManager.enabled = False\n"
)

# -- docstrings -------------------------------------------------------------------------------------------------------

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # the docstrings say what is what, with shapes
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_use_param = True
python_maximum_signature_line_length = 90
add_module_names = False
toc_object_entries_show_parents = "hide"

# -- the site ---------------------------------------------------------------------------------------------------------

html_theme = "furo"  # light and dark, phone and desktop, fonts of the reader's system: nothing to fetch
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["resmc.css"]
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1b6e57", "color-brand-content": "#1b6e57"},
    "dark_css_variables": {"color-brand-primary": "#5fc6a6", "color-brand-content": "#5fc6a6"},
}
pygments_style = "tango"
pygments_dark_style = "github-dark"
