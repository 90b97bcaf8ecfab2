from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limner.backends.lowrank import apply_difference, make_difference
from limner.types import ModelUnavailable


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    return nn.Sequential(nn.Linear(40, 30), nn.LayerNorm(30), nn.Unflatten(1, (30, 1, 1)), nn.Conv2d(30, 24, 3))


def rebuilt(base: nn.Module, difference: dict[str, Tensor]) -> dict[str, Tensor]:
    apply_difference(base, difference)
    return base.state_dict()


def error(first: dict[str, Tensor], second: dict[str, Tensor], name: str) -> float:
    return float((first[name] - second[name]).square().sum().sqrt())


@pytest.mark.parametrize("rank", [30, 100])
def test_full_rank_gives_back_the_tuned_weights(rank: int) -> None:
    base, tuned = network(0), network(1).state_dict()
    found = rebuilt(base, make_difference(base.state_dict(), tuned, rank))
    for name, value in tuned.items():
        torch.testing.assert_close(found[name], value)


def test_a_change_of_low_rank_is_kept_exactly_by_its_factors() -> None:
    base, tuned = network(0), network(0).state_dict()
    tuned["0.weight"] += torch.randn(30, 3) @ torch.randn(3, 40)
    difference = make_difference(base.state_dict(), tuned, 3)
    assert {name: tuple(each.shape) for name, each in difference.items()} == {
        "0.weight.down": (3, 40),
        "0.weight.up": (30, 3),
    }
    torch.testing.assert_close(rebuilt(base, difference)["0.weight"], tuned["0.weight"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rank", [1, 4, 9])
@pytest.mark.parametrize("name", ["0.weight", "3.weight"])
def test_no_other_factors_of_that_rank_come_closer(name: str, rank: int) -> None:
    """The error is that of the truncated singular values (Eckart and Young 1936); a convolution is flattened."""
    base, tuned = network(0), network(1).state_dict()
    linalg: Any = torch.linalg
    values: Tensor = linalg.svdvals((tuned[name] - base.state_dict()[name]).flatten(1))
    found = rebuilt(base, make_difference(base.state_dict(), tuned, rank))
    left_out = float(values[rank:].square().sum().sqrt())
    assert left_out > 0.1
    assert abs(error(found, tuned, name) - left_out) < 1e-4 * left_out
    assert error(found, tuned, "0.bias") < 1e-6  # norms and biases are whole


def test_half_precision_keeps_most_of_it() -> None:
    base, tuned = network(0), network(1).state_dict()
    difference = {name: each.half() for name, each in make_difference(base.state_dict(), tuned, 8).items()}
    exact = rebuilt(network(0), make_difference(base.state_dict(), tuned, 8))
    torch.testing.assert_close(rebuilt(base, difference)["0.weight"], exact["0.weight"], atol=2e-3, rtol=0)


def test_what_is_equal_takes_no_space_and_what_has_another_shape_is_replaced() -> None:
    base, tuned = network(0).state_dict(), network(0).state_dict()
    assert make_difference(base, tuned, 4) == {}
    tuned["0.weight"] = torch.randn(30, 50)
    assert list(make_difference(base, tuned, 4)) == ["0.weight"]
    wide = nn.Sequential(nn.Linear(50, 30), *list(network(0).children())[1:])
    apply_difference(wide, make_difference(base, tuned, 4))
    assert torch.equal(wide.state_dict()["0.weight"], tuned["0.weight"])


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ({"9.weight": torch.zeros(30, 40)}, "'9.weight', which its base does not"),
        ({"9.weight.full": torch.zeros(30, 40)}, "'9.weight.full'"),
        ({"full": torch.zeros(3)}, "'full'"),
        ({"0.weight.sideways": torch.zeros(3)}, "'0.weight.sideways'"),
        ({"0.weight": torch.zeros(30, 41)}, "not \\(30, 40\\)"),
        ({"0.bias.full": torch.zeros(29)}, "not \\(30,\\)"),
        ({"0.weight.up": torch.zeros(30, 2)}, "as up"),
        ({"0.weight.up": torch.zeros(30, 2), "0.weight": torch.zeros(30, 40)}, "as up"),
        ({"0.weight.up": torch.zeros(30, 2), "0.weight.down": torch.zeros(3, 40)}, "do not fit"),
        ({"0.weight.up": torch.zeros(30, 2), "0.weight.down": torch.zeros(2, 41)}, "do not fit"),
        ({"0.weight.up": torch.zeros(40, 2), "0.weight.down": torch.zeros(2, 30)}, "do not fit"),
        ({"0.weight.up": torch.zeros(30), "0.weight.down": torch.zeros(40)}, "do not fit"),
    ],
)
def test_a_difference_to_another_base_is_refused_whole(difference: dict[str, Tensor], words: str) -> None:
    base = network(0)
    with pytest.raises(ModelUnavailable, match=words):
        apply_difference(base, {"0.bias.full": torch.ones(30), **difference})
    assert torch.equal(base.state_dict()["0.bias"], network(0).state_dict()["0.bias"])
