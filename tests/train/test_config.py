import dataclasses
import pathlib

import pytest

from carafe_jax.train import Loop, Optimizer, check_config, restore_part


@dataclasses.dataclass(frozen=True)
class Layers:
    widths: tuple[tuple[int, ...], ...] = ((1,),)
    name: str | None = None
    verbose: bool = dataclasses.field(default=False, metadata={"compared": False})


@dataclasses.dataclass(frozen=True)
class Network:
    layers: Layers = Layers()
    depth: int = 1


@dataclasses.dataclass(frozen=True)
class Run:
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    widths: tuple[int, ...] = (1, 2)
    network: Network = Network()
    workdir: pathlib.Path = dataclasses.field(
        default=pathlib.Path("runs"), metadata={"compared": False}
    )


def test_same_configuration_is_accepted_again(tmp_path):
    check_config(Run(), workdir=tmp_path / "run")
    check_config(Run(), workdir=tmp_path / "run")


def test_changed_field_is_named_with_both_values(tmp_path):
    check_config(Run(), workdir=tmp_path)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    changed = Run(optimizer=Optimizer(learning_rate=0.5), widths=(1, 3))
    with pytest.raises(
        ValueError, match=r"`optimizer.learning_rate` is 0.5 but was 0.001"
    ):
        check_config(changed, workdir=tmp_path)
    with pytest.raises(ValueError, match=r"`widths` is \[1, 3\] but was \[1, 2\]"):
        check_config(changed, workdir=tmp_path)


def test_folder_without_a_checkpoint_takes_any_configuration(tmp_path):
    check_config(Run(widths=(3,)), workdir=tmp_path)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    check_config(Run(widths=(3,)), workdir=tmp_path)
    (tmp_path / "checkpoints" / "4").rmdir()
    check_config(Run(), workdir=tmp_path)
    (tmp_path / "checkpoints" / "4").mkdir()
    check_config(Run(), workdir=tmp_path)


def test_fields_that_change_no_number_may_differ(tmp_path):
    check_config(Run(), workdir=tmp_path)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    check_config(Run(workdir=pathlib.Path("elsewhere")), workdir=tmp_path)


def test_parts_come_back_as_they_were_but_for_what_changes_no_number(tmp_path):
    network = Network(Layers(((2, 3), (4,)), "a", verbose=True), depth=5)
    check_config(Run(network=network), workdir=tmp_path)
    restored = restore_part(tmp_path, "network", Network)
    assert restored == Network(Layers(((2, 3), (4,)), "a"), depth=5)


def test_part_that_was_not_stored_is_refused(tmp_path):
    check_config(Run(), workdir=tmp_path)
    for folder, name in ((tmp_path, "net"), (tmp_path / "nothing", "network")):
        with pytest.raises(ValueError, match=f"`workdir` must .* has `{name}`, got"):
            restore_part(folder, name, Network)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("accumulate", 0),
        ("average_decay", 1.0),
        ("log_every", 0),
        ("evaluate_every", 0),
        ("save_every", -5),
    ],
)
def test_values_that_make_no_sense_are_refused(field, value):
    with pytest.raises(ValueError, match=f"`{field}` must"):
        Loop(**{field: value})
