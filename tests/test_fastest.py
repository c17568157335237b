"""The switches that are chosen on a GPU, with made-up step times: nothing here is measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from repro.benchmark import fastest as module
from repro.benchmark.fastest import fastest, remember, switch_times
from repro.benchmark.variants import Variant, VariantKind
from repro.cli.options.runtime import runtime_of
from repro.experiment import Experiment, experiment_for
from repro.runtime import Runtime, Together

CARD = "Card"
SEEDS = [experiment_for("densenet", {"depth": 7, "k": 2}, seed=seed, dataset="digits") for seed in range(4)]
OTHER = experiment_for("densenet", {"depth": 7, "k": 3}, seed=0, dataset="digits")
BATCH = float(SEEDS[0].recipe.batch)
TF32 = {"precision": "tf32"}


@dataclass
class Fake:
    """Step times by the words of the switches; the slowest for others. Notes what is measured."""

    times: Mapping[str, float]
    asked: list[str] = field(default_factory=list)

    def __call__(self, experiment: Experiment, runtime: Runtime, device: torch.device) -> float:
        words = [name for name in ("graph", "fused", "compile") if getattr(runtime, name)] or ["eager"]
        words += [] if runtime.channels_last or runtime.together == Together.STACKED else ["NCHW"]
        words += [f"{runtime.together} {runtime.at_once}"] if runtime.shares else []
        self.asked.append(" ".join(words))
        if self.asked[-1] not in self.times and "fails" in self.times:
            raise RuntimeError("out of memory\nand more")
        return self.times.get(self.asked[-1], 20.0)


@pytest.fixture(autouse=True)
def _card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "chosen_device", lambda runtime: "cpu" if runtime.device == "cpu" else "cuda:0")
    monkeypatch.setattr(module, "device_name", lambda device: CARD)
    monkeypatch.setattr(module, "check_fused", lambda network, recipe: None)


def chosen(runtime: Runtime) -> dict[str, Any]:
    return {name: getattr(runtime, name) for name in ("graph", "fused", "channels_last", "together", "at_once")}


def test_the_fastest_is_chosen_and_the_user_is_told_why(capsys: pytest.CaptureFixture[str]) -> None:
    measure = Fake({"graph": 10.0, "graph fused": 5.0, "graph fused branches 3": 2.5, "graph fused branches 4": 2.6})
    found = chosen(fastest(SEEDS, runtime_of(TF32), measure))
    assert found == {"graph": True, "fused": True, "channels_last": True, "together": "branches", "at_once": 3}
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(
        "densenet on Card: chose --graph --fused --together branches --at-once 3, 2.5 ms per step and"
    )
    assert "(relative speeds: eager 1.0, graph 2.0, graph, NCHW 1.0, graph, fused 4.0, graph, fused, 2 branches" in line
    assert line.endswith("options override this")


def test_what_was_measured_is_not_measured_again() -> None:
    measure = Fake({"graph": 10.0})
    assert chosen(fastest(SEEDS[:1], runtime_of(TF32), measure))["together"] is None
    assert measure.asked == ["eager", "graph", "graph NCHW", "graph fused"]
    fastest(SEEDS[1:2], runtime_of(TF32), measure)
    assert len(measure.asked) == 4  # another seed of the same network
    fastest(SEEDS, runtime_of(TF32), measure)
    assert measure.asked[4:] == ["graph branches 2", "graph branches 3", "graph branches 4", "graph stacked 4"]
    fastest(SEEDS[:1], runtime_of({"precision": "bf16"}), measure)
    assert len(measure.asked) == 12


def test_runs_are_trained_one_after_another_where_that_is_fastest() -> None:
    found = chosen(fastest(SEEDS, runtime_of({}), Fake({"graph NCHW": 3.0})))
    assert found == {"graph": True, "fused": False, "channels_last": False, "together": "off", "at_once": None}


def test_seeds_are_stacked_only_where_that_was_measured_to_be_faster() -> None:
    measure = Fake({"graph": 10.0, "graph branches 4": 7.0, "graph stacked 4": 6.0})
    assert chosen(fastest(SEEDS, runtime_of({}), measure))["together"] == "stacked"
    measure = Fake({"graph": 10.0, "graph branches 4": 7.0, "graph stacked 4": 6.0})
    mixed = fastest([*SEEDS[:3], OTHER], runtime_of(TF32), measure)
    assert chosen(mixed) | {"together": "branches", "at_once": 4} == chosen(mixed)
    assert not any("stacked" in each for each in measure.asked)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"graph": False}, {"graph": False, "together": None}),
        ({"channels_last": False}, {"channels_last": False, "fused": False, "graph": True}),
        ({"fused": False}, {"fused": False, "graph": True}),
        ({"together": "off"}, {"together": "off", "at_once": None}),
        ({"at_once": 2}, {"at_once": 2}),
        ({"together": "stacked", "fused": False}, {"together": "stacked", "at_once": None}),
        ({"together": "stacked"}, {"together": "stacked", "fused": False}),
        ({"together": "stacked", "fused": True}, {"together": "stacked", "fused": True}),
        ({"at_once": 8}, {"together": None, "at_once": 8}),
        ({"at_once": 1}, {"together": "off", "at_once": 1}),
    ],
)
def test_every_choice_can_be_overridden(given: dict[str, Any], expected: dict[str, Any]) -> None:
    measure = Fake({"graph": 9.0, "graph NCHW": 9.5, "graph fused": 5.0, "graph fused branches 3": 1.0})
    found = fastest(SEEDS, runtime_of({**TF32, **given}), measure)
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.precision == "tf32"


def test_an_own_number_of_runs_at_once_stays_where_others_were_measured() -> None:
    measure = Fake({"graph": 9.0})
    assert fastest(SEEDS, runtime_of({}), measure).together == "off"
    found = fastest(SEEDS, runtime_of({"at_once": 8}), measure)
    assert (found.at_once, found.wanted_sharing(on_cpu=False)) == (8, "branches")


def test_runs_share_no_graph_where_graphs_are_excluded() -> None:
    assert runtime_of({"graph": False}).wanted_sharing(on_cpu=False) == "off"
    assert runtime_of({"graph": False, "together": "branches"}).wanted_sharing(on_cpu=False) == "branches"
    assert runtime_of({}).wanted_sharing(on_cpu=False) == Runtime().wanted_sharing(on_cpu=False) == "branches"
    assert runtime_of({"graph": False}).wanted_sharing(on_cpu=False, files=True) == "stacked"


def test_nothing_is_measured_on_a_cpu_or_where_nothing_is_left_to_choose() -> None:
    measure = Fake({})
    for runtime in (runtime_of({"device": "cpu"}), Runtime(), replace(runtime_of({}), processes=2)):
        assert fastest(SEEDS, runtime, measure) is runtime
    dropout = replace(SEEDS[0], recipe=replace(SEEDS[0].recipe, dataset="imagenet"))
    assert fastest([dropout], runtime_of({}), measure).graph is False
    assert not measure.asked


def test_what_fails_is_left_out_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    found = fastest(SEEDS, runtime_of(TF32), Fake({"fails": 0, "graph": 9.0, "graph branches 2": 8.0}))
    assert (found.graph, found.together, found.at_once) == (True, "branches", 2)
    assert "graph, 3 branches is left out: out of memory\n" in capsys.readouterr().err
    unmeasured = fastest([OTHER], runtime_of(TF32), Fake({"fails": 0}))
    assert unmeasured == runtime_of(TF32)


def test_measuring_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_SECONDS", -1.0)
    measure = Fake({})
    assert fastest(SEEDS, runtime_of({}), measure) == runtime_of({})
    assert not measure.asked


def test_a_damaged_file_counts_as_missing() -> None:
    times = switch_times(SEEDS[0], Runtime(), CARD)
    times.add({"graph": True}, 3.0)
    assert switch_times(SEEDS[1], Runtime(), CARD).of({"graph": True}) == 3.0
    assert switch_times(SEEDS[0], Runtime(), "another card").of({"graph": True}) is None
    written = times.path.read_text()
    for content in ("[{}]", written.replace("3.0", "2.0"), written[:-1]):
        times.path.write_text(content)
        assert switch_times(SEEDS[0], Runtime(), CARD).known == []


def test_the_times_of_bench_are_used_and_only_they_can_choose_compile() -> None:
    rates = {("compile", "graph"): 800 * BATCH, ("graph",): 400 * BATCH}
    variants = [
        Variant(VariantKind.TRAINING, "tf32", iter(()), switches=on, rates=[each]) for on, each in rates.items()
    ]
    three = Variant(
        VariantKind.TRAINING, "tf32", iter(()), switches=("compile", "graph"), rates=[1600 * BATCH], seeds=3
    )
    remember(SEEDS[0], Runtime(), CARD, [*variants, replace(three, together=Together.BRANCHES)])
    found = fastest(SEEDS[:3], runtime_of(TF32), Fake({}))
    assert (found.graph, found.compile, found.together, found.at_once) == (True, True, "branches", 3)
    assert not fastest(SEEDS[:3], runtime_of({**TF32, "compile": False}), Fake({})).compile


def test_a_step_that_saves_memory_has_a_time_of_its_own() -> None:
    kinds = {(): 400 * BATCH, ("save_memory",): 200 * BATCH}
    variants = [
        Variant(VariantKind.TRAINING, "tf32", iter(()), switches=on, rates=[rate]) for on, rate in kinds.items()
    ]
    asked = Runtime(precision="tf32", save_memory=True)
    remember(SEEDS[0], asked, CARD, variants)
    eager = {"graph": False, "fused": False, "compile": False, "channels_last": asked.channels_last}
    assert switch_times(SEEDS[0], asked, CARD).of(eager) == 5.0
    assert switch_times(SEEDS[0], replace(asked, save_memory=None), CARD).of(eager) == 2.5
