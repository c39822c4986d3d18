"""Configurations of inpainting runs, with and without a discriminator."""

import dataclasses
import pathlib

import optax

from carafe_jax.arguments import check_count
from carafe_jax.data import FreeFormHoles
from carafe_jax.models import GlobalLocalConfig, PatchGANConfig, UNetConfig
from carafe_jax.tasks.inpainting.adversarial_task import (
    NETWORKS,
    AdversarialInpaintingTask,
)
from carafe_jax.tasks.inpainting.data import InpaintingData
from carafe_jax.tasks.inpainting.loss import AdversarialLoss, ReconstructionLoss
from carafe_jax.tasks.inpainting.quality import COLUMNS
from carafe_jax.tasks.inpainting.task import InpaintingTask
from carafe_jax.tasks.run_config import RunConfig
from carafe_jax.train import (
    Adam,
    Loop,
    joint_learning_rates,
    unstored_field,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InpaintingRun(RunConfig):
    """Train a U-Net to fill holes in photographs."""

    task = "inpainting"
    best = InpaintingTask.best
    columns = COLUMNS

    workdir: pathlib.Path = unstored_field(pathlib.Path("runs/inpainting/default"))
    """Folder of the run. The same command resumes where it stopped."""
    loop: Loop = Loop(steps=250, evaluate_every=125, save_every=125)
    """Length of the run, and intervals of logging, evaluation and saving."""
    network: UNetConfig = UNetConfig(initial_kernels="gaussian", starting_fill="spline")
    """Architecture of the network."""
    data: InpaintingData = InpaintingData(
        crop_size=64, batch_size=16, colours="shuffled", turns="all"
    )
    """Photographs and holes."""
    loss: ReconstructionLoss = ReconstructionLoss(given=0.2)
    """Loss to minimise. With a starting fill, given pixels need little weight: their
    initial error is zero."""
    optimizer: Adam = Adam(
        learning_rate=2e-3, muon_learning_rate=1e-2, weight_decay=0.1
    )
    """Optimizer and schedule. Without weight decay the kernels that Muon trains keep
    growing, and a long run gains nothing over a short one."""
    sample_rows: int = unstored_field(6)
    """Rows of samples.png, one test image each."""

    def __post_init__(self) -> None:
        check_count("sample_rows", self.sample_rows)

    @property
    def network_name(self) -> str:
        """Name of the network in tables."""
        return self.network.name

    def make_task(self) -> InpaintingTask:
        """Make the network."""
        return InpaintingTask(
            self.network.make(),
            self.data,
            loss=self.loss,
            network_name=self.network_name,
            sample_rows=self.sample_rows,
        )


_ADAM = Adam(learning_rate=1e-4, beta1=0.5, beta2=0.9, decay="none", warmup_steps=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialOptimizers:
    """One optimizer for each network; Adam as in section 5.1 of arXiv:2012.04733."""

    generator: Adam = _ADAM
    """Optimizer of the generator."""
    discriminator: Adam = _ADAM
    """Optimizer of the discriminator."""

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """Return the optax transformation of both networks for a run of `steps`."""
        return optax.partition(
            {name: getattr(self, name).transformation(steps) for name in NETWORKS},
            {name: name for name in NETWORKS},
        )

    def learning_rates(self, steps: int) -> dict[str, optax.Schedule]:
        """Return the learning rate schedules of both networks by name."""
        return joint_learning_rates(
            {name: getattr(self, name) for name in NETWORKS}, steps
        )

    def is_frozen(self, path: str) -> bool:
        """Return whether a parameter of one of the networks is frozen."""
        network = path.split("/")[0]
        return network in NETWORKS and getattr(self, network).is_frozen(path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialInpaintingRun(RunConfig):
    """Train a generator against a PatchGAN (arXiv:2012.04733, section 5.1)."""

    task = "adversarial-inpainting"
    best = AdversarialInpaintingTask.best
    columns = COLUMNS

    workdir: pathlib.Path = unstored_field(
        pathlib.Path("runs/adversarial-inpainting/default")
    )
    """Folder of the run. The same command resumes where it stopped."""
    loop: Loop = Loop(steps=300_000, evaluate_every=10_000, save_every=2_000)
    """Length of the run, and intervals of logging, evaluation and saving."""
    generator: GlobalLocalConfig = GlobalLocalConfig()
    """Generator, which fills the holes."""
    discriminator: PatchGANConfig = PatchGANConfig()
    """Discriminator, which judges the fills."""
    data: InpaintingData = InpaintingData(
        source="tfds:places365_small",
        crop_size=256,
        batch_size=32,
        # Without the rectangles of the default: strokes alone, as in the paper.
        masks=FreeFormHoles(rectangles=(0, 0)),
        test_crops=1,
        test_photographs=2000,
    )
    """Photographs and holes."""
    loss: ReconstructionLoss = ReconstructionLoss(hole=1.0, given=1.0)
    """Reconstruction loss."""
    adversary: AdversarialLoss = AdversarialLoss()
    """Adversarial losses of generator and discriminator."""
    optimizer: AdversarialOptimizers = AdversarialOptimizers()
    """Optimizers and schedules."""
    sample_rows: int = unstored_field(6)
    """Rows of samples.png, one test image each."""

    def __post_init__(self) -> None:
        check_count("sample_rows", self.sample_rows)

    @property
    def network_name(self) -> str:
        """Name of the network in tables."""
        return self.generator.name

    def make_task(self) -> AdversarialInpaintingTask:
        """Make both networks."""
        return AdversarialInpaintingTask(
            self.generator.make(),
            self.discriminator.make(),
            self.data,
            loss=self.loss,
            adversary=self.adversary,
            network_name=self.network_name,
            sample_rows=self.sample_rows,
        )
