# SPDX-License-Identifier: Apache-2.0
"""Small ONNX models, one for each thing that the onnxruntime backend has to get right."""

import os

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h

# ONNX type -> (Triton's name, configuration's name, numpy type)
TYPES = {
    T.BOOL: ("BOOL", "TYPE_BOOL", np.bool_),
    T.UINT8: ("UINT8", "TYPE_UINT8", np.uint8),
    T.UINT16: ("UINT16", "TYPE_UINT16", np.uint16),
    T.UINT32: ("UINT32", "TYPE_UINT32", np.uint32),
    T.UINT64: ("UINT64", "TYPE_UINT64", np.uint64),
    T.INT8: ("INT8", "TYPE_INT8", np.int8),
    T.INT16: ("INT16", "TYPE_INT16", np.int16),
    T.INT32: ("INT32", "TYPE_INT32", np.int32),
    T.INT64: ("INT64", "TYPE_INT64", np.int64),
    T.FLOAT16: ("FP16", "TYPE_FP16", np.float16),
    T.FLOAT: ("FP32", "TYPE_FP32", np.float32),
    T.DOUBLE: ("FP64", "TYPE_FP64", np.float64),
    T.STRING: ("BYTES", "TYPE_STRING", np.object_),
    T.BFLOAT16: ("BF16", "TYPE_BF16", ml_dtypes.bfloat16),
}


def library():
    """The folder of ONNX Runtime's library inside its Python package, for NEREID_ONNXRUNTIME."""
    import onnxruntime

    return os.path.join(os.path.dirname(onnxruntime.__file__), "capi")


def pretended_gpus(count=2, **more):
    """The environment of a server that has GPUs, by tests/support/fake_cuda, and an ONNX Runtime with a CUDA provider for them."""
    import glob

    from servers import PREFIX

    fake = PREFIX / "tests/fake_ort/libonnxruntime.so"
    assert fake.exists(), f"{fake} is not there: make test-programs builds it"
    real = sorted(glob.glob(os.path.join(library(), "libonnxruntime.so*")))[0]
    return {"NEREID_ONNXRUNTIME": str(fake.parent), "FAKE_ORT_REAL": real, "FAKE_CUDA": f"gpus={count},memory=8G",
            "LD_LIBRARY_PATH": str(PREFIX / "tests/fake"), **more}


def model(nodes, inputs, outputs, initializers=()):
    graph = h.make_graph(nodes, "g", inputs, outputs, list(initializers))
    made = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def info(name, kind, dims):
    return h.make_tensor_value_info(name, kind, dims)


def identity(kind, dims):
    return model([h.make_node("Identity", ["X"], ["Y"])], [info("X", kind, dims)], [info("Y", kind, dims)])


def add_sub(kind, dims):
    return model([h.make_node("Add", ["A", "B"], ["SUM"]), h.make_node("Sub", ["A", "B"], ["DIFF"])],
                 [info("A", kind, dims), info("B", kind, dims)], [info("SUM", kind, dims), info("DIFF", kind, dims)])


def network(seed=7):
    """A convolution, a reduction and a matrix product: N x 3 x 16 x 16 -> N x 10, enough for rounding to show."""
    random = np.random.default_rng(seed)
    weights = [h.make_tensor("W", T.FLOAT, [8, 3, 3, 3], random.standard_normal(8 * 27).astype(np.float32)),
               h.make_tensor("B", T.FLOAT, [8], random.standard_normal(8).astype(np.float32)),
               h.make_tensor("M", T.FLOAT, [8, 10], random.standard_normal(80).astype(np.float32))]
    return model([h.make_node("Conv", ["X", "W", "B"], ["c"], pads=[1, 1, 1, 1]), h.make_node("Relu", ["c"], ["r"]),
                  h.make_node("GlobalAveragePool", ["r"], ["p"]), h.make_node("Flatten", ["p"], ["f"]),
                  h.make_node("MatMul", ["f", "M"], ["l"]), h.make_node("Softmax", ["l"], ["Y"], axis=1)],
                 [info("X", T.FLOAT, ["N", 3, 16, 16])], [info("Y", T.FLOAT, ["N", 10])], weights)


def open_shapes():
    """Two open dimensions, an output whose size is known only after the run, and one that comes after it by name."""
    return model([h.make_node("NonZero", ["X"], ["FOUND"]), h.make_node("Neg", ["X"], ["NEGATED"])],
                 [info("X", T.FLOAT, ["a", "b"])], [info("FOUND", T.INT64, [2, None]), info("NEGATED", T.FLOAT, ["a", "b"])])


def scalar():
    return model([h.make_node("ReduceSum", ["X"], ["TOTAL"], keepdims=0)], [info("X", T.FLOAT, [4])],
                 [info("TOTAL", T.FLOAT, [])])


def scalar_input():
    return model([h.make_node("Mul", ["X", "F"], ["Y"])], [info("X", T.FLOAT, [4]), info("F", T.FLOAT, [])],
                 [info("Y", T.FLOAT, [4])])


def optional_input():
    """F has a default in the model, so a request may leave it out."""
    return model([h.make_node("Mul", ["X", "F"], ["Y"])], [info("X", T.FLOAT, [4]), info("F", T.FLOAT, [1])],
                 [info("Y", T.FLOAT, [4])], [h.make_tensor("F", T.FLOAT, [1], [3.0])])


def ragged():
    """A flat run of numbers and where each request ends in it: adds the last end, which is the length of all."""
    return model([h.make_node("ReduceMax", ["ENDS"], ["ALL"], keepdims=1), h.make_node("Add", ["X", "ALL"], ["Y"])],
                 [info("X", T.FLOAT, [None]), info("ENDS", T.FLOAT, [None])], [info("Y", T.FLOAT, [None])])


def sequence_output():
    return model([h.make_node("SequenceConstruct", ["X"], ["S"])], [info("X", T.FLOAT, [2])],
                 [h.make_tensor_sequence_value_info("S", T.FLOAT, [2])])
