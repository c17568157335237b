"""Counts of one network next to the published ones: a network by its name, or one that the user built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from repro.api.library import Papers, check_text, plain, plain_options, text_argument, using
from repro.comparison.published import published_counts
from repro.console import note, waiting
from repro.counting.cache import cached_count, counted
from repro.counting.conventions import Convention, conventions_of
from repro.counting.count import Count, Subject, count_modules, count_network, empty_network, in_evaluation
from repro.counting.sizes import check_order, check_sizes, unusual
from repro.data import DATASETS, find_dataset
from repro.errors import UserError
from repro.experiment import check_task, own_dataset
from repro.models import OptionValue, is_outside, is_small, reason_for, resolve_options
from repro.models.options import Shape, shape_text
from repro.models.typed import typed_name
from repro.report.counts import CountReport
from repro.tables.names import dataset_called, network_called

if TYPE_CHECKING:
    from torch import nn


def count(
    model: str | nn.Module,
    *,
    dataset: str | None = None,
    input: Sequence[int] | None = None,
    classes: int | None = None,
    flops: str = "paper",
    by_module: bool = False,
    papers: Papers = (),
    **options: OptionValue,
) -> CountReport:
    """Return the exact parameters and FLOPs of a network for one image, next to the published ones.

    The answer has `params`, `flops`, `macs` and `published`; `to_frame()` returns our counts and a row for each
    published row.

    Args:
        model: the name of a network, `FILE.py:NAME`, `PACKAGE.MODULE:NAME`, `timm:NAME` or `torchvision:NAME`; or a
            torch.nn.Module, which is left as it was.
        dataset: gives the input shape and the number of classes (default: the dataset of the network's paper). A
            network from outside the package has no default: name one, or give `input` and `classes`.
        input: C, H, W of an image (default: the dataset's).
        classes: the number of classes (default: the dataset's); not for a torch.nn.Module.
        flops: the convention: `paper`, `fvcore` or `macs`; `all` shows them side by side, and `flops` is `paper`.
        by_module: whether the answer also has `modules`, the counts of every module.
        papers: one or several folders of papers, besides those that are found.
        options: those of the network, such as `depth=28`; not for a torch.nn.Module.

    Raises:
        UserError: there is no such network, option or dataset, or the network does not accept the input.
    """
    check_text(dataset=dataset)
    conventions = conventions_of(text_argument("flops", flops))
    shape = None if input is None else _shape(input)
    with using(papers):
        if isinstance(model, str):
            called = network_called(model)
            chosen = called.with_options(model, plain_options(options))
            dataset = dataset or dataset_called(model)
            return count_named(called.name, chosen, dataset, shape, plain(classes), conventions, by_module)
        if options or classes is not None:
            given = ", ".join([*options, *([] if classes is None else ["classes"])])
            raise UserError(f"{given}: only for a network given by name; leave it out for a torch.nn.Module")
        return _count_built(model, dataset, shape, conventions, by_module)


def _shape(input: Sequence[int]) -> Shape:
    sides = tuple(map(plain, input)) if isinstance(input, Iterable) else ()
    if len(sides) != 3 or not all(type(each) is int and each > 0 for each in sides):
        raise UserError(f"input={input!r} is not a shape; give (C, H, W), such as (3, 32, 32)")
    return sides[0], sides[1], sides[2]


def count_named(
    model: str,
    options: Mapping[str, OptionValue],
    dataset: str | None,
    input: Shape | None,
    classes: int | None,
    conventions: Sequence[Convention],
    by_module: bool,
) -> CountReport:
    """Return the counts of a network that `network_called` returned; arguments and errors as in `count`."""
    subject, where = _subject(model, options, dataset, input, classes)
    counts = _counted(subject)
    spec = DATASETS[where] if where else None
    if spec:
        _warn_if_unusual(model, subject.input, spec.input)
    trained_on = where if spec and (subject.input, subject.classes) == (spec.input, spec.classes) else None
    modules = []
    if by_module:
        with waiting(f"counting the modules of {typed_name(model)}", seconds=True):
            modules = count_modules(empty_network(subject), subject.input, model, conventions[0])
    return CountReport(
        model=model,
        options=subject.options,
        dataset=trained_on,
        input=subject.input,
        classes=subject.classes,
        counts=counts,
        conventions=tuple(conventions),
        small=is_small(model, subject.input),
        reason=reason_for(model, subject.options, where or ""),
        published=published_counts(subject, trained_on, counts) if trained_on else (),
        modules=tuple(modules),
    )


def _subject(
    model: str, options: Mapping[str, OptionValue], dataset: str | None, input: Shape | None, classes: int | None
) -> tuple[Subject, str | None]:
    """Return what is counted, and the dataset that gives what the user did not; None if no dataset is needed.

    Raises:
        UserError: no dataset gives the shape or the classes, or they are out of range.
    """
    check_sizes(input, classes)
    if is_outside(model) and dataset is None and input and classes:
        check_order(typed_name(model), input)
        return Subject(model, resolve_options(model, options, ""), input, classes), None
    where = find_dataset(dataset) if dataset else own_dataset(model)
    if is_outside(model):
        check_task(model, where)
    spec = DATASETS[where]
    if input:
        check_order(typed_name(model), input)
    chosen = resolve_options(model, options, where)
    return Subject(model, chosen, input or spec.input, classes or spec.classes), where


def _warn_if_unusual(model: str, input: Shape, usual: Shape) -> None:
    """Warn about an image shape that is unusual for a network whose dataset has the `usual` one."""
    if why := unusual(input, usual):
        of_dataset = f"the dataset of {typed_name(model)} has {shape_text(usual)}"
        note(f"warning: unusual input {shape_text(input)}: {why}; {of_dataset}")


def _counted(subject: Subject) -> Count:
    """Return the counts; if they are not cached, count for some seconds and show that."""
    known = cached_count(subject)
    if known is None:
        with waiting(f"counting {typed_name(subject.model)}", seconds=True):
            known = counted(subject)
    return known


def _count_built(
    network: nn.Module,
    dataset: str | None,
    input: Shape | None,
    conventions: Sequence[Convention],
    by_module: bool,
) -> CountReport:
    """Return the counts of a network that the user built."""
    from torch import nn
    from torch.nn.parameter import is_lazy

    name = type(network).__name__
    check_sizes(input, None)
    if not isinstance(network, nn.Module):
        raise UserError(f"a network is the name of one or a torch.nn.Module, not {network!r}")
    if input is None and dataset is None:
        raise UserError(f"the size of the images of {name} is missing; give it, such as input=(3, 32, 32)")
    if any(map(is_lazy, network.parameters())):
        raise UserError(f"{name} has lazy layers; call it once, so that they have their sizes")
    shape = input or DATASETS[find_dataset(dataset or "")].input
    with in_evaluation(network), waiting(f"counting {name}", seconds=True):
        counts = count_network(network, shape, name)
        modules = count_modules(network, shape, name, conventions[0]) if by_module else []
    return CountReport(
        model=name,
        options={},
        dataset=None,
        input=shape,
        classes=None,
        counts=counts,
        conventions=tuple(conventions),
        small=False,
        modules=tuple(modules),
    )
