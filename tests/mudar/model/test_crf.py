"""The CRF against the sum over every state sequence."""

import itertools

import pytest
import torch
from torch import Tensor

from mudar.model.crf import Crf

T, HEADS = 5, 3


@pytest.fixture
def crf() -> Crf:
    torch.manual_seed(0)
    made = Crf(HEADS)
    for parameter in made.parameters():
        parameter.data = torch.randn_like(parameter)
    return made.double()


@pytest.fixture
def emissions() -> Tensor:
    return torch.randn(2, T, HEADS, 2, generator=torch.Generator().manual_seed(1)).double()


def every_score(crf: Crf, emissions: Tensor, batch: int, head: int) -> dict[tuple[int, ...], float]:
    """Score of each of the 2^T state sequences, added up by hand."""
    scores = {}
    for states in itertools.product(range(2), repeat=T):
        score = crf.start[head, states[0]] + crf.end[head, states[-1]]
        for t, state in enumerate(states):
            score = score + emissions[batch, t, head, state]
        for before, after in itertools.pairwise(states):
            score = score + crf.transition[head, before, after]
        scores[states] = float(score.detach())
    return scores


CASES = [(batch, head) for batch in range(2) for head in range(HEADS)]


@pytest.mark.parametrize(("batch", "head"), CASES)
def test_likelihood_is_that_of_the_enumeration(crf: Crf, emissions: Tensor, batch: int, head: int) -> None:
    scores = every_score(crf, emissions, batch, head)
    total = torch.logsumexp(torch.tensor(list(scores.values())).double(), 0)
    for states in ((0, 1, 0, 0, 1), (1, 1, 1, 1, 1)):
        given = torch.tensor(states)[None, :, None].expand(2, T, HEADS)
        nll = crf.nll(emissions, given)[batch, head]
        torch.testing.assert_close(nll, total - scores[states])


@pytest.mark.parametrize(("batch", "head"), CASES)
def test_marginals_are_those_of_the_enumeration(crf: Crf, emissions: Tensor, batch: int, head: int) -> None:
    scores = every_score(crf, emissions, batch, head)
    weight = {states: torch.tensor(score).double().exp() for states, score in scores.items()}
    total = sum(weight.values())
    probability = torch.sigmoid(crf.marginal_logits(emissions))[batch, :, head]
    for t in range(T):
        expected = sum(w for states, w in weight.items() if states[t] == 1) / total
        torch.testing.assert_close(probability[t], expected)


@pytest.mark.parametrize(("batch", "head"), CASES)
def test_viterbi_finds_the_best_of_all(crf: Crf, emissions: Tensor, batch: int, head: int) -> None:
    scores = every_score(crf, emissions, batch, head)
    assert tuple(crf.viterbi(emissions)[batch, :, head].tolist()) == max(scores, key=scores.__getitem__)


def test_gradient_of_the_partition_is_the_marginal(crf: Crf, emissions: Tensor) -> None:
    emissions.requires_grad_()
    crf.log_partition(emissions).sum().backward()
    assert emissions.grad is not None
    torch.testing.assert_close(emissions.grad[..., 1], torch.sigmoid(crf.marginal_logits(emissions.detach())))


def test_one_frame_is_a_chain_too(crf: Crf) -> None:
    one = torch.randn(1, 1, HEADS, 2).double()
    expected = torch.logsumexp(one[:, 0] + crf.start + crf.end, dim=-1)
    torch.testing.assert_close(crf.log_partition(one), expected)
