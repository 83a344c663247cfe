"""Conformal risk control: exact small cases, and its promise over many draws of images."""

import numpy as np
import pytest

from jaxdiff.tasks.risk_control import PIECES, Loss, RiskControl, highest_percent, images_for, percent_of


def test_the_loss_is_the_share_of_greater_scores():
    loss = Loss.of(np.array([[3.0, 1.0], [2.0, 2.0]]))
    assert [loss.at(q) for q in (0.0, 1.0, 1.9, 2.0, 2.5, 3.0, np.inf)] == [1, 0.75, 0.75, 0.25, 0.25, 0, 0]
    of_two = Loss.of(np.array([3.0, 1.0, 2.0]), size=2)  # three pixels are wrong where two are right: no more than 1
    assert [of_two.at(q) for q in (0.0, 1.0, 2.0, 3.0)] == [1, 1, 0.5, 0]
    assert Loss.of(np.zeros(0)).at(-1.0) == 0


def test_many_scores_are_kept_as_few_and_never_lose_less():
    scores = np.random.default_rng(0).exponential(size=5 * PIECES + 3)
    loss = Loss.of(scores)
    assert len(loss.scores) <= PIECES
    for q in (0.0, 0.1, 1.0, 3.0, 9.0, scores.max()):
        exact = np.mean(scores > q)
        assert exact <= loss.at(q) <= exact + 1.01 / (len(scores) // 6)


def test_the_factor_of_images_of_one_pixel_is_the_conformal_quantile():
    """⌈(n + 1)(1 − α)⌉-th smallest of n scores (Angelopoulos and Bates 2023, arXiv:2107.07511)."""
    scores = np.random.default_rng(1).permutation(np.arange(1.0, 20.0))
    control = RiskControl([Loss.of(score[None]) for score in scores])
    for percent, rank in ((50, 10), (75, 15), (90, 18), (95, 19)):
        assert control.smallest(percent) == rank
    with pytest.raises(
        ValueError, match="got 19 images for a coverage of 96 %; expected 24 or more; to fix: hold more"
    ):
        control.smallest(96)
    # Of the 18 others the 18th of 19 ranks: the greatest of them, which the greatest of all alone lies above.
    assert control.held_out(90) == pytest.approx(18 / 19)


def test_nothing_lost_needs_no_margin():
    control = RiskControl([Loss.of(np.full(5, -2.0)), Loss.of(np.zeros(0))] * 5)
    assert control.smallest(90) == 0
    assert control.held_out(85) == 1
    assert RiskControl([Loss.of(np.full(2, np.inf))] * 9).smallest(90) == np.inf


def test_new_images_are_covered_as_promised_and_not_much_more():
    """Each image has a width of its own, so that its pixels depend on each other: 1 − α ≤ E ≤ 1 − α + 2/(n + 1)."""
    rng, n, pixels, covered = np.random.default_rng(2), 12, 40, []
    for _ in range(600):
        scores = rng.gamma(3.0, size=(n + 8, 1)) * rng.exponential(size=(n + 8, pixels))
        q = RiskControl([Loss.of(one) for one in scores[:n]]).smallest(80)
        covered += [np.mean(scores[n:] <= q)]
    error = np.std(covered) / np.sqrt(len(covered))
    assert 0.8 - 4 * error < np.mean(covered) < 0.8 + 2 / (n + 1) + 4 * error


def test_leaving_out_one_is_leaving_out_one():
    rng = np.random.default_rng(3)
    losses = [Loss.of(rng.gamma(2.0, size=7).round(1)) for _ in range(14)]  # with ties
    others = [RiskControl([*losses[:i], *losses[i + 1 :]]).smallest(80) for i in range(14)]
    expected = 1 - np.mean([loss.at(q) for loss, q in zip(losses, others)])
    assert RiskControl(losses).held_out(80) == pytest.approx(expected)


def test_how_many_images_a_coverage_needs():
    assert [images_for(percent) for percent in (50, 90, 95, 99)] == [1, 9, 19, 99]
    for images in (1, 8, 9, 18, 99, 10**6):
        percent = highest_percent(images)
        assert images_for(percent) <= images
        assert percent == 99 or images_for(percent + 1) > images
    assert [percent_of(c) for c in (0.2, 0.5, 0.9, 0.901, 0.29 + 0.61, 0.99)] == [50, 50, 90, 91, 90, 99]
    for wrong in (0, 1, -1, 90, 0.995, float("nan")):
        with pytest.raises(ValueError, match=r"expected a share above 0 and up to 0\.99; to fix: coverage=0\.9"):
            percent_of(wrong)
