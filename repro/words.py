"""Numbers in sentences."""


def number_of(number: int, noun: str) -> str:
    """Return a number before its noun, which takes an s in the plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
