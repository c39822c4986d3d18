"""Sphinx configuration; `.ci/docs` builds the site, without a network.

The source folder is the root of the repository, so that pages link to the experiments
and to the notebooks as they do in the repository.
"""

import dataclasses
import fractions
from typing import Any, Literal

import sphinx.application

import carafe_jax

project = "carafe-jax"
author = "the authors of carafe-jax"
copyright = author  # noqa: A001
version = release = carafe_jax.__version__

root_doc = "docs/index"
include_patterns = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/**.md",
    "experiments/README.md",
    "experiments/notebooks/*.ipynb",
]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

html_theme = "furo"
html_title = f"carafe-jax {release}"
html_copy_source = False

# Docstrings are written for readers of the source: `x` in backticks is code.
default_role = "code"
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_default_options = {"members": True, "special-members": "__call__"}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
python_display_short_literal_types = True

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # The notebooks hold their outputs.


def setup(app: sphinx.application.Sphinx) -> None:
    """Register what the configuration adds to Sphinx."""
    app.connect("autodoc-process-signature", _signature_of_fields)
    app.connect("autodoc-skip-member", _skip_default_that_is_a_class)
    # Before Napoleon's own handler, of priority 500.
    app.connect("autodoc-process-docstring", _keep_first_line, priority=400)


def _signature_of_fields(
    _app: object, _what: str, _name: str, documented: object, *_rest: object
) -> tuple[str, None] | None:
    """Return the fields of a dataclass with short defaults; their types come below.

    Linen's own fields, `parent` and `name`, are left out.
    """
    if not (isinstance(documented, type) and dataclasses.is_dataclass(documented)):
        return None
    shown = [
        field.name + _default(field)
        for field in dataclasses.fields(documented)
        if field.init and field.name not in ("parent", "name")
    ]
    return f"({', '.join(['*', *shown] if shown else [])})", None


def _skip_default_that_is_a_class(
    _app: object, what: str, name: str, member: object, *_rest: object
) -> Literal[True] | None:
    """Skip fields such as `param_dtype`: autodoc lists a class as an alias."""
    if what == "class" and isinstance(member, type) and member.__name__ != name:
        return True
    return None


def _keep_first_line(
    _app: object,
    what: str,
    _name: str,
    _documented: object,
    _options: object,
    lines: list[str],
) -> None:
    """Put an empty comment of reStructuredText before the docstring of a field.

    Napoleon would take the words before a colon in the first line as the field's type.
    """
    if what in ("attribute", "property"):
        lines[:0] = ["..", ""]


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return "" if field.default_factory is dataclasses.MISSING else "=..."
    if isinstance(field.default, fractions.Fraction):
        return f"='{field.default}'"
    simple = isinstance(field.default, int | float | str | tuple | None)
    return f"={field.default!r}" if simple else "=..."
