"""Pictures of known objects as a COCO data set."""
