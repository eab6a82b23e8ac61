// SPDX-License-Identifier: Apache-2.0
// backends/pytorch/torch_spec.c: names of the inputs and outputs of a package. The texts are as torch.export writes them.
#include "backends/pytorch/torch_model.h"
#include "tests/unit/backends/host.h"

#define LEAF "{\"type\":null,\"context\":null,\"children_spec\":[]}"
#define TUPLE(children)                                                                            \
    "{\"type\":\"builtins.tuple\",\"context\":\"null\",\"children_spec\":[" children "]}"
#define DICT(keys, children)                                                                       \
    "{\"type\":\"builtins.dict\",\"context\":\"" keys "\",\"children_spec\":[" children "]}"

static void assert_names(const char *spec, bool inputs, const char *const *expected)
{
    struct arena arena;
    const char **names = NULL;
    uint32_t count = 0;
    uint32_t i = 0;
    arena_init(&arena, 0);
    assert_null(torch_spec_read(&arena, spec, inputs, &names, &count));
    for (; expected[i] != NULL; i++) {
        assert_true(i < count);
        assert_string_equal(names[i], expected[i]);
    }
    assert_int_equal(count, i);
    arena_fini(&arena);
}

static void spec_of_inputs_is_args_and_kwargs(void **state)
{
    (void)state;
    static const char spec[] = "[1," TUPLE(TUPLE(LEAF "," DICT(
        "[\\\"a\\\", \\\"b\\\"]", LEAF "," LEAF)) "," DICT("[\\\"scale\\\"]", LEAF)) "]";
    static const char *const names[] = {"ARGS[0]", "ARGS[1][a]", "ARGS[1][b]", "KWARGS[scale]",
                                        NULL};
    assert_names(spec, true, names);
}

static void spec_of_outputs_is_a_result(void **state)
{
    (void)state;
    static const char *const one[] = {"RESULT", NULL};
    static const char *const many[] = {"RESULT[y]", "RESULT[z][0]", "RESULT[z][1]", NULL};
    assert_names("[1," LEAF "]", false, one);
    assert_names("[1," DICT("[\\\"y\\\", \\\"z\\\"]", LEAF "," TUPLE(LEAF "," LEAF)) "]", false,
                 many);
}

static void spec_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "{}",
                                      "[1]",
                                      "[1,2]",
                                      "[1," LEAF "]",
                                      "[1," TUPLE(LEAF) "]",
                                      "[1," TUPLE(TUPLE("") "," DICT("[]", LEAF)) "]",
                                      "[1," TUPLE(TUPLE("") "," DICT("[1]", LEAF)) "]",
                                      "[1," TUPLE(TUPLE("") "," DICT("x", "")) "]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct arena arena;
        const char **names = NULL;
        uint32_t count = 0;
        arena_init(&arena, 0);
        struct nrd_status *status = torch_spec_read(&arena, bad[i], true, &names, &count);
        assert_non_null(status);
        assert_non_null(strstr(status_text(status), "call specification cannot be read"));
        status_free(status);
        arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spec_of_inputs_is_args_and_kwargs),
        cmocka_unit_test(spec_of_outputs_is_a_result),
        cmocka_unit_test(spec_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
