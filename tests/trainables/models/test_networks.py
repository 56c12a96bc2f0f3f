import re

import pytest
import torch
from torch import nn

from trainables.errors import ModelError
from trainables.models.matching import _last_layer
from trainables.models.networks import (
    anatomy,
    build_model,
    check_model,
    count_parameters,
    model_names,
    skeleton,
)
from trainables.models.rehearsal import check_input


@pytest.mark.parametrize("name", model_names())
def test_every_classification_model_gets_a_head_for_the_classes(name: str) -> None:
    model = skeleton(name, 7).train()
    side = 299 if name == "inception_v3" else 224
    scores = model(torch.empty(2, 3, side, side, device="meta"))
    assert scores.shape == (2, 7)
    assert not any("aux" in key.lower() for key in model.state_dict())


def test_all_of_torchvision_is_listed() -> None:
    assert len(model_names()) >= 80
    assert {"resnet18", "vit_b_16", "inception_v3", "maxvit_t"} <= set(model_names())


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("resnet18", {"fc.weight", "fc.bias"}),
        ("squeezenet1_1", {"classifier.1.weight", "classifier.1.bias"}),
        ("vit_b_16", {"heads.head.weight", "heads.head.bias"}),
        ("maxvit_t", {"classifier.5.weight"}),
        ("tiny_models:linear_net", {"head.weight", "head.bias"}),
    ],
)
def test_head_is_what_changes_with_the_classes(name: str, head: set[str]) -> None:
    assert _last_layer(skeleton(name, 7), 7) == head


def test_parameters_and_flops_of_a_linear_head_by_hand() -> None:
    # 3 channel means to 10 scores: 30 weights and 10 biases, 30 multiplications and additions.
    assert count_parameters(build_model("tiny_models:linear_net", 10)) == 40
    assert anatomy("tiny_models:linear_net", 10, sides=(8, 8)).flops_per_image == 60


def test_parameters_and_flops_of_a_published_model() -> None:
    # He et al., table 1, give 1.8e9 multiply-adds; torchvision documents 11,689,512 parameters.
    assert count_parameters(skeleton("resnet18", 1000)) == 11_689_512
    assert anatomy("resnet18", 1000).flops_per_image / 2 == pytest.approx(1.814e9, rel=1e-3)


def test_attention_is_counted_by_hand() -> None:
    tokens, width, layers = 14 * 14 + 1, 768, 12
    projections = tokens * width * (3 * width + width + 2 * 4 * width)
    attention = 2 * tokens * tokens * width
    patches = 14 * 14 * width * 3 * 16 * 16
    expected = layers * (projections + attention) + patches + width * 1000
    assert anatomy("vit_b_16", 1000).flops_per_image == 2 * expected


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d", "wide_resnet50_2"])
def test_cifar_stem_keeps_the_resolution(name: str) -> None:
    model = skeleton(name, 10, "cifar")
    assert isinstance(model.maxpool, nn.Identity)
    assert model.conv1.weight.shape == (64, 3, 3, 3)
    before_pool = nn.Sequential(*list(model.children())[:-2])
    assert before_pool(torch.empty(2, 3, 32, 32, device="meta")).shape[2:] == (4, 4)
    # The stem of He et al. is 49 weights for each of 64×3 maps, this one 9.
    assert count_parameters(skeleton(name, 10)) - count_parameters(model) == 64 * 3 * 40


@pytest.mark.parametrize("name", ["vgg11", "densenet121", "tiny_models:linear_net"])
def test_cifar_stem_is_for_resnets(name: str) -> None:
    with pytest.raises(ModelError, match=rf"{re.escape(name)} is none; use stem: standard"):
        check_model(name, "cifar")


def test_same_generator_state_gives_the_same_weights() -> None:
    models = []
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            models.append(build_model("resnet18", 10, "cifar").state_dict())
    assert all(torch.equal(models[0][key], models[1][key]) for key in models[0])


def test_a_skeleton_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    skeleton("swin_t", 10)
    check_input("tiny_models:dropout_net", 10, sides=(8, 8))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_models_with_auxiliary_heads_return_scores_alone(name: str) -> None:
    model = skeleton(name, 5).train()
    assert model(torch.empty(2, 3, 96, 96, device="meta")).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "side", "needed"),
    [("inception_v3", 32, 75), ("alexnet", 32, 64), ("maxvit_t", 32, 224), ("vit_h_14", 32, 112)],
)
def test_a_model_that_needs_larger_images_says_which(name: str, side: int, needed: int) -> None:
    with pytest.raises(ModelError, match=rf"{name}.*{side}×{side}.*image_size: {needed}\b"):
        check_input(name, 10, sides=(side, side))
    check_input(name, 10, sides=(needed, needed))


def test_what_the_meta_device_accepts_really_runs() -> None:
    for name, side in (("mobilenet_v2", 8), ("resnet18", 8), ("squeezenet1_1", 32)):
        check_input(name, 4, sides=(side, side))
        model = build_model(name, 4, sides=(side, side)).train()
        assert model(torch.zeros(2, 3, side, side)).shape == (2, 4)


def test_oblong_images() -> None:
    check_input("resnet18", 10, sides=(32, 48))
    with pytest.raises(ModelError, match=r"vit_b_16 does not take images of 32×48.*image_size"):
        check_input("vit_b_16", 10, sides=(32, 48))


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"no model resnet81 .*nearest are .*resnet18"):
        check_model("resnet81")
    with pytest.raises(ModelError, match=r"no model ResNet50.*resnet50"):
        check_model("ResNet50")
    with pytest.raises(ModelError, match=r"package\.module:function"):
        check_model("qqqq")
    for other in ("fcn_resnet50", "fasterrcnn_resnet50_fpn", "quantized_resnet18"):
        with pytest.raises(
            ModelError, match=rf"torchvision has {other} for (segm|dete|quan)\w+; a"
        ):
            check_model(other)
    with pytest.raises(ModelError, match=r"models are named alone; write resnet18$"):
        check_model("torchvision.models.resnet18")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:net", "no_such_module .* cannot be imported .*PYTHONPATH"),
        ("tiny_models:linear_nte", "no function linear_nte; linear_net is there"),
        ("tiny_models:torch_", "has no function torch_"),
        ("tiny_models:", "not of the form package.module:function"),
        (":net", "not of the form package.module:function"),
    ],
)
def test_an_own_model_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_model(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_module", "returned str, a torch.nn.Module is needed"),
        ("no_parameters", "no parameters that could be trained"),
        ("raising", "n_classes=4, it raised LookupError: no such layer"),
    ],
)
def test_an_own_function_that_gives_no_model(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_model(f"tiny_models:{name}", 4)
    with pytest.raises(ModelError, match=message):
        check_input(f"tiny_models:{name}", 4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two_class_net", r"returns \(2, 2\) for two images, scores of shape \(2, 4\)"),
        ("tuple_net", r"returns tuple for two images"),
    ],
)
def test_an_own_model_with_other_outputs(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_input(f"tiny_models:{name}", 4, sides=(8, 8))
