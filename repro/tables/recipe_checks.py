"""Whether the network of a printed error can be trained with its recipe, and with the alternatives of the recipe."""

from __future__ import annotations

from collections.abc import Sequence

from repro.errors import Place, UserError, WrongFiles
from repro.models import check_layers, is_outside
from repro.recipes import Recipe
from repro.recipes.alternatives import alternatives_of
from repro.tables.printed import PrintedError


def check_recipe(place: Place, error: PrintedError, recipe: Recipe) -> None:
    """Refuse a printed error whose recipe cannot train its network, or trains on another dataset."""
    if recipe.dataset != error.dataset:
        raise place.refused(
            f"recipe {error.recipe} is for {recipe.dataset}, but {error.column.key} is an error on {error.dataset}",
        )
    try:
        _check_trained(error, recipe)
    except WrongFiles as wrong:  # of the options
        raise place.refused(wrong.mistakes[0].reason) from None
    except UserError as wrong:
        raise place.refused(str(wrong)) from None
    for each in alternatives_of(recipe):
        try:
            _check_trained(error, each.of(recipe), [each.override])
        except UserError as wrong:
            raise place.refused(f"the alternative {each.override} of recipe {error.recipe}: {wrong}") from None


def _check_trained(error: PrintedError, recipe: Recipe, overrides: Sequence[str] = ()) -> None:
    """Raise UserError if the network of a printed error cannot be trained with its recipe, changed by overrides."""
    assert error.row.model
    if is_outside(error.row.model):  # its options are checked when its code has run
        check_layers(error.row.model, recipe.dropout, recipe.auxiliary)
    else:
        error.experiment(0, overrides=overrides)
