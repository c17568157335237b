"""Tuning of the classifier at the test size after the training: nothing else changes, and resuming is exact."""

from dataclasses import replace

import pytest
import torch
from forked import join_as, two_of
from torch import Tensor, nn
from watching import Silent, assert_same, shrink_images, stop_at, train_one, weights

from repro.data.suitable import check_images
from repro.errors import Stopped, UserError
from repro.evaluation.evaluate import evaluate
from repro.experiment import Experiment, classifies
from repro.models import MODELS, build, resolve_options
from repro.paths import Folders
from repro.recipes import RECIPES, deviations
from repro.runtime import Runtime
from repro.store.results import read_records
from repro.tables import read_table, table_names
from repro.training.checkpoints import checkpoint
from repro.training.engine.engine import Engine
from repro.training.engine.tuning import classifier_of
from repro.training.initialise import initialised
from repro.training.progress.course import Course
from repro.training.runs.train import train
from repro.training.schedule import epoch_at, images_shown, lr_at, total_steps
from repro.training.tasks.from_files import TrainViews
from repro.training.tasks.kinds import task_for
from repro.training.tasks.task import Task

CPU = torch.device("cpu")
HERE = Runtime(device="cpu", workers=0)
RECIPE = replace(
    RECIPES["tiny-imagenet-10"],
    batch=8,
    epochs=2,
    schedule="cosine",
    nesterov=True,
    scaled_crop=24,
    resize=36,
    test_crop=32,
    tune_epochs=2,
    tune_batch=10,
    tune_lr=0.05,
)
"""Two epochs of three steps on twenty images, then two epochs of two steps."""
EXPERIMENT = Experiment("resnet20", {"shortcut": "A"}, RECIPE, 0)
TRAINING_STEPS, STEPS = 6, 10
pytestmark = pytest.mark.usefixtures("small_images")


def test_a_batch_of_the_tuning_that_leaves_none_of_the_images_is_refused() -> None:
    check_images(replace(RECIPE, drop_last=True, tune_batch=20), RECIPE)
    with pytest.raises(UserError, match="tune_batch=21 with drop_last leaves no batch of tiny-imagenet-10"):
        check_images(replace(RECIPE, drop_last=True, tune_batch=21), RECIPE)


def engine_at_the_end_of_training(folders: Folders) -> Engine:
    engine = Engine([EXPERIMENT], HERE, task_for(EXPERIMENT, folders.data, HERE, CPU), CPU)
    for _ in range(RECIPE.epochs):
        take_epoch(engine)
    return engine


def take_epoch(engine: Engine) -> None:
    for _ in engine.steps():
        pass
    engine.end_epoch()


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def tune_by_hand(network: nn.Module, task: Task) -> nn.Module:
    """Tune with the recipe's values, without the engine."""
    assert isinstance(network.classifier, nn.Linear)
    optimizer = torch.optim.SGD(
        network.classifier.parameters(), RECIPE.tune_lr, 0.9, weight_decay=RECIPE.weight_decay, nesterov=True
    )
    network.eval()
    for epoch in range(RECIPE.epochs, RECIPE.epochs + RECIPE.tune_epochs):
        for inputs, targets in task.batches(0, epoch, 0):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs), targets).backward()
            optimizer.step()
    return network


def test_only_the_classifier_is_tuned(folders: Folders) -> None:
    engine = engine_at_the_end_of_training(folders)
    before = state_of(engine.alone(0))
    take_epoch(engine)
    after = state_of(engine.alone(0))
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "classifier.weight",
        "classifier.bias",
    }


def test_tuning_equals_tuning_by_hand(folders: Folders) -> None:
    """The momentum of the training is forgotten and BatchNorm's statistics are used."""
    engine = engine_at_the_end_of_training(folders)
    by_hand = initialised(EXPERIMENT)
    by_hand.load_state_dict(engine.alone(0).state_dict())
    tune_by_hand(by_hand, engine.task)
    while not engine.finished:
        take_epoch(engine)
    torch.testing.assert_close(engine.alone(0).state_dict(), by_hand.state_dict())


