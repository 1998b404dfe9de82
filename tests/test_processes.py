"""What processes share out and agree on; what one refuses, all refuse."""

from typing import Any

import pytest
import torch
from conftest import as_processes

from cyclestyle.files import reason
from cyclestyle.processes import Processes


@pytest.mark.usefixtures("fresh_accelerate")
def test_alone_a_process_has_everything_and_says_nothing_of_others() -> None:
    processes = Processes.join()
    assert processes.main
    assert (processes.rank, processes.count) == (0, 1)
    assert processes.share([1, 2, 3]) == [1, 2, 3]
    assert str(processes) == ""
    assert processes.batch(None) == (1 if processes.device.type == "cpu" else 8)
    assert processes.batch(5) == 5
    assert processes.collect([3, 4]) == [3, 4]
    assert processes.told("this") == "this"
    assert processes.most(True, 2, -0.5) == [1.0, 2.0, -0.5]
    processes.wait()


@pytest.mark.usefixtures("fresh_accelerate")
def test_alone_a_process_refuses_what_it_refuses() -> None:
    processes = Processes.join()
    with processes.all_or_none():
        pass
    for error in (ValueError("wrong"), OSError(28, "full"), KeyError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, processes.all_or_none():
            raise error
        assert caught.value is error


def test_several_processes_share_everything_out_and_no_more() -> None:
    class Third:
        process_index, num_processes, is_main_process = 2, 3, False

    processes = Processes(Third(), torch.device("cuda"))
    assert processes.share(list(range(8))) == [2, 5]
    assert str(processes) == " (process 3 of 3)"
    assert not processes.main
    assert processes.batch(None) == 8


def test_what_one_of_several_refuses_all_refuse_with_its_sentence() -> None:
    def work(processes: Processes) -> Any:
        with processes.all_or_none():
            if processes.rank == 1:
                raise OSError(28, "No space left on device", "there")
        return "went on"

    refused = as_processes(3, work)
    assert [type(error) for error in refused] == [ValueError, OSError, ValueError]
    assert {reason(error) for error in refused} == {"No space left on device (there)"}


def test_of_several_that_refuse_together_each_has_its_own_reason() -> None:
    def work(processes: Processes) -> Any:
        with processes.all_or_none():
            if processes.rank != 1:
                raise ValueError(f"refused by {processes.rank}")

    assert [str(error) for error in as_processes(3, work)] == ["refused by 0", "refused by 0", "refused by 2"]


def test_where_none_refuses_all_go_on() -> None:
    def work(processes: Processes) -> Any:
        with processes.all_or_none():
            pass
        return processes.told(processes.rank), processes.collect([processes.rank]), processes.most(processes.rank)

    assert as_processes(2, work) == [(0, [0, 1], [1.0])] * 2
