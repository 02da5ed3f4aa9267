"""The rules of the tree that import-linter's contracts (pyproject.toml) cannot state."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The packages and files of emotion/ that need no neural network, and what a data worker loads.
WITHOUT_NETWORK = ("clip", "files", "processes", "plotting", "preset", "media", "data", "faces")
WITHOUT_NETWORK += ("signals", "synthetic", "features")
WORKER = (*WITHOUT_NETWORK[2:], "training.collate", "training.frozen")
BACKENDS = {"keras", "keras_hub", "tensorflow", "jax", "torch"}
SLOW = BACKENDS | {"av", "cv2", "librosa", "matplotlib", "pandas", "sklearn", "scipy", "pooch"}
SLOW |= {"ai_edge_litert", "onnx", "onnxruntime", "tf2onnx"}


def modules():
    return sorted((ROOT / "emotion").rglob("*.py"))


def stage(path):
    """The package or file directly in emotion/ that a file belongs to."""
    return path.relative_to(ROOT / "emotion").parts[0].removesuffix(".py")


def imports(path):
    """The top-level names that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write emotion.…"
            yield node.module.split(".")[0]


def test_the_imports_keep_their_contracts():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout


def test_only_training_imports_callbacks():
    assert {stage(path) for path in modules() if "callbacks" in imports(path)} <= {"training"}


def test_only_media_opens_media():
    assert {stage(path) for path in modules() if "av" in imports(path)} == {"media"}


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if stage(path) in WITHOUT_NETWORK],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_backend_where_no_network_is_needed(path):
    assert not BACKENDS.intersection(imports(path))


def loaded(code):
    """The top-level modules that are loaded after `code` ran in a fresh interpreter."""
    report = "\nimport sys; print('|', *{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code + report],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    return set(done.stdout.split("|")[-1].split())


def test_a_data_worker_loads_no_backend():
    assert not BACKENDS & loaded("\n".join(f"import emotion.{name}" for name in WORKER))


def test_import_loads_no_backend():
    assert not SLOW & loaded("import emotion")


@pytest.mark.parametrize("program", ["emotion", "train_model", "run_inference"])
def test_help_answers_without_heavy_imports(program):
    code = (
        f"import runpy, sys\nsys.argv = [{program!r}, '--help']\n"
        f"try: runpy.run_module({program!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
    )
    assert not SLOW & loaded(code)


def unhinted(body, of="", public=True):
    """The public functions and methods in a body that lack a hint, as "CLASS.function"."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from unhinted(node.body, f"{node.name}.", public and node.name[0] != "_")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            special = node.name.startswith("__") and node.name not in ("__exit__", "__post_init__")
            if public and (node.name[0] != "_" or special):
                every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                lacking = [
                    a.arg for a in every if not a.annotation and a.arg not in ("self", "cls")
                ]
                if lacking or not (node.returns or node.name == "__init__"):
                    yield of + node.name


@pytest.mark.parametrize("package", ["emotion", "callbacks"])
def test_public_functions_have_hints(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not list(unhinted(tree.body)), path


# Words that must not be parts of names: they say what happened to a value, not what it holds.
RETIRED = set(
    "hear see heard seen deaf blind told found given kept own opinions stranger door desk crew "
    "film places standings dealt".split()
)


def identifiers(path):
    """The names that a file binds: functions, classes, arguments, variables and attributes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


@pytest.mark.parametrize("folder", ["emotion", "callbacks", "benchmarks", "tests"])
def test_no_retired_word_is_part_of_a_name(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        for name in {path.stem, *identifiers(path)}:
            parts = {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
            assert name != "one" and not parts & RETIRED, f"{path}: {name}"


def test_every_package_is_in_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "setuptools"
    ]
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "emotion").rglob("__init__.py")}
    expected = {".".join(folder.parts) for folder in folders}
    assert set(settings["packages"]) == expected | {"callbacks", "emotion.starter"}
