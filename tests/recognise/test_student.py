"""Our own recogniser: its file, its network, and the shipped weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from vidanon.errors import ModelError
from vidanon.recognise.base import ARCFACE_112
from vidanon.recognise.nets import StudentNet, fused, student_net
from vidanon.recognise.student import Student, describe_student, load_student, read_description, write_student
from vidanon.runtime.device import choose_runtime
from vidanon.zoo import load_registry
from vidanon.zoo.load import load_state

ROOT = Path(__file__).parents[2]
PATCHES = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def shipped() -> Student:
    return load_student(choose_runtime("cpu", 1))


def lively(net: StudentNet) -> StudentNet:
    """``net`` with normalisations that do something."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.5, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            if module.affine:
                module.weight.data.uniform_(0.5, 2, generator=generator)
                module.bias.data.normal_(0, 0.5, generator=generator)
    return net.eval()


def test_a_network_is_read_from_its_tensors_and_folding_changes_nothing():
    torch.manual_seed(0)
    net = lively(StudentNet(24, (8, 8, 16, 16, 12), (1, 2, 1, 3)))
    x = torch.randn(2, 3, 112, 112)
    again = student_net(net.state_dict())
    assert [tuple(p.shape) for p in again.parameters()] == [tuple(p.shape) for p in net.parameters()]
    with torch.inference_mode():
        want = net(x)
        torch.testing.assert_close(again(x), want)
        torch.testing.assert_close(fused(again)(x), want, atol=2e-4, rtol=2e-4)
    norms = [m for m in again.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 7 + 1  # one per block, one before the head


def test_the_size_the_card_tells():
    assert sum(p.numel() for p in StudentNet().parameters()) == 2_276_896


def test_a_file_holds_weights_and_description(tmp_path):
    torch.manual_seed(0)
    net = lively(StudentNet(24, (8, 8, 16, 16, 12)))
    written = describe_student(teachers=("a", "b"), thresholds={0.01: 0.3, 0.001: 0.41}, measured_on="x", name="mine")
    path = tmp_path / "s.safetensors"
    write_student(path, net.state_dict(), written)
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]
    read = read_description(path)
    assert replace(read, sha256="") == written and len(read.sha256) == 64
    state = load_state(path)
    assert {t.dtype for n, t in state.items() if t.ndim > 1} == {torch.float16}
    assert {t.dtype for n, t in state.items() if t.ndim == 1} == {torch.float32}
    student = Student(path, choose_runtime("cpu", 1))
    with torch.inference_mode():
        x = torch.from_numpy(PATCHES).permute(0, 3, 1, 2)
        want = torch.nn.functional.normalize(net((x - 127.5) / 128), dim=1).numpy()
    assert (student.embed(PATCHES) * want).sum(1).min() > 0.999


def test_other_files_are_refused(tmp_path):
    runtime = choose_runtime("cpu", 1)
    text, plain, other = (tmp_path / n for n in ("text.safetensors", "plain.safetensors", "other.safetensors"))
    text.write_text("no tensors")
    safetensors.torch.save_file({"a": torch.zeros(3)}, plain)
    write_student(other, {"a": torch.zeros(3)}, describe_student(teachers=()))
    for path in (text, plain, other, tmp_path / "none.safetensors"):
        with pytest.raises(ModelError, match=path.name) as caught:
            Student(path, runtime)
        assert "\n" not in str(caught.value)


def test_the_shipped_one_describes_itself(shipped):
    description = shipped.description
    assert (description.name, description.size, description.template) == ("student", 112, ARCFACE_112)
    assert (description.channels, description.offset, description.scale) == ("rgb", 127.5, 128)
    assert description.teachers == ("mobileface_v2",) and description.metric == "cosine"
    assert description.sha256 == load_registry()["student"].sha256
    assert 0 < description.thresholds[0.01] < description.thresholds[0.001] < 1
    assert "LFW" in description.measured_on and description.licence == "MIT"


