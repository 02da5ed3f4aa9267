"""The corpora: each is a file whose `clips(root)` lists its clips without decoding any media."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from emotion.data import feature_tables
from emotion.data.corpora import crema_d, fer2013, images, manifest, ravdess, table

if TYPE_CHECKING:
    from emotion.clip import Clip

CORPORA = {
    "ravdess": ravdess.clips,
    "ravdess-song": partial(ravdess.clips, channel="song"),
    "ravdess-all": partial(ravdess.clips, channel="all"),
    "cremad": crema_d.clips,
    "cremad-crowd": partial(crema_d.clips, labels="crowd"),
    "cremad-votes": partial(crema_d.clips, labels="votes"),
    "fer2013": fer2013.clips,
    "fer2013-private": partial(fer2013.clips, test="private"),
    "fer2013-votes": partial(fer2013.clips, votes=True),
    "images": images.clips,
    "manifest": manifest.clips,
    "table": table.clips,
}


def guess(root: Path) -> str:
    """Returns the name of the corpus at `root`.

    "table" for a .pkl file or a .csv file with action units and no labels, "manifest" for any other
    .csv file, "fer2013" for its CSV or arrays, "cremad" for a folder with the folders of CREMA-D
    or an .npz of its log-mel spectrograms, "ravdess-song" for a folder whose RAVDESS takes are all
    song, else "ravdess", the speech.
    """
    if feature_tables.is_table(root):
        return "table"
    if Path(root).suffix.lower() == ".npz":
        return "cremad"
    if fer2013.laid_out(root):
        return "fer2013"
    if Path(root).suffix.lower() == ".csv":
        return "manifest"
    if crema_d.laid_out(root):
        return "cremad"
    song_only = Path(root).is_dir() and set(ravdess.channels(root)) == {"song"}
    return "ravdess-song" if song_only else "ravdess"


def clips(root: Path, corpus: str | None = None, features: Path | None = None) -> list[Clip]:
    """Lists the clips of a corpus.

    Args:
        root: path of the data folder, or of a manifest CSV.
        corpus: str, a name of `CORPORA`; None guesses it from `root`.
        features: path of a table to be joined by clip id, or None.

    Returns:
        List of Clip, sorted by id.

    Raises:
        ValueError: unknown corpus, nothing usable at `root`, or a table that has none of it.
        FileNotFoundError: `root` or `features` does not exist.
    """
    corpus = corpus or guess(root)
    if corpus not in CORPORA:
        raise ValueError(f"`corpus` must be one of {', '.join(CORPORA)}. Received: {corpus!r}.")
    listed = sorted(CORPORA[corpus](root), key=lambda clip: clip.id)
    return feature_tables.join(listed, features) if features else listed


def left_out(root: Path, corpus: str | None = None) -> list[str]:
    """Returns a list of str, a line for each reason why a corpus leaves takes out by itself."""
    corpus = corpus or guess(root)
    if corpus == "ravdess":
        return ravdess.left_out(root)
    if corpus == "images":
        return images.left_out(root)
    if corpus.startswith("fer2013"):
        return fer2013.left_out(root, "private" if corpus == "fer2013-private" else "test")
    if not corpus.startswith("cremad"):
        return []
    return crema_d.left_out(root, corpus.partition("-")[2] or "intended")
