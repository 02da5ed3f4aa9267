"""PyTorch files: what torch.save writes is read as torch.load reads it."""

import numpy as np
import pytest

from emotion.encoders import torch_file

torch = pytest.importorskip("torch")

TYPES = (
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool,
)  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 4])
def test_tensors_of_every_type_and_view_are_read(protocol, tmp_path):
    torch.manual_seed(0)
    path, base = tmp_path / "weights.pt", torch.randn(10, 12)
    state = {str(kind): (torch.randn(4, 3) * 9).abs().to(kind) for kind in TYPES}
    state |= {
        "part": base[2:5, 3:9],
        "turned": base.t(),
        "spread": torch.randn(1, 4).expand(3, 4),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(3.5),
        "parameter": torch.nn.Parameter(torch.randn(4)),
    }
    torch.save(state, path, pickle_protocol=protocol)
    result = torch_file.read(path)
    assert result.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(result[name], value.detach().float().numpy(), name)


def test_a_checkpoint_with_its_optimizer_is_read(tmp_path):
    model = torch.nn.DataParallel(torch.nn.Sequential(torch.nn.Conv1d(2, 3, 4), torch.nn.GELU()))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.randn(2, 2, 9)).sum().backward()
    optimizer.step()
    more = {"epoch": 3, "best_acc": torch.tensor(0.5), "optimizer": optimizer.state_dict()}
    torch.save({"state_dict": model.state_dict(), **more}, tmp_path / "weights.pth.tar")
    result = torch_file.read(tmp_path / "weights.pth.tar")
    assert list(result) == ["module.0.weight", "module.0.bias"]
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(result[name], value.numpy())
