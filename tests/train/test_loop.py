"""The loop on a small network: it learns, averages, goes on bit for bit, and takes no other run for its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from vidanon.errors import ModelError, UsageError
from vidanon.train.loop import Plan, Step, train
from vidanon.train.losses import distil

PLAN = Plan(steps=40, warm_up=4, rate=1e-2)
WEIGHTS = torch.randn(6, 27, generator=torch.Generator().manual_seed(3))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.PReLU(8), nn.Flatten(), nn.Linear(8, 6))


def batch(generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(generator.normal(size=(32, 3, 3, 3)).astype(np.float32))
    return x, nn.functional.normalize(x.flatten(1) @ WEIGHTS.T, dim=1)


def run(folder, *, plan=PLAN, seed=1, name="r", stop_at=None, steps=None):
    def progress(step: Step) -> None:
        if steps is not None:
            steps.append(step)
        if step.done == stop_at:
            raise KeyboardInterrupt

    model = net()
    average = train(
        model, batch, distil, plan, seed=seed, run=name, checkpoint=folder / "c.pt", every=10, progress=progress
    )
    return model.state_dict(), average


def equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_it_learns_and_the_average_follows(tmp_path):
    steps: list[Step] = []
    weights, average = run(tmp_path, plan=Plan(steps=200, warm_up=10, rate=1e-2), steps=steps)
    assert [s.done for s in steps] == list(range(1, 201))
    assert steps[-1].loss.total.item() < 0.5 * steps[0].loss.total.item()
    assert steps[-1].loss.cosine > 0.7 > steps[0].loss.cosine
    assert average["1.num_batches_tracked"] == 191  # last taken at step 190
    away = (average["4.weight"] - weights["4.weight"]).norm() / weights["4.weight"].norm()
    assert 0 < away < 0.3


def test_it_goes_on_bit_for_bit(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = run(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", stop_at=27)
    steps: list[Step] = []
    again = run(tmp_path / "b", steps=steps)
    assert steps[0].done == 21 and steps[-1].done == 40
    equal(whole[0], again[0])
    equal(whole[1], again[1])
    steps.clear()
    ended = run(tmp_path / "b", steps=steps)
    assert not steps
    equal(ended[0], whole[0])
    equal(ended[1], whole[1])


@pytest.mark.parametrize("changed", [{"seed": 2}, {"name": "s"}, {"plan": Plan(steps=50, warm_up=4, rate=1e-2)}])
def test_another_runs_checkpoint_is_refused(tmp_path, changed):
    run(tmp_path)
    with pytest.raises(UsageError, match="other settings"):
        run(tmp_path, **changed)


def test_a_broken_checkpoint_is_named(tmp_path):
    (tmp_path / "c.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="delete it"):
        run(tmp_path)


def test_the_rate_rises_then_falls():
    plan = Plan(steps=6000)
    assert plan.rate_at(0) == 0 and plan.rate_at(150) == pytest.approx(plan.rate / 2, rel=0.01)
    assert plan.rate_at(3000) == pytest.approx(plan.rate * 0.51)
    assert plan.rate_at(6000) == pytest.approx(plan.rate * 0.02)
    assert max(plan.rate_at(s) for s in range(6000)) <= plan.rate


def test_the_loss_is_what_it_says():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(5, 4, generator=generator) for _ in range(2))
    b = nn.functional.normalize(b, dim=1)
    loss = distil(a, b)
    own = [[x / math.sqrt(sum(v * v for v in row)) for x in row] for row in a.tolist()]
    other = b.tolist()

    def dot(p, q):
        return sum(x * y for x, y in zip(p, q, strict=True))

    cosine = sum(dot(p, q) for p, q in zip(own, other, strict=True)) / 5
    relation = sum((dot(own[i], own[j]) - dot(other[i], other[j])) ** 2 for i in range(5) for j in range(5)) / 25
    assert loss.cosine == pytest.approx(cosine, abs=1e-5) and loss.relation == pytest.approx(relation, abs=1e-5)
    assert loss.total.item() == pytest.approx(2 * (1 - cosine) + 8 * relation, abs=1e-5)
    assert distil(3 * b, b).total.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("quick", [True, False])
def test_bfloat16_only_where_the_processor_multiplies_it(tmp_path, monkeypatch, quick):
    monkeypatch.setattr("vidanon.train.loop.multiplies_bfloat16", lambda: quick)
    seen = set()

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.net(x)
            seen.add(out.dtype)
            return out

    train(Watched(), batch, distil, Plan(steps=1, warm_up=1), seed=1, run="r", checkpoint=tmp_path / "c.pt")
    assert seen == {torch.bfloat16 if quick else torch.float32}
