import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainables.models.facts import anatomy
from trainables.models.networks import build_model
from trainables.models.taps import Dense, LiveTaps


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def cut(layer: nn.Conv2d, sides: tuple[int, int]) -> Any:
    model = nn.Sequential(layer)
    LiveTaps(model, {"0": sides})
    return model[0]


@pytest.mark.parametrize(
    ("stride", "side", "kernel", "padding"),
    [
        # One pixel: only the centre tap meets it.
        (1, 1, 1, 0),
        # Two pixels in steps of two: the first tap meets padding alone.
        (2, 2, 2, 0),
        # Each tap meets a pixel at some place.
        (1, 2, 3, 1),
        (2, 3, 3, 1),
    ],
)
def test_a_padded_three_by_three_kernel_by_hand(
    stride: int, side: int, kernel: int, padding: int
) -> None:
    # In two groups, since one would be a matrix product.
    layer = cut(nn.Conv2d(4, 6, 3, stride=stride, padding=1, groups=2), (side, side))
    assert layer.kernel_size == tuple(layer.weight.shape[2:]) == (kernel, kernel)
    assert layer.padding == (padding, padding)


def test_oblong_maps_are_cut_along_one_side() -> None:
    layer = cut(nn.Conv2d(4, 5, 3, padding=1), (1, 8))
    assert (layer.kernel_size, layer.padding) == ((1, 3), (0, 1))


SETTINGS = itertools.product((3, 5), (1, 2), (0, 1, 2), (1, 2), (1, 2, 3, 5), (1, 2))


def test_outputs_and_gradients_of_all_small_settings() -> None:
    cuts = products = 0
    for kernel, stride, padding, dilation, side, groups in SETTINGS:
        if side + 2 * padding < dilation * (kernel - 1) + 1:
            continue
        whole = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups, dtype=torch.float64)
        images = torch.randn(3, 4, side, side, dtype=torch.float64, requires_grad=True)
        expected = whole(images)
        arrived = torch.randn_like(expected)
        expected_gradients = torch.autograd.grad(
            expected, (images, whole.bias, whole.weight), arrived
        )
        weight = whole.weight.detach().clone()
        live = cut(whole, (side, side))
        scores = live(images)
        torch.testing.assert_close(scores, expected)
        on_images, on_bias, on_weight = torch.autograd.grad(
            scores, (images, live.bias, live.weight), arrived
        )
        torch.testing.assert_close(on_images, expected_gradients[0])
        torch.testing.assert_close(on_bias, expected_gradients[1])
        # What was cut away had no gradient.
        total = expected_gradients[2].abs().sum()
        torch.testing.assert_close(on_weight.abs().sum(), total)
        cuts += live.weight.numel() < weight.numel()
        products += isinstance(live, Dense)
    assert cuts > 20
    assert products > 10


def test_a_matrix_product_by_hand() -> None:
    # A kernel of 1 to 9 on 2×2 pixels, of which the outputs see the taps 5689, 4578, 2356, 1245.
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    layer.weight = nn.Parameter(torch.arange(1.0, 10).view(1, 1, 3, 3))
    dense = cut(layer, (2, 2))
    images = torch.tensor([1.0, 10, 100, 1000]).view(1, 1, 2, 2)
    assert dense(images).flatten().tolist() == [9865, 8754, 6532, 5421]


