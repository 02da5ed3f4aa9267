"""Action units: the intensity of facial muscle groups as OpenFace measures it, from a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emotion.data.feature_tables import ACTION_UNITS
from emotion.features.mfcc import describe_step_means, step_means

if TYPE_CHECKING:
    from emotion.clip import Signal


@dataclass(frozen=True)
class ActionUnits:
    """The 35 `feature_tables.ACTION_UNITS`: 17 intensities (0 to 5), 18 presences (0 to 1).

    Attributes:
        steps: int, length of the time axis: values of frames are averaged over as many equal parts
            of the frames with a face; fewer values than steps are repeated.
    """

    steps: int = 1

    dtype = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """(steps, 35)."""
        return (self.steps, len(ACTION_UNITS))

    def __call__(self, signal: Signal) -> np.ndarray:
        """Returns the action units of the signal.

        Args:
            signal: Signal; `given["action_units"]` is a float32 array (t, 35).

        Returns:
            float32 array (steps, 35); zeros where the signal was given none.
        """
        values = signal.features.get("action_units")
        if values is None:
            return np.zeros(self.shape, np.float32)
        return step_means(values.T, self.steps).T.astype(np.float32)

    def describe(self) -> list[str]:
        """Returns the steps of the computation, list of str; text in backquotes is code for `x`."""
        return [
            f"x, {len(ACTION_UNITS)} rows, has these columns of OpenFace's FeatureExtraction, of "
            f"the t frames where success is 1, or their means: {', '.join(ACTION_UNITS)}. Without "
            "any, x is zero.",
            *describe_step_means(self.steps),
            "`x = x.T`",
        ]
