"""Paths of the arrays of a tree, such as "params/backbone/stem/conv/kernel"."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree


def map_with_paths(function: Callable[[str, Any], Any], tree: PyTree) -> PyTree:
    """Return the tree of `function(path, leaf)` for each leaf."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: function(_joined(path), leaf), tree
    )


def flatten_with_paths(tree: PyTree) -> dict[str, Any]:
    """Return the leaves by their paths, in the order of the tree."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_joined(path): leaf for path, leaf in leaves}


def _joined(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
