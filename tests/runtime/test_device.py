"""Device, threads and runtime: what is chosen, and that a weaker choice is never silent."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import cv2
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from vidanon.errors import ModelError, UsageError
from vidanon.runtime.device import Runtime, choose_runtime, worker_count


def cuda(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Some GPU")


def test_auto_without_a_gpu_is_the_cpu_and_says_so(monkeypatch):
    cuda(monkeypatch, 0)
    runtime = choose_runtime("auto", 3)
    assert runtime.device == torch.device("cpu")
    assert len(runtime.notes) == 1 and "CPU" in runtime.notes[0]
    assert runtime.describe() == "cpu, 3 workers"


def test_auto_with_a_gpu(monkeypatch):
    cuda(monkeypatch, 2)
    runtime = choose_runtime("auto", 1)
    assert runtime.device == torch.device("cuda", 0) and not runtime.notes
    assert runtime.describe() == "cuda:0 (Some GPU), 1 worker"
    assert runtime.fast_dtype is torch.float32


@pytest.mark.parametrize(("wanted", "index"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_gpu_by_name(monkeypatch, wanted, index):
    cuda(monkeypatch, 2)
    assert choose_runtime(wanted).device == torch.device("cuda", index)


@pytest.mark.parametrize(
    ("wanted", "count"),
    [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2), ("cuda:", 1), ("cuda:x", 1), ("cuda:-1", 1), ("gpu", 1), ("", 1)],
)
def test_a_device_that_is_not_there_is_an_error_never_the_cpu(monkeypatch, wanted, count):
    cuda(monkeypatch, count)
    with pytest.raises(UsageError) as caught:
        choose_runtime(wanted)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_the_cpu_by_name_even_with_a_gpu(monkeypatch):
    cuda(monkeypatch, 1)
    runtime = choose_runtime("cpu")
    assert runtime.device.type == "cpu" and not runtime.notes


def test_workers(monkeypatch):
    monkeypatch.delenv("VIDANON_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5})
    assert worker_count() == 3
    monkeypatch.setenv("VIDANON_THREADS", "7")
    assert worker_count() == 7
    assert worker_count(2) == 2  # the option wins
    monkeypatch.setenv("VIDANON_THREADS", " ")
    assert worker_count() == 3


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_wrong_thread_counts(monkeypatch, text):
    monkeypatch.setenv("VIDANON_THREADS", text)
    with pytest.raises(UsageError, match="VIDANON_THREADS"):
        worker_count()
    with pytest.raises(UsageError):
        worker_count(0)


def test_libraries_get_one_thread_each():
    choose_runtime("cpu", 4)
    assert torch.get_num_threads() == 1
    assert cv2.getNumThreads() == 1


def test_bfloat16_only_where_the_cpu_has_it(monkeypatch):
    for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: False, raising=False)
    assert Runtime(torch.device("cpu"), 1).fast_dtype is torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert Runtime(torch.device("cpu"), 1).fast_dtype is torch.bfloat16
    assert Runtime(torch.device("cpu"), 1, exact=True).fast_dtype is torch.float32


def test_the_session_is_asked_what_it_really_uses(monkeypatch, tmp_path):
    """onnxruntime claims providers it cannot load: only the session's own list counts."""
    asked = {}

    class Session:
        def __init__(self, path, options, providers):
            asked.update(path=path, threads=options.intra_op_num_threads, providers=providers)

        def get_providers(self):
            return ["CPUExecutionProvider"]

    fake = types.SimpleNamespace(
        InferenceSession=Session,
        SessionOptions=types.SimpleNamespace,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", fake)
    _, provider = Runtime(torch.device("cuda", 1), 1).onnx_session(tmp_path / "m.onnx")
    assert provider == "CPUExecutionProvider"
    assert asked["threads"] == 1
    assert asked["providers"][0] == ("CUDAExecutionProvider", {"device_id": 1})


def test_onnxruntime_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="vidanon\\[cpu\\]"):
        Runtime(torch.device("cpu"), 1).onnx_session(tmp_path / "m.onnx")


def test_onnxruntime_leaves_no_trace(tmp_path):
    """Its telemetry would write a session file into the folder for temporary files."""
    code = (
        "import torch, vidanon.runtime.device as device; print(device.Runtime(torch.device('cpu'), 1).has_onnxruntime)"
    )
    env = {**os.environ, "TMPDIR": str(tmp_path), "ORT_DISABLE_TELEMETRY": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    if done.stdout.strip() != "True":
        pytest.skip("onnxruntime is not installed")
    assert list(tmp_path.iterdir()) == []


def test_every_library_computes_with_one_thread():
    with threadpool_limits(2, "blas"):
        choose_runtime("cpu", 2)
        blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
        assert blas and {library["num_threads"] for library in blas} == {1}
    assert torch.get_num_threads() == 1 and cv2.getNumThreads() == 1
