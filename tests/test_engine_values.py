"""What recipes may say of optimizer, learning rate, averages, losses and crops, in training and after a resume."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from watching import Silent, assert_same, engine_of, stop_at, train_one

from repro.data.inputs.views import TrainViews
from repro.data.readers.folder import Files
from repro.errors import RunFailed, Stopped, UserError
from repro.evaluation.evaluate import evaluate
from repro.experiment import Experiment, experiment_for
from repro.models import build
from repro.paths import Folders
from repro.recipes import RECIPES, Recipe
from repro.recipes.contradictions import contradiction
from repro.runtime import Runtime
from repro.training.checkpoints import checkpoint
from repro.training.engine.engine import Engine
from repro.training.engine.exact_batchnorm import take_exact_statistics
from repro.training.engine.optimizer import decays
from repro.training.engine.rmsprop import RMSprop
from repro.training.engine.stacked import Stacked
from repro.training.initialise import INITIALISERS, network_of, set_batchnorm
from repro.training.runs.record import write_record
from repro.training.runs.train import train
from repro.training.schedule import lr_at, plateaus_in

CPU = Runtime(device="cpu")
Make = Callable[..., Experiment]
RMSPROP = {"nesterov": False, "square_decay": 0.9, "epsilon": 1e-3, "lr": 0.01}
pytestmark = pytest.mark.usefixtures("small_digits")


def changed(**values: object) -> Recipe:
    return replace(RECIPES["digits"], nesterov=False, **values)  # type: ignore[arg-type]


def updated(rule: str, lr: float | torch.Tensor, gradients: list[torch.Tensor]) -> torch.Tensor:
    """Return a parameter that starts at ones after a step for each gradient."""
    weight = nn.Parameter(torch.ones(3))
    optimizer = RMSprop([{"params": [weight]}], changed(optimizer=rule, square_decay=0.9, epsilon=0.1, momentum=0.8))
    optimizer.param_groups[0] |= {"lr": lr, "weight_decay": 0.01}
    for each in gradients:
        weight.grad = each.clone()
        optimizer.step()
    return weight.detach()


@pytest.fixture
def gradients() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, generator=generator) for _ in range(4)]


def test_rmsprop_is_torchs(gradients: list[torch.Tensor]) -> None:
    weight = nn.Parameter(torch.ones(3))
    theirs = torch.optim.RMSprop([weight], lr=0.05, alpha=0.9, eps=0.1, momentum=0.8, weight_decay=0.01)
    for each in gradients:
        weight.grad = each.clone()
        theirs.step()
    torch.testing.assert_close(updated("rmsprop", 0.05, gradients), weight.detach())


def test_tensorflows_rmsprop_has_epsilon_inside_the_root_and_starts_at_one(gradients: list[torch.Tensor]) -> None:
    weight, square, momentum = torch.ones(3), torch.ones(3), torch.zeros(3)
    for each in gradients:
        gradient = each + 0.01 * weight
        square = 0.9 * square + 0.1 * gradient**2
        momentum = 0.8 * momentum + 0.05 * gradient / (square + 0.1).sqrt()
        weight = weight - momentum
    torch.testing.assert_close(updated("rmsprop-tensorflow", 0.05, gradients), weight)


@pytest.mark.parametrize("rule", ["rmsprop", "rmsprop-tensorflow"])
def test_a_graph_reads_the_learning_rate_of_rmsprop_from_a_tensor(rule: str, gradients: list[torch.Tensor]) -> None:
    torch.testing.assert_close(updated(rule, torch.tensor(0.05), gradients), updated(rule, 0.05, gradients))


FALLS = {"schedule": "exponential", "milestones": (0.25, 0.5, 0.75), "gamma": 0.5, "batchnorm_decay": 0.5}
PLATEAU = {"schedule": "plateau", "patience": 1, "gamma": 0.5, "label_smoothing": 0.1, "decay_scope": "weights"}


@pytest.mark.parametrize(
    "values",
    [
        {**RMSPROP, **FALLS, "optimizer": "rmsprop-tensorflow", "ema": 0.9},
        {**RMSPROP, **PLATEAU, "optimizer": "rmsprop", "lr": 0.05},
    ],
    ids=["TensorFlow's, average", "torch's, plateau"],
)
def test_a_resumed_run_continues_bit_for_bit(
    tiny: Make, folders: Folders, elsewhere: Folders, values: dict[str, object]
) -> None:
    experiment = tiny(epochs=4, **{"warmup_epochs": 0, **values})
    straight = train_one(experiment, CPU, elsewhere, Silent())
    with pytest.raises(Stopped):
        train_one(experiment, CPU, folders, stop_at(8))
    record = train_one(experiment, CPU, folders, Silent())
    assert (record.error, record.loss, record.sessions) == (straight.error, straight.loss, 2)
    one, two = (checkpoint.load(each.runs / experiment.name / checkpoint.NEWEST) for each in (folders, elsewhere))
    assert_same(one.network, two.network)
    assert_same(one.tested, two.tested)
    for index, state in one.optimizer["state"].items():
        assert_same(state, two.optimizer["state"][index])
    assert [row.lr for row in one.history] == [row.lr for row in two.history]
    assert one.history[-1].lr < one.history[0].lr


def test_no_error_is_recorded_but_that_of_the_final_weights(tiny: Make, tmp_path: Path) -> None:
    engine = side_by_side(tiny(dropout=0.0), 0, 1)
    with pytest.raises(RunFailed, match="was not tested after its last step, so it is not recorded"):
        write_record(engine, 1, [], tmp_path)
    assert not (tmp_path / "runs.csv").exists()


def side_by_side(experiment: Experiment, *seeds: int) -> Engine:
    """Return the engine of some seeds after four steps."""
    engine = engine_of(experiment, seeds=seeds)
    steps = engine.steps()
    for _ in range(4):
        next(steps)
    return engine


def test_seeds_side_by_side_have_the_averages_and_mean_squares_that_each_has_alone(tiny: Make) -> None:
    experiment = tiny(dropout=0.0, ema=0.9, optimizer="rmsprop-tensorflow", **RMSPROP)
    together = side_by_side(experiment, 0, 1)
    assert isinstance(together.networks, Stacked)
    for seed, own in enumerate(together.checkpoints()):
        (other,) = side_by_side(experiment, seed).checkpoints()
        assert own.average
        assert other.average
        for name, each in own.average.items():
            torch.testing.assert_close(each, other.average[name], rtol=1e-3, atol=1e-4)
        for index, state in own.optimizer["state"].items():
            torch.testing.assert_close(
                state["square_avg"], other.optimizer["state"][index]["square_avg"], rtol=1e-3, atol=1e-4
            )


def test_seeds_side_by_side_resume_with_their_averages_and_mean_squares(tiny: Make) -> None:
    together = side_by_side(tiny(dropout=0.0, ema=0.9, optimizer="rmsprop-tensorflow", **RMSPROP), 0, 1)
    resumed = Engine(together.experiments, CPU, together.task, together.device)
    resumed.restore(together.checkpoints())
    for each in (together, resumed):
        assert next(each.steps()) == 5
    for own, other in zip(together.checkpoints(), resumed.checkpoints(), strict=True):
        assert_same(own.network, other.network)
        assert_same(dict(own.average or {}), dict(other.average or {}))
        for index, state in own.optimizer["state"].items():
            assert_same(state, other.optimizer["state"][index])
    one, other = resumed.checkpoints()
    assert not torch.equal((one.average or {})["classifier.weight"], (other.average or {})["classifier.weight"])


def test_the_average_follows_the_weights_and_is_tested(tiny: Make, folders: Folders) -> None:
    """After n steps the decay is at most (1 + n) / (10 + n); BatchNorm's statistics are averaged, counters copied."""
    engine = engine_of(tiny(dropout=0.0, ema=0.5))
    expected = {name: each.clone() for name, each in engine.networks.state_of(0).items()}
    for step, _ in zip((1, 2, 3, 4, 5, 6), engine.steps(), strict=False):
        decay = min(0.5, (1 + step) / (10 + step))
        for name, each in engine.networks.state_of(0).items():
            mixed = decay * expected[name] + (1 - decay) * each if each.is_floating_point() else each.clone()
            expected[name] = mixed
    found = engine.alone(0).state_dict()
    for name, each in expected.items():
        torch.testing.assert_close(found[name], each)
    assert not torch.equal(found["classifier.weight"], engine.networks.state_of(0)["classifier.weight"])
    experiment = tiny(epochs=1, ema=0.9)
    record = train_one(experiment, CPU, folders, Silent())
    assert evaluate(record.id, folders, CPU).metrics.error == record.error


