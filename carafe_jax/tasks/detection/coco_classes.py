"""Classes of COCO's detection challenge, which published detectors have."""

from carafe_jax.tasks.detection.categories import Categories

# By id, from 1 on; ids that are not used are dashes.
_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic
light, fire hydrant, -, stop sign, parking meter, bench, bird, cat, dog,
horse, sheep, cow, elephant, bear, zebra, giraffe, -, backpack, umbrella, -,
-, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite,
baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, -,
wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant,
bed, -, dining table, -, -, toilet, -, tv, laptop, mouse, remote, keyboard,
cell phone, microwave, oven, toaster, sink, refrigerator, -, book, clock,
vase, scissors, teddy bear, hair drier, toothbrush
"""


def coco_categories() -> Categories:
    """Return the 80 classes of COCO with their ids, which reach 90."""
    names = " ".join(_NAMES.split()).split(", ")
    used = {own: name for own, name in enumerate(names, 1) if name != "-"}
    return Categories(tuple(used.values()), tuple(used))
