// SPDX-License-Identifier: Apache-2.0
// Metric families: what backends count, and its text form.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/metric_family.h"

static struct parameter label(char *name, char *value)
{
    return (struct parameter){.name = name,
                              .type = TRITONSERVER_PARAMETER_STRING,
                              .value.string = value,
                              .byte_size = strlen(value)};
}

static void expect_text(const char *expected)
{
    struct str out = STR_INIT;
    metric_families_write(&out);
    assert_string_equal(str_cstr(&out), expected);
    str_fini(&out);
}

static void expect_error(struct nrd_status *status, enum nrd_code code, const char *text)
{
    assert_non_null(status);
    assert_int_equal(status_code(status), code);
    assert_string_equal(status_text(status), text);
    status_free(status);
}

static void counter_counts_and_vanishes(void **state)
{
    (void)state;
    struct metric_family *family = NULL;
    assert_null(metric_family_acquire(TRITONSERVER_METRIC_KIND_COUNTER, "a_total",
                                      "Help \\ me\nnow", &family));
    char model[] = "model", name[] = "m\"1", zone[] = "a_zone", here[] = "x\\y";
    struct parameter first = label(model, name);
    struct parameter second = label(zone, here);
    const struct parameter *labels[] = {&first, &second};
    struct metric *metric = NULL;
    assert_null(metric_acquire(family, labels, 2, NULL, 0, &metric));
    assert_null(metric_increment(metric, 1.5));
    expect_error(metric_increment(metric, -1), NRD_INVALID_ARG,
                 "TRITONSERVER_METRIC_KIND_COUNTER can only be incremented monotonically by "
                 "non-negative values.");
    expect_error(metric_set(metric, 1), NRD_UNSUPPORTED,
                 "TRITONSERVER_METRIC_KIND_COUNTER does not support Set");
    expect_text("# HELP a_total Help \\\\ me\\nnow\n# TYPE a_total counter\n"
                "a_total{a_zone=\"x\\\\y\",model=\"m\\\"1\"} 1.5\n");
    expect_error(metric_family_release(family), NRD_INTERNAL,
                 "Must call MetricDelete on all dependent metrics before calling "
                 "MetricFamilyDelete.");
    metric_release(metric);
    expect_text("");
    assert_null(metric_family_release(family));
}

static void same_labels_are_one_metric(void **state)
{
    (void)state;
    struct metric_family *family = NULL;
    struct metric_family *again = NULL;
    assert_null(metric_family_acquire(TRITONSERVER_METRIC_KIND_GAUGE, "g", "", &family));
    assert_null(metric_family_acquire(TRITONSERVER_METRIC_KIND_GAUGE, "g", "", &again));
    assert_ptr_equal(family, again);
    expect_error(metric_family_acquire(TRITONSERVER_METRIC_KIND_COUNTER, "g", "", &again),
                 NRD_INVALID_ARG, "Metric name 'g' is already registered as another kind");
    struct metric *one = NULL;
    struct metric *two = NULL;
    assert_null(metric_acquire(family, NULL, 0, NULL, 0, &one));
    assert_null(metric_acquire(family, NULL, 0, NULL, 0, &two));
    assert_ptr_equal(one, two);
    assert_null(metric_set(one, 3));
    assert_null(metric_increment(one, -1));
    double value = 0;
    assert_null(metric_value(two, &value));
    assert_float_equal(value, 2, 0);
    metric_release(one);
    expect_text("# TYPE g gauge\ng 2\n");
    metric_release(two);
    assert_null(metric_family_release(again));
    assert_null(metric_family_release(family));
}

static void histogram_buckets_accumulate(void **state)
{
    (void)state;
    struct metric_family *family = NULL;
    assert_null(metric_family_acquire(TRITONSERVER_METRIC_KIND_HISTOGRAM, "h", "H", &family));
    struct metric *metric = NULL;
    expect_error(metric_acquire(family, NULL, 0, NULL, 0, &metric), NRD_INVALID_ARG,
                 "Bucket boundaries not found in Metric args.");
    const double falling[] = {2, 1};
    expect_error(metric_acquire(family, NULL, 0, falling, 2, &metric), NRD_INVALID_ARG,
                 "Bucket Boundaries must be strictly sorted");
    const double bounds[] = {0.1, 1};
    assert_null(metric_acquire(family, NULL, 0, bounds, 2, &metric));
    assert_null(metric_observe(metric, 0.1));
    assert_null(metric_observe(metric, 0.5));
    assert_null(metric_observe(metric, 7));
    double value = 0;
    expect_error(metric_value(metric, &value), NRD_UNSUPPORTED,
                 "TRITONSERVER_METRIC_KIND_HISTOGRAM does not support Value");
    expect_text("# HELP h H\n# TYPE h histogram\nh_count 3\nh_sum 7.5999999999999996\n"
                "h_bucket{le=\"0.10000000000000001\"} 1\nh_bucket{le=\"1\"} 2\n"
                "h_bucket{le=\"+Inf\"} 3\n");
    metric_release(metric);
    assert_null(metric_family_release(family));
}

static void bad_names_and_labels_are_refused(void **state)
{
    (void)state;
    struct metric_family *family = NULL;
    expect_error(metric_family_acquire(TRITONSERVER_METRIC_KIND_GAUGE, "1a", "", &family),
                 NRD_INVALID_ARG, "Invalid metric name '1a'");
    assert_null(metric_family_acquire(TRITONSERVER_METRIC_KIND_GAUGE, "g2", "", &family));
    char name[] = "count";
    struct parameter number = {
        .name = name, .type = TRITONSERVER_PARAMETER_INT, .value.integer = 1};
    const struct parameter *labels[] = {&number};
    struct metric *metric = NULL;
    expect_error(metric_acquire(family, labels, 1, NULL, 0, &metric), NRD_INVALID_ARG,
                 "Parameter [count] must have a type of TRITONSERVER_PARAMETER_STRING to be added "
                 "as a label.");
    const double bounds[] = {1};
    expect_error(metric_acquire(family, NULL, 0, bounds, 1, &metric), NRD_INVALID_ARG,
                 "Unexpected args found in gauge Metric constructor.");
    assert_null(metric_family_release(family));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counter_counts_and_vanishes),
        cmocka_unit_test(same_labels_are_one_metric),
        cmocka_unit_test(histogram_buckets_accumulate),
        cmocka_unit_test(bad_names_and_labels_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
