"""The corpora: each is a file whose `clips(root)` lists its clips without opening any media."""

from functools import partial
from pathlib import Path

from emotion.corpora import manifest, ravdess

CORPORA = {
    "ravdess": ravdess.clips,
    "ravdess-song": partial(ravdess.clips, channel="song"),
    "ravdess-all": partial(ravdess.clips, channel="all"),
    "manifest": manifest.clips,
}


def guess(root):
    """Returns the name of the corpus at `root`: "manifest" for a .csv file, else "ravdess"."""
    return "manifest" if Path(root).suffix.lower() == ".csv" else "ravdess"


def clips(root, corpus=None):
    """Lists the clips of a corpus.

    Args:
        root: path of the data folder, or of a manifest CSV.
        corpus: str, a name of `CORPORA`; None guesses it from `root`.

    Returns:
        List of Clip, sorted by id.

    Raises:
        ValueError: unknown corpus, or nothing usable at `root`.
        FileNotFoundError: `root` does not exist.
    """
    corpus = corpus or guess(root)
    if corpus not in CORPORA:
        raise ValueError(f"`corpus` must be one of {', '.join(CORPORA)}. Received: {corpus!r}.")
    return sorted(CORPORA[corpus](root), key=lambda clip: clip.id)
