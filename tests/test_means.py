"""Means of losses between two lines of the journal."""

import torch

from cyclestyle.training.means import Means


def test_means_are_over_the_steps_since_they_were_last_taken() -> None:
    means = Means()
    for value in (1.0, 2.0, 6.0):
        means.add({"fool/photo": torch.tensor(value), "cycle/photo": torch.tensor(-value)})
    assert means.count == 3
    assert means.take(lambda values: values) == {"cycle/photo": -3.0, "fool/photo": 3.0}
    assert means.count == 0
    means.add({"fool/photo": torch.tensor(5.0)})
    assert means.take(lambda values: values) == {"fool/photo": 5.0}


def test_means_are_reduced_in_the_same_order_of_names_everywhere() -> None:
    seen: list[list[float]] = []
    for names in (["a", "b"], ["b", "a"]):
        means = Means()
        means.add({name: torch.tensor(float(ord(name))) for name in names})
        means.take(lambda values: (seen.append(values.tolist()), values)[1])
    assert seen == [[97.0, 98.0]] * 2


def test_means_do_not_change_the_losses_that_they_are_given() -> None:
    means, loss = Means(), torch.tensor(2.0)
    means.add({"a": loss})
    means.add({"a": loss})
    assert loss.item() == 2.0
    assert means.take(lambda values: values) == {"a": 2.0}


def test_means_that_are_saved_and_restored_go_on_to_the_bit() -> None:
    whole, first, second = Means(), Means(), Means()
    losses = [{"a": torch.tensor(value), "b": torch.tensor(-value)} for value in (0.1, 0.7, 0.3)]
    for loss in losses:
        whole.add(loss)
    first.add(losses[0])
    first.add(losses[1])
    second.restore(first.state())
    second.add(losses[2])
    assert second.take(lambda values: values) == whole.take(lambda values: values)
