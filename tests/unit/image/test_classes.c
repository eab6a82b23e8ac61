// SPDX-License-Identifier: Apache-2.0
#include "image_unit.h"

#include <math.h>

#include "image/classes.h"

static size_t place(const struct image_scores *s, size_t pixel, uint32_t c)
{
    return s->layout == IMAGE_HWC ? pixel * s->channels + c
                                  : c * (size_t)s->width * s->height + pixel;
}

static float *random_scores(struct image_scores *s, uint32_t seed)
{
    size_t count = (size_t)s->width * s->height * s->channels;
    float *data = mem_alloc(count * sizeof(*data));
    for (size_t i = 0; i < count; i++) {
        data[i] =
            (float)(unit_random(&seed) % 4001) / 100.0f - 20.0f; // few enough values to have ties
        if (unit_random(&seed) % 50 == 0) {
            data[i] = NAN;
        }
    }
    s->data = data;
    return data;
}

static void argmax_takes_the_first_of_the_greatest(void **state)
{
    (void)state;
    static const uint32_t channels[] = {1, 2, 5, 21, 256};
    for (uint32_t k = 0; k < 10; k++) {
        struct image_scores s = {.width = 53,
                                 .height = 11,
                                 .channels = channels[k % 5],
                                 .layout = k < 5 ? IMAGE_HWC : IMAGE_CHW};
        float *data = random_scores(&s, k);
        uint8_t map[53 * 11];
        image_argmax(&s, map);
        for (size_t i = 0; i < 53 * 11; i++) {
            uint32_t best = 0;
            float most = -INFINITY;
            for (uint32_t c = 0; c < s.channels; c++) {
                if (data[place(&s, i, c)] > most) {
                    most = data[place(&s, i, c)];
                    best = c;
                }
            }
            assert_int_equal(map[i], best);
        }
        mem_free(data);
    }
}

static void argmax_of_nothing_but_not_a_number_is_class_zero(void **state)
{
    (void)state;
    float data[6] = {NAN, NAN, NAN, -INFINITY, NAN, -INFINITY};
    struct image_scores s = {data, 2, 1, 3, IMAGE_HWC};
    uint8_t map[2] = {9, 9};
    image_argmax(&s, map);
    assert_int_equal(map[0], 0);
    assert_int_equal(map[1], 0);
}

static void threshold_looks_at_the_first_channel(void **state)
{
    (void)state;
    float data[6] = {0.5f, 0.9f, 0.49999f, 0.9f, NAN, 0.9f};
    struct image_scores s = {data, 3, 1, 2, IMAGE_HWC};
    uint8_t map[3];
    image_threshold(&s, 0.5f, map);
    assert_memory_equal(map, ((uint8_t[]){1, 0, 0}), 3);
    s.layout = IMAGE_CHW;
    image_threshold(&s, 0.5f, map);
    assert_memory_equal(map, ((uint8_t[]){1, 1, 0}), 3);
}

static void softmax_agrees_with_double_precision(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 6; k++) {
        struct image_scores s = {.width = 60,
                                 .height = 9,
                                 .channels = 1 + k % 3 * 4,
                                 .layout = k < 3 ? IMAGE_HWC : IMAGE_CHW};
        float *data = random_scores(&s, k + 3);
        size_t count = 60 * 9 * (size_t)s.channels;
        float *before = mem_alloc(count * sizeof(float));
        for (size_t i = 0; i < count; i++) {
            before[i] = data[i] = isnan(data[i]) ? 100.0f : data[i];
        }
        image_softmax(&s, data);
        for (size_t i = 0; i < 60 * 9; i++) {
            double sum = 0.0, most = -1e30;
            for (uint32_t c = 0; c < s.channels; c++) {
                most = fmax(most, (double)before[place(&s, i, c)]);
            }
            for (uint32_t c = 0; c < s.channels; c++) {
                sum += exp((double)before[place(&s, i, c)] - most);
            }
            for (uint32_t c = 0; c < s.channels; c++) {
                double expected = exp((double)before[place(&s, i, c)] - most) / sum;
                double off = fabs((double)data[place(&s, i, c)] - expected);
                assert_true(off <= 1e-5 * expected + 1e-37);
            }
        }
        mem_free(before);
        mem_free(data);
    }
}

static void sigmoid_agrees_with_double_precision(void **state)
{
    (void)state;
    enum { COUNT = 4001 };
    float data[COUNT];
    for (int i = 0; i < COUNT; i++) {
        data[i] = ((float)i - 2000.0f) / 10.0f;
    }
    image_sigmoid(data, COUNT);
    for (int i = 0; i < COUNT; i++) {
        double expected = 1.0 / (1.0 + exp(-((double)i - 2000.0) / 10.0));
        assert_true(fabs((double)data[i] - expected) <= 1e-6);
    }
}

static void counts_add_up(void **state)
{
    (void)state;
    uint8_t map[1003];
    uint64_t counts[256] = {[3] = 10};
    for (int i = 0; i < 1003; i++) {
        map[i] = (uint8_t)(i % 5 == 0 ? 3 : 255);
    }
    image_count_classes(map, 1003, counts);
    assert_int_equal(counts[3], 10 + 201);
    assert_int_equal(counts[255], 802);
    assert_int_equal(counts[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(argmax_takes_the_first_of_the_greatest),
        cmocka_unit_test(argmax_of_nothing_but_not_a_number_is_class_zero),
        cmocka_unit_test(threshold_looks_at_the_first_channel),
        cmocka_unit_test(softmax_agrees_with_double_precision),
        cmocka_unit_test(sigmoid_agrees_with_double_precision),
        cmocka_unit_test(counts_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