def test_images_of_the_tuning_have_the_test_size_and_its_batch(folders: Folders) -> None:
    task = task_for(EXPERIMENT, folders.data, HERE, CPU)
    shapes = [[tuple(batch.inputs.shape) for batch in task.batches(0, epoch, 0)] for epoch in range(4)]
    training = [(8, 3, 24, 24), (8, 3, 24, 24), (4, 3, 24, 24)]
    assert shapes == [training] * 2 + [[(10, 3, 32, 32)] * 2] * 2
    assert [len(batch.targets) for batch in task.batches(0, 2, 1)] == [10]


def test_no_epoch_of_the_tuning_repeats_one_of_the_training(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_for(EXPERIMENT, folders.data, HERE, CPU)
    asked: list[tuple[int, int]] = []
    original = TrainViews.__getitem__
    monkeypatch.setattr(TrainViews, "__getitem__", lambda self, ask: asked.append(ask) or original(self, ask))
    for epoch in range(4):
        list(task.batches(0, epoch, 0))
    assert len({seed for _, seed in asked}) == len(asked) == 80


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, TRAINING_STEPS, TRAINING_STEPS + 1, TRAINING_STEPS + 2, STEPS])
def test_resume_continues_bit_for_bit(folders: Folders, shared: Folders, step: int) -> None:
    """Stops in the training, at its end, in the tuning, at the end of its first epoch, and at the end of the run."""
    straight = train_one(EXPERIMENT, HERE, shared, Silent())
    with pytest.raises(Stopped):
        train_one(EXPERIMENT, HERE, folders, stop_at(step))
    record = train_one(EXPERIMENT, HERE, folders, Silent())
    assert (record.epochs, record.steps) == (4, STEPS)
    assert (record.error, record.loss, record.train_loss) == (straight.error, straight.loss, straight.train_loss)
    assert_same(weights(folders, EXPERIMENT), weights(shared, EXPERIMENT))


def test_a_run_resumes_from_the_checkpoint_between_the_phases(folders: Folders) -> None:
    engine = engine_at_the_end_of_training(folders)
    (between,) = engine.checkpoints()
    assert between.optimizer["state"] == {}
    again = Engine([EXPERIMENT], HERE, engine.task, CPU)
    again.restore([between])
    for each in (engine, again):
        while not each.finished:
            take_epoch(each)
    assert_same(state_of(engine.alone(0)), state_of(again.alone(0)))


@pytest.mark.usefixtures("float64")
def test_each_seed_trained_at_once_equals_itself_alone(folders: Folders, elsewhere: Folders) -> None:
    seeds = [replace(EXPERIMENT, seed=seed) for seed in range(2)]
    train(seeds, replace(HERE, together="stacked"), folders, Silent())
    train(seeds, replace(HERE, together="off"), elsewhere, Silent())
    for each in seeds:
        torch.testing.assert_close(weights(folders, each), weights(elsewhere, each), rtol=0, atol=1e-10)


STILL = replace(EXPERIMENT, recipe=replace(RECIPE, lr=0.0))
"""An experiment whose training changes only BatchNorm's statistics, so that its tuning starts at known weights."""


def one_of_two(rank: int, port: int, folders: Folders) -> None:
    join_as(rank, port)
    shrink_images()
    train([STILL], replace(HERE, processes=2), folders, Silent())


@pytest.mark.usefixtures("float64")
def test_two_processes_tune_as_one_does(folders: Folders) -> None:
    """Batch statistics are not used, so that the halves of a batch give the same result as the whole batch.

    Each process tests a part of the six images, two at a time.
    """
    two_of(one_of_two, folders)
    tuned = checkpoint.load(folders.runs / STILL.name / checkpoint.NEWEST).network
    started = initialised(STILL)
    classifier = {f"classifier.{name}": value for name, value in started.classifier.state_dict().items()}
    started.load_state_dict({**tuned, **classifier})
    by_hand = tune_by_hand(started, task_for(STILL, folders.data, HERE, CPU))
    torch.testing.assert_close(tuned, by_hand.state_dict(), rtol=1e-9, atol=1e-9)
    (record,) = read_records([folders.results])
    tested = evaluate(STILL.name, folders, HERE).metrics
    assert tested.images == 6
    assert (record.error, record.error5, record.loss) == pytest.approx((tested.error, tested.error5, tested.loss))


