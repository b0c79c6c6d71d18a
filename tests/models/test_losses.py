from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.models.losses import FOCAL_GAMMA, GENERALIZED_Q, make_loss
from pipeline.models.params import LossName

NAMES = get_args(LossName)
LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 0.0, 0.0], [-3.0, 1.0, 4.0]])
ACTUAL = torch.tensor([0, 1, 0])
HARD = functional.one_hot(ACTUAL, 3).float()
SOFT = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4]])
ALIKE = torch.full((3,), 1 / 3)


def values(name: LossName, target: Tensor = HARD, *, logits: Tensor = LOGITS, prior: Tensor = ALIKE) -> Tensor:
    return make_loss(name, prior)(logits, target)


def given() -> Tensor:
    """Probability of each row's class."""
    return functional.softmax(LOGITS, 1)[torch.arange(3), ACTUAL]


def test_cross_entropy_is_that_of_torch() -> None:
    assert values("cross_entropy") == pytest.approx(functional.cross_entropy(LOGITS, ACTUAL, reduction="none"))
    expected = -(SOFT * functional.log_softmax(LOGITS, 1)).sum(1)
    assert values("cross_entropy", SOFT) == pytest.approx(expected)


def test_focal_loss_counts_little_what_is_predicted_well() -> None:
    assert values("focal") == pytest.approx((1 - given()) ** FOCAL_GAMMA * -given().log())


def test_the_generalized_loss_follows_its_formula_and_is_bounded() -> None:
    assert values("generalized_cross_entropy") == pytest.approx((1 - given() ** GENERALIZED_Q) / GENERALIZED_Q)
    sure = torch.tensor([[-1000.0, 1000.0]])
    worst = make_loss("generalized_cross_entropy", torch.full((2,), 0.5))(sure, torch.tensor([[1.0, 0.0]]))
    assert worst.item() == pytest.approx(1 / GENERALIZED_Q, rel=1e-4)


def test_the_symmetric_loss_adds_the_error_of_the_label_under_the_prediction() -> None:
    """For a hard label the second part is 4 (1 - p): the mean absolute error, scaled."""
    assert values("symmetric_cross_entropy") == pytest.approx(0.1 * -given().log() + 4 * (1 - given()), rel=1e-5)


def test_equal_shares_adjust_no_logit_and_a_rare_class_is_asked_for_more() -> None:
    assert values("logit_adjusted") == pytest.approx(values("cross_entropy"))
    rare_first = values("logit_adjusted", prior=torch.tensor([0.01, 0.49, 0.5]))
    assert rare_first[0] > values("cross_entropy")[0]
    assert rare_first[1] < values("cross_entropy")[1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", [HARD, SOFT], ids=["one class", "shared out"])
def test_every_loss_has_a_finite_gradient_that_is_zero_nowhere(name: LossName, target: Tensor) -> None:
    logits = (LOGITS * torch.tensor([[1.0], [1.0], [30.0]])).requires_grad_()
    values(name, target, logits=logits, prior=torch.tensor([0.0, 0.4, 0.6])).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0].abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_falls_as_the_target_is_met(name: LossName) -> None:
    near = torch.stack([values(name, logits=LOGITS + step * HARD) for step in (0.0, 1.0, 2.0)])
    assert (near.diff(dim=0) < 0).all()
