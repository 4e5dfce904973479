"""As in a worker: one thread each for torch and OpenCV."""

from __future__ import annotations

import pytest

from vidanon.runtime.device import choose_runtime


@pytest.fixture(autouse=True, scope="session")
def runtime():
    return choose_runtime("cpu", 1)
