"""EfficientFace: a checkpoint as its authors publish it, written by PyTorch and read back."""

import keras
import numpy as np
import pytest

from emotion.encoders import efficientface
from tests.encoders.test_efficientface import SIZE, authors

torch = pytest.importorskip("torch")
__all__ = ["authors"]


def test_a_checkpoint_of_the_authors_is_read(authors, tmp_path):  # noqa: F811
    frames, wanted, state = authors
    path = tmp_path / "weights.pth.tar"
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    torch.save({"epoch": 7, "arch": "efficientface", "state_dict": tensors}, path)
    backbone = efficientface.build(SIZE)
    efficientface.load_weights(backbone, path)
    values = keras.ops.convert_to_numpy(backbone(frames, training=False))
    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


class Runs:
    """Pickles as a call."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def test_what_a_checkpoint_would_run_is_not_run(authors, tmp_path):  # noqa: F811
    path, marker = tmp_path / "weights.pth.tar", tmp_path / "ran"
    state = {name: torch.from_numpy(array) for name, array in authors[2].items()}
    backbone = efficientface.build(SIZE)
    before = [weight.tobytes() for weight in backbone.get_weights()]
    for more, text in ((Runs(marker), "asks for 'io.open'"), (torch.nn.Linear(2, 2), "torch.nn")):
        torch.save({"state_dict": state, "more": more}, path)
        with pytest.raises(ValueError, match=text):
            efficientface.load_weights(backbone, path)
    assert not marker.exists()
    assert [weight.tobytes() for weight in backbone.get_weights()] == before
