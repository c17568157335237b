"""The weight map of U-Net and the metrics of a segmentation, against their definitions."""

import math

import pytest
import torch
from torch import Tensor

from repro.training.tasks.border_weights import border_weights, class_weights
from repro.training.tasks.pixel_metrics import Tally, pairs_together


def brute_force(label: Tensor, w0: float, sigma: float) -> Tensor:
    """Equation 2's second term, pixel by pixel; cells are given by their numbers."""
    term = torch.zeros(label.shape)
    places_of = {int(k): (label == k).nonzero().double() for k in label.unique() if k}
    for y, x in (label == 0).nonzero().tolist():
        here = torch.tensor([y, x]).double()
        d1, d2 = sorted(float((each - here).norm(dim=1).min()) for each in places_of.values())[:2]
        term[y, x] = w0 * math.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    return term


def test_the_weight_map_is_equation_2() -> None:
    numbers = torch.zeros(24, 26, dtype=torch.int64)
    numbers[2:9, 2:10], numbers[3:12, 13:20], numbers[15:22, 4:17], numbers[14:16, 20:25] = 1, 2, 3, 4
    found = border_weights((numbers > 0).to(torch.uint8), w0=10, sigma=5)
    torch.testing.assert_close(found, brute_force(numbers, 10, 5))
    assert found[5, 11] == pytest.approx(10 * math.exp(-((2 + 2) ** 2) / 50))  # two pixels away from each cell
    assert not found[numbers > 0].any()


def test_the_weight_of_a_gap_does_not_depend_on_distant_cells() -> None:
    """Cells beyond the reach of the term are left out of the computation, not out of the answer."""
    far = torch.zeros(20, 200, dtype=torch.int64)
    far[:, :5], far[:, 8:15], far[:, 190:] = 1, 2, 3
    near = border_weights((far[:, :15] > 0).to(torch.uint8), w0=10, sigma=2)
    torch.testing.assert_close(border_weights((far > 0).to(torch.uint8), w0=10, sigma=2)[:, :15], near)


def test_one_cell_alone_has_no_border() -> None:
    label = torch.zeros(9, 9, dtype=torch.uint8)
    label[2:5, 2:5] = 1
    assert not border_weights(label, w0=10, sigma=5).any()


def test_class_weights_give_every_class_the_same_total_weight() -> None:
    labels = torch.tensor([0, 1, 1, 1])
    weights = class_weights(labels, 2)
    assert weights.tolist() == pytest.approx([2, 2 / 3])
    assert weights[labels].mean() == pytest.approx(1)


def tally(inside: Tensor, label: Tensor) -> Tally:
    found = Tally(2)
    found.add(torch.stack([1 - inside, inside]), label)
    return found


def test_a_perfect_segmentation_has_no_error() -> None:
    label = torch.tensor([[1, 1, 0, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 1, 1]])
    metrics = tally(label.float(), label).metrics()
    assert (metrics.error, metrics.error5, metrics.images) == (0, None, 1)
    assert metrics.extra == {"iou": 1, "isbi_pixel": 0, "isbi_rand": 0}


def test_pixel_error_and_iou_by_hand() -> None:
    label = torch.tensor([[1, 1, 1, 0]])
    metrics = tally(torch.tensor([[0.9, 0.9, 0.3, 0.6]]), label).metrics()
    assert metrics.error == pytest.approx(50)
    assert metrics.extra["iou"] == pytest.approx((2 / 4 + 0 / 2) / 2)
    # Above 0 to 0.2 all four are inside: precision 3/4, recall 1, F = 6/7; above 0.6 to 0.8: 1 and 2/3, F = 4/5.
    assert metrics.extra["isbi_pixel"] == pytest.approx(1 - 6 / 7)
    assert metrics.loss == pytest.approx(-sum(map(math.log, (0.9, 0.9, 0.3, 0.4))) / 4)


def test_rand_error_by_hand_of_a_merger_and_of_a_split() -> None:
    """Two cells of 3 and 2 pixels; pairs are ordered and include a pixel's with itself: 9 + 4 = 13 in the truth."""
    truth = torch.tensor([[1, 1, 1, 0, 2, 2]]).numpy()
    merged = torch.tensor([[1, 1, 1, 1, 1, 1]]).numpy()
    assert pairs_together(truth, merged).tolist() == [13, 13, 25]
    split = torch.tensor([[1, 0, 2, 0, 3, 3]]).numpy()  # the middle pixel is a separate cell
    assert pairs_together(truth, split).tolist() == [1 + 1 + 4 + 1, 13, 1 + 1 + 4 + 1]


def test_pairs_equal_counting_them_one_by_one() -> None:
    chance = torch.Generator().manual_seed(0)
    truth, guess = (torch.randint(4, (6, 7), generator=chance) for _ in range(2))
    alone = torch.arange(100, 142).view(6, 7)
    pixels = [(t, g or a) for t, g, a in zip(*(x.flatten().tolist() for x in (truth, guess, alone)), strict=True) if t]
    pairs = [(one[0] == other[0], one[1] == other[1]) for one in pixels for other in pixels]
    expected = [sum(a and b for a, b in pairs), sum(a for a, _ in pairs), sum(b for _, b in pairs)]
    assert pairs_together(truth.int().numpy(), guess.int().numpy()).tolist() == expected


def test_a_merger_costs_rand_error_but_hardly_a_pixel() -> None:
    label = torch.ones(20, 41, dtype=torch.long)
    label[:, 20] = 0
    guess = label.float()
    guess[10, 20] = 1  # one pixel of membrane missed joins the halves
    metrics = tally(guess, label).metrics()
    assert metrics.error == pytest.approx(100 / label.numel())
    assert metrics.extra["isbi_rand"] == pytest.approx(1 - 2 * 0.5 / 1.5)