def test_plateau_seeds_are_trained_one_after_another(tiny: Make, folders: Folders) -> None:
    experiments = [tiny(seed, epochs=1, dropout=0.0, schedule="plateau", patience=1) for seed in (0, 1)]
    watcher = Silent()
    train(experiments, replace(CPU, together="stacked"), folders, watcher)
    assert any(
        "falls at the plateaus of each seed, so runs are trained one after another" in each for each in watcher.said
    )


def test_the_learning_rate_falls_when_the_error_stops_falling() -> None:
    """A plateau is `patience` epochs in a row that are not lower than the lowest before; the next one starts anew."""
    errors = [50, 40, 40, 41, 39, 39, 39, 39, 30, 31]
    assert [plateaus_in(errors[:epochs], 2) for epochs in range(11)] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    chosen = changed(schedule="plateau", patience=2, lr=0.1, gamma=0.1, warmup_epochs=0)
    assert [lr_at(chosen, 0, 1000, plateaus) for plateaus in (0, 1, 2)] == pytest.approx([0.1, 0.01, 0.001])


def test_the_exponential_schedule_passes_through_the_steps_of_the_other() -> None:
    values = {"epochs": 4, "batch": 100, "lr": 0.1, "gamma": 0.25, "milestones": (0.25, 0.5, 0.75), "warmup_epochs": 0}
    smooth, steps = (changed(**values, schedule=schedule) for schedule in ("exponential", "steps"))
    assert [lr_at(smooth, step, 1000) for step in (0, 10, 30)] == pytest.approx([0.1, 0.025, 0.0015625])
    assert [lr_at(steps, step, 1000) for step in (0, 10, 30)] == pytest.approx([0.1, 0.025, 0.0015625])
    assert lr_at(smooth, 5, 1000) == pytest.approx(0.05)


