"""What is wrong with the files of papers, and what is probably unintended: everything at once."""

from repro.validation.findings import Level
from repro.validation.validate import Validated, validate

__all__ = ["Level", "Validated", "validate"]
