"""A script of a user, whose types mypy checks with those of the package."""

from pathlib import Path
from typing import assert_type

import pandas as pd
from torch import nn

import repro
from repro.comparison.join import Comparison
from repro.report import Report
from repro.report.counts import CountReport
from repro.report.plan import PlanReport

assert_type(repro.table("cifar100"), Report)
assert_type(
    repro.table("cifar100", rows="N=4", results=Path("results"), papers=["a", Path("b")]).to_frame(), pd.DataFrame
)
assert_type(repro.compare("cifar100"), Comparison)
assert_type(repro.compare("cifar100").rows[0].errors["error"].verdict.mark, str)
assert_type(repro.count("denseresnet110", N=4), CountReport)
assert_type(repro.count(nn.Linear(1, 1), input=(3, 32, 32)).params, int)
assert_type(repro.build("wrn", depth=28, k=10, dataset="cifar10"), nn.Module)
assert_type(repro.plan("cifar100", seeds=3, device_name="H100"), PlanReport)
assert_type(repro.plan().to_frame(), pd.DataFrame)
assert_type(repro.runs(), pd.DataFrame)
assert_type(repro.results(), pd.DataFrame)
assert_type(repro.curve("f3d5e9b4"), pd.DataFrame)
assert_type(repro.list_tables(papers="a"), pd.DataFrame)
try:
    repro.tabel("cifar100")  # type: ignore[attr-defined]
except repro.UserError as error:
    assert_type(error, repro.UserError)
