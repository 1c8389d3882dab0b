"""How Sphinx builds the documentation: `python3 .ci/dev.py docs`."""

from __future__ import annotations

import inspect
import logging
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from docs import check_site, drawings

import mockselector

project = "mockselector"
author = "the authors of mockselector"
copyright = "the authors of mockselector"  # noqa: A001  (Sphinx calls it so)
version = release = mockselector.__version__.partition("+")[0].partition(".dev")[0]

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["*.py"]

nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!mockselector\.[A-Z]).*")]
"""What is not this package's is not described here: types of Python and of typing."""

# -- Markdown ----------------------------------------------------------------------------------------

myst_enable_extensions = ["substitution", "colon_fence"]
myst_heading_anchors = 4
myst_substitutions = {
    "life": drawings.life(),
    "membership": drawings.membership(),
    "architecture": drawings.architecture(),
}

# -- the reference, from docstrings ------------------------------------------------------------------

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
add_module_names = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 90

# -- the pages ---------------------------------------------------------------------------------------

html_theme = "furo"
html_title = "mockselector"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_permalinks_icon = "#"
pygments_style = "friendly"
pygments_dark_style = "monokai"


def setup(app: Any) -> None:  # Any: whoever checks types has no Sphinx
    """Read docstrings as they are written, and look at what was built."""
    app.connect("autodoc-process-docstring", read_as_meant)
    app.connect("build-finished", look_at_it)


def read_as_meant(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:  # Any: as above
    """What a docstring says of an argument begins with its name, and a letter may follow a backtick: `Mock`s."""
    try:
        names = "|".join(inspect.signature(thing).parameters)
    except (TypeError, ValueError):  # it cannot be called
        names = ""
    for number, line in enumerate(lines):
        marked = re.sub(rf"(^|(?<=[.;)] ))({names}): ", r"**\2**: ", line) if names else line
        lines[number] = re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", marked)


def look_at_it(app: Any, error: Exception | None) -> None:  # Any: as above
    """Warn of each link of a built page that leads nowhere, and of what a page loads from elsewhere."""
    if error is None and app.builder.format == "html":
        for fault in check_site.faults(Path(app.outdir)):
            logging.getLogger("sphinx.site").warning(fault)
