"""The program as `repro`, as `python -m repro`, and as torchrun starts it."""

import os
import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; a package that is missing when it is loaded is reported in one line, with exit status 2."""
    usual = signal.default_int_handler
    ends = signal.getsignal(signal.SIGINT) is usual  # else Ctrl-C is ignored, as in the background
    if ends:
        signal.signal(signal.SIGINT, _end)
    try:
        from repro.cli.app import main as run
        from repro.cli.commands import load

        load(sys.argv[1:] if arguments is None else arguments)
    except ModuleNotFoundError as error:
        from repro.errors import package_missing

        print(f"error: {package_missing(error)}", file=sys.stderr)
        sys.exit(2)
    finally:
        if ends:
            signal.signal(signal.SIGINT, usual)
    run(arguments)


def _end(*_: object) -> None:
    """End the program at Ctrl-C while it is loaded: an exception there may be taken for a mistake of an import."""
    os.write(2, b"interrupted\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
