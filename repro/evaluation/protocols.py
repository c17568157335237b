"""The protocol of a test: the one that is requested, else the printed one."""

from __future__ import annotations

from typing import NamedTuple

from repro.data.inputs.protocol import ONE_CROP, Averaged, Protocol, Views
from repro.errors import UserError
from repro.experiment import Experiment
from repro.models.typed import typed_name
from repro.tables.lookup import errors_of, protocols_of


class RequestedProtocol(NamedTuple):
    """What a user says about the protocol."""

    views: Views | None = None
    """None: the printed protocol."""
    scales: tuple[int, ...] = ()
    """Dense: lengths of the shorter side in pixels; empty: the printed ones."""


NO_REQUEST = RequestedProtocol()
"""The default: the printed protocol of a run, and one crop for the weights of others."""


def protocol_of_run(requested: RequestedProtocol, experiment: Experiment) -> Protocol:
    """Return the protocol with which a run is tested: by default the one of its printed errors.

    If an error is printed with one crop or none is printed, that is one crop. UserError as in `protocol_for`.
    """
    if requested != NO_REQUEST:
        return protocol_for(requested, experiment.model)
    printed = protocols_of(experiment)
    return ONE_CROP if ONE_CROP in printed or not printed else printed[0]


def protocol_for(requested: RequestedProtocol, model: str) -> Protocol:
    """Return the protocol that is requested, with what the printed errors of the network say of it; else one crop.

    Raises:
        UserError: scales are missing, or the protocol has none.
    """
    views, scales = requested
    if views is not Views.DENSE and scales:
        raise UserError(f"--scales is for --protocol {Views.DENSE}; the other protocols have their own scale")
    if views is None:
        return ONE_CROP
    printed = next((each.protocol for each in errors_of(model) if each.protocol.views is views), None)
    if printed and scales in ((), printed.scales):
        return printed
    if views is Views.DENSE and not scales:
        raise UserError(
            f"no table prints a dense error of {typed_name(model)}; add the lengths of the shorter side in pixels, as "
            "--scales 384 or --scales 256,384,512"
        )
    if views.number == 1 and views is not Views.DENSE:
        return Protocol(views=views)
    averaged = printed.averaged if printed else Averaged.PROBABILITIES
    return Protocol(views=views, scales=scales, averaged=averaged)
