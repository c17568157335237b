"""The datasets: what is known of them, where their files are, how these are read, and what networks see of them."""

from repro.data.images import Dataset, Images
from repro.data.loading import check_number, check_root, load
from repro.data.registry import (
    DATASETS,
    SHIPPED,
    DatasetKind,
    DatasetSpec,
    check_datasets,
    declarations,
    find_dataset,
    why_unknown,
)

__all__ = [
    "DATASETS",
    "SHIPPED",
    "Dataset",
    "DatasetKind",
    "DatasetSpec",
    "Images",
    "check_datasets",
    "check_number",
    "check_root",
    "declarations",
    "find_dataset",
    "load",
    "why_unknown",
]
