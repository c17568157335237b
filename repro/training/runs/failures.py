"""Why the code of a network fails in training, in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from repro.errors import NetworkFailed, RunFailed, Stopped, UserError, explained
from repro.experiment import Experiment
from repro.models import is_outside
from repro.models.outside.factory import OWN_ERRORS, failed_in

ONE_IMAGE = "Expected more than 1 value per channel when training"
"""How torch refuses the maps of 1x1 pixels of one image; the last batch of an epoch may have one."""


@contextmanager
def failing_in_one_line(experiments: Sequence[Experiment]) -> Iterator[None]:
    """Raise NetworkFailed where a batch of one image or the code of a network from outside the package fails."""
    try:
        yield
    except (UserError, RunFailed, Stopped):
        raise
    except OWN_ERRORS as error:
        if isinstance(error, RuntimeError) and explained(error):
            raise
        if ONE_IMAGE in str(error):
            line = "BatchNorm cannot normalise a batch of one image; change --set batch=N, or add --set drop_last=yes"
            raise NetworkFailed(f"{', '.join(each.name for each in experiments)}: {line}") from error
        outside = [each.model for each in experiments if is_outside(each.model)]
        if why := next(filter(None, (failed_in(error, each) for each in outside)), None):
            raise NetworkFailed(why) from error
        raise
