from .annotate.analysis import Analysis, analyze
from .clip import Clip, MediaError, Prediction, Signal
from .data import corpora, splits
from .data.splits import Split, split
from .evaluation.evaluate import evaluate_run
from .evaluation.results import Evaluation
from .experiments.evaluate import evaluate
from .experiments.train import train
from .inference.recognizer import Recognizer
from .models import PRESETS, build_model, preset
from .preset import Preset
from .run import Run, load_run
from .signals.cache import SignalCache

__all__ = [
    "PRESETS",
    "Analysis",
    "Clip",
    "Evaluation",
    "MediaError",
    "Prediction",
    "Preset",
    "Recognizer",
    "Run",
    "Signal",
    "SignalCache",
    "Split",
    "analyze",
    "build_model",
    "corpora",
    "evaluate",
    "evaluate_run",
    "load_run",
    "preset",
    "split",
    "splits",
    "train",
]
