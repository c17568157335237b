"""The device that a plan is for, by its name in records."""

from __future__ import annotations

from collections.abc import Sequence

from repro.errors import UserError
from repro.store.results import SEPARATOR, Record
from repro.store.step_times import StepTime
from repro.text import one_of


def device_called(text: str, records: Sequence[Record], times: Sequence[StepTime]) -> str:
    """Return the name of a measured device, given a part of it without regard to case.

    A device of which nothing is recorded keeps the given name: its times are guessed.

    Raises:
        UserError: the part fits several devices.
    """
    measured = [*(each.device for each in records), *(each.device for each in times)]
    single = [each for each in measured if SEPARATOR not in each]
    known = dict.fromkeys(each for each in single if text.lower() in each.lower())
    exact = [each for each in known if each.lower() == text.lower()]
    if len(known) > 1 and not exact:
        raise UserError(f"--device-name {text} fits several devices; choose {one_of(list(known))}")
    return next(iter([*exact, *known]), text)
