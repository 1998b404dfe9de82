"""What a process takes is its own, and the most that it ever took."""

import subprocess
import sys

from cyclestyle.footprint import peak_memory

CHILD = """
from cyclestyle.footprint import peak_memory
before = peak_memory()
taken = bytearray(200_000_000)
taken[::4096] = b"x" * len(taken[::4096])
during = peak_memory()
del taken
print(before, during, peak_memory())
"""


def test_the_peak_stays_after_memory_is_given_back() -> None:
    said = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    before, during, after = map(int, said.stdout.split())
    assert 190e6 < during - before < 230e6
    assert abs(after - during) < 5e6  # Linux counts in batches


def test_a_small_child_of_a_large_process_is_small() -> None:
    """`ru_maxrss` would be inherited from this process."""
    large = bytearray(600_000_000)
    large[::4096] = b"x" * len(large[::4096])
    said = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    assert int(said.stdout.split()[0]) < 300e6 < peak_memory()