def test_smoothing_and_auxiliary_classifiers_change_the_training_loss_only(tiny: Make) -> None:
    task = engine_of(tiny(label_smoothing=0.2, auxiliary=0.0)).task
    task.recipe = replace(task.recipe, auxiliary=0.3)  # type: ignore[attr-defined]
    outputs, labels = torch.randn(4, 3, 10), torch.tensor([1, 2, 3, 4])
    main, *others = (F.cross_entropy(each, labels, label_smoothing=0.2) for each in outputs.unbind(1))
    torch.testing.assert_close(task.loss(outputs, labels), main + 0.3 * sum(others))
    torch.testing.assert_close(task.loss(outputs[:, 0], labels), main)
    assert task.wrong(outputs, labels) == (outputs[:, 0].argmax(1) != labels).sum()


def test_googlenet_trains_its_auxiliary_classifiers() -> None:
    """Each classifier's gradient comes from its own loss; in a test there is only the main one."""
    chosen = replace(changed(auxiliary=0.3, dropout=0.4), name="digits")
    network = network_of(Experiment("googlenet", {}, chosen, 0)).train()
    outputs = network(torch.randn(2, 3, 32, 32))
    assert outputs.shape == (2, 3, 10)
    outputs[:, 0].sum().backward(retain_graph=True)
    assert (
        network.get_parameter("aux1.fc2.weight").grad is None or not network.get_parameter("aux1.fc2.weight").grad.any()
    )
    outputs[:, 1:].sum().backward()
    assert network.get_parameter("aux1.fc2.weight").grad.any()
    assert network.get_parameter("aux2.fc2.weight").grad.any()
    assert network.get_submodule("dropout").p == 0.4
    assert network.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_a_network_without_auxiliary_classifiers_is_refused() -> None:
    with pytest.raises(UserError, match=r"resnet20 has no auxiliary classifiers, but its recipe needs auxiliary 0\.3"):
        experiment_for("resnet20", {}, seed=0, dataset="digits", overrides=["auxiliary=0.3"])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"optimizer": "rmsprop"}, "an optimizer of RMSprop needs square_decay and epsilon above 0"),
        ({"epsilon": 1.0}, "square_decay and epsilon need an optimizer of RMSprop"),
        ({**RMSPROP, "optimizer": "rmsprop", "nesterov": True}, "nesterov needs optimizer=sgd"),
        ({"schedule": "plateau"}, "schedule=plateau needs a patience of at least 1"),
        (
            {"schedule": "exponential", "milestones": (0.2, 0.5)},
            "schedule=exponential needs milestones at equal distances from the start",
        ),
        (
            {"scaled_crop": 8, "random_crop": 8, "shorter_side": 8},
            "scaled_crop and random_crop exclude each other; set one of them",
        ),
        ({"random_crop": 9, "shorter_side": 8}, "random_crop needs a shorter_side of at least its size"),
        ({"square": True}, "shorter_side, shorter_side_max and square need random_crop"),
        (
            {"random_crop": 8, "shorter_side": 8, "shorter_side_max": 8},
            "shorter_side_max must be above shorter_side",
        ),
        (
            {"random_crop": 8, "shorter_side": 8, "tune_epochs": 1, "tune_batch": 1, "tune_lr": 0.1},
            "tune_epochs needs scaled_crop",
        ),
    ],
)
def test_values_that_exclude_each_other_are_refused(values: dict[str, object], reason: str) -> None:
    assert contradiction(replace(RECIPES["digits"], **{"nesterov": False, **values})) == reason  # type: ignore[arg-type]


