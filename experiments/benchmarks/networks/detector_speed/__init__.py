"""Times of Mask R-CNN, beside torchvision's."""
