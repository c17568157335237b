"""A model card: what exported weights are, how they were trained, and how to load them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from repro.comparison.join import Comparison, ErrorCell
from repro.comparison.verdict import Verdict
from repro.data import DATASETS, DatasetKind
from repro.data.inputs.protocol import ONE_CROP
from repro.errors import UserError
from repro.evaluation.layouts import Normalisation
from repro.experiment import Experiment
from repro.models import is_outside
from repro.models.options import as_text
from repro.models.outside.location import check_current, outside
from repro.models.typed import typed_name
from repro.recipes import current_library, deviations
from repro.recipes.recipe import shown
from repro.report.formats.markdown import WIDTH, escaped
from repro.report.notes import statistic_of_runs
from repro.store.curves import same_figure
from repro.store.protocol_tests import measured
from repro.store.results import Record, ap_of
from repro.tables import Metric, shares_text
from repro.text import number_of


@dataclass(frozen=True)
class CardFacts:
    """The contents of a model card."""

    experiment: Experiment
    epochs: int
    """Epochs trained."""
    steps: int
    finished: bool
    """Whether that is the whole recipe."""
    error: float | None
    """Test error in % that training measured with exactly these weights; None if it did not."""
    record: Record | None
    """The record of the run; None if it is not finished, or recorded elsewhere."""
    comparison: Comparison | None
    """The first table with a row of the experiment; None without one."""
    names: str = "repro"
    """Whose names the tensors have."""
    normalisation: Normalisation | None = None
    """The mean and std in training; None with a preprocessing, or if an older checkpoint does not have them."""

    @property
    def changed(self) -> str:
        """Why the code of a network from outside the package is not that of the run any more; empty if it is."""
        try:
            if is_outside(self.experiment.model):
                check_current(outside(self.experiment.model))
        except UserError as error:
            return str(error)
        return ""

    @property
    def deviations(self) -> Sequence[str]:
        """What the run changed in the recipe, as a table shows it."""
        return self.record.deviations if self.record else deviations(self.experiment.recipe)

    @property
    def cells(self) -> list[tuple[str, ErrorCell]]:
        """The printed errors of the experiment, each with its paper, table and row."""
        if self.comparison is None:
            return []
        table = self.comparison.table
        wanted = self.experiment.model, dict(self.experiment.options), self.experiment.recipe.name
        return [
            (f"{table.paper}, {table.title}, {table.called(row.row)}", cell)
            for row in self.comparison.rows
            for cell in row.errors.values()
            if (row.row.model, cell.printed.options, cell.printed.recipe) == wanted
        ]


def model_card(facts: CardFacts, weights: Path) -> str:
    """Return the model card of a file of weights as Markdown."""
    from tabulate import tabulate

    lines = [(escaped(name), escaped(value)) for name, value in _lines(facts)]
    table = tabulate(lines, headers=("", ""), tablefmt="github", disable_numparse=True)
    return f"# {escaped(facts.experiment.name)}\n\n{table}\n\n{_how_to_load(facts, weights)}"


def _lines(facts: CardFacts) -> Iterator[tuple[str, str]]:
    experiment = facts.experiment
    recipe = experiment.recipe
    options = ", ".join(f"{name} = {as_text(value)}" for name, value in experiment.options.items())
    yield "Network", f"{typed_name(experiment.model)}{f' ({options})' if options else ''}"
    yield "Dataset", f"{experiment.dataset}: {DATASETS[experiment.dataset].summary}"
    yield "Recipe", f"{recipe.name} ({recipe.paper})"
    yield "Deviations from the recipe", ", ".join(facts.deviations) or "none"
    if recipe.batchnorm_epsilon:  # the file does not have it, and other programs have their own default
        yield "Epsilon of BatchNorm", shown("batchnorm_epsilon", recipe.batchnorm_epsilon)
    yield "Seed", str(experiment.seed)
    whole = "finished" if facts.finished else f"not finished, of {number_of(recipe.all_epochs, 'epoch')}"
    yield "Training", f"{number_of(facts.epochs, 'epoch')}, {number_of(facts.steps, 'step')}: {whole}"
    yield from _results(facts)
    if facts.record:
        yield "Trained with", f"repro {facts.record.version}, torch {facts.record.torch}, {facts.record.precision}"


def _results(facts: CardFacts) -> Iterator[tuple[str, str]]:
    """Yield our errors, and for each printed one the figure and the verdict on its row."""
    cells, record = facts.cells, facts.record
    views = f" ({ONE_CROP})" if any(cell.printed.protocol != ONE_CROP for _, cell in cells) else ""
    if facts.error is not None and DATASETS[facts.experiment.dataset].kind is DatasetKind.DETECTION:
        yield "Test AP of these weights", f"{Metric.AP.shown(ap_of(facts.error))} %"
    elif facts.error is not None:
        yield f"Test error of these weights{views}", f"{Metric.ERROR.shown(facts.error)} %"
    if record and not same_figure(record.error, facts.error):  # a recipe may report an earlier epoch
        heading = f"Test error of the run{views}" if record.ap is None else "Test AP of the run"
        yield heading, f"{record.shown}, after epoch {record.reported_epoch or record.epochs}"
    if record and (shares := shares_text(vars(record))):
        yield "Segmentation by the run", shares
    if not cells:
        yield "Printed error", "no table has a row of this experiment"
    for where, cell in cells:
        yield from _compared(where, cell, record)


def _compared(where: str, cell: ErrorCell, record: Record | None) -> Iterator[tuple[str, str]]:
    """Yield a printed error, the run's own by another protocol than one crop, and the verdict on the row."""
    error = cell.printed
    label, metric, protocol = error.column.label, error.column.metric, error.protocol
    runs = statistic_of_runs(error.statistic, error.printed_runs)
    by = f"; {protocol}" if protocol != ONE_CROP else ""
    yield f"Printed: {label}", f"{cell.published} ({where}; {runs}{by})"
    if by and record and (own := measured(record, metric, protocol)) is not None:
        yield f"This run: {label}", f"{metric.shown(own)} % ({protocol})"
    counted = record is not None and record.id in {run.id for run in cell.runs}
    number = f" ({cell.n})" if cell.verdict is Verdict.TOO_FEW else f", of {number_of(cell.n, 'run')}"
    without = "" if counted else ", without this one"
    yield f"Verdict: {label}", f"{cell.verdict.value}{number}{without}: {cell.verdict.meaning_for(cell.n)}"


