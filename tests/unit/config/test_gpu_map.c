// SPDX-License-Identifier: Apache-2.0
#include "config_fixture.h"

static void maps_are_read(void **state)
{
    (void)state;
    struct config_gpu_map map;
    assert_null(config_gpu_map_parse(SLICE("none"), &map));
    assert_int_equal(map.kind, CONFIG_GPU_MAP_NONE);
    assert_null(config_gpu_map_parse(SLICE("wrap"), &map));
    assert_int_equal(map.kind, CONFIG_GPU_MAP_WRAP);
    assert_null(config_gpu_map_parse(SLICE("2:1,3:0,0:0"), &map));
    assert_int_equal(map.kind, CONFIG_GPU_MAP_PAIRS);
    assert_int_equal(map.count, 3);
    assert_int_equal(map.pairs[1].from, 3);
    assert_int_equal(map.pairs[1].to, 0);
}

static void bad_maps_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"", "not a pair of GPU numbers"},
        {"modulo", "not a pair of GPU numbers"},
        {"2", "not a pair of GPU numbers"},
        {"2:", "not a pair of GPU numbers"},
        {":1", "not a pair of GPU numbers"},
        {"2:1,", "not a pair of GPU numbers"},
        {"2:1:0", "not a pair of GPU numbers"},
        {"-1:0", "not a pair of GPU numbers"},
        {"4294967296:0", "not a pair of GPU numbers"},
        {"2:1,2:0", "a GPU is mapped twice"},
        {"2:1,1:0", "a GPU that another one is mapped to is mapped itself"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config_gpu_map map = {.kind = CONFIG_GPU_MAP_WRAP};
        char text[160];
        snprintf(text, sizeof(text),
                 "GPU map '%s': %s; expected 'none', 'wrap', or pairs as in '2:1,3:0'",
                 rows[i].text, rows[i].why);
        assert_refused(config_gpu_map_parse(slice_of(rows[i].text), &map), text, rows[i].text);
        assert_int_equal(map.kind, CONFIG_GPU_MAP_WRAP);
    }
}

static void more_pairs_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    for (int i = 0; i <= CONFIG_GPU_PAIRS_MAX; i++) {
        str_printf(&text, "%s%d:0", i > 0 ? "," : "", i + 1);
    }
    struct config_gpu_map map;
    struct nrd_status *status = config_gpu_map_parse(str_slice(&text), &map);
    assert_non_null(status);
    assert_non_null(strstr(status_text(status), "too many pairs"));
    status_free(status);
    str_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_are_read),
        cmocka_unit_test(bad_maps_are_refused_and_change_nothing),
        cmocka_unit_test(more_pairs_than_there_is_room_for_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
