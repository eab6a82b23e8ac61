// SPDX-License-Identifier: Apache-2.0
#include "config_fixture.h"

#define LATEST "version_policy { latest { num_versions: 1 } }"

static const struct refusal basics[] = {
    {"name: 'm' backend: 'identity'" LATEST, NULL},
    {"", "model configuration must specify 'name'"},
    {"name: 'm' platform: 'x'", "unexpected platform type 'x' for m"},
    {"name: 'm' platform: 'ensemble' backend: 'x'",
     "Ensemble model 'm' must have platform type 'ensemble' and empty backend type"},
    {"name: 'm' backend: 'onnxruntime' platform: 'tensorrt_plan'",
     "unexpected 'platform' and 'backend' pair, got:tensorrt_plan, onnxruntime"},
    {"name: 'm' backend: 'onnxruntime'",
     "unexpected 'platform' and 'backend' pair, got:, onnxruntime"},
    {"name: 'm' backend: 'custom' platform: 'any'" LATEST, NULL},
    {"name: 'm' backend: 'python' platform: 'any'" LATEST, NULL},
    {"name: 'm' backend: 'tensorflow' platform: 'tensorflow_savedmodel'" LATEST, NULL},
    {"name: 'm' backend: 'pytorch' platform: 'pytorch_libtorch'" LATEST, NULL},
    {"name: 'm' backend: 'pytorch' platform: 'torch_aoti'" LATEST, NULL},
    {"name: 'm' backend: 'b' max_batch_size: -1",
     "'max_batch_size' must be non-negative value for m"},
    {"name: 'm' backend: 'b'", "must specify 'version policy' for m"},
    {"name: 'm' platform: 'ensemble'" LATEST,
     "ensemble scheduling must be set for ensemble m whose platform is ensemble"},
    {"name: 'm' backend: 'b' model_transaction_policy { decoupled: true } "
     "response_cache { enable: true }" LATEST,
     "Response Cache does not currently support model m with 'decoupled' transaction policy. "
     "Please "
     "disable the response cache."},
    {"name: 'm' backend: 'b' model_metrics { metric_control {} }" LATEST,
     "metric control must specify 'metric_identifier'"},
    {"name: 'm' backend: 'b' model_metrics { metric_control { metric_identifier {} } }" LATEST,
     "metric identifier must specify non-empty 'family'"},
    {"name: 'm' backend: 'b' model_metrics { metric_control { metric_identifier { family: 'f' } } "
     "}" LATEST,
     "metric control must specify 'histogram_options'"},
    {"name: 'm' backend: 'b' model_metrics { metric_control { metric_identifier { family: 'f' } "
     "histogram_options {} } }" LATEST,
     "histogram options must specify non-empty 'buckets'"},
};

static const struct refusal dynamics[] = {
    {"dynamic_batching { preferred_batch_size: [2, 8] }", NULL},
    {"dynamic_batching { preferred_batch_size: 0 }",
     "dynamic batching preferred size must be positive for m"},
    {"dynamic_batching { preferred_batch_size: 9 }",
     "dynamic batching preferred size must be <= max batch size for m"},
    {"dynamic_batching { priority_levels: 2 }",
     "default priority level must be in range [1, 2] for m"},
    {"dynamic_batching { priority_levels: 2 default_priority_level: 3 }",
     "default priority level must be in range [1, 2] for m"},
    {"dynamic_batching { priority_levels: 2 default_priority_level: 2 "
     "priority_queue_policy { key: 3 value {} } }",
     "priority queue policy must have priority level in range [1, 2] for m"},
    {"dynamic_batching { priority_levels: 2 default_priority_level: 2 "
     "priority_queue_policy { key: 2 value { max_queue_size: 4 } } }",
     NULL},
    {"dynamic_batching { priority_levels: 2 default_priority_level: 2 preserve_ordering: true }",
     "Only one priority level is allowed when 'preserve_ordering' is true for m"},
    {"dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY "
     "default_timeout_microseconds: 1 } }",
     "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m"},
    {"dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY } }",
     NULL},
    {"dynamic_batching { preserve_ordering: true priority_levels: 1 default_priority_level: 1 "
     "priority_queue_policy { key: 1 value { timeout_action: DELAY default_timeout_microseconds: 1 "
     "} } }",
     "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m"},
};