class Shown(Files):
    """One image: red left, green middle, blue right, 90 x 30 pixels."""

    def __init__(self) -> None:
        super().__init__(Path(), ("one",), b"one\n", torch.tensor([3]), torch.tensor([0]), "")

    def read(self, index: int) -> Image.Image:
        pixels = torch.zeros(30, 90, 3, dtype=torch.uint8)
        for third in range(3):
            pixels[:, 30 * third : 30 * third + 30, third] = 255
        return Image.fromarray(pixels.numpy())


def test_a_random_crop_of_the_central_square_shows_only_the_middle() -> None:
    chosen = changed(random_crop=28, shorter_side=30, square=True)
    whole = replace(chosen, square=False)
    square, anywhere = (
        torch.stack([TrainViews(Shown(), each)[0, seed][0] for seed in range(20)]) for each in (chosen, whole)
    )
    assert square.shape == (20, 3, 28, 28)
    assert square[:, 1].eq(255).all()
    assert anywhere[:, 0].any()
    assert anywhere[:, 2].any()


def test_the_shorter_side_is_scaled_to_a_random_length() -> None:
    """At a scale of 30 pixels a crop of 28 is nearly the height of the image; at 120 its third of one colour is 120."""
    chosen = changed(random_crop=28, shorter_side=30, shorter_side_max=120)
    views = TrainViews(Shown(), chosen)
    colours = [int(views[0, seed][0].amax((1, 2)).gt(128).sum()) for seed in range(40)]
    assert {1, 2} <= {*colours}
    assert torch.equal(views[0, 3][0], views[0, 3][0])


def test_depthwise_convolutions_may_be_left_out_of_weight_decay() -> None:
    network = build("mobilenetv1", {}, classes=10, input=(3, 32, 32))
    for name in ("weights", "weights-not-depthwise"):
        chosen = changed(decay_scope=name)
        found = [each for each in network.modules() if decays(each, chosen)]
        depthwise = [each for each in found if isinstance(each, nn.Conv2d) and each.groups > 1]
        assert len(depthwise) == (13 if name == "weights" else 0)
        assert len(found) - len(depthwise) == 1 + 13 + 1


