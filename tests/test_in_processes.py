"""Networks counted in several processes: the values are in the cache, and errors are left to the caller."""

from contextlib import closing
from pathlib import Path

import pytest

from repro.counting import in_processes as module
from repro.counting.cache import cached_count, cached_demand, counted, demanded
from repro.counting.count import Subject, count
from repro.counting.demand import demand_of
from repro.counting.in_processes import NETWORKS_EACH, when_cached
from repro.errors import UserError

SMALL = [Subject("resnet20", {"shortcut": "A"}, (3, 32, 32), classes) for classes in range(2, 2 + 2 * NETWORKS_EACH)]
ODD = Subject("densenet", {"depth": 7, "k": 4}, (3, 2, 2), 10)
"""A network that does not accept so small an image."""


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "cores", lambda: 2)
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_processes_put_the_counts_into_the_cache() -> None:
    subjects = [*SMALL, ODD]
    assert list(when_cached(counted, subjects, "")) == list(range(len(subjects)))
    assert cached_count(SMALL[-1]) == count(SMALL[-1])
    assert [bool(cached_count(each)) for each in subjects] == [True] * len(SMALL) + [False]
    with pytest.raises(UserError, match=r"^densenet does not accept an input of 3x2x2"):
        counted(ODD)


@pytest.mark.slow
def test_processes_put_the_demands_into_the_cache() -> None:
    list(when_cached(demanded, SMALL, ""))
    assert cached_demand(SMALL[0]) == demand_of(SMALL[0])


@pytest.mark.slow
def test_processes_that_end_leave_the_networks_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where memory is short, or the program cannot be imported by another process."""
    monkeypatch.setattr(module, "__name__", "repro.no_such_module")
    list(when_cached(demanded, SMALL, ""))
    assert not any(cached_demand(each) for each in SMALL)


def test_few_networks_and_those_of_the_user_are_counted_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_started", lambda stack: pytest.fail("a process was started"))
    own = [Subject("torchvision:resnet18", {}, (3, 32, 32), classes) for classes in range(2, 12)]
    for subjects in (SMALL[1:], own):
        assert list(when_cached(counted, subjects, "")) == list(range(len(subjects)))


@pytest.mark.parametrize(("free", "number"), [(None, 2), (5 << 30, 2), (3 << 30, 0), (0, 0)])
def test_each_process_needs_memory(monkeypatch: pytest.MonkeyPatch, free: int | None, number: int) -> None:
    monkeypatch.setattr(module, "free_host_memory", lambda: free)
    assert module._number_for(2 * NETWORKS_EACH) == number


@pytest.mark.slow
def test_processes_end_with_the_iterator(monkeypatch: pytest.MonkeyPatch) -> None:
    started, start = [], module._started
    monkeypatch.setattr(module, "_started", lambda stack: started.append(start(stack)) or started[-1])
    with closing(when_cached(counted, SMALL, "")) as numbers:
        next(numbers)
    assert len(started) == 2
    assert all(each.returncode for each in started)
