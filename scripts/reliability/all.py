"""Run every trial of reliability, one after the other: `python scripts/reliability/all.py [--full] [NAME ...]`."""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TRIALS = (
    *("kills", "each_write", "resume", "damage", "disk"),
    *("pictures", "signals", "not_finite", "hostile", "soak", "machines"),
)


def main() -> None:
    """Print the tables; exit code 1 if anything does not hold."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", choices=[*TRIALS, []], metavar="NAME", help=", ".join(TRIALS))
    arguments.add_argument("--full", action="store_true", help="the sizes that results/ was taken with: hours")
    given = arguments.parse_args()
    failed = []
    for name in given.names or TRIALS:
        words = [sys.executable, str(HERE / f"{name}.py"), *(["--full"] if given.full else [])]
        if subprocess.run(words, check=False).returncode:
            failed.append(name)
    print(f"\nDoes not hold: {', '.join(failed)}" if failed else "\nEverything holds.")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
