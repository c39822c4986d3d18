from experiments import nnx_model


def test_nnx_model_with_carafe_layers_learns():
    first, last = nnx_model.main(steps=30)
    assert last < 0.5 * first
