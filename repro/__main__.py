"""The program as `repro`, as `python -m repro`, and as torchrun starts it."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; a package that is missing when it is loaded is reported in one line, with exit status 2."""
    try:
        from repro.cli.app import main as run
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in ("", "repro"):
            raise
        line = f"error: the package {package} is missing; install it with `pip install {package}`"
        print(line, file=sys.stderr)
        sys.exit(2)
    run(arguments)


if __name__ == "__main__":
    main()
