"""Number formats of kernels: in which one they multiply, and in which one they add up."""

from __future__ import annotations

from typing import Any

import torch
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor


def accumulator(dtype: torch.dtype) -> Any:
    """Return Triton's type in which products of a type are added up."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def accumulator_dtype(tensor: Tensor) -> torch.dtype:
    """Return the type in which products of a tensor are added up."""
    return torch.promote_types(tensor.dtype, torch.float32)


def precision(tensor: Tensor) -> str:
    """Return the precision of products of fp32 factors: TF32 where the runtime allows it."""
    return "tf32" if tensor.dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32 else "ieee"
