// SPDX-License-Identifier: Apache-2.0
// The digits are the reference's: what "%.17g" and strtod of the C library say, and written-out cases of the layout.
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"
#include "base/str.h"

static uint64_t seed = 88172645463325252u;
static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545F4914F6CDD1Du;
}

static void f64_is_laid_out_as_rapidjson_does(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1.0, "1.0"},
        {-1.5, "-1.5"},
        {123456.0, "123456.0"},
        {0.1, "0.1"},
        {(double)0.1f, "0.10000000149011612"},
        {(double)1e20f, "100000002004087730000.0"},
        {1e21, "1e21"},
        {1e22, "1e22"},
        {1.5e22, "1.5e22"},
        {123456789012345680000.0, "123456789012345680000.0"},
        {1234567890123456800000.0, "1.2345678901234568e21"},
        {0.000001, "0.000001"},
        {0.0000015, "0.0000015"},
        {1e-7, "1e-7"},
        {1.5e-7, "1.5e-7"},
        {1.7976931348623157e308, "1.7976931348623157e308"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {5e-324, "5e-324"},
        {9007199254740991.0, "9007199254740991.0"},
        {9007199254740992.0, "9007199254740992.0"},
        {9007199254740993.0 * 4, "36028797018963970.0"},
        {4.35, "4.35"},
        {2e-44, "2e-44"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str out = STR_INIT;
        str_append_f64(&out, cases[i].value);
        assert_string_equal(str_cstr(&out), cases[i].text);
        str_fini(&out);
    }
    struct str out = STR_INIT;
    str_append_f64(&out, (double)NAN);
    str_append_f64(&out, (double)INFINITY);
    str_append_f64(&out, -(double)INFINITY);
    assert_string_equal(str_cstr(&out), "NaNInfinity-Infinity");
    str_fini(&out);
}

// Digits in the text, without point, sign, exponent and zeros at either end.
static unsigned significant(const char *text)
{
    unsigned count = 0;
    unsigned zeros = 0;
    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text == '0') {
            zeros++;
        } else if (*text >= '1' && *text <= '9') {
            count += (count == 0 ? 0 : zeros) + 1;
            zeros = 0;
        }
    }
    return count;
}

static double pick(uint64_t i)
{
    uint64_t bits = next_random();
    double value;
    float single;
    uint32_t half = (uint32_t)bits;
    switch (i % 4) {
    case 0:
        memcpy(&value, &bits, sizeof(value));
        return value;
    case 1:
        memcpy(&single, &half, sizeof(single));
        return (double)single;
    case 2:
        return (double)(float)((double)(bits >> 11) * 0x1p-53);
    default:
        return (double)(bits % 1000000) / 1000.0;
    }
}

static void f64_text_reads_back_and_none_is_shorter(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 200000; i++) {
        double value = pick(i);
        if (!isfinite(value)) {
            continue;
        }
        char text[NUMBER_F64_MAX + 1];
        size_t length = number_write_f64(text, value);
        assert_true(length <= NUMBER_F64_MAX);
        text[length] = '\0';
        double back = strtod(text, NULL);
        double own;
        assert_true(number_read_f64(slice_make(text, length), &own));
        assert_memory_equal(&back, &value, sizeof(value));
        assert_memory_equal(&own, &value, sizeof(value));
        unsigned digits = significant(text);
        assert_true(digits <= 17);
        if (digits > 1) {
            char shorter[64];
            snprintf(shorter, sizeof(shorter), "%.*e", (int)digits - 2, value);
            assert_true(strtod(shorter, NULL) != value);
        }
    }
}

static void f64_reads_as_strtod_does(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 200000; i++) {
        char text[96];
        uint64_t digits = next_random() >> (next_random() % 64);
        int exponent = (int)(next_random() % 700) - 350;
        if (i % 3 == 0) {
            snprintf(text, sizeof(text), "%llu.%lluE%d", (unsigned long long)digits,
                     (unsigned long long)next_random(), exponent);
        } else {
            snprintf(text, sizeof(text), "%llue%d", (unsigned long long)digits, exponent);
        }
        double own;
        double reference = strtod(text, NULL);
        assert_true(number_read_f64(slice_of(text), &own));
        assert_memory_equal(&own, &reference, sizeof(own));
    }
}

static void f64_reads_hard_cases(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "9007199254740993",
        "9007199254740993.0000000000000000000000000000001",
        "9007199254740992.9999999999999999999999999999999",
        "1.00000000000000011102230246251565404236316680908203125",
        "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126",
        "2.2250738585072011e-308",
        "4.9406564584124654e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "179769313486231570814527423731704356798070567525844996598917476803157260780028538760589558"
        "632766878171540458953514382464234321326889464182768467546703537516986049910576551282076245"
        "490090389328944075868508455133942304583236903222948165808559332123347974797826204144723168"
        "738177180919299881250404026184124858368",
        "0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
        "8.5e-1000",
        "0e99999999999999999999",
        "6.631236871469758276785396630275967242e-20",
        "3.518437208883201171875e13",
        "10000000000000000000000000000000000000000000000000000000000000000000000000000000000e-80",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double own;
        double reference = strtod(cases[i], NULL);
        assert_true(number_read_f64(slice_of(cases[i]), &own));
        assert_memory_equal(&own, &reference, sizeof(own));
    }
}

static void f64_reads_a_thousand_digits(void **state)
{
    (void)state;
    // One half of the last place, told from above only by the last of very many digits.
    char text[2000] = "1.00000000000000011102230246251565404236316680908203125";
    size_t length = strlen(text);
    memset(text + length, '0', sizeof(text) - length);
    text[sizeof(text) - 2] = '1';
    text[sizeof(text) - 1] = '\0';
    double own;
    assert_true(number_read_f64(slice_of(text), &own));
    assert_true(own == 1.0000000000000002);
    text[sizeof(text) - 2] = '0';
    assert_true(number_read_f64(slice_of(text), &own));
    assert_true(own == 1.0);
}

static void u64_writes_every_length(void **state)
{
    (void)state;
    uint64_t power = 1;
    for (int digits = 1; digits <= 20; digits++) {
        uint64_t values[3] = {power - 1, power, power + 1};
        for (int i = 0; i < 3; i++) {
            char reference[32];
            struct str out = STR_INIT;
            snprintf(reference, sizeof(reference), "%llu", (unsigned long long)values[i]);
            str_append_u64(&out, values[i]);
            assert_string_equal(str_cstr(&out), reference);
            str_fini(&out);
        }
        power = digits < 20 ? power * 10 : power;
    }
    struct str out = STR_INIT;
    str_append_u64(&out, UINT64_MAX);
    str_append_i64(&out, INT64_MIN);
    str_append_i64(&out, -7);
    assert_string_equal(str_cstr(&out), "18446744073709551615-9223372036854775808-7");
    str_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f64_is_laid_out_as_rapidjson_does),
        cmocka_unit_test(f64_text_reads_back_and_none_is_shorter),
        cmocka_unit_test(f64_reads_as_strtod_does),
        cmocka_unit_test(f64_reads_hard_cases),
        cmocka_unit_test(f64_reads_a_thousand_digits),
        cmocka_unit_test(u64_writes_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