@pytest.mark.parametrize("model", [name for name, spec in MODELS.items() if classifies(spec.dataset)])
def test_the_last_layer_is_the_classifier(model: str) -> None:
    with torch.device("meta"):
        network = build(model, resolve_options(model, {}, MODELS[model].dataset), classes=7)
    layer = network.get_submodule(classifier_of(dict(network.named_modules())))
    assert isinstance(layer.weight, Tensor)
    assert layer.weight.shape[0] == 7


@pytest.mark.parametrize(
    ("network", "training", "tuning"), [("resnet34", 0.025, 0.004), ("mobilenetv2", 0.0125, 0.002)]
)
def test_the_tuned_variants_tune_for_sixty_epochs_at_a_constant_rate(
    network: str, training: float, tuning: float
) -> None:
    chosen, images = RECIPES[f"miru2020-imagenet-{network}-tuned"], 1_281_167
    _, tuned = chosen.phases
    begin = 300 * 20_019
    assert tuned.steps_per_epoch(images) == 5_005
    assert total_steps(chosen, images) == begin + 60 * 5_005
    rates = [lr_at(chosen, step, images) for step in (5 * 20_019, begin, total_steps(chosen, images) - 1)]
    assert rates == pytest.approx([training, tuning, tuning], rel=1e-3)
    assert lr_at(chosen, begin - 1, images) < 1e-4 * training
    assert (tuned.batch, tuned.scaled_crop) == (256, 224)
    assert (tuned.nesterov, tuned.momentum, tuned.weight_decay) == (True, 0.9, chosen.weight_decay)
    assert (tuned.color_jitter, tuned.lighting, tuned.flip) == (0.4, 0.1, True)
    assert all(name in chosen.sources for name in ("tune_epochs", "tune_batch", "tune_lr"))


def test_a_recipe_without_tuning_has_one_phase() -> None:
    for name in RECIPES:
        chosen = RECIPES[name]
        assert len(chosen.phases) == (2 if chosen.tune_epochs else 1)
        assert chosen.phases == (chosen,) or chosen.tune_epochs


def test_no_printed_row_is_tuned() -> None:
    """Takeda, section 3.1, trains at 160 pixels and tests on one crop of 224; train.py of c1fa035 tunes nothing."""
    tables = [read_table(name) for name in table_names()]
    behind = {error.recipe for table in tables for error in table.errors()}
    tuned = {name for name in RECIPES if RECIPES[name].tune_epochs}
    assert tuned == {"miru2020-imagenet-resnet34-tuned", "miru2020-imagenet-mobilenetv2-tuned"}
    assert not tuned & behind
    assert "miru2020-imagenet-resnet34" in behind


def test_fewer_epochs_shorten_the_tuning_proportionally() -> None:
    chosen = RECIPES["miru2020-imagenet-resnet34-tuned"]
    assert deviations(chosen.with_epochs(5)) == ["epochs=5 (300)", "tune_epochs=1 (60)"]
    without = ["tune_epochs=0 (60)", "tune_batch=0 (256)", "tune_lr=0 (0.004)"]
    assert deviations(chosen.with_epochs(1)) == ["epochs=1 (300)", *without]


@pytest.mark.parametrize("name", ["miru2020-imagenet-resnet34-tuned", "miru2020-imagenet-mobilenetv2-tuned"])
def test_very_few_epochs_have_no_tuning(name: str) -> None:
    short = RECIPES[name].with_epochs(1)
    assert len(short.phases) == 1
    assert short.all_epochs == 1


def test_progress_counts_the_epochs_and_images_of_both_phases() -> None:
    course = Course(name="", recipe=RECIPE, images=20, runs=3, step=0)
    assert course.total == STEPS
    assert [course.epoch(step) for step in (0, 5, 6, 7, 8, 10)] == [(1, 4), (2, 4), (3, 4), (3, 4), (4, 4), (4, 4)]
    assert [images_shown(RECIPE, step, 20) for step in (0, 1, 3, 6, 7, 10)] == [0, 8, 20, 40, 50, 80]
    assert course.shown(STEPS) == 3 * 80
    assert epoch_at(RECIPE, STEPS, 20) == 3
