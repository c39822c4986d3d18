from tests.tasks.classification.small import small_resnet as small_resnet
