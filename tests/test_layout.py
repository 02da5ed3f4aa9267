"""The rules of the tree: what may import what, and what a start-up may load."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The tree of the design from top to bottom; a file imports only what stands above it, and a file
# of a folder also its siblings.
ORDER = (
    "labels",
    "palette",
    "clip",
    "streams",
    "media",
    "faces",
    "tracks",
    "crops",
    "tables",
    "corpora",
    "check",
    "download",
    "folds",
    "cache",
    "augment",
    "disturb",
    "workers",
    "features",
    "backend",
    "torch_file",
    "checkpoint",
    "encoders",
    "preset",
    "presence",
    "override",
    "embeddings",
    "models",
    "batches",
    "metrics",
    "uncertainty",
    "calibration",
    "groups",
    "scores",
    "fusion",
    "record",
    "run",
    "runtime",
    "initial",
    "training",
    "findings",
    "resume",
    "evaluation",
    "robustness",
    "inside",
    "explain",
    "style",
    "pictures",
    "screen",
    "illustrate",
    "reasons",
    "completion",
    "standings",
    "published",
    "page",
    "sections",
    "report",
    "comparison",
    "recognizer",
    "export",
    "timeline",
    "smoothing",
    "transcript",
    "storyline",
    "overlay",
    "annotate",
    "jobs",
    "crew",
    "upload",
    "door",
    "serve",
    "sources",
    "windows",
    "live",
    "display",
    "camera",
    "stream",
    "recorder",
    "web",
    "commands",
    "__main__",
)
WITHOUT_NETWORK = (*ORDER[: ORDER.index("features") + 1], "preset")
BACKENDS = {"keras", "keras_hub", "tensorflow", "jax", "torch"}
SLOW = BACKENDS | {"av", "cv2", "librosa", "matplotlib", "pandas", "sklearn", "scipy", "pooch"}
SLOW |= {"ai_edge_litert", "onnx", "onnxruntime", "tf2onnx"}


def modules(folder="emotion"):
    return sorted((ROOT / folder).rglob("*.py"))


def stage(path):
    """The name in ORDER that a file of emotion/ belongs to; "" for emotion/__init__.py."""
    first = path.relative_to(ROOT / "emotion").parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(path):
    """The absolute dotted names that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write emotion.…"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_stands_above_it(path):
    own = stage(path)
    if own == "":
        return
    assert own in ORDER, f"{path.name} has no place in the tree of the design"
    in_folder = path.parent.name != "emotion"
    for name in imports(path):
        if name.split(".")[0] == "emotion":
            other = name.split(".")[1]
            assert other in ORDER, f"{path.name} imports {name}, which is no file of the tree"
            above = ORDER.index(other) < ORDER.index(own)
            assert above or (in_folder and other == own), f"{path.name} imports {name}, below it"


@pytest.mark.parametrize("path", modules("callbacks"), ids=lambda path: path.name)
def test_callbacks_import_only_keras_and_metrics(path):
    for name in imports(path):
        top = name.split(".")[0]
        allowed = top in sys.stdlib_module_names or top in ("keras", "numpy", "callbacks")
        assert allowed or name.startswith("emotion.metrics"), f"{path.name} imports {name}"


def test_only_training_imports_callbacks():
    users = {stage(path) for path in modules() if "callbacks" in
             {name.split(".")[0] for name in imports(path)}}  # fmt: skip
    assert users <= {"training"}


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if stage(path) in WITHOUT_NETWORK],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_backend_where_no_network_is_needed(path):
    assert not BACKENDS & {name.split(".")[0] for name in imports(path)}


def test_only_streams_and_media_open_media():
    users = {stage(path) for path in modules() if "av" in
             {name.split(".")[0] for name in imports(path)}}  # fmt: skip
    assert users <= {"streams", "media"}


def loaded(code):
    """The top-level modules that are loaded after `code` ran in a fresh interpreter."""
    report = "\nimport sys; print('|', *{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code + report], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split("|")[-1].split())


def test_a_data_worker_loads_no_backend():
    names = (*WITHOUT_NETWORK, "embeddings")  # which imports Keras where it cuts a model
    present = [name for name in names if importlib.util.find_spec(f"emotion.{name}")]
    assert not BACKENDS & loaded("\n".join(f"import emotion.{name}" for name in present))


def test_import_loads_no_backend():
    assert not SLOW & loaded("import emotion")


@pytest.mark.parametrize("program", ["emotion", "train_model", "run_inference"])
def test_help_answers_without_heavy_imports(program):
    if program != "emotion" and not (ROOT / f"{program}.py").is_file():
        pytest.skip(f"{program}.py is not there yet")
    code = (
        f"import runpy, sys\nsys.argv = [{program!r}, '--help']\n"
        f"try: runpy.run_module({program!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
    )
    assert not SLOW & loaded(code)