def test_decay_and_epsilon_of_batchnorm_are_those_of_the_recipe(tiny: Make) -> None:
    experiment = tiny(batchnorm_decay=0.97, batchnorm_epsilon=0.001)
    norms = [each for each in network_of(experiment).modules() if isinstance(each, nn.BatchNorm2d)]
    assert [each.momentum for each in norms] == pytest.approx([0.03] * len(norms))
    assert {each.eps for each in norms} == {0.001}


def test_batchnorm_of_vectors_and_volumes_is_treated_like_that_of_images(tiny: Make) -> None:
    torch.manual_seed(0)
    norms = [nn.BatchNorm1d(12), nn.BatchNorm3d(3)]
    network = nn.Sequential(nn.Flatten(), norms[0], nn.Unflatten(1, (3, 1, 2, 2)), norms[1])
    set_batchnorm(network, tiny(batchnorm_decay=0.97, batchnorm_epsilon=0.001).recipe)
    assert [(each.momentum, each.eps) for each in norms] == [(pytest.approx(0.03), 0.001)] * 2
    INITIALISERS["conv-fan-in-batchnorm-uniform"](network)
    assert all(each.weight.max() < 1 for each in norms)
    batches = torch.rand(5, 4, 3, 2, 2)
    take_exact_statistics(network, batches)
    assert [int(each.num_batches_tracked) for each in norms if each.num_batches_tracked is not None] == [5, 5]
    torch.testing.assert_close(norms[0].running_mean, batches.flatten(2).mean((0, 1)))


def test_without_an_epsilon_in_the_recipe_a_network_keeps_its_own() -> None:
    for model, dataset, epsilon in (("resnet20", "cifar10", 1e-5), ("googlenet", "imagenet", 1e-3)):
        network = network_of(experiment_for(model, {}, seed=0, dataset=dataset))
        assert {each.eps for each in network.modules() if isinstance(each, nn.BatchNorm2d)} == {epsilon}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("mobilenetv1", "mobilenetv1-imagenet"),
        ("mobilenetv2", "mobilenetv2-imagenet"),
        ("mobilenetv3-large", "mobilenetv3-imagenet"),
        ("xception", "xception-imagenet"),
    ],
)
def test_recipes_from_tensorflow_have_its_epsilon_in_batchnorm(model: str, name: str) -> None:
    network = network_of(experiment_for(model, {}, seed=0, recipe_name=name))
    assert {each.eps for each in network.modules() if isinstance(each, nn.BatchNorm2d)} == {0.001}


def test_alexnet_starts_as_printed() -> None:
    network = build("alexnet-two-towers", {}, classes=10)
    INITIALISERS["alexnet"](network)
    layers = [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    assert [each.bias.mean().item() for each in layers if each.bias is not None] == [0, 1, 0, 1, 1, 1, 1, 0]
    assert layers[1].weight.std().item() == pytest.approx(0.01, rel=0.02)


def test_glorot_and_truncated_normal_weights() -> None:
    network = build("mobilenetv1", {}, classes=10, input=(3, 32, 32))
    weight = network.get_parameter("classifier.weight")
    INITIALISERS["glorot"](network)
    assert weight.abs().max().item() == pytest.approx((6 / 1034) ** 0.5, rel=0.02)
    INITIALISERS["truncated-normal"](network)
    assert 0.17 < weight.abs().max().item() <= 0.18
    assert network.get_parameter("classifier.bias").eq(0).all()


def test_alexnet_with_two_towers_has_the_papers_layers() -> None:
    """60,965,224 parameters; the sum of squares of five maps is not divided by five, as in section 3.3."""
    with torch.device("meta"):
        assert sum(each.numel() for each in build("alexnet-two-towers", {}, classes=1000).parameters()) == 60_965_224
    network = build("alexnet-two-towers", {}, classes=10, input=(3, 32, 32))
    (norm, _) = (each for each in network.modules() if isinstance(each, nn.LocalResponseNorm))
    maps = torch.rand(1, 7, 1, 1) * 100
    sums = torch.stack([maps[:, max(0, at - 2) : at + 3].square().sum(1) for at in range(7)], 1)
    torch.testing.assert_close(norm(maps), maps / (2 + 1e-4 * sums) ** 0.75)