def test_embeddings(shipped):
    out = shipped.embed(PATCHES)
    assert out.shape == (5, 256) and out.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, atol=1e-5)
    assert shipped.embed(PATCHES[:0]).shape == (0, 256)
    np.testing.assert_array_equal(shipped.embed(PATCHES), out)
    many = shipped.embed(np.tile(PATCHES, (9, 1, 1, 1)))  # more than one call of the network
    assert (many.reshape(9, 5, 256) * out).sum(2).min() > 0.999
    strided = np.concatenate([PATCHES, PATCHES], 2)[:, :, :112]
    np.testing.assert_array_equal(shipped.embed(strided), out)
    with ThreadPoolExecutor(4) as threads:
        for again in threads.map(shipped.embed, [PATCHES] * 8):
            np.testing.assert_array_equal(again, out)


def test_pooled_features_are_means_of_one_map_in_its_order(shipped):
    whole, fine = shipped.pooled(PATCHES, 1), shipped.pooled(PATCHES, 7)
    assert (
        fine.shape == (5, 192 * 49) and whole.dtype == np.float32 and shipped.pooled(PATCHES[:0], 3).shape == (0, 1728)
    )
    np.testing.assert_allclose(fine.reshape(5, 192, 49).mean(2), whole[:, :192], atol=1e-3)
    corner = PATCHES.copy()
    corner[:, :24, :24] = 0
    moved = np.abs(shipped.pooled(corner, 7) - fine).reshape(5, 192, 7, 7).mean((0, 1))
    assert moved[0, :2].mean() > 20 * moved[-1, -2:].mean() and moved[0, :2].mean() > 2 * moved[0, -2:].mean()


@pytest.mark.parametrize(
    "patches",
    [PATCHES.astype(np.float32), PATCHES[0], PATCHES[:, :100], PATCHES.transpose(0, 3, 1, 2)],
)
def test_wrong_patches(shipped, patches):
    for look in (shipped.embed, lambda seen: shipped.pooled(seen, 3)):
        with pytest.raises(ValueError, match="uint8 wanted"):
            look(patches)


def test_rounding_does_not_matter(shipped):
    """bfloat16, where the CPU has it, answers as float32 does."""

    class Exact(type(choose_runtime("cpu", 1))):
        fast_dtype = torch.float32

    exact = load_student(Exact(torch.device("cpu"), 1))
    assert (exact.embed(PATCHES) * shipped.embed(PATCHES)).sum(1).min() > 0.998


def test_it_loads_from_an_installed_wheels_layout(tmp_path):
    """``vidanon`` with ``models/`` inside as ``_models``, far from the checkout, without network or home."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "vidanon", tmp_path / "site" / "vidanon", ignore=ignore)
    shutil.copytree(ROOT / "models", tmp_path / "site" / "vidanon" / "_models", ignore=ignore)
    code = (
        "import numpy as np, vidanon.recognise.student as s, vidanon.runtime.device as d\n"
        "m = s.load_student(d.choose_runtime('cpu', 1))\n"
        "print(s.__file__, m.embed(np.zeros((1, 112, 112, 3), np.uint8)).shape, m.description.sha256)"
    )
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site")) and "(1, 256)" in done.stdout
    assert load_registry()["student"].sha256 in done.stdout

    weights = tmp_path / "site" / "vidanon" / "_models" / "student.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0 and "reinstall vidanon" in done.stderr


def test_a_gradient_can_be_taken_through_it(shipped: Student) -> None:
    pixels = torch.from_numpy(PATCHES).permute(0, 3, 1, 2).float().requires_grad_(True)
    embedding = shipped.embed_tensor(pixels)
    np.testing.assert_allclose(embedding.detach().numpy(), shipped.embed(PATCHES), atol=1e-5)
    (gradient,) = torch.autograd.grad(embedding[0, 0], pixels)
    assert torch.isfinite(gradient).all() and gradient[0].abs().max() > 0 and (gradient[1:] == 0).all()
