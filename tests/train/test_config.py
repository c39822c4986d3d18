import dataclasses
import json
import pathlib
from typing import Literal

import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import (
    Adam,
    Loop,
    StoredConfig,
    check_config,
    growable_field,
    read_config,
    restore,
    unstored_field,
)


@dataclasses.dataclass(frozen=True)
class Layers:
    widths: tuple[tuple[int, ...], ...] = ((1,),)
    name: str | None = None
    verbose: bool = unstored_field(False)


@dataclasses.dataclass(frozen=True)
class Network:
    layers: Layers = Layers()
    depth: int = 1
    kind: Literal["a", "b"] = "a"
    norm: Layers = Layers()
    pictures: pathlib.Path | None = None
    folders: tuple[pathlib.Path, ...] = ()
    factors: tuple[tuple[str, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Run:
    optimizer: Adam = dataclasses.field(default_factory=Adam)
    widths: tuple[int, ...] = (1, 2)
    network: Network = Network()
    steps: int | None = growable_field(10)
    workdir: pathlib.Path = unstored_field(pathlib.Path("runs"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    size: int
    workdir: pathlib.Path = unstored_field()


def check(config, workdir, task="toy", **options):
    check_config(config, workdir=workdir, task=task, **options)


def started(config, workdir):
    """Create the folder of a run with a checkpoint."""
    check(config, workdir)
    (workdir / "checkpoints" / "4").mkdir(parents=True)


def test_same_configuration_is_accepted_again(tmp_path):
    started(Run(), tmp_path / "run")
    check(Run(), tmp_path / "run")


@pytest.mark.parametrize(
    "widths", [(np.int64(3), 4), (np.float32(3), 4), np.array([3, 4], np.uint8)]
)
def test_numbers_of_numpy_are_stored_as_numbers(tmp_path, widths):
    check(Run(widths=widths), tmp_path)
    assert read_config(tmp_path).fields["widths"] == [3, 4]


def test_file_names_its_format_and_its_task(tmp_path):
    check(Run(), tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["format"] == 2
    assert content["task"] == "toy"
    assert content["config"]["optimizer.learning_rate"] == 0.001


def test_changed_field_is_named_with_both_values(tmp_path):
    started(Run(), tmp_path)
    changed = Run(optimizer=Adam(learning_rate=0.5), widths=(1, 3))
    with pytest.raises(
        RefusedError, match=r"`optimizer.learning_rate` is 0.5 but was 0.001"
    ):
        check(changed, tmp_path)
    with pytest.raises(RefusedError, match=r"`widths` is \[1, 3\] but was \[1, 2\]"):
        check(changed, tmp_path)


def test_folder_without_a_checkpoint_accepts_any_configuration(tmp_path):
    started(Run(widths=(3,)), tmp_path)
    check(Run(widths=(3,)), tmp_path)
    (tmp_path / "checkpoints" / "4").rmdir()
    (
        tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp"
    ).mkdir()  # An interrupted save.
    check(Run(), tmp_path, task="other")
    (tmp_path / "checkpoints" / "4").mkdir()
    check(Run(), tmp_path, task="other")


def test_unstored_fields_may_differ(tmp_path):
    started(Run(), tmp_path)
    check(Run(workdir=pathlib.Path("elsewhere")), tmp_path)


@pytest.mark.parametrize("name", ["log_every", "save_every"])
def test_fields_of_a_loop_without_an_effect_on_results_may_differ(tmp_path, name):
    loop = Loop(steps=4)
    started(loop, tmp_path)
    rewrite(tmp_path, {name: 7})  # As an older version stored them.
    check(dataclasses.replace(loop, **{name: 1}), tmp_path)
    assert name not in read_config(tmp_path).fields


def test_unstored_field_can_lack_a_default(tmp_path):
    check(Given(size=1, workdir=tmp_path), tmp_path)
    assert dict(read_config(tmp_path).fields) == {"size": 1}
    with pytest.raises(TypeError, match="workdir"):
        Given(size=1)


def test_run_of_another_task_is_refused_with_both_names(tmp_path):
    started(Run(), tmp_path)
    with pytest.raises(RefusedError, match="the task 'toy', not 'other'"):
        check(Run(), tmp_path, task="other")


def test_growable_field_is_stored_with_its_new_value(tmp_path):
    started(Run(steps=10), tmp_path)
    check(Run(steps=15), tmp_path)
    assert read_config(tmp_path).fields["steps"] == 15


def test_growth_can_be_taken_back(tmp_path):
    started(Run(steps=10), tmp_path)
    check(Run(steps=1000), tmp_path)
    check(Run(steps=9), tmp_path)
    assert read_config(tmp_path).fields["steps"] == 9


@pytest.mark.parametrize("steps", [None, True])
def test_growable_field_stays_a_number(tmp_path, steps):
    started(Run(steps=10), tmp_path)
    with pytest.raises(RefusedError, match=rf"`steps` is {steps} but was 10"):
        check(Run(steps=steps), tmp_path)


@pytest.mark.parametrize("name", ["network.norm.name", "optimizer.frozen"])
def test_field_that_was_not_stored_had_its_default(tmp_path, name):
    started(Run(), tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    del content["config"][name]
    path.write_text(json.dumps(content))
    check(Run(), tmp_path)
    with pytest.raises(RefusedError, match=r"`optimizer.frozen` is .* but was"):
        check(Run(optimizer=Adam(frozen=("a",))), tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b"{}", b'{"format": 2}', b"\0\0\0", b'{"a": "\xff"}'],
)
def test_file_that_is_no_configuration_is_refused_by_name(tmp_path, content):
    started(Run(), tmp_path)
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(RefusedError, match=r"config\.json is damaged: .* Delete it"):
        check(Run(), tmp_path)
    # Follows the advice of the message.
    path.unlink()
    check(Run(), tmp_path)
    assert read_config(tmp_path).task == "toy"


def test_file_of_a_newer_version_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"format": 3}')
    with pytest.raises(RefusedError, match=r"config\.json .* got 3: a newer version"):
        read_config(tmp_path)


def test_folder_without_a_configuration_is_refused(tmp_path):
    with pytest.raises(RefusedError, match=r"`workdir` must .* config\.json, got"):
        read_config(tmp_path / "nothing")


@pytest.fixture
def old_run(tmp_path):
    """Folder of a run of format 1, with a checkpoint."""
    started(Run(), tmp_path)
    path = tmp_path / "config.json"
    fields = json.loads(path.read_text())["config"]
    fields["length"] = fields.pop("steps")
    path.write_text(json.dumps(fields))
    return tmp_path


def test_configuration_of_format_one_names_no_task(old_run):
    stored = read_config(old_run)
    assert (stored.format, stored.task, stored.fields["length"]) == (1, None, 10)


def test_run_of_format_one_is_refused_with_advice(old_run):
    with pytest.raises(RefusedError, match=r"older version .* another `workdir`"):
        check(Run(), old_run)


def test_run_of_format_one_is_resumed_once_its_fields_are_upgraded(old_run):
    def upgrade(stored: StoredConfig) -> StoredConfig:
        if stored.format != 1:
            return stored
        fields = dict(stored.fields)
        fields["steps"] = fields.pop("length")
        return StoredConfig(format=2, task="toy", fields=fields)

    check(Run(), old_run, upgrade=upgrade)
    stored = read_config(old_run)
    assert (stored.format, stored.task, stored.fields["steps"]) == (2, "toy", 10)


FULL = Network(
    Layers(((2, 3), (4,)), "a"),
    depth=5,
    kind="b",
    norm=Layers(((7,),)),
    pictures=pathlib.Path("some/where"),
    folders=(pathlib.Path("a"), pathlib.Path("b")),
    factors=(("stem", 0.5), ("head", 2.0)),
)


@pytest.mark.parametrize("network", [Network(), FULL])
def test_parts_are_restored(tmp_path, network):
    check(Run(network=network), tmp_path)
    fields = read_config(tmp_path).fields
    assert restore(Network, fields, "network") == network
    assert restore(Run, fields) == Run(network=network)


def test_unstored_field_is_restored_with_its_default(tmp_path):
    check(Run(network=Network(Layers(verbose=True))), tmp_path)
    assert restore(Run, read_config(tmp_path).fields) == Run()


def rewrite(folder, changes):
    """Put further fields into the stored configuration of a run."""
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["config"] |= changes
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["workdir", "network.layers.verbose"])
def test_unstored_fields_may_have_been_stored(tmp_path, name):
    started(Run(), tmp_path)
    rewrite(tmp_path, {name: "another"})
    check(Run(), tmp_path)
    assert name not in read_config(tmp_path).fields


def test_unstored_dataclasses_may_have_been_stored(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Watched(Run):
        shown: Layers = unstored_field(Layers())

    started(Watched(), tmp_path)
    rewrite(tmp_path, {"shown.name": "a", "shown.verbose": True})
    check(Watched(), tmp_path)


def test_stored_field_that_is_not_known_is_refused_by_name(tmp_path):
    started(Run(), tmp_path)
    rewrite(tmp_path, {"network.gone": 1, "old.length": 2})
    error = r"has `network\.gone`, `old\.length`, which this version does not know\."
    with pytest.raises(RefusedError, match=error):
        check(Run(), tmp_path)


@pytest.mark.parametrize("name", ["network.gone", "network.layers.gone"])
def test_dataclass_is_not_restored_if_it_lacks_a_stored_field(tmp_path, name):
    check(Run(), tmp_path)
    fields = {**read_config(tmp_path).fields, name: 1}
    error = rf"has `{name}`, which this version does not know\."
    with pytest.raises(RefusedError, match=error):
        restore(Run, fields)
    with pytest.raises(RefusedError, match=error):
        restore(Network, fields, "network")


def test_dataclass_is_not_restored_from_a_number(tmp_path):
    check(Run(), tmp_path)
    fields = {**read_config(tmp_path).fields, "optimizer": 1}
    with pytest.raises(RefusedError, match="has `optimizer`, which"):
        restore(Run, fields)


def test_part_that_was_not_stored_is_refused(tmp_path):
    check(Run(), tmp_path)
    with pytest.raises(RefusedError, match="must have `net`, got network, optimizer"):
        restore(Network, read_config(tmp_path).fields, "net")


def test_field_without_a_default_that_was_not_stored_is_refused():
    with pytest.raises(RefusedError, match="must have `size`"):
        restore(Given, {"workdir": "here"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("accumulate", 0),
        ("average_decay", 1.0),
        ("average_decay", float("nan")),
        ("log_every", 0),
        ("evaluate_every", 0),
        ("save_every", -5),
        ("seed", -1),
        ("seed", 2**32),
    ],
)
def test_invalid_values_are_refused(field, value):
    with pytest.raises(RefusedError, match=f"`{field}` must"):
        Loop(**{"steps": 1, field: value})


@pytest.mark.parametrize(("steps", "epochs"), [(None, None), (1, 1)])
def test_length_is_in_steps_or_in_epochs(steps, epochs):
    with pytest.raises(RefusedError, match="One of `steps` and `epochs` must"):
        Loop(steps=steps, epochs=epochs)


@pytest.mark.parametrize("length", [{"epochs": 3}, {"steps": 30}])
def test_evaluations_are_in_steps_or_follow_each_epoch(length):
    each = Loop(**length, save_every=5)
    assert each.in_steps(10) == Loop(steps=30, evaluate_every=10, save_every=5)
    counted = Loop(**length, evaluate_every=2)
    assert counted.in_steps(10) == Loop(steps=30, evaluate_every=2)


def test_loop_in_steps_is_unchanged():
    loop = Loop(steps=7, evaluate_every=3)
    assert loop.in_steps(10) == loop.in_steps(0) == loop


@pytest.mark.parametrize(
    "loop",
    [Loop(epochs=1), Loop(epochs=1, evaluate_every=2), Loop(steps=1)],
    ids=["both", "length", "evaluations"],
)
def test_epoch_without_a_whole_batch_is_refused(loop):
    with pytest.raises(RefusedError, match="at least one whole batch, got 0"):
        loop.in_steps(0)


def test_steps_of_a_loop_in_epochs_are_not_known():
    with pytest.raises(RefusedError, match=r"must be in steps .* got 2 epochs"):
        _ = Loop(epochs=2).total_steps


@pytest.mark.parametrize("value", [0, 1, None, "2", True, 2.0])
def test_invalid_format_is_refused_as_damage(tmp_path, value):
    content = {"format": value, "task": "toy", "config": {}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(RefusedError, match=r"config\.json is damaged: it must "):
        read_config(tmp_path)


def test_task_that_is_not_a_string_is_refused_as_damage(tmp_path):
    content = {"format": 2, "task": 5, "config": {}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(RefusedError, match=r"config\.json is damaged: .* 5\."):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("network.depth", "16", "int, got '16'"),
        ("network.depth", True, "int, got True"),
        ("network.depth", None, "int, got None"),
        ("network.depth", 1.0, "int, got 1.0"),
        ("network.kind", "c", r"Literal\['a', 'b'\], got 'c'"),
        ("network.pictures", 3, r"Path \| None, got 3"),
        ("network.folders", "a", r"tuple\[Path, \.\.\.\], got 'a'"),
        ("network.factors", [["stem"]], r"tuple\[.*\], got \[\['stem'\]\]"),
        ("network.factors", [["stem", "1"]], r"tuple\[.*\], got"),
        ("network.layers.widths", [[1, "2"]], r"tuple\[.*\], got"),
        ("network.layers.name", 1, r"str \| None, got 1"),
        ("optimizer.learning_rate", "fast", "float, got 'fast'"),
        ("steps", "10", r"int \| None, got '10'"),
    ],
)
def test_stored_value_of_another_type_is_refused_by_name(
    tmp_path, name, value, expected
):
    check(Run(), tmp_path)
    fields = {**read_config(tmp_path).fields, name: value}
    with pytest.raises(RefusedError, match=rf"must have `{name}` as {expected}"):
        restore(Run, fields)


def test_stored_value_that_breaks_its_rule_is_refused_by_its_whole_name(tmp_path):
    check(Run(), tmp_path)
    fields = {**read_config(tmp_path).fields, "optimizer.learning_rate": 0.0}
    with pytest.raises(RefusedError, match=r"`optimizer\.learning_rate` must be pos"):
        restore(Run, fields)


def test_integers_are_restored_where_numbers_are_expected(tmp_path):
    check(Run(), tmp_path)
    changes = {"optimizer.learning_rate": 1, "network.factors": [["stem", 2]]}
    run = restore(Run, {**read_config(tmp_path).fields, **changes})
    assert run.optimizer.learning_rate == 1
    assert run.network.factors == (("stem", 2),)
