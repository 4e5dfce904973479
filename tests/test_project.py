"""The shape of the project: which way imports go, who may make a protected frame, what a wheel holds."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vidanon"
#: a module may import from its own layer and from those before it
LAYERS = (
    {"", "types", "errors", "config", "progress", "text_file"},
    {"media", "runtime", "zoo"},
    {"detect", "faces", "track", "protect", "segments", "recognise", "generate", "swap"},
    {"analyse", "likeness", "verify", "treatment", "preview"},
    {"render"},
    {"build"},
    {"cli", "__main__", "audit", "evaluate", "train"},
)


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imports(name: str, path: Path, known: set[str], *, run_time_only: bool) -> set[str]:
    """Modules of the package that ``path`` imports. ``run_time_only``: not what is under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if run_time_only and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {inner for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names} & known
            found |= inner or ({module} & known)
    return found - {name}


def layer(name: str) -> int:
    part = (name.split(".") + [""])[1]
    for number, parts in enumerate(LAYERS):
        if part in parts:
            return number
    raise AssertionError(f"{name}: say in LAYERS where {part!r} belongs")


def test_imports_go_one_way() -> None:
    found = modules()
    for name, path in found.items():
        for target in imports(name, path, set(found), run_time_only=False):
            assert layer(target) <= layer(name), f"{name} imports {target}, which lies above it"


def test_a_base_imports_no_implementation() -> None:
    found = modules()
    for name, path in found.items():
        if not name.endswith(".base"):
            continue
        for target in imports(name, path, set(found), run_time_only=True):
            assert target.endswith(".base") or layer(target) == 0, f"{name} imports {target}"


def test_no_import_cycle() -> None:
    found = modules()
    edges = {name: imports(name, path, set(found), run_time_only=True) for name, path in found.items()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for target in edges[name]:
                visit(target, (*way, name))
            done.add(name)

    for name in edges:
        visit(name, ())


def test_only_blend_and_cover_make_protected_frames() -> None:
    allowed = {PACKAGE / "faces/blend.py", PACKAGE / "faces/cover.py", PACKAGE / "types.py"}
    users = {path for path in PACKAGE.rglob("*.py") if "PROTECTION_KEY" in path.read_text(encoding="utf-8")}
    assert users <= allowed and len(users) >= 2


def test_libav_is_named_in_media_and_its_errors_are_translated_there() -> None:
    for name, path in modules().items():
        if re.search(r"av\.error|FFmpegError", path.read_text(encoding="utf-8")):
            assert name.startswith("vidanon.media"), name


def test_nothing_is_loaded_as_a_pickle() -> None:
    for name, path in modules().items():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pickle\.loads?\(|Unpickler|\b(dill|joblib)\b|allow_pickle=True", text), name
        for call in re.findall(r"torch\.load\([^)]*\)", text):
            assert "weights_only=True" in call, f"{name}: {call}"


def tracked_text_files() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in files if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


def test_no_file_names_a_private_path() -> None:
    private = re.compile(
        r"(?<![\w.])/(?:work|home|root|Users)/[\w.]|/opt/(?:pypi|wheels)|file:///|index-url\s*[=:]?\s*http"
    )
    for path in tracked_text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if path != Path(__file__):
                assert not private.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_files_stay_small() -> None:
    for path in tracked_text_files():
        if path.suffix == ".py" and PACKAGE in path.parents:
            lines = len(path.read_text(encoding="utf-8").splitlines())
            assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines: it may have two reasons to change"


def test_constraints_pin_every_requirement() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    pins = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    for requirement in wanted:
        name = re.match(r"[\w.-]+", requirement)
        assert name is not None
        assert name[0] == project["name"] or re.sub(r"[-_.]+", "-", name[0]).lower() in pins, requirement


@pytest.mark.slow
def test_a_wheel_holds_the_package_and_the_models(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path in tracked_or_all():
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", source],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = (tmp_path / "dist").glob("vidanon-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(installed)
    assert {f"vidanon/{p.relative_to(PACKAGE).as_posix()}" for p in modules().values()} <= names
    models = {f"vidanon/_models/{p.relative_to(ROOT / 'models').as_posix()}" for p in tracked_or_all("models")}
    assert "vidanon/_models/registry.toml" in models and models <= names
    assert not any(name.startswith(("tests/", "samples/", "models/")) for name in names)
    output = tmp_path / "out.mp4"
    for words in (
        ["-c", "import vidanon.zoo as z, sys; sys.exit(z.models_dir().parent.name != 'vidanon')"],
        ["-m", "vidanon", "models", "verify"],
        ["-m", "vidanon", ROOT / "samples/portrait.mp4", output, "--end-time", "0.5"],
    ):
        done = subprocess.run(
            [sys.executable, "-P", *words], cwd=tmp_path, capture_output=True, text=True,
            env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert output.stat().st_size > 5_000


def tracked_or_all(folder: str = "") -> list[Path]:
    """Files a wheel is built from: those of the folders that matter, caches left out."""
    tops = [ROOT / folder] if folder else [PACKAGE, ROOT / "models"]
    files = [p for top in tops for p in top.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    single = [ROOT / n for n in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")]
    return files if folder else [*files, *single]
