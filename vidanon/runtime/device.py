"""The one place that decides device, threads and runtime, and says what it chose.

``auto`` takes the GPU where torch really has one and falls to the CPU with a line that says so; a GPU asked for by
name and not there is an error, never a silent CPU run. Parallelism comes from worker threads: torch, OpenCV, numpy's
BLAS and onnxruntime each get one thread inside a worker (two intra-op threads under contention collapse).
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import torch
from threadpoolctl import threadpool_limits

from vidanon.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

GPU_PROVIDER = "CUDAExecutionProvider"
_CPU_PROVIDER = "CPUExecutionProvider"


@dataclass(frozen=True)
class Runtime:
    """Where a run computes. Made once by :func:`choose_runtime`."""

    device: torch.device  #: cpu, or cuda with an index
    workers: int  #: worker threads; each computes with one intra-op thread
    notes: tuple[str, ...] = ()  #: weaker choices taken and why, for the closing summary
    exact: bool = False  #: float32 even where less is quicker: what a recipe makes is the same on every machine

    @cached_property
    def has_onnxruntime(self) -> bool:
        """Installed, and it imports: a build for another machine does not."""
        try:
            _onnxruntime()
        except ImportError:
            return False
        return True

    @cached_property
    def fast_dtype(self) -> torch.dtype:
        """Number type for networks that bear rounding: bfloat16 where this CPU multiplies it in hardware, float32
        elsewhere, and on a GPU, which is fast enough."""
        quick = not self.exact and self.device.type == "cpu" and multiplies_bfloat16()
        return torch.bfloat16 if quick else torch.float32

    def onnx_session(self, path: Path) -> tuple[Any, str]:
        """An onnxruntime session of ``path`` and the provider it *really* uses (``session.get_providers()``).

        Raises ModelError where the file is no model onnxruntime can run, or onnxruntime is not installed.
        """
        try:
            onnxruntime = _onnxruntime()
        except ImportError as error:
            raise ModelError(f"onnxruntime does not import ({error}); install vidanon[cpu] or vidanon[gpu]") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors arrive as exceptions; its warnings on stderr are for developers
        providers: list[Any] = [_CPU_PROVIDER]
        if self.device.type == "cuda":
            providers.insert(0, (GPU_PROVIDER, {"device_id": self.device.index or 0}))
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise ModelError(f"{path}: onnxruntime cannot run it ({reason}); get the original file") from error
        return session, session.get_providers()[0]

    def describe(self) -> str:
        """For the closing summary, as "cuda:0 (NVIDIA H200), 8 workers" or "cpu, 2 workers"."""
        name = str(self.device)
        if self.device.type == "cuda":
            name += f" ({torch.cuda.get_device_name(self.device)})"
        return f"{name}, {self.workers} worker{'s' if self.workers != 1 else ''}"


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AMX or AVX512). Where it does not, torch trains in it
    about ten times as slowly as in float32."""
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def choose_runtime(device: str = "auto", threads: int | None = None) -> Runtime:
    """Settle ``--device`` (auto | cpu | cuda[:n]) and ``--threads``, and limit the libraries to one thread each.

    Worker threads: ``threads``, else ``VIDANON_THREADS``, else one per core this process may use.
    Raises UsageError for a device that is not there.
    """
    workers = worker_count(threads)
    chosen, notes = _device(device)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    threadpool_limits(1, "blas")  # its idle threads spin: a fifth of a swap's processor time on two cores
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # its warnings on stderr are for developers
    return Runtime(chosen, workers, notes)


def worker_count(threads: int | None = None) -> int:
    """Worker threads of a run. Raises UsageError for a VIDANON_THREADS that is no positive number."""
    if threads is not None:
        if threads < 1:
            raise UsageError(f"--threads {threads}: at least 1")
        return threads
    text = os.environ.get("VIDANON_THREADS", "").strip()
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise UsageError(f"VIDANON_THREADS='{text}': give a number of threads, at least 1, or unset it")
        return int(text)
    return len(os.sched_getaffinity(0))  # cores of this process (containers, taskset), not of the machine


def _onnxruntime() -> Any:
    """The package. Raises ImportError. Its telemetry, on by default, writes a session file into the folder for
    temporary files and may call home: it is off, whoever reads the environment, before the first import."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    return importlib.import_module("onnxruntime")


def _device(wanted: str) -> tuple[torch.device, tuple[str, ...]]:
    if wanted == "cpu":
        return torch.device("cpu"), ()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        if count:
            return torch.device("cuda", 0), ()
        return torch.device("cpu"), (f"device auto: no usable CUDA device ({_why_no_cuda()}), computing on the CPU",)
    name, _, index_text = wanted.partition(":")
    if name != "cuda" or (index_text and not index_text.isdecimal()) or wanted.endswith(":"):
        raise UsageError(f"--device {wanted}: choose auto, cpu, cuda or cuda:N")
    if not count:
        raise UsageError(f"--device {wanted}: no usable CUDA device ({_why_no_cuda()}); use --device auto or cpu")
    index = int(index_text or 0)
    if index >= count:
        raise UsageError(f"--device {wanted}: this machine has {_names(range(count))}; choose one of those")
    return torch.device("cuda", index), ()


def _why_no_cuda() -> str:
    return "this torch is built without CUDA" if torch.version.cuda is None else "torch finds no GPU or no driver"


def _names(indices: Sequence[int]) -> str:
    return ", ".join(f"cuda:{i}" for i in indices)
