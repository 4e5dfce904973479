"""Where a model file comes from, and what is never used. The network is a server on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vidanon.errors import ModelError, ModelUnavailable
from vidanon.zoo import fetch as fetch_module
from vidanon.zoo import resolve
from vidanon.zoo.registry import Model

CONTENT = bytes(range(256)) * 40


class Server(ThreadingHTTPServer):
    body: bytes = CONTENT
    status: int = 200
    announced: int | None = None
    stall: threading.Event | None = None
    requests: int = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.announced or len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)
        if self.server.stall is not None:
            self.wfile.flush()
            self.server.stall.wait(10)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    if running.stall is not None:
        running.stall.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("VIDANON_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VIDANON_MODELS", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def row(server: Server | None = None, **changes: object) -> dict[str, Model]:
    url = f"http://127.0.0.1:{server.server_port}/m.onnx" if server else "http://127.0.0.1:9/m.onnx"
    values: dict[str, object] = {
        "name": "m",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "size": len(CONTENT),
        "licence": "MIT",
        "purpose": "a test",
        "url": url,
    }
    return {"m": Model(**{**values, **changes})}  # type: ignore[arg-type]


def test_fetched_once_then_from_the_cache(server, cache):
    first = resolve("m", registry=row(server))
    assert first.read_bytes() == CONTENT and first.parent == cache
    assert resolve("m", registry=row(server)) == first
    assert resolve("m", registry=row(server), offline=True) == first
    assert server.requests == 1
    assert list(cache.iterdir()) == [first]


@pytest.mark.parametrize("body", [CONTENT[:-1] + b"x", CONTENT[:-1], CONTENT + b"more", b"<html>log in</html>"])
def test_other_content_is_not_used_and_leaves_nothing(server, cache, body):
    server.body = body
    with pytest.raises(ModelError, match="did not send the registered file") as caught:
        resolve("m", registry=row(server))
    assert caught.value.exit_code == 8 and not isinstance(caught.value, ModelUnavailable)
    assert list(cache.iterdir()) == []


def test_a_tampered_cache_is_refused_and_not_replaced_silently(server, cache):
    path = resolve("m", registry=row(server))
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ModelError, match="delete") as caught:
        resolve("m", registry=row(server))
    assert caught.value.exit_code == 8 and not isinstance(caught.value, ModelUnavailable)
    assert server.requests == 1


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_server_that_refuses(server, cache, status):
    server.status = status
    with pytest.raises(ModelUnavailable, match="cannot be fetched"):
        resolve("m", registry=row(server))
    assert list(cache.iterdir()) == []


def test_no_network(cache):
    with pytest.raises(ModelUnavailable, match="VIDANON_MODELS") as caught:
        resolve("m", registry=row())
    assert caught.value.exit_code == 8 and "\n" not in str(caught.value)


def test_offline_does_not_ask(server):
    with pytest.raises(ModelUnavailable):
        resolve("m", registry=row(server), offline=True)
    assert server.requests == 0


def test_a_server_that_stalls_is_given_up(server, cache, monkeypatch):
    monkeypatch.setattr(fetch_module, "TIMEOUT", 0.3)
    server.body, server.announced, server.stall = CONTENT[:100], len(CONTENT), threading.Event()
    with pytest.raises(ModelUnavailable):
        resolve("m", registry=row(server))
    assert list(cache.iterdir()) == []


def test_a_cut_connection(server, cache):
    server.body, server.announced = CONTENT[:100], len(CONTENT)
    with pytest.raises(ModelUnavailable):
        resolve("m", registry=row(server))
    assert list(cache.iterdir()) == []


def test_own_folders_come_first_by_hash_under_any_name(server, tmp_path, monkeypatch):
    other, mine = tmp_path / "other", tmp_path / "mine"
    for folder in (other, mine):
        folder.mkdir()
    (other / "m.onnx").write_bytes(b"something else")
    (other / "same size").write_bytes(CONTENT[::-1])
    (mine / "any name.bin").write_bytes(CONTENT)
    folders = [str(tmp_path / "not there"), str(other), str(mine)]
    monkeypatch.setenv("VIDANON_MODELS", ":".join(folders))
    assert resolve("m", registry=row(server)) == mine / "any name.bin"
    assert server.requests == 0


def test_a_model_with_terms_is_fetched_on_the_users_word_only(server):
    with pytest.raises(ModelUnavailable, match="vidanon models fetch m"):
        resolve("m", registry=row(server, consent=True))
    assert server.requests == 0
    fetch_module.fetch(row(server, consent=True)["m"])
    assert resolve("m", registry=row(server, consent=True)).read_bytes() == CONTENT


def test_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("VIDANON_CACHE", str(blocked / "cache"))
    with pytest.raises(ModelUnavailable):
        resolve("m", registry=row(server))


def test_models_inside_packages():
    path = resolve("mtcnn-onet", offline=True)
    assert path.name == "onet.pt"
    missing = row(url=None, package="no_such_package_here", file="data/x.pt")
    with pytest.raises(ModelUnavailable, match="no_such_package_here"):
        resolve("m", registry=missing)
    with pytest.raises(ModelError, match="registered file"):
        resolve("m", registry=row(url=None, package="facenet_pytorch", file="data/onet.pt"))


def test_cache_folder(monkeypatch, tmp_path):
    from vidanon.zoo import cache_dir

    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("VIDANON_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "vidanon"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "vidanon"
