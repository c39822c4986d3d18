import dataclasses
import functools

import numpy as np
import pytest

from carafe_jax import arguments
from carafe_jax.data import PhotographsTooSmallError
from carafe_jax.errors import RefusedError
from carafe_jax.nn import _arguments as nn_arguments


def test_error_names_the_argument_the_rule_and_the_value():
    arguments.check("colours", "kept", "be known", holds=True)
    with pytest.raises(RefusedError, match=r"^`colours` must be known, got 'odd'\.$"):
        arguments.check("colours", "odd", "be known", holds=False)


@dataclasses.dataclass
class Data:
    source: str
    side: int


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("`side` must be at most `other`.", "`data.side` must be at most `other`."),
        (
            "`side.low` of `source` is high.",
            "`data.side.low` of `data.source` is high.",
        ),
        ("`data.source` must be `sides`.", "`data.source` must be `sides`."),
    ],
)
def test_errors_of_a_block_name_the_fields_of_its_group(message, named):
    group = arguments.errors_in_group("data", Data)
    with pytest.raises(RefusedError) as error, group:
        raise RefusedError(message)
    assert str(error.value) == named


def test_error_that_names_no_field_of_the_group_is_kept():
    own = PhotographsTooSmallError(9, 3)
    group = arguments.errors_in_group("data", Data)
    with pytest.raises(PhotographsTooSmallError) as error, group:
        raise own
    assert error.value is own


@pytest.mark.parametrize(
    ("function", "accepted", "refused"),
    [
        (
            arguments.check_positive,
            [1, 0.1],
            [0, -1, float("nan"), "1", None, [1, 2], True, np.True_],
        ),
        (
            arguments.check_count,
            [1, np.int64(2)],
            [0, 1.5, 2.0, np.uint8(2), True, float("nan"), "1", None, np.ones(1, int)],
        ),
        (
            arguments.check_ints,
            [(1,), [2, 3], (np.int32(4), 5)],
            [(), (0,), (1.5,), ("a",), (True,), 5, None, "12"],
        ),
        (
            functools.partial(arguments.check_ints, length=2),
            [(1, 2)],
            [(), (1,), (1, 2, 3), (0, 1), None],
        ),
        (
            arguments.check_label_values,
            [(), {0, 255}, np.arange(3), np.array([0, 255], np.uint8), [np.uint64(3)]],
            [5, None, (256,), (-1,), (1.5,), "12", b"12", (True,), [np.True_]],
        ),
        (
            arguments.check_window,
            [(1, 3), [5, np.int64(5)]],
            [(), (3,), (3, 3, 3), (2, 3), (3.0, 3), (-3, -3), ("a", "b"), 3, None],
        ),
        (
            functools.partial(arguments.check_multiples, divisor=32),
            [None, (32, 96), [np.int64(64), 32]],
            [(), (32,), (32, 32, 32), (32, 33), (0, 32), (32.0, 32), 32, "ab"],
        ),
        (arguments.check_not_negative, [0, 1], [-1, float("nan")]),
        (arguments.check_between_0_and_1, [0.1, 0.9], [0, 1, float("nan")]),
        (arguments.check_below_1, [0, 0.9], [-0.1, 1, float("nan")]),
        (arguments.check_up_to_1, [0, 1], [-0.1, 1.1, float("nan"), "1"]),
        (
            functools.partial(arguments.check_up_to, largest=180),
            [0, 180, np.float32(10), np.int64(3)],
            [-0.1, 180.5, float("nan"), True, "1", None],
        ),
        (arguments.check_seed, [0, 2**32 - 1], [-1, 2**32]),
        (
            arguments.check_fractions,
            [(0.1, 0.1), (0.5, 1)],
            [(0, 1), (0.5, 1.5), (float("nan"), 1), (0.5, float("nan")), (0.5,), None],
        ),
        (
            arguments.check_range,
            [(0, 0), (1, 2.5)],
            [
                (2, 1),
                (-1, 2),
                (0, 1e999),
                (float("nan"), 1),
                (0, float("nan")),
                (1,),
                1,
                "12",
            ],
        ),
    ],
)
def test_values_that_break_a_rule_are_refused(function, accepted, refused):
    for value in accepted:
        function("name", value)
    for value in refused:
        with pytest.raises(RefusedError, match=r"^`name` must .*, got .*\.$"):
            function("name", value)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (arguments.check_count, np.uint32(5)),
        (arguments.check_ints, (np.int16(5), 3)),
        (arguments.check_window, (5, np.uint8(5))),
        (functools.partial(arguments.check_multiples, divisor=2), (np.uint64(4), 2)),
        (nn_arguments.check_int, np.uint8(5)),
        (nn_arguments.check_odd_int, np.uint8(5)),
    ],
)
def test_integers_that_overflow_are_refused_by_their_type(function, value):
    rule = "^`name` must use int, np.int32 or np.int64 for integers, .*, got "
    with pytest.raises(RefusedError, match=rule):
        function("name", value)