#define START "kind: CONTROL_SEQUENCE_START"
static const struct refusal sequences[] = {
    {"sequence_batching {}", NULL},
    {"sequence_batching {} response_cache { enable: true }",
     "Response Cache does not currently support model m with sequence batching scheduler. Please "
     "disable the response cache."},
    {"sequence_batching { control_input { control { " START " fp32_false_true: [0, 1] } } }",
     "sequence batching control tensor must have a name for m"},
    {"sequence_batching { control_input { name: 'A' } control_input { name: 'A' } }",
     "sequence batching control tensor 'A' is specified for multiple control kinds for m"},
    {"sequence_batching { control_input { name: 'A' control { " START
     " fp32_false_true: [0, 1] } } control_input { name: 'B' control { " START
     " fp32_false_true: [0, 1] } } }",
     "sequence batching specifies multiple CONTROL_SEQUENCE_START tensors for m"},
    {"sequence_batching { control_input { name: 'A' control { " START " } } }",
     "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or "
     "'bool_false_true' for CONTROL_SEQUENCE_START for m"},
    {"sequence_batching { control_input { name: 'A' control { " START
     " int32_false_true: [0, 1] bool_false_true: [false, true] } } }",
     "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and "
     "'bool_false_true' for CONTROL_SEQUENCE_START for m"},
    {"sequence_batching { control_input { name: 'A' control { kind: CONTROL_SEQUENCE_END "
     "int32_false_true: [0, 1, 2] } } }",
     "sequence batching control 'int32_false_true' must have exactly 2 entries for "
     "CONTROL_SEQUENCE_END for m"},
    {"sequence_batching { control_input { name: 'A' control { kind: CONTROL_SEQUENCE_READY "
     "fp32_false_true: 0 } } }",
     "sequence batching control 'fp32_false_true' must have exactly 2 entries for "
     "CONTROL_SEQUENCE_READY for m"},
    {"sequence_batching { control_input { name: 'A' control { " START " bool_false_true: true } } "
     "}",
     "sequence batching control 'bool_false_true' must have exactly 2 entries for "
     "CONTROL_SEQUENCE_START for m"},
    {"sequence_batching { control_input { name: 'A' control { kind: CONTROL_SEQUENCE_CORRID "
     "data_type: TYPE_FP32 } } }",
     "unexpected data type for control CONTROL_SEQUENCE_CORRID for m. Allowed data types are "
     "TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING"},
    {"sequence_batching { control_input { name: 'A' control { kind: CONTROL_SEQUENCE_CORRID "
     "data_type: TYPE_UINT64 fp32_false_true: [0, 1] } } }",
     "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or "
     "'bool_false_true' for CONTROL_SEQUENCE_CORRID for m"},
    {"sequence_batching { control_input { name: 'A' control { kind: CONTROL_SEQUENCE_CORRID "
     "data_type: TYPE_STRING } control { " START " int32_false_true: [0, 1] } } }",
     NULL},
    {"sequence_batching { oldest { preferred_batch_size: -1 } }",
     "sequence batching preferred batch size must be positive for m"},
    {"sequence_batching { oldest { preferred_batch_size: 9 } }",
     "sequence batching preferred batch size must be <= max batch size for m"},
    {"sequence_batching { direct { minimum_slot_utilization: 1.5 } }",
     "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m"},
    {"sequence_batching { direct { minimum_slot_utilization: 0.5 } }", NULL},
};

#define STEP(in, out)                                                                              \
    "step { model_name: 'x' input_map { key: 'i' value: '" in "' } output_map { key: 'o' "         \
    "value: '" out "' } }"
#define STEP2(in, in2, out)                                                                        \
    "step { model_name: 'x' input_map { key: 'i' value: '" in "' } input_map { key: 'j' value: "   \
    "'" in2 "' } output_map { key: 'o' value: '" out "' } }"
#define ENSEMBLE(steps) "platform: 'ensemble' ensemble_scheduling { " steps " }"
#define IO "input { name: 'A' } output { name: 'Z' } "
static const struct refusal ensembles[] = {
    {IO ENSEMBLE(STEP("A", "Z")), NULL},
    {IO ENSEMBLE(STEP("M", "Z") STEP("A", "M")), NULL},
    {IO ENSEMBLE(STEP("A", "M") STEP2("A", "M", "Z")), NULL},
    {"backend: 'b' ensemble_scheduling {}",
     "ensemble scheduling cannot be set for model 'm' whose platform is not ensemble"},
    {"instance_group {}" ENSEMBLE(), "instance group should not be specified for ensemble 'm'"},
    {"optimization {}" ENSEMBLE(), "optimization should not be specified for ensemble 'm'"},
    {"model_warmup {}" ENSEMBLE(), "model_warmup can not be specified for ensemble 'm'"},
    {ENSEMBLE(), "must specify 'step' for ensemble 'm'"},
    {ENSEMBLE("step {}"), "must specify 'model_name' in step 0 of ensemble 'm'"},
    {ENSEMBLE(STEP("A", "Z") "step { model_name: 'x' }"),
     "must specify 'input_map' in step 1 of ensemble 'm'"},
    {ENSEMBLE("step { model_name: 'x' input_map { key: 'i' value: 'A' } }"),
     "must specify 'output_map' in step 0 of ensemble 'm'"},
    {IO ENSEMBLE(STEP("A", "Z") STEP("A", "Z")),
     "ensemble tensor 'Z' can appear in an output map only once for ensemble 'm' step 1"},
    {"input { name: 'B' }" IO ENSEMBLE(STEP("A", "Z")),
     "ensemble input 'B' for ensemble m' is not used"},
    {"output { name: 'Y' }" IO ENSEMBLE(STEP("A", "Z")),
     "ensemble output 'Y' for ensemble m' is not used"},
    {IO ENSEMBLE(STEP2("A", "M", "Z") STEP("N", "M")),
     "output 'Z' for ensemble 'm' is not written: at least one of its depending tensors, 'N', is "
     "not connected"},
    {IO ENSEMBLE(STEP2("A", "Z", "Z")), "output 'Z' for ensemble 'm' is not written"},
    {IO ENSEMBLE(STEP2("A", "M", "Z") STEP2("A", "Z", "M")),
     "output 'Z' for ensemble 'm' is not written"},
    {IO ENSEMBLE(STEP("A", "Z") STEP("A", "M")), "ensemble tensor 'M' is unused in ensemble 'm'"},
    {IO ENSEMBLE(STEP("A", "Z") STEP("B", "M")), "ensemble tensor 'M' is unused in ensemble 'm'"},
};

