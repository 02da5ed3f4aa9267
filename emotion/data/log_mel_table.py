"""Log-mel arrays that others computed from a corpus, as a table of features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion.files import read_arrays

if TYPE_CHECKING:
    from emotion.clip import Arrays

BANDS, ALL_BANDS = 112, 128  # kept of those that the standard score was computed over
RATE = 22050  # Hz, of the sound: half of it is where the highest of all bands ends
TOP_DB = 80.0


class LogMelTable(Mapping):
    """The log-mel spectrograms in an .npz, each decoded when it is asked for.

    The file has `clips` (n,), the clips' ids; `values` (n, 112, t) int8; and `scale`: `values *
    scale` is the standard score over all 128 bands of decibels below a clip's maximum, clipped at
    80 dB. The lowest 112 bands are kept, since the source ends at 8 kHz. As the maximum and the
    floor are known, so are the decibels; the level is lost.

    Args:
        path: Path of the .npz.

    Raises:
        ValueError: the file is not such a table.
    """

    def __init__(self, path: Path):
        names, values, scale = read_arrays(path, "clips", "values", "scale")
        if names.ndim != 1 or scale.size != 1 or scale.dtype.kind not in "fiu":
            raise ValueError(
                f"{path}: `clips` must be a list of ids and `scale` a number. "
                f"Received: {names.shape}, {scale.shape}."
            )
        ids, self._values, self._scale = list(map(str, names)), values, float(scale.item())
        if values.dtype != np.int8 or values.ndim != 3 or values.shape[:2] != (len(ids), BANDS):
            raise ValueError(
                f"{path}: `values` must be int8 ({len(ids)}, {BANDS}, t). "
                f"Received: {values.dtype} {values.shape}."
            )
        self._rows = {id: row for row, id in enumerate(ids)}

    def __len__(self) -> int:
        """int, clips."""
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        """Iterates over the ids."""
        return iter(self._rows)

    def __getitem__(self, id: str) -> Arrays:
        """Returns {"log_mel": float32 array (112, t)}: dB below the clip's maximum, 0 to -80."""
        score = self._values[self._rows[id]] * np.float32(self._scale)
        # The scores of all bands have the mean 0, and the bands that are not kept are at the floor.
        rest = -score.sum() / ((ALL_BANDS - BANDS) * score.shape[1])
        floor, top = min(score.min(), rest), score.max()
        return {"log_mel": (TOP_DB * (score - top) / max(top - floor, 1e-6)).astype(np.float32)}
