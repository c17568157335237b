"""What a training begins with: the network, the dataset, the recipe, the device and the folder, in words."""

from __future__ import annotations

from pathlib import Path

from repro.models.typed import typed_name, typed_options
from repro.text import number_of
from repro.training.engine import Engine


def facts_of(engine: Engine, runs: Path) -> str:
    """Return what an engine trains, and how, without the names of its runs.

    Args:
        engine: with its networks.
        runs: the folder of the runs.
    """
    first, seeds = engine.experiments[0], [str(each.seed) for each in engine.experiments]
    network = " ".join(filter(None, (typed_name(first.model), typed_options(first.model, first.options))))
    params = sum(each.numel() for each in engine.networks.parameters()) // len(seeds)
    parts = (
        f"{network} ({number_of(params, 'parameter')}) on {first.dataset}",
        f"recipe {first.recipe.name}",
        number_of(first.recipe.all_epochs, "epoch"),
        f"{'seeds' if len(seeds) > 1 else 'seed'} {' '.join(seeds)}",
        f"{engine.runtime.precision} on {engine.sessions[0].machine['device']}",
        f"in {runs / first.name if len(seeds) == 1 else runs}",
    )
    return ", ".join(parts)
