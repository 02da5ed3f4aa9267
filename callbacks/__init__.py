"""Keras callbacks of this project, one idea a file; `emotion.training` uses them."""

from callbacks.best_model import BestModel
from callbacks.cosine import Cosine
from callbacks.milestones import Milestones
from callbacks.progress_line import ProgressLine
from callbacks.run_state import RunState
from callbacks.stopwatch import Stopwatch
from callbacks.unfreeze import Unfreeze
from callbacks.warm_up import WarmUp
