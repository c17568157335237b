"""Switches of a Runtime in words, for the names of what is measured with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Switches = Mapping[str, Any]
"""Values of fields of a Runtime."""
OF_STEPS = ("graph", "fused", "compile")
"""The switches that change how a step is computed; without all of them it is eager."""


def switch_words(switches: Switches) -> list[str]:
    """Return the switches of a step that are on, in their order, and NCHW if that is its layout."""
    words = [name for name, value in switches.items() if value and name in OF_STEPS]
    return words if switches.get("channels_last", True) else [*words, "NCHW"]
