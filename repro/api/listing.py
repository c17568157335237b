"""What there is: models, tables, datasets and recipes, a line for each, as `repro list` shows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.api.library import Papers, using
from repro.bars import with_bar
from repro.counting.cache import counted_parameters
from repro.counting.count import Subject
from repro.data import DATASETS
from repro.frames import Dtype, frame_of
from repro.models import MODELS, resolve_options
from repro.models.options import shape_text
from repro.recipes import RECIPES, current_library
from repro.tables import read_table

if TYPE_CHECKING:
    from pandas import DataFrame

Line = dict[str, Any]

MODEL_COLUMNS = {
    "name": Dtype.TEXT,
    "network": Dtype.TEXT,
    "params": Dtype.INTEGER,
    "options": Dtype.OBJECT,
    "dataset": Dtype.TEXT,
}
TABLE_COLUMNS = dict.fromkeys(("name", "paper", "table", "caption", "file"), Dtype.TEXT)
DATASET_COLUMNS = {
    "name": Dtype.TEXT,
    "images": Dtype.TEXT,
    "train_images": Dtype.INTEGER,
    "test_images": Dtype.INTEGER,
    "input": Dtype.TEXT,
    "classes": Dtype.INTEGER,
    "file": Dtype.TEXT,
}
RECIPE_COLUMNS = {
    "name": Dtype.TEXT,
    "paper": Dtype.TEXT,
    "dataset": Dtype.TEXT,
    "epochs": Dtype.INTEGER,
    "iterations": Dtype.INTEGER,
    "tune_epochs": Dtype.INTEGER,
    "batch": Dtype.INTEGER,
    "lr": Dtype.NUMBER,
    "schedule": Dtype.TEXT,
    "weight_decay": Dtype.NUMBER,
    "file": Dtype.TEXT,
}


def list_models() -> DataFrame:
    """Return a row for each registered model, with its parameters for default options on its paper's dataset."""
    return frame_of(model_lines(), MODEL_COLUMNS)


def list_tables(*, papers: Papers = ()) -> DataFrame:
    """Return a row for each table; `file` is missing for those that are shipped.

    Args:
        papers: the folder of a paper besides those that are found, or several.

    Raises:
        UserError: a folder is not a paper, or a file is wrong.
    """
    with using(papers):
        return frame_of(table_lines(), TABLE_COLUMNS)


def list_datasets(*, papers: Papers = ()) -> DataFrame:
    """Return a row for each dataset, with its input shape as `CxHxW`; `file` is missing for those of the program.

    Args:
        papers: the folder of a paper besides those that are found, or several.

    Raises:
        UserError: a folder is not a paper, or a file is wrong.
    """
    with using(papers):
        return frame_of(dataset_lines(), DATASET_COLUMNS)


def list_recipes(*, papers: Papers = ()) -> DataFrame:
    """Return a row for each recipe; `file` is missing for those that are shipped.

    Args:
        papers: the folder of a paper besides those that are found, or several.

    Raises:
        UserError: a folder is not a paper, or a file is wrong.
    """
    with using(papers):
        return frame_of(recipe_lines(), RECIPE_COLUMNS)


def model_lines() -> list[Line]:
    """Return every model with its number of parameters, for default options and the dataset of its paper."""
    subjects = [default_subject(name) for name in MODELS]
    params = counted_parameters(subjects, lambda missing: with_bar(missing, "counting parameters"))
    return [
        {
            "name": name,
            "network": spec.summary,
            "params": each,
            "options": dict(spec.options),
            "dataset": spec.dataset,
        }
        for (name, spec), each in zip(MODELS.items(), params, strict=True)
    ]


def default_subject(model: str) -> Subject:
    """Return a model with default options and the dataset of its paper."""
    spec = DATASETS[MODELS[model].dataset]
    return Subject(model, resolve_options(model, {}, MODELS[model].dataset), spec.input, spec.classes)


def table_lines() -> list[Line]:
    """Return every table of the current library."""
    tables = [(read_table(name), file) for name, file in current_library().tables.items()]
    return [
        {"name": each.name, "paper": each.paper, "table": each.title, "caption": each.caption, "file": origin(file)}
        for each, file in tables
    ]


def origin(file: Path) -> str | None:
    """Return the file of a table or a recipe; None if it is shipped."""
    found = current_library().origin(file)
    return None if found is None else str(found)


def dataset_lines() -> list[Line]:
    """Return every dataset."""
    return [
        {
            "name": name,
            "images": spec.summary,
            "train_images": spec.train_images or None,
            "test_images": spec.test_images or None,
            "input": shape_text(spec.input),
            "classes": spec.classes,
            "file": str(spec.declaration.file) if spec.declaration else None,
        }
        for name, spec in DATASETS.items()
    ]


def recipe_lines() -> list[Line]:
    """Return every recipe of the current library."""
    keys = [key for key in RECIPE_COLUMNS if key != "file"]
    return [{**{key: getattr(each, key) for key in keys}, "file": origin(each.file)} for each in RECIPES.values()]
