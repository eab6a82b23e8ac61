// SPDX-License-Identifier: Apache-2.0
#include "config_fixture.h"

static const struct refusal shapes[] = {
    {"input { name: 'a' data_type: TYPE_FP32 dims: [ 1, -1 ] }", NULL},
    {"output { name: 'a' data_type: TYPE_STRING dims: 1 }", NULL},
    {"input { data_type: TYPE_FP32 dims: 1 }", "model input must specify 'name' for m"},
    {"output { data_type: TYPE_FP32 dims: 1 }", "model output must specify 'name' for m"},
    {"input { name: 'a' dims: 1 }", "model input 'a' must specify 'data_type' for m"},
    {"output { name: 'a' data_type: TYPE_FP32 }", "model output 'a' must specify 'dims' for m"},
    {"input { name: 'a' data_type: TYPE_FP32 dims: [ 1, 0 ] }",
     "model input 'a' dimension must be integer >= 1, or -1 to indicate a variable-size dimension "
     "for m"},
    {"input { name: 'a' data_type: TYPE_FP32 dims: -2 }",
     "model input 'a' dimension must be integer >= 1, or -1 to indicate a variable-size dimension "
     "for m"},
    {"input { name: 'a' data_type: TYPE_FP32 dims: 1 reshape { shape: [] } }",
     "model input 'a' cannot have empty reshape for non-batching model as scalar tensors are not "
     "supported for m"},
    {"max_batch_size: 1 input { name: 'a' data_type: TYPE_FP32 dims: 1 reshape {} }", NULL},
    {"max_batch_size: 1 input { name: 'a' data_type: TYPE_FP32 dims: 2 reshape {} }",
     "model input 'a' has different size for dims and reshape for m"},
    {"input { name: 'a' data_type: TYPE_FP32 dims: 2 reshape { shape: 0 } }",
     "model input 'a' reshape dimensions must be integer >= 1, or -1 to indicate a variable-size "
     "dimension for m"},
    {"input { name: 'a' data_type: TYPE_FP32 dims: [2, 3] reshape { shape: [6, 1] } }", NULL},
    {"output { name: 'a' data_type: TYPE_FP32 dims: [2, 3] reshape { shape: 5 } }",
     "model output 'a' has different size for dims and reshape for m"},
    {"input { name: 'a' data_type: TYPE_FP32 dims: [2, 4, -1, 6] reshape { shape: [8, -1, 1, 6] } "
     "}",
     NULL},
    {"input { name: 'a' data_type: TYPE_FP32 dims: [2, -1] reshape { shape: [-1, 2] } }",
     "model input 'a' has different size for dims and reshape for m"},
    {"input { name: 'a' data_type: TYPE_FP32 dims: [2, -1] reshape { shape: [2, -1, -1] } }",
     "model input 'a' has different number of variable-size dimensions for dims and reshape for m"},
    {"input { name: 'a' data_type: TYPE_FP32 dims: -1 reshape { shape: 4 } }",
     "model input 'a' has different size for dims and reshape for m"},
    {"input { name: 'a' data_type: TYPE_FP32 dims: [4611686018427387904, 4] "
     "reshape { shape: 1 } }",
     "element count for tensor 'a dims' exceeds maximum size of 9223372036854775807 for m"},
    {"input { name: 'a' data_type: TYPE_FP32 dims: [3, 4] format: FORMAT_NCHW }",
     "model input NHWC/NCHW require 3 dims for m"},
    {"input { name: 'a' data_type: TYPE_FP32 dims: [3, 4, 5] format: FORMAT_NHWC }", NULL},
    {"input { name: 'a' data_type: TYPE_INT32 dims: 1 is_shape_tensor: true }",
     "shape tensors are only supported for TensorRT platform for m"},
    {"platform: 'tensorrt_plan' input { name: 'a' data_type: TYPE_INT32 dims: 1 is_shape_tensor: "
     "true }",
     NULL},
    {"output { name: 'a' data_type: TYPE_INT32 dims: 1 is_non_linear_format_io: true }",
     "Non-linear IO format is only supported for the TensorRT platform for m"},
    {"platform: 'tensorrt_plan' output { name: 'a' data_type: TYPE_INT32 dims: 1 "
     "is_non_linear_format_io: true }",
     "Non-linear IO format output requires 3 dims for m"},
};

static const struct refusal batches[] = {
    {"batch_input { kind: BATCH_ELEMENT_COUNT target_name: 't' data_type: TYPE_FP32 "
     "source_input: 'in' }",
     NULL},
    {"batch_input { kind: BATCH_ITEM_SHAPE target_name: 't' data_type: TYPE_FP32 }",
     "batch input kind 'BATCH_ITEM_SHAPE' expects 1 source input, got 0 for m"},
    {"batch_input { kind: BATCH_ITEM_SHAPE data_type: TYPE_FP32 source_input: ['in', 'in'] }",
     "batch input kind 'BATCH_ITEM_SHAPE' expects 1 source input, got 2 for m"},
    {"batch_input { kind: 17 data_type: TYPE_FP32 source_input: 'in' }",
     "unknown batch input kind '' for m"},
    {"batch_input { data_type: TYPE_INT64 source_input: 'in' }",
     "batch input data type must be TYPE_INT32 or TYPE_FP32 for m"},
    {"batch_input { data_type: TYPE_INT32 source_input: 'x' }",
     "unknown source input name 'x' for m"},
    {"batch_output { target_name: 'out' source_input: 'in' }", NULL},
    {"batch_output { target_name: 'out' }",
     "batch output kind 'BATCH_SCATTER_WITH_INPUT_SHAPE' expects 1 source input, got 0 for m"},
    {"batch_output { target_name: 'out' source_input: 'out' }",
     "unknown source input name 'out' for m"},
    {"batch_output { target_name: 'in' source_input: 'in' }",
     "unknown target output name 'in' for m"},
    {"batch_output { target_name: ['out', 'out'] source_input: 'in' }",
     "target output name 'out' can only be specified once for m"},
};

static void validate_io_checks_shapes(void **state)
{
    (void)state;
    check_refusals("name: 'm'", shapes, COUNT(shapes), config_validate_io);
}

static void validate_io_checks_batch_inputs_and_outputs(void **state)
{
    (void)state;
    check_refusals("name: 'm' input { name: 'in' data_type: TYPE_FP32 dims: 1 } "
                   "output { name: 'out' data_type: TYPE_FP32 dims: 1 }",
                   batches, COUNT(batches), config_validate_io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validate_io_checks_shapes),
        cmocka_unit_test(validate_io_checks_batch_inputs_and_outputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
