"""Implements an exact linear-chain conditional random field (CRF) over two states, for the "w/ CRF" row of Table 1.

The states are rest and stroke. Several independent chains (one for each rhythm head) run side by side.
Shapes: B batch; T frames; H heads; S = 2 states.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STATES = 2


class Crf(nn.Module):
    """Models p(y | x) ∝ exp(start[y_1] + Σ_t emission[t, y_t] + Σ_t transition[y_t-1, y_t] + end[y_T])."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.transition = nn.Parameter(0.1 * torch.randn(heads, STATES, STATES))  # [from, to]
        self.start = nn.Parameter(torch.zeros(heads, STATES))
        self.end = nn.Parameter(torch.zeros(heads, STATES))

    def score(self, emissions: Tensor, states: Tensor) -> Tensor:
        """Computes the unnormalised log-probability (B, H) of integer `states` (B, T, H), emissions (B, T, H, S)."""
        emitted = emissions.gather(-1, states[..., None]).squeeze(-1).sum(dim=1)  # (B, H)
        head = torch.arange(states.shape[-1], device=states.device)
        moved = self.transition[head, states[:, :-1], states[:, 1:]].sum(dim=1)
        return emitted + moved + self.start[head, states[:, 0]] + self.end[head, states[:, -1]]

    def log_partition(self, emissions: Tensor) -> Tensor:
        """Computes log Σ_y exp(score(y)), (B, H), by the forward algorithm."""
        return torch.logsumexp(self._forward(emissions)[:, -1] + self.end, dim=-1)

    def nll(self, emissions: Tensor, states: Tensor) -> Tensor:
        """Computes -log p(states | emissions), (B, H); divide by T for a figure per frame."""
        return self.log_partition(emissions) - self.score(emissions, states)

    def marginal_logits(self, emissions: Tensor) -> Tensor:
        """Computes log p(y_t = stroke) - log p(y_t = rest), (B, T, H), by the forward-backward algorithm."""
        both = self._forward(emissions) + self._backward(emissions)
        return both[..., 1] - both[..., 0]

    def viterbi(self, emissions: Tensor) -> Tensor:
        """Finds the likeliest states, (B, T, H) integers."""
        best = self.start + emissions[:, 0]  # (B, H, S)
        came_from = []
        for t in range(1, emissions.shape[1]):
            reached, source = (best[..., :, None] + self.transition).max(dim=-2)  # over the state left
            best = reached + emissions[:, t]
            came_from.append(source)
        state = (best + self.end).argmax(dim=-1)  # (B, H)
        path = [state]
        for source in reversed(came_from):
            state = source.gather(-1, state[..., None]).squeeze(-1)
            path.append(state)
        return torch.stack(path[::-1], dim=1)

    def _forward(self, emissions: Tensor) -> Tensor:
        """Computes log-sums over all ways to reach each state, its own emission included: (B, T, H, S)."""
        alpha = self.start + emissions[:, 0]
        alphas = [alpha]
        for t in range(1, emissions.shape[1]):
            alpha = torch.logsumexp(alpha[..., :, None] + self.transition, dim=-2) + emissions[:, t]
            alphas.append(alpha)
        return torch.stack(alphas, dim=1)

    def _backward(self, emissions: Tensor) -> Tensor:
        """Computes log-sums over all ways on from each state, its own emission left out: (B, T, H, S)."""
        beta = self.end.expand_as(emissions[:, 0])
        betas = [beta]
        for t in range(emissions.shape[1] - 1, 0, -1):
            beta = torch.logsumexp(self.transition + (beta + emissions[:, t])[..., None, :], dim=-1)
            betas.append(beta)
        return torch.stack(betas[::-1], dim=1)
