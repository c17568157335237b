"""What there is: models, tables, datasets and recipes, a line for each, as `repro list` shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repro.api.library import Papers, using
from repro.counting.cache import counted_parameters
from repro.counting.count import Subject
from repro.data import DATASETS
from repro.frames import columns_of, frame_of
from repro.models import MODELS, OptionValue, resolve_options
from repro.models.options import shape_text
from repro.recipes import RECIPES, current_library
from repro.tables import read_table

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class ModelLine:
    """A registered model."""

    name: str
    network: str
    """The family in words."""
    params: int
    """For default options and the dataset of its paper."""
    options: Mapping[str, OptionValue]
    """Default values of its options."""
    dataset: str
    """The dataset of its paper."""


@dataclass(frozen=True)
class TableLine:
    """A printed table."""

    name: str
    paper: str
    table: str
    """What the paper calls it."""
    caption: str
    file: str | None
    """None for a table that is shipped."""


@dataclass(frozen=True)
class DatasetLine:
    """A dataset, of the program or declared by a paper."""

    name: str
    images: str
    """What it has, in words."""
    train_images: int | None
    test_images: int | None
    """None for numbers that are not known before the files are read."""
    input: str
    """The shape of a network's input, as CxHxW."""
    classes: int
    file: str | None
    """Where it is declared; None for a dataset of the program."""


@dataclass(frozen=True)
class RecipeLine:
    """A recipe; its values have the meaning of `repro.recipes.Recipe`."""

    name: str
    paper: str
    dataset: str
    epochs: int
    iterations: int
    tune_epochs: int
    batch: int
    lr: float
    schedule: str
    weight_decay: float
    file: str | None
    """None for a recipe that is shipped."""


MODEL_COLUMNS = columns_of(ModelLine)
TABLE_COLUMNS = columns_of(TableLine)
DATASET_COLUMNS = columns_of(DatasetLine)
RECIPE_COLUMNS = columns_of(RecipeLine)


def list_models() -> DataFrame:
    """Return a row for each registered model, with its parameters for default options on its paper's dataset."""
    return frame_of(map(vars, model_lines()), MODEL_COLUMNS)


def list_tables(*, papers: Papers = ()) -> DataFrame:
    """Return a row for each table; `file` is missing for those that are shipped.

    Args:
        papers: one or several folders of papers, besides those that are found.

    Raises:
        UserError: a folder is not a paper, or a file is wrong.
    """
    with using(papers):
        return frame_of(map(vars, table_lines()), TABLE_COLUMNS)


def list_datasets(*, papers: Papers = ()) -> DataFrame:
    """Return a row for each dataset, with its input shape as `CxHxW`; `file` is missing for those of the program.

    Args:
        papers: one or several folders of papers, besides those that are found.

    Raises:
        UserError: a folder is not a paper, or a file is wrong.
    """
    with using(papers):
        return frame_of(map(vars, dataset_lines()), DATASET_COLUMNS)


def list_recipes(*, papers: Papers = ()) -> DataFrame:
    """Return a row for each recipe; `file` is missing for those that are shipped.

    Args:
        papers: one or several folders of papers, besides those that are found.

    Raises:
        UserError: a folder is not a paper, or a file is wrong.
    """
    with using(papers):
        return frame_of(map(vars, recipe_lines()), RECIPE_COLUMNS)


def model_lines() -> list[ModelLine]:
    """Return every model with its number of parameters, for default options and the dataset of its paper."""
    subjects = [_default_subject(name) for name in MODELS]
    params = counted_parameters(subjects)
    return [
        ModelLine(name, spec.summary, each, dict(spec.options), spec.dataset)
        for (name, spec), each in zip(MODELS.items(), params, strict=True)
    ]


def _default_subject(model: str) -> Subject:
    """Return a model with default options and the dataset of its paper."""
    spec = DATASETS[MODELS[model].dataset]
    return Subject(model, resolve_options(model, {}, MODELS[model].dataset), spec.input, spec.classes)


def table_lines() -> list[TableLine]:
    """Return every table of the current library."""
    tables = [(read_table(name), file) for name, file in current_library().tables.items()]
    return [TableLine(each.name, each.paper, each.title, each.caption, origin(file)) for each, file in tables]


def origin(file: Path) -> str | None:
    """Return the file of a table or a recipe; None if it is shipped."""
    found = current_library().origin(file)
    return None if found is None else str(found)


def dataset_lines() -> list[DatasetLine]:
    """Return every dataset."""
    return [
        DatasetLine(
            name=name,
            images=spec.summary,
            train_images=spec.train_images or None,
            test_images=spec.test_images or None,
            input=shape_text(spec.input),
            classes=spec.classes,
            file=str(spec.declaration.file) if spec.declaration else None,
        )
        for name, spec in DATASETS.items()
    ]


def recipe_lines() -> list[RecipeLine]:
    """Return every recipe of the current library."""
    keys = [key for key in RECIPE_COLUMNS if key != "file"]
    return [
        RecipeLine(**{key: getattr(each, key) for key in keys}, file=origin(each.file)) for each in RECIPES.values()
    ]
