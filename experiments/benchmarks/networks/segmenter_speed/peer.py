"""UperNet in PyTorch, as CSAIL's, and its programs; imported only where it is timed."""

import importlib
from collections.abc import Sequence
from typing import Any

from carafe_jax.models.segmentation import SegmenterConfig
from experiments.benchmarks.networks.segmenter_speed.inputs import Inputs
from experiments.benchmarks.networks.timed_programs import Calls

torch: Any = importlib.import_module("torch")
nn: Any = torch.nn
functional: Any = torch.nn.functional

_BINS = (1, 2, 3, 6)
_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
_STRIDE = 4  # Of the logits.


def conv_block(
    inputs: int, outputs: int, side: int, *, stride: int = 1, relu: bool = True
) -> Any:
    """Return a convolution with norm, and ReLU or none."""
    conv = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
    layers = [conv, nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Residual(nn.Module):
    """A block of a ResNet: a basic one, or a bottleneck."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int) -> None:
        """Make a bottleneck if there are more outputs than `width`."""
        super().__init__()
        if outputs == width:
            self.body = nn.Sequential(
                conv_block(inputs, width, 3, stride=stride),
                conv_block(width, outputs, 3, relu=False),
            )
        else:
            self.body = nn.Sequential(
                conv_block(inputs, width, 1),
                conv_block(width, width, 3, stride=stride),
                conv_block(width, outputs, 1, relu=False),
            )
        self.shortcut = nn.Identity()
        if inputs != outputs or stride > 1:
            self.shortcut = conv_block(inputs, outputs, 1, stride=stride, relu=False)

    def forward(self, x: Any) -> Any:
        return functional.relu(self.body(x) + self.shortcut(x))


class UperNet(nn.Module):
    """UperNet with bilinear interpolation, on a ResNet with the deep stem."""

    def __init__(self, config: SegmenterConfig, classes: int) -> None:
        """Make the layers of a configuration without CARAFE++."""
        super().__init__()
        width, features = config.width, config.features
        self.stem = nn.Sequential(
            conv_block(3, width, 3, stride=2),
            conv_block(width, width, 3),
            conv_block(width, 2 * width, 3),
            nn.MaxPool2d(3, 2, 1),
        )
        expansion = 1 if config.depth == 18 else 4
        stages: list[Any] = []
        channels: list[int] = []
        inputs = 2 * width
        for level, count in enumerate(_BLOCKS[config.depth]):
            inner = width * 2**level
            stage: list[Any] = []
            for index in range(count):
                stride = 2 if level > 0 and index == 0 else 1
                stage.append(Residual(inputs, inner, expansion * inner, stride))
                inputs = expansion * inner
            stages.append(nn.Sequential(*stage))
            channels.append(inputs)
        self.stages = nn.ModuleList(stages)
        pooled = config.pooled_features
        self.scales = nn.ModuleList(conv_block(inputs, pooled, 1) for _ in _BINS)
        self.bottleneck = conv_block(inputs + len(_BINS) * pooled, features, 3)
        finer = channels[:3]
        self.laterals = nn.ModuleList(conv_block(x, features, 1) for x in finer)
        self.outputs = nn.ModuleList(conv_block(features, features, 3) for _ in finer)
        self.head = nn.Sequential(
            conv_block(4 * features, features, 3), nn.Conv2d(features, classes, 1)
        )

    def forward(self, images: Any) -> Any:
        """Return the logits at a quarter of the size."""
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        top = self._pool(maps[-1])
        levels = [top]
        for index in (2, 1, 0):
            lateral = self.laterals[index](maps[index])
            top = lateral + enlarged(top, lateral.shape[2:])
            levels.insert(0, self.outputs[index](top))
        size = levels[0].shape[2:]
        fused = [levels[0], *(enlarged(level, size) for level in levels[1:])]
        return self.head(torch.cat(fused, 1))

    def _pool(self, c5: Any) -> Any:
        scales = [
            convolve(enlarged(functional.adaptive_avg_pool2d(c5, bins), c5.shape[2:]))
            for bins, convolve in zip(_BINS, self.scales, strict=True)
        ]
        return self.bottleneck(torch.cat([c5, *scales], 1))


def enlarged(x: Any, size: Sequence[int]) -> Any:
    """Return a map at another size, by bilinear interpolation."""
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def torch_programs(
    inputs: Inputs, config: SegmenterConfig, *, parameters: int
) -> Calls:
    """Return the programs of a network that has as many parameters as ours.

    Args:
      inputs: Images and label maps.
      config: Network without CARAFE++.
      parameters: Number of parameters of ours.
    """
    torch.manual_seed(0)
    network = UperNet(config, inputs.classes)
    count = sum(x.numel() for x in network.parameters())
    assert count == parameters, f"{count} parameters, ours have {parameters}"
    images = torch.tensor(inputs.images.transpose(0, 3, 1, 2).copy())
    labels = torch.tensor(inputs.labels)

    def infer() -> None:
        with torch.inference_mode():
            enlarged(network.eval()(images), images.shape[2:]).argmax(1)

    def train() -> None:
        network.train().zero_grad()
        logits = network(images)
        own = labels[:, ::_STRIDE, ::_STRIDE]
        functional.cross_entropy(logits, own, ignore_index=255).backward()

    return {"inference": infer, "training": train}
