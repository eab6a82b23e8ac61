// SPDX-License-Identifier: Apache-2.0
// Statistics that requests of the other tests do not reach: responses of decoupled models, the first response's histogram.
#include "tests/unit/base/unit.h"

#include "tests/unit/core/hot_fixture.h"

static struct fixture fixture;

static int set_up(void **state)
{
    (void)state;
    fixture_floats(&fixture, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_stop(&fixture);
    return 0;
}

static void responses_of_a_long_stream_are_counted_by_index(void **state)
{
    (void)state;
    enum { RESPONSES = 200000 }; // a list searched for each of them would take minutes
    fixture_compile(&fixture);
    for (uint64_t i = 0; i < RESPONSES; i++) {
        fixture_check(stats_count_response(fixture.model.stats, i, 1, 2, 4, NULL));
    }
    fixture_check(stats_count_response(fixture.model.stats, 7, 10, 0, 15, NULL));
    struct str out = STR_INIT;
    stats_json(fixture.model.stats, &out);
    assert_non_null(strstr(str_cstr(&out), "\"7\":{\"compute_infer\":{\"count\":2,\"ns\":6}"));
    assert_non_null(strstr(str_cstr(&out), "\"199999\":{\"compute_infer\":{\"count\":1,\"ns\":1}"));
    assert_null(strstr(str_cstr(&out), "\"200000\":"));
    str_fini(&out);
}

static void expect_first_responses(uint32_t bounds, const uint64_t *counts)
{
    const double *at = NULL;
    assert_int_equal(stats_first_response_bounds(fixture.model.stats, &at), bounds);
    for (uint32_t i = 0; i <= bounds; i++) {
        assert_int_equal(stats_first_response_count(fixture.model.stats, i), counts[i]);
    }
}

static void first_responses_have_tritons_bounds(void **state)
{
    (void)state;
    fixture_compile(&fixture);
    stats_count_first_response(fixture.model.stats, 100000000);  // a bound belongs to its bucket
    stats_count_first_response(fixture.model.stats, 3000000000); // 3 s
    expect_first_responses(5, (const uint64_t[]){1, 1, 1, 2, 2, 2});
}

static void first_responses_have_the_bounds_of_the_configuration(void **state)
{
    (void)state;
    double buckets[] = {1, 10};
    char family[] = "nv_inference_first_response_histogram_ms";
    Inference__ModelMetrics__MetricControl__MetricIdentifier identifier;
    Inference__ModelMetrics__MetricControl__HistogramOptions histogram;
    Inference__ModelMetrics__MetricControl control;
    Inference__ModelMetrics__MetricControl *controls[] = {&control};
    Inference__ModelMetrics metrics;
    inference__model_metrics__init(&metrics);
    inference__model_metrics__metric_control__init(&control);
    inference__model_metrics__metric_control__metric_identifier__init(&identifier);
    inference__model_metrics__metric_control__histogram_options__init(&histogram);
    identifier.family = family;
    histogram.n_buckets = 2;
    histogram.buckets = buckets;
    control.metric_identifier = &identifier;
    control.metric_options_case =
        INFERENCE__MODEL_METRICS__METRIC_CONTROL__METRIC_OPTIONS_HISTOGRAM_OPTIONS;
    control.histogram_options = &histogram;
    metrics.n_metric_control = 1;
    metrics.metric_control = controls;
    fixture.config.model_metrics = &metrics;
    fixture_compile(&fixture);
    stats_count_first_response(fixture.model.stats, 5000000);
    stats_count_first_response(fixture.model.stats, 50000000);
    expect_first_responses(2, (const uint64_t[]){0, 1, 2});
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(responses_of_a_long_stream_are_counted_by_index),
        TEST(first_responses_have_tritons_bounds),
        TEST(first_responses_have_the_bounds_of_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
