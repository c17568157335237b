"""`python -m repro`, which is also what torchrun starts."""

from repro.cli.app import main

if __name__ == "__main__":
    main()