_OWN = (
    "The code of the network or the recipe does not come with `repro`: run this in the folder of the code, or add "
    '`papers="FOLDER"`, the folder of the paper.'
)


def _how_to_load(facts: CardFacts, weights: Path) -> str:
    """Return how the file is loaded, and what the network's input is."""
    shape, output = _input_and_output(facts.experiment)
    about = (
        f"{shape}; values of pixels are divided by 255 and normalised as in training ({_normalised(facts)}). {output}. "
        f"The tensors have the names of {facts.names}; `load_weights` reads them."
    )
    wrapped = (fill(each, WIDTH, break_long_words=False, break_on_hyphens=False) for each in (*_own(facts), about))
    beneath = "\n\n".join(wrapped)
    return f"""## Load

With `repro` installed, in Python:

```python
import repro

network, experiment = repro.load_weights({weights.name!a})
```

{beneath}
"""


def _input_and_output(experiment: Experiment) -> tuple[str, str]:
    """Return what a network's input and output are."""
    data, recipe = DATASETS[experiment.dataset], experiment.recipe
    tiles = data.kind is DatasetKind.SEGMENTATION
    channels, height, width = experiment.input if tiles else data.input
    if data.kind is not DatasetKind.DETECTION:
        shape = f"The input has the shape (images, {channels}, {height}, {width})"
        return shape, f"The output has {data.classes} classes"
    return (
        f"The input is `repro.models.detector.Scenes(images, [])`, where each image has the shape ({channels}, height, "
        f"width), scaled to a shorter side of {recipe.resize} pixels but a longer one of at most {recipe.resize_limit}",
        f"The output has for each image its `boxes` in pixels, `labels` from 1 to {data.classes} and `scores`",
    )


def _normalised(facts: CardFacts) -> str:
    """Return with what the images were normalised in training."""
    recipe = facts.experiment.recipe
    if recipe.preprocessing:
        return f"preprocessing: {recipe.preprocessing}"
    stated = facts.normalisation or recipe
    return "; ".join(f"{name}: {shown(name, getattr(stated, name))}" for name in ("mean", "std"))


def _own(facts: CardFacts) -> Iterator[str]:
    """Yield what to do about a network in a file of the user, or a recipe in a paper of theirs."""
    own_recipes = {each.name for each in current_library().own_recipes}
    is_own = facts.experiment.recipe.name in own_recipes or ".py:" in facts.experiment.model
    if is_own:
        yield _OWN
    if facts.changed:
        yield f"At the export, {facts.changed}."
