"""A backbone with a linear classifier on top."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float


class Classifier(nn.Module):
    """Average the last map of a backbone over its pixels and classify it.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models.classifier import Classifier
      >>> from carafe_jax.models.resnet import ResNet18
      >>> network = Classifier(ResNet18(), classes=10)
      >>> image = jnp.zeros((2, 64, 64, 3))
      >>> variables = jax.eval_shape(network.init, jax.random.key(0), image)
      >>> jax.eval_shape(network.apply, variables, image).shape
      (2, 10)

    Attributes:
      backbone: Network that returns a `c5`, as `carafe_jax.models.resnet.ResNet`; its
        variables are under "backbone".
      classes: How many there are.
      param_dtype: Dtype of the parameters of the classifier (default: float32).
    """

    backbone: nn.Module
    classes: int
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n k"]:
        """Return the logits of each image, in float32 or wider."""
        last = self.backbone(image, train=train).c5
        dtype = jnp.promote_types(last.dtype, jnp.float32)
        return nn.Dense(
            self.classes,
            # Goyal et al. 2017, section 5.1.
            kernel_init=nn.initializers.normal(0.01),
            dtype=dtype,
            param_dtype=self.param_dtype,
            name="classifier",
        )(last.astype(dtype).mean((1, 2)))
