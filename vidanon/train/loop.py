"""The training loop: AdamW, warm-up and cosine decay, bfloat16 where it is safe and quick, a running average of the
weights, and a checkpoint from which a run goes on bit for bit on a processor of the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch
from torch import nn
from typing_extensions import TypeVar

from vidanon.errors import UsageError
from vidanon.runtime.device import multiplies_bfloat16
from vidanon.train.losses import Loss, Total
from vidanon.train.state import load_checkpoint, load_generator, save_checkpoint, save_generator

L = TypeVar("L", bound=Total, default=Loss)
#: draws a batch: (inputs, targets)
Batch = Callable[[np.random.Generator], tuple[torch.Tensor, torch.Tensor]]
_AVERAGE_EVERY = 10  #: steps
_AVERAGE_MOST = 0.99  #: share of the average that stays, at most: it looks back 1,000 steps


@dataclass(frozen=True)
class Plan:
    """How long and how fast."""

    steps: int
    rate: float = 1.5e-3  #: highest learning rate
    warm_up: int = 300  #: steps up to it
    least: float = 0.02  #: share of it that is left at the end
    decay: float = 0.02  #: weight decay, of tensors of two dimensions and more
    clip: float = 5.0  #: longest gradient

    def rate_at(self, step: int) -> float:
        wave = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.rate * min(1, step / self.warm_up) * (self.least + (1 - self.least) * wave)

    def same_so_far(self, other: Mapping[str, Any], step: int) -> bool:
        """Whether ``step`` steps under another plan (its fields) were what they are under this one."""
        return other == asdict(self)


@dataclass(frozen=True)
class LatePlan(Plan):
    """The rate is held, then falls straight: how many steps there are may be settled as late as the fall begins."""

    fall: float = 0.35  #: share of the steps, at the end

    def rate_at(self, step: int) -> float:
        left = (self.steps - step) / (self.steps * self.fall)
        return self.rate * min(1, step / self.warm_up) * max(self.least, min(1, left))

    def same_so_far(self, other: Mapping[str, Any], step: int) -> bool:
        if other == asdict(self):
            return True
        if other.keys() != asdict(self).keys():
            return False
        earlier = replace(self, steps=other["steps"])
        return other == asdict(earlier) and step <= min(plan.steps * (1 - plan.fall) for plan in (self, earlier))


@dataclass(frozen=True)
class Step(Generic[L]):
    """What the loop tells after each step."""

    done: int
    steps: int
    loss: L


def train(
    net: nn.Module,
    batch: Batch,
    loss: Callable[[torch.Tensor, torch.Tensor], L],
    plan: Plan,
    *,
    seed: int,
    run: str,
    checkpoint: Path,
    every: int = 100,
    progress: Callable[[Step[L]], None] = lambda step: None,
) -> dict[str, torch.Tensor]:
    """Train ``net`` in place; returns the running average of its weights.

    Starts from ``checkpoint`` where that is there, and writes it every so many steps and at the end. ``run`` says what
    is trained on what: UsageError where the checkpoint is of another run, or of a plan under which it would not have
    come to where it is. ``progress`` may raise to stop.
    """
    net.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    parameters = list(net.parameters())
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0},
        ],
        lr=plan.rate,
    )
    generator = np.random.default_rng(seed)
    average: dict[str, torch.Tensor] = {}
    start = 0
    settings = {"run": run, "seed": seed, "plan": asdict(plan)}
    if checkpoint.is_file():
        saved = load_checkpoint(checkpoint)
        before = dict(saved.get("settings", {}))
        other = before.pop("plan", {})
        if before != {"run": run, "seed": seed} or not plan.same_so_far(other, saved["step"]):
            raise UsageError(f"{checkpoint} is of a run with other settings; give another --out")
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        load_generator(generator, saved["generator"])
        average, start = saved["average"], saved["step"]
    for step in range(start, plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate_at(step)
        inputs, targets = batch(generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16()):
            answers = net(inputs)
        now = loss(answers, targets)
        optimiser.zero_grad()
        now.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, plan.clip)
        optimiser.step()
        if step % _AVERAGE_EVERY == 0:
            _update(average, net, min(_AVERAGE_MOST, (step + 10) / (step + 110)))
        if (step + 1) % every == 0 or step + 1 == plan.steps:
            save_checkpoint(
                checkpoint,
                {
                    "settings": settings,
                    "step": step + 1,
                    "net": net.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "generator": save_generator(generator),
                    "average": average,
                },
            )
        progress(Step(step + 1, plan.steps, now))
    return average


def _update(average: dict[str, torch.Tensor], net: nn.Module, keep: float) -> None:
    """Move the average towards the weights and running statistics of ``net``; the first time, take them."""
    for name, tensor in net.state_dict().items():
        if name not in average or not tensor.is_floating_point():
            average[name] = tensor.clone()
        else:
            average[name].mul_(keep).add_(tensor, alpha=1 - keep)
