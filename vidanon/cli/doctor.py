"""``vidanon doctor``: what this machine has, and what its lack costs."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

import vidanon
from vidanon.cli.terminal import Terminal
from vidanon.errors import ModelError, VidanonError

MTCNN = ("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet")
PACKAGES = ("torch", "av", "numpy", "scipy", "opencv-python-headless", "facenet-pytorch", "filterpy", "safetensors")
Lines = Iterator[tuple[str, str]]


def doctor() -> None:
    """Show what this machine has (libraries, device, encoders, detectors, models). Not 0 where it cannot run."""
    terminal = Terminal()
    broken: list[VidanonError] = []
    for check in (_python, _libraries, _device, _codecs, _detectors, _models, _ffmpeg):
        _show(check, terminal, broken)
    if broken:
        raise broken[0]
    terminal.result("ready")


def _show(check: Callable[[], Lines], terminal: Terminal, broken: list[VidanonError]) -> None:
    try:
        for name, text in check():
            terminal.result(f"{name:<24}{text}")
    except VidanonError as error:
        broken.append(error)
        terminal.result(f"{check.__name__[1:]:<24}PROBLEM: {error}")


def _python() -> Lines:
    yield "vidanon", vidanon.__version__
    yield "python", f"{platform.python_version()} ({sys.executable}), {platform.system()} {platform.machine()}"


def _libraries() -> Lines:
    missing = []
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            missing.append(name)
            yield name, "MISSING"
    for name in ("onnxruntime-gpu", "onnxruntime"):
        try:
            yield name, version(name)
            break
        except PackageNotFoundError:
            continue
    else:
        yield "onnxruntime", "not installed: YuNet cannot run (pip install 'vidanon[cpu]')"
    if missing:
        raise VidanonError(f"{', '.join(missing)} missing; install vidanon again")


def _device() -> Lines:
    from vidanon.runtime.device import choose_runtime

    runtime = choose_runtime("auto")
    yield "device", runtime.describe()
    for note in runtime.notes:
        yield "", note
    yield (
        "cores",
        f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} for this process",
    )


def _codecs() -> Lines:
    import av

    from vidanon.media.encoders import available

    libraries = ", ".join(
        f"{name} {'.'.join(map(str, number))}" for name, number in sorted(av.library_versions.items())
    )
    yield "libav", libraries
    yield "encoders", ", ".join(available()) + " (hardware ones are tried when asked for)"


def _detectors() -> Lines:
    from vidanon.zoo import resolve

    for model in MTCNN:
        resolve(model, offline=True)
    yield "mtcnn", "ready"
    slow = "" if importlib.util.find_spec("onnxruntime") else "; without onnxruntime about six times slower"
    try:
        yield "yunet", f"ready ({resolve('yunet', offline=True)}){slow}"
    except ModelError as error:
        yield "yunet", f"not usable: {error}: more small and turned faces are missed (vidanon models fetch yunet)"


def _models() -> Lines:
    from vidanon.zoo import cache_dir, models_dir

    yield "registry", str(models_dir() / "registry.toml")
    yield "cache", str(cache_dir())
    yield "own models", os.environ.get("VIDANON_MODELS") or "none (VIDANON_MODELS is not set)"


def _ffmpeg() -> Lines:
    found = shutil.which("ffmpeg")
    yield "ffmpeg", found or "not installed (only the tests use it)"
