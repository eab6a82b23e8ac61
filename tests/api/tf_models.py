# SPDX-License-Identifier: Apache-2.0
"""Small TensorFlow models, one for each thing that the tensorflow backend has to get right."""

import frameworks
import ml_dtypes
import numpy as np

tf = frameworks.tensorflow()

# Triton's name -> (configuration's name, numpy type, TensorFlow's)
TYPES = {
    "BOOL": ("TYPE_BOOL", np.bool_, tf.bool),
    "UINT8": ("TYPE_UINT8", np.uint8, tf.uint8),
    "UINT16": ("TYPE_UINT16", np.uint16, tf.uint16),
    "UINT32": ("TYPE_UINT32", np.uint32, tf.uint32),
    "UINT64": ("TYPE_UINT64", np.uint64, tf.uint64),
    "INT8": ("TYPE_INT8", np.int8, tf.int8),
    "INT16": ("TYPE_INT16", np.int16, tf.int16),
    "INT32": ("TYPE_INT32", np.int32, tf.int32),
    "INT64": ("TYPE_INT64", np.int64, tf.int64),
    "FP16": ("TYPE_FP16", np.float16, tf.float16),
    "FP32": ("TYPE_FP32", np.float32, tf.float32),
    "FP64": ("TYPE_FP64", np.float64, tf.float64),
    "BYTES": ("TYPE_STRING", np.object_, tf.string),
    "BF16": ("TYPE_BF16", ml_dtypes.bfloat16, tf.bfloat16),
}


def save(path, inputs, function, signature="serving_default", variables=()):
    """A SavedModel of one function: `inputs` is {name: (type, shape)}, the function returns {name: tensor}."""
    module = tf.Module()
    module.kept = list(variables)
    specs = [tf.TensorSpec(shape, kind, name=name) for name, (kind, shape) in inputs.items()]
    concrete = tf.function(function, input_signature=specs).get_concrete_function()
    tf.saved_model.save(module, str(path), signatures={signature: concrete})


def run(path, arrays, signature="serving_default"):
    """What TensorFlow itself makes of a SavedModel."""
    loaded = tf.saved_model.load(str(path)).signatures[signature]
    return {k: v.numpy() for k, v in loaded(**{k: tf.constant(v) for k, v in arrays.items()}).items()}


def identity(path, kind, shape):
    save(path, {"x": (kind, shape)}, lambda x: {"y": tf.identity(x)})


def network(path, seed=7):
    """A convolution, a reduction and a matrix product: N x 16 x 16 x 3 -> N x 10, enough for rounding to show."""
    random = np.random.default_rng(seed)
    kernel = tf.Variable(random.standard_normal((3, 3, 3, 8)).astype(np.float32))
    matrix = tf.Variable(random.standard_normal((8, 10)).astype(np.float32))

    def function(x):
        y = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))
        return {"y": tf.nn.softmax(tf.linalg.matmul(tf.reduce_mean(y, [1, 2]), matrix))}

    save(path, {"x": (tf.float32, [None, 16, 16, 3])}, function, variables=[kernel, matrix])


def counter(path):
    """Counts its calls in a variable: state that instances must not share unless they share a session."""
    count = tf.Variable(0, dtype=tf.int32)
    save(path, {"x": (tf.int32, [1])}, lambda x: {"y": x + count.assign_add(1)}, variables=[count])


def ragged(path):
    """y[i] = x[i] + the sum of all, on a row of elements that requests were joined to; END tells where each ends."""
    save(path, {"x": (tf.float32, [None]), "ends": (tf.float32, [None])},
         lambda x, ends: {"y": x + tf.reduce_sum(x), "parts": ends})


def graphdef(path, build):
    """The bytes of a GraphDef that `build` makes."""
    graph = tf.Graph()
    with graph.as_default():
        build()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.as_graph_def().SerializeToString())


def graph_arithmetic(path):
    def build():
        a = tf.compat.v1.placeholder(tf.float32, [None, 4], name="A")
        b = tf.compat.v1.placeholder(tf.float32, [None, 4], name="B")
        tf.add(a, b, name="SUM")
        tf.subtract(a, b, name="DIFF")
        tf.strings.as_string(a, name="TEXT")

    graphdef(path, build)


def graph_with_init(path):
    """A table that holds nothing until the operation 'fill' has run: TF_INIT_OPS_FILE."""
    def build():
        x = tf.compat.v1.placeholder(tf.string, [None], name="X")
        table = tf.lookup.StaticVocabularyTable(
            tf.lookup.KeyValueTensorInitializer(["a", "b"], [0, 1], tf.string, tf.int64), 1)
        tf.identity(table.lookup(x), name="Y")
        tf.group(*tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.TABLE_INITIALIZERS), name="fill")

    graphdef(path, build)


def two_tags(path):
    """A SavedModel in the older form, with the tags 'serve' (doubles) and 'other' (triples), two signatures each."""
    builder = tf.compat.v1.saved_model.Builder(str(path))
    for factor, tag in ((2.0, "serve"), (3.0, "other")):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.compat.v1.placeholder(tf.float32, [None, 2], name="in")
            y = tf.identity(x * factor, name="out")
            z = tf.identity(-x * factor, name="negative")
            one = tf.compat.v1.saved_model.predict_signature_def({"x": x}, {"y": y})
            two = tf.compat.v1.saved_model.predict_signature_def({"x": x}, {"z": z})
            signatures = {"serving_default": one, "negated": two}
            if tag == "serve":
                builder.add_meta_graph_and_variables(session, [tag], signature_def_map=signatures)
            else:
                builder.add_meta_graph([tag], signature_def_map=signatures)
    builder.save()
