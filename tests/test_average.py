"""The averaged weights follow the formula that their docstring gives."""

import pytest
import torch
from torch import nn

from cyclestyle.training.average import Average


def network(value: float) -> nn.Linear:
    net = nn.Linear(2, 1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(value)
    return net


def weights(average: Average) -> list[float]:
    return [value for parameter in average.network.parameters() for value in parameter.flatten().tolist()]


def test_warm_up_has_its_closed_form() -> None:
    net = network(0.0)
    average = Average(net, decay=0.5)
    expected = 0.0
    for step in range(1, 30):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.fill_(float(step))
        average.update(net, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert weights(average) == pytest.approx([expected] * 3, rel=1e-5)
    # after the warm-up the lag behind a line is decay / (1 - decay) steps
    assert expected == pytest.approx(29 - 1.0, abs=0.01)


def test_average_of_weights_that_stay_is_those_weights() -> None:
    net = nn.Linear(3, 4)
    average = Average(net, decay=0.999)
    for step in range(1, 50):
        average.update(net, step)
    for averaged, latest in zip(average.network.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(averaged, latest, rtol=1e-6, atol=1e-7)


def test_decay_zero_follows_the_last_weights_exactly() -> None:
    net = network(1.0)
    average = Average(net, decay=0.0)
    with torch.no_grad():
        net.weight.fill_(0.1234567)
    average.update(net, 1)
    assert torch.equal(average.network.weight, net.weight)


def test_a_short_run_is_not_an_average_of_its_beginning() -> None:
    average = Average(network(100.0), decay=0.999)
    for step in range(1, 21):
        average.update(network(0.0), step)
    # the share of the first weights is the product of (1 + t) / (10 + t); without a warm-up it would be 0.98
    assert max(weights(average)) < 0.01


def test_the_average_is_apart_from_the_network_and_is_never_trained() -> None:
    net = network(1.0)
    average = Average(net, decay=0.9)
    with torch.no_grad():
        net.weight.fill_(5.0)
    assert weights(average) == [1.0] * 3
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert not average.network.training


def test_another_network_is_followed_as_well() -> None:
    average = Average(network(0.0), decay=0.0)
    for value in (1.0, 2.0, 1.0):
        average.update(network(value), 1)
        assert weights(average) == [value] * 3
