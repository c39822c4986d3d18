"""The attention of PSANet, against semseg's module."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.interop import semseg_to_flax
from carafe_jax.models import PointWiseAttention
from tests import segmentation_goldens as goldens
from tests.segmentation_goldens import agree, agree_where_recorded, nhwc, section

CASES: dict[str, dict[str, Any]] = {
    "psa_module_collect_window": {"window": (5, 5), "directions": ("collect",)},
    "psa_module_compact": {"window": (5, 7), "attention": "compact"},
    "psa_module_distribute_nosoftmax": {
        "window": (3, 3),
        "directions": ("distribute",),
        "shrink": 2,
        "normalizer": "window",
    },
}


def variables_of(name, state):
    # A module of one direction has the names of "collect".
    if "distribute" in name:
        state = {
            key.replace("reduce.", "reduce_p.").replace("attention.", "attention_p."): x
            for key, x in state.items()
        }
    tree = semseg_to_flax({f"psa.{key}": x for key, x in state.items()}, absent=None)
    return {collection: parts["attention"] for collection, parts in tree.items()}


@pytest.mark.parametrize("name", CASES)
def test_attention_and_gradients_are_those_of_semseg(name):
    golden = goldens.load(name)
    module: Any = PointWiseAttention(features=6, **{"shrink": 1, **CASES[name]})
    with jax.enable_x64(True):
        state = section(golden, "state_dict/")
        variables = goldens.cast(variables_of(name, state), jnp.float64)

        def loss(params, features):
            out = module.apply({**variables, "params": params}, features)
            return jnp.vdot(out, nhwc(golden["R/0"])), out

        features = jnp.asarray(nhwc(golden["input/0"]), jnp.float64)
        differentiate = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
        gradients, out = differentiate(variables["params"], features)
        agree(out, nhwc(golden["ref64_output/0"]), 1e-9)
        agree(gradients[1], nhwc(golden["ref64_grad_input/0"]), 1e-9)
        recorded = variables_of(name, section(golden, "ref64_grad_param/"))["params"]
        agree_where_recorded(gradients[0], recorded, 1e-9, least=4)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"window": (5, 4)}, "`window` must be two positive odd ints"),
        (
            {"window": (5, 5), "attention": "compact"},
            r"`window` must be the size of the attended map, \(3, 4\), .*got \(5, 5\)",
        ),
        (
            {"window": (5, 7), "directions": ("collect", "collect")},
            "`directions` must be one or both of 'collect' and 'distribute'",
        ),
        ({"window": (5, 7), "normalizer": "sum"}, "`normalizer` must be .*'softmax'"),
        ({"window": (5, 7), "shrink": 0}, "`shrink` must be a positive int, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(fields, words):
    module = PointWiseAttention(features=2, **fields)
    with pytest.raises(RefusedError, match=words):
        jax.eval_shape(module.init, jax.random.key(0), jnp.ones((1, 5, 7, 4)))