static void validate_checks_the_basics(void **state)
{
    (void)state;
    check_refusals("", basics, COUNT(basics), config_validate);
}

static void validate_checks_the_dynamic_batcher(void **state)
{
    (void)state;
    check_refusals("name: 'm' backend: 'b' max_batch_size: 8 " LATEST, dynamics, COUNT(dynamics),
                   config_validate);
}

static void validate_checks_the_sequence_batcher(void **state)
{
    (void)state;
    check_refusals("name: 'm' backend: 'b' max_batch_size: 8 " LATEST, sequences, COUNT(sequences),
                   config_validate);
}

static void validate_follows_the_data_of_an_ensemble(void **state)
{
    (void)state;
    check_refusals("name: 'm' " LATEST, ensembles, COUNT(ensembles), config_validate);
}

static void validate_of_an_ensemble_survives_any_failed_allocation(void **state)
{
    (void)state;
    Inference__ModelConfig *config =
        config_of("name: 'm' " LATEST IO ENSEMBLE(STEP("A", "M") STEP2("A", "M", "Z")));
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        mem_fail_after(n);
        struct nrd_status *status = config_validate(config);
        mem_fail_after(0);
        done = status == NULL;
        status_free(status);
        assert_true(n < 100);
    }
    config_destroy(config);
}

static void controls_are_read_by_kind(void **state)
{
    (void)state;
    Inference__ModelConfig *config = config_of(
        "sequence_batching { control_input { name: 'S' control { kind: CONTROL_SEQUENCE_START "
        "int32_false_true: [-1, 7] } } control_input { name: 'R' control { kind: "
        "CONTROL_SEQUENCE_READY fp32_false_true: [0.5, 2] } } control_input { name: 'C' control { "
        "kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 } } }");
    const Inference__ModelSequenceBatching *batching = config->sequence_batching;
    struct config_control control;
    assert_null(config_boolean_control(
        batching, "m", INFERENCE__MODEL_SEQUENCE_BATCHING__CONTROL__KIND__CONTROL_SEQUENCE_START,
        true, &control));
    assert_string_equal(control.tensor_name, "S");
    assert_int_equal(control.data_type, INFERENCE__DATA_TYPE__TYPE_INT32);
    assert_int_equal(control.int32_false_true[0], -1);
    assert_int_equal(control.int32_false_true[1], 7);
    assert_null(config_boolean_control(
        batching, "m", INFERENCE__MODEL_SEQUENCE_BATCHING__CONTROL__KIND__CONTROL_SEQUENCE_READY,
        true, &control));
    assert_string_equal(control.tensor_name, "R");
    assert_true(control.fp32_false_true[0] == 0.5F && control.fp32_false_true[1] == 2.0F);
    assert_null(config_boolean_control(
        batching, "m", INFERENCE__MODEL_SEQUENCE_BATCHING__CONTROL__KIND__CONTROL_SEQUENCE_END,
        false, &control));
    assert_null(control.tensor_name);
    assert_refused(
        config_boolean_control(
            batching, "m", INFERENCE__MODEL_SEQUENCE_BATCHING__CONTROL__KIND__CONTROL_SEQUENCE_END,
            true, &control),
        "sequence batching control tensor must specify a CONTROL_SEQUENCE_END value for m", "");
    assert_null(config_typed_control(
        batching, "m", INFERENCE__MODEL_SEQUENCE_BATCHING__CONTROL__KIND__CONTROL_SEQUENCE_CORRID,
        true, &control));
    assert_string_equal(control.tensor_name, "C");
    assert_int_equal(control.data_type, INFERENCE__DATA_TYPE__TYPE_INT64);
    config_destroy(config);
}

static void directory_must_have_the_name_of_the_model(void **state)
{
    (void)state;
    Inference__ModelConfig *config = config_of("name: 'm'");
    assert_null(config_check_directory(config, "m"));
    assert_refused(
        config_check_directory(config, "d"),
        "unexpected directory name 'd' for model 'm', directory name must equal model name", "");
    config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validate_checks_the_basics),
        cmocka_unit_test(validate_checks_the_dynamic_batcher),
        cmocka_unit_test(validate_checks_the_sequence_batcher),
        cmocka_unit_test(validate_follows_the_data_of_an_ensemble),
        cmocka_unit_test(validate_of_an_ensemble_survives_any_failed_allocation),
        cmocka_unit_test(controls_are_read_by_kind),
        cmocka_unit_test(directory_must_have_the_name_of_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
