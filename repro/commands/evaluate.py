"""`repro eval`: the test error of a run or a checkpoint."""

from __future__ import annotations

from pathlib import Path

from repro.console import print_json, stderr, stdout
from repro.folders import Folders
from repro.names import choose


def run(what: str, folders: Folders, device: str, picture: Path | None, format: str) -> None:
    """Evaluate and show."""
    choose("format", format, ("rich", "json"))
    from repro.evaluate import evaluate

    found = evaluate(what, folders, device, picture)
    if picture:
        stderr().print(f"drawn to {picture}", soft_wrap=True, markup=False)
    experiment, metrics = found.experiment, found.metrics
    if format == "json":
        print_json(
            {
                "run": experiment.name,
                **experiment.to_json(),
                "dataset": experiment.dataset,
                "steps": found.steps,
                "epochs": found.epochs,
                "error": metrics.error,
                "error5": metrics.error5,
                **metrics.extra,
                "loss": metrics.loss,
                "images": metrics.images,
                "recorded_error": found.recorded,
            }
        )
        return
    recorded = f"; the run itself measured {found.recorded:.2f} %" if found.recorded is not None else ""
    extra = "".join(f", {name} {value:.4f}" for name, value in metrics.extra.items())
    stdout().print(
        f"{experiment.name}: test error {metrics.error:.2f} %{extra} on {metrics.images:,} images of "
        f"{experiment.dataset} after {found.epochs} epochs ({found.steps} steps){recorded}",
        soft_wrap=True,
        markup=False,
    )
