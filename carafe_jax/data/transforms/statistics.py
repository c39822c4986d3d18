"""Means and standard deviations of the colours of data sets."""

# For the training images of ImageNet, RGB in [0, 255].
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
