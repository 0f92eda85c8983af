"""How the pages are built: Markdown (MyST), the reference from docstrings, no network."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docutils.nodes import Element, TextElement
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "agentflow_trio"
author = "the agentflow_trio developers"
project_copyright = "2026, the agentflow_trio developers"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "examples", "newsfragments"]

html_theme = "furo"
html_title = "agentflow_trio"
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
add_module_names = False
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False

# Nitpicky (-n): a name that leads nowhere is an error. Other projects' names lead nowhere on
# purpose: linking to them (intersphinx) would need the network.
OTHERS = (
    "attrs?|cattrs|collections|contextlib|cyclopts|datetime|enum|hypothesis|logging|opentelemetry|"
    "outcome|pathlib|prometheus_client|pytest|random|rich|structlog|trio|types|typing|"
    "typing_extensions"
)
nitpick_ignore_regex = [("py:.*", rf"({OTHERS})(\..*)?")]


def find(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: TextElement
) -> Element | None:
    """Resolve what autodoc names by its home (``flow._step.Step``) to where we show it.

    What is not public (type variables, private bases) is shown nowhere: its name is plain text.
    """
    home, _, name = str(node["reftarget"]).rpartition(".")
    if node.get("refdomain") != "py" or not (home or "agentflow").startswith("agentflow"):
        return None
    if not is_public(home, name) and is_ours(name):
        return text
    domain = env.domains.python_domain
    shown = [known for known in domain.objects if known.rpartition(".")[2] == name]
    if not shown:
        return None
    place = str(node.get("refdoc", ""))
    target = min(shown, key=len)
    return domain.resolve_xref(env, place, app.builder, "obj", target, node, text)


def ours() -> list[ModuleType]:
    return [
        module for name, module in sorted(sys.modules.items()) if name.startswith(f"{project}.")
    ]


def is_public(home: str, name: str) -> bool:
    """Whether a package offers it: not merely something else of that name."""
    thing = getattr(sys.modules.get(home), name, None)
    return any(
        name in getattr(module, "__all__", ())
        and (thing is None or thing is getattr(module, name))
        for module in ours()
        if "._" not in module.__name__
    )


def is_ours(name: str) -> bool:
    return any(hasattr(module, name) for module in ours())


def start_below(
    _app: Sphinx, what: str, _name: str, _value: object, _options: object, lines: list[str]
) -> None:
    """Keep napoleon from reading ``Its state: ...`` under an attribute as a type.

    It looks at the first line only: an empty comment stands there.
    """
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", find)
    app.connect("autodoc-process-docstring", start_below, priority=400)  # napoleon: 500
