"""Variables of several networks, joined in one state."""

from collections.abc import Mapping

from carafe_jax.train import Variables


def join(parts: Mapping[str, Variables]) -> Variables:
    """Return the variables of networks, each under its name in every collection."""
    collections = {name for variables in parts.values() for name in variables}
    return {
        collection: {
            name: variables[collection]
            for name, variables in parts.items()
            if collection in variables
        }
        for collection in sorted(collections)
    }


def part(variables: Variables, name: str) -> Variables:
    """Return the variables of one of several joined networks."""
    return {
        collection: tree[name] for collection, tree in variables.items() if name in tree
    }
