"""Annotates recordings in processes, here or on a cluster, one recording each at a time.

Each process loads the recogniser once. One that dies, as a decoder may on a damaged file, costs its
own recording only.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial

from emotion.annotate.recordings import Job, Settings, annotate, done
from emotion.clip import MediaError
from emotion.engines import Engine, JobLost


class _NoRecognizer(ValueError):
    """The recogniser cannot be loaded, so no recording can be annotated."""


def work(
    jobs: list[Job], settings: Settings, engine: Engine, load: Callable = Settings.load
) -> Iterator[tuple[Job, str | None]]:
    """Annotates recordings where an engine runs them.

    Args:
        jobs: list of Job.
        settings: Settings.
        engine: engines.Engine.
        load: function of the Settings that returns the recogniser; it must pickle.

    Yields:
        (Job, str or None): as each ends, None or the reason why it failed.

    Raises:
        ValueError: the recogniser cannot be loaded; the message says why.
        ModuleNotFoundError, ValueError: as `Engine.run`.
    """
    for job, answer in engine.run(partial(_annotate, settings=settings, load=load), jobs):
        try:
            reason = answer()
        except JobLost as error:
            reason = f"{error}; look at the file"
        yield job, reason


def _annotate(job, settings, load):
    """Annotates a recording; returns None, or the reason why that failed."""
    if done(job):  # by a process whose machine was lost before it could say so
        return None
    recognizer = _recognizer(settings, load)
    try:
        annotate(job, recognizer, settings)
    except (MediaError, ValueError, OSError) as error:
        return str(error)
    except Exception as error:  # a fault of ours on one recording must not stop the others
        return f"{type(error).__name__}: {error}"
    return None


@cache
def _recognizer(settings, load):
    try:
        settings.codec.check()
        return load(settings)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        raise _NoRecognizer(str(error)) from error