def test_a_product_in_bf16_rounds_as_a_convolution_does_and_adds_gradients_up_in_full() -> None:
    whole = nn.Conv2d(8, 16, 3, padding=1, bias=False)
    weight = whole.weight.detach().clone()
    dense = cut(whole, (2, 2))
    images, arrived = torch.randn(4, 8, 2, 2).bfloat16(), torch.randn(4, 16, 2, 2).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = dense(images)
    expected = F.conv2d(images.double(), weight.bfloat16().double(), padding=1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=1e-2)
    (gradient,) = torch.autograd.grad(found, dense.weight, arrived)
    # A product for each pair of pixels, rounded, and their sum by taps.
    seen = [[4, 5, 7, 8], [3, 4, 6, 7], [1, 2, 4, 5], [0, 1, 3, 4]]
    total = torch.zeros(9, 16, 8)
    given, pixels = (values.flatten(2) for values in (arrived, images))
    for output, taps in enumerate(seen):
        for pixel, tap in enumerate(taps):
            total[tap] += (given[:, :, output].T @ pixels[:, :, pixel]).float()
    torch.testing.assert_close(gradient.flatten(2), total.permute(1, 2, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rounds", [False, True])
def test_weights_written_down_at_once_give_every_digit_that_indexing_them_gives(
    rounds: bool,
) -> None:
    dense = cut(nn.Conv2d(8, 16, 3, padding=1, bias=False), (2, 2))
    images, arrived = torch.randn(4, 8, 2, 2), torch.randn(4, 16, 2, 2)
    seen = torch.tensor([[4, 5, 7, 8], [3, 4, 6, 7], [1, 2, 4, 5], [0, 1, 3, 4]])
    with torch.autocast("cpu", torch.bfloat16, enabled=rounds):
        found = dense(images)
        kernels = dense.weight.permute(2, 3, 0, 1).flatten(0, 1)
        matrix = kernels[seen].transpose(1, 2).flatten(2).flatten(0, 1)
        plain = F.linear(images.permute(0, 2, 3, 1).flatten(1), matrix)
    expected = plain.view(4, 2, 2, 16).permute(0, 3, 1, 2)
    assert torch.equal(found, expected)
    both = [
        torch.autograd.grad(one, dense.weight, arrived.to(one.dtype)) for one in (found, expected)
    ]
    assert torch.equal(both[0][0], both[1][0])


@pytest.mark.parametrize(("groups", "side"), [(2, 2), (1, 3)])
def test_what_is_no_matrix_product_stays_a_convolution(groups: int, side: int) -> None:
    assert type(cut(nn.Conv2d(4, 6, 3, padding=1, groups=groups), (side, side))) is nn.Conv2d


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_in_words_is_left_alone(padding: str) -> None:
    assert cut(nn.Conv2d(4, 5, 3, padding=padding), (1, 1)).kernel_size == (3, 3)


def test_other_padding_than_zeros_is_left_alone() -> None:
    layer = cut(nn.Conv2d(4, 5, 3, padding=1, padding_mode="replicate"), (1, 1))
    assert layer.kernel_size == (3, 3)


RESNET18_AT_32 = {
    "layer4.0.conv1": (2, 2),
    "layer4.0.conv2": (1, 1),
    "layer4.1.conv1": (1, 1),
    "layer4.1.conv2": (1, 1),
}


def taps_of(name: str, sides: tuple[int, int]) -> Any:
    return anatomy(name, 10, "standard", sides).convolutions


def resnets() -> tuple[nn.Module, nn.Module, LiveTaps]:
    """Return a ResNet-18, another that was cut, and its taps."""
    whole, live = (build_model("resnet18", 10) for _ in range(2))
    live.load_state_dict(whole.state_dict())
    return whole, live, LiveTaps(live, taps_of("resnet18", (32, 32)))


def test_what_is_cut_of_a_resnet_at_32_pixels() -> None:
    _, live, _ = resnets()
    shapes = {
        name.removesuffix(".weight"): tuple(values.shape[2:])
        for name, values in live.named_parameters()
        if "layer4" in name and "conv" in name
    }
    assert shapes == RESNET18_AT_32
    dense = {name for name, layer in live.named_modules() if isinstance(layer, Dense)}
    assert dense == {*RESNET18_AT_32, "layer3.0.conv2", "layer3.1.conv1", "layer3.1.conv2"}


def test_training_a_cut_resnet_gives_the_numbers_of_a_whole_one() -> None:
    whole, live, taps = resnets()
    # In double precision, where rounding has no room to grow.
    models = [whole.double(), live.double()]
    images = torch.randn(8, 3, 32, 32, dtype=torch.float64)
    labels = torch.arange(8)
    losses: list[list[float]] = [[], []]
    for model, found in zip(models, losses, strict=True):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(3):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    state = taps.whole(live.state_dict())
    for name, values in whole.state_dict().items():
        close = {"rtol": 1e-6, "atol": 1e-6, "check_dtype": False}
        torch.testing.assert_close(state[name], values, **close)


def test_the_state_is_that_of_a_whole_model() -> None:
    whole, live, taps = resnets()
    with torch.no_grad():
        for values in live.parameters():
            values.add_(0.01)
    state = taps.whole(live.state_dict())
    whole.load_state_dict(state)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(whole.eval()(images), live.eval()(images))
    for name, values in taps.cut(state).items():
        assert torch.equal(values, live.state_dict()[name])


@pytest.mark.parametrize(
    ("name", "side"), [("mobilenet_v3_small", 32), ("efficientnet_b0", 32), ("densenet121", 32)]
)
def test_other_models_give_the_same_scores(name: str, side: int) -> None:
    model = build_model(name, 10).eval()
    images = torch.randn(2, 3, side, side)
    kernels = sum(values.numel() for values in model.parameters())
    with torch.no_grad():
        expected = model(images)
        LiveTaps(model, taps_of(name, (side, side)))
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)
    assert sum(values.numel() for values in model.parameters()) < kernels


def test_a_users_own_model_is_left_alone() -> None:
    assert anatomy("tiny_models:dropout_net", 10, "standard", (8, 8)).convolutions == {}
