"""Configuration of detectors."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from flax import linen as nn

from carafe_jax.arguments import check, check_choices, check_ints
from carafe_jax.models.backbones.choices import (
    Depth,
    Downsampler,
    StemChoice,
    check_bottlenecks,
    make_resnet,
)
from carafe_jax.models.detection.box_head import BoxHead
from carafe_jax.models.detection.faster_rcnn import FasterRCNN
from carafe_jax.models.detection.fpn import FPN
from carafe_jax.models.detection.mask_head import MaskHead
from carafe_jax.models.detection.mask_rcnn import MaskRCNN
from carafe_jax.models.detection.rpn import RPNHead
from carafe_jax.models.detection.settings import (
    AnchorSettings,
    DetectionSettings,
    ProposalSettings,
    RoISettings,
)
from carafe_jax.models.resampler_choices import (
    InitialKernels,
    Upsampler,
    name_with_resamplers,
    upsampler_factory,
)
from carafe_jax.nn import DeformableConv
from carafe_jax.nn._arguments import check_int

_TITLES = {"faster_rcnn": "Faster R-CNN", "mask_rcnn": "Mask R-CNN"}
_PLAIN = {"backbone": "conv", "FPN": "nearest", "mask head": "deconv"}
_SIZES = ("width", "fpn_features", "box_hidden")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """Parts and sizes of a `FasterRCNN` or `MaskRCNN` on a ResNet and an FPN."""

    detector: Literal["faster_rcnn", "mask_rcnn"] = "mask_rcnn"
    """Boxes alone, or boxes with masks."""
    depth: Depth = 50
    """Number of layers of the ResNet."""
    width: int = 64
    """Channels of the stem; each stage has twice as many as the one before."""
    stem: StemChoice = "plain"
    """Stem of the ResNet. "plain": one convolution of 7x7, as in the weights of
    torchvision; "deep": three of 3x3, for a backbone that was trained with them."""
    downsampler: Downsampler = "conv"
    """Down-sampler in the seven places of the paper's section 4.1. "conv": strided
    convolutions, and max pooling in the stem, as in the weights of torchvision; the
    others of table III need a backbone that was trained with them."""
    deformable: Literal["none", "c3-c5"] = "none"
    """Stages whose 3x3 convolutions are deformable, DCNv2."""
    conv_after_downsample: Literal["plain", "spatial"] = "plain"
    """Convolution after a down-sampler in a deformable stage: "plain", as section 5.1
    reads, or "spatial", deformable as well."""
    norms: Literal["frozen", "batch"] = "frozen"
    """Batch norms of the backbone in training: "frozen" normalises by the running
    statistics of trained weights, which stay as they are; "batch" by those of the
    batch, for networks that are trained from scratch."""
    frozen_stages: int = 1
    """Last stage of the backbone that is not trained: -1 trains everything, 0 freezes
    the stem, 1 also Res-2, and so on."""
    stem_reassembly: Literal["frozen", "trained"] = "frozen"
    """Whether the down-sampler of a frozen stem is frozen too."""
    upsampler: Upsampler = "carafe"
    """Up-sampler of the FPN (table IV)."""
    extra_level: Literal["pool", "lateral"] = "lateral"
    """Level P6 of the FPN: every second pixel of P5; or, as with CARAFE in mmdetection,
    a lateral convolution on C5 that takes part in the top-down path."""
    fpn_features: int = 256
    """Channels of the FPN, of the RPN and of the mask head."""
    box_hidden: int = 1024
    """Channels of the fully connected layers of the box head."""
    mask_upsampler: Upsampler = "carafe"
    """Up-sampler of the mask head (table VI)."""
    mask_convs: int = 4
    """Number of 3x3 convolutions of the mask head."""
    compressed_channels: tuple[int, int] = (16, 64)
    """Input channels of the content encoders of CARAFE++ (C_m of the paper), down and
    up."""
    initial_kernels: InitialKernels = "box"
    """Initial kernels of CARAFE++: "box", as in the paper's code; or "gaussian" around
    each output pixel, so that up-sampling starts as interpolation."""
    anchors: AnchorSettings = AnchorSettings()
    """Shapes of the anchors."""
    proposals: ProposalSettings = ProposalSettings()
    """Selection of the proposals at test time."""
    rois: RoISettings = RoISettings()
    """Pooling of the regions."""
    detections: DetectionSettings = DetectionSettings()
    """Selection of the detections."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the features; parameters, logits, boxes and losses are float32."""
    rematerialize: Literal["nothing", "blocks"] = "nothing"
    """Activations to recompute in the backward pass: "blocks" stores only the inputs of
    the backbone's blocks, to save memory."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in _SIZES:
            check_int(name, getattr(self, name))
        check(
            "mask_convs", self.mask_convs, "not be negative", holds=self.mask_convs >= 0
        )
        check_ints("compressed_channels", self.compressed_channels, length=2)
        stages, rule = self.frozen_stages, "be an int from -1 to 4"
        check("frozen_stages", stages, rule, holds=stages in range(-1, 5))
        if self.downsampler == "lip_bottleneck":
            check_bottlenecks("downsampler", self.downsampler, depth=self.depth)
        if self.deformable != "none":
            check_bottlenecks("deformable", self.deformable, depth=self.depth)
            rule = "be another than 'lip_bottleneck' with deformable convolutions"
            holds = self.downsampler != "lip_bottleneck"
            check("downsampler", self.downsampler, rule, holds=holds)

    @property
    def name(self) -> str:
        """Name of the network in tables, with the resamplers that are not plain."""
        chosen = {"backbone": self.downsampler, "FPN": self.upsampler}
        if self.has_masks:
            chosen["mask head"] = self.mask_upsampler
        name = f"{_TITLES[self.detector]} R{self.depth}"
        if self.deformable != "none":
            name += " DCNv2"
        return name_with_resamplers(name, chosen, plain=_PLAIN)

    @property
    def has_masks(self) -> bool:
        """Whether the detector predicts masks."""
        return self.detector == "mask_rcnn"

    @property
    def size_divisor(self) -> int:
        """Multiple to whose sides mmdetection pads the images of this detector."""
        return 64 if self.extra_level == "lateral" else 32

    @property
    def frozen_patterns(self) -> tuple[str, ...]:
        """Regular expressions for the paths of frozen parameters, for the optimizer."""
        backbone: Any = self._backbone()  # A `ResNet`, which has them.
        return backbone.frozen_patterns

    def make(self, classes: int) -> FasterRCNN | MaskRCNN:
        """Return the detector.

        Args:
          classes: Number of classes, without the background.
        """
        features = self.fpn_features
        upsample = (
            None if self.upsampler == "nearest" else self._upsample(self.upsampler)
        )
        fields: dict[str, Any] = {
            "backbone": self._backbone(),
            "fpn": FPN(features, upsample=upsample, extra_level=self.extra_level),
            "rpn": RPNHead(features, anchors=len(self.anchors.ratios)),
            "box_head": BoxHead(classes, hidden=self.box_hidden),
            "anchors": self.anchors,
            "proposals": self.proposals,
            "rois": self.rois,
            "detections": self.detections,
        }
        if not self.has_masks:
            return FasterRCNN(**fields)
        choice = self.mask_upsampler
        upsample = None if choice == "deconv" else self._upsample(choice)
        mask_head = MaskHead(
            classes, features, convs=self.mask_convs, upsample=upsample
        )
        return MaskRCNN(**fields, mask_head=mask_head)

    def _backbone(self) -> nn.Module:
        spatial = DeformableConv if self.deformable == "c3-c5" else None
        return make_resnet(
            self.depth,
            self.downsampler,
            compressed_channels=self.compressed_channels[0],
            stem=self.stem,
            initial_kernels=self.initial_kernels,
            width=self.width,
            spatial_conv=(None, spatial, spatial, spatial),
            conv_after_downsample=self.conv_after_downsample,
            frozen_stages=self.frozen_stages,
            stem_reassembly=self.stem_reassembly,
            rematerialize=self.rematerialize,
            dtype=self.dtype,
        )

    def _upsample(self, choice: Upsampler) -> Callable[..., nn.Module]:
        return upsampler_factory(
            choice,
            compressed_channels=self.compressed_channels[1],
            initial_kernels=self.initial_kernels,
        )
