"""What comes with the program: the starter, a model that works before anything is trained."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).parent


def starter() -> Path | None:
    """Returns the Path of the starter's folder, or None where it does not exist.

    It is `saved_models/starter` of a checkout, and `emotion/starter` in an installed package; or
    the folder that $EMOTION_STARTER names, "none" for no starter.
    """
    if named := os.environ.get("EMOTION_STARTER"):
        return Path(named) if Path(named, "model.keras").is_file() else None
    folders = (_PACKAGE / "starter", _PACKAGE.parent / "saved_models" / "starter")
    return next((path for path in folders if (path / "model.keras").is_file()), None)
