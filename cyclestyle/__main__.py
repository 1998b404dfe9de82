"""`python -m cyclestyle`, which is what `accelerate launch -m cyclestyle` runs.

Where Python is too old or a library is missing, `doctor` works all the same, and other commands end in a sentence. So
nothing is imported here before it is known to be there.
"""

import os
import sys

from cyclestyle.doctor.interpreter import OLDEST_FOR_A_LOOK, is_old, sentence


def main() -> None:
    """Run a command; without what it needs, say what that is, or let the doctor say it."""
    if is_old():
        why = sentence()
    else:
        try:
            from cyclestyle.cli import main as carry_out

            return carry_out()
        except ImportError as error:
            if os.environ.get("CYCLESTYLE_TRACEBACK") or (error.name or "").split(".")[0] == "cyclestyle":
                raise
            why = missing(error)
    if sys.argv[1:2] == ["doctor"] and sys.version_info[:2] >= OLDEST_FOR_A_LOOK:
        from cyclestyle.doctor.visit import main as look

        sys.exit(look(sys.argv[2:]))
    sys.stderr.write(f"error: {why}\n")
    sys.exit(2)


def missing(error: ImportError) -> str:
    """Which library is not there, or cannot be loaded, and how to find out what to type."""
    ask = "`python -m cyclestyle doctor` says what to type"
    if isinstance(error, ModuleNotFoundError):
        return f"the library {error.name} is not installed in {sys.executable}; {ask}"
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"a library cannot be loaded: {first}; {ask}"


if __name__ == "__main__":
    main()
