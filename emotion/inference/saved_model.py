"""Checks a SavedModel before it is loaded: its graph is a program, which may read and write files.

https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Operations that compute and nothing else: all that the exports of the presets consist of.
COMPUTING = frozenset(
    "Abs AddV2 AvgPool BatchMatMulV2 BatchToSpaceND BiasAdd Cast ConcatV2 Const Conv2D Conv3D "
    "DepthwiseConv2dNative Erfc ExpandDims Fill GatherV2 Greater Identity LogSoftmax MatMul Max "
    "MaxPool Maximum Mean Minimum Mul Neg NoOp OnesLike Pack Pad Placeholder Prod ReadVariableOp "
    "RealDiv Relu Reshape ReverseV2 Rsqrt Select SelectV2 Shape Sigmoid Softmax SpaceToBatchND "
    "Split Sqrt SquaredDifference Squeeze StatefulPartitionedCall PartitionedCall StopGradient "
    "StridedSlice Sub Sum Tanh Tile Transpose Unpack VarHandleOp VarIsInitializedOp "
    "AssignVariableOp".split()
)
# Functions that every SavedModel has for its weights. Loading does not call them.
_SAVERS = ("__inference__traced_save", "__inference__traced_restore")


def check(path: Path) -> None:
    """Checks that all functions of a SavedModel only compute.

    Args:
        path: Path of its folder.

    Raises:
        ValueError: one does something else, or it is no SavedModel.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        content = (path / "saved_model.pb").read_bytes()
        model = saved_model_pb2.SavedModel.FromString(content)
    except (OSError, DecodeError) as error:
        raise ValueError(
            f"{path} is no exported model that can be read; export it anew."
        ) from error
    for graph in model.meta_graphs:
        if not graph.HasField("object_graph_def"):  # of TensorFlow 1, whose loader runs the graph
            raise ValueError(f"{path} is of TensorFlow 1; export it anew.")
        for function in graph.graph_def.library.function:
            if not function.signature.name.startswith(_SAVERS):
                check_computing(path, function.node_def)


def check_computing(path: Path, nodes: Iterable[Any]) -> None:
    """Raises ValueError where one of the NodeDefs does more than compute."""
    for node in nodes:
        saves = any(each.func.name.startswith(_SAVERS) for each in node.attr.values())
        if saves or node.op not in COMPUTING:
            what = "saves or restores files" if saves else node.op
            raise ValueError(
                f"{path} holds an operation that no export has ({what}), and might read or write "
                "files; use another model."
            )
