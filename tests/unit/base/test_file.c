// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static char root[] = "/tmp/nereid-file-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    struct nrd_status *status = file_remove_tree(root);
    int bad = status != NULL || file_exists(root) ? -1 : 0;
    status_free(status);
    return bad;
}

static void assert_fails(struct nrd_status *status, enum nrd_code code, const char *part)
{
    assert_int_equal(status_code(status), code);
    assert_non_null(strstr(status_text(status), part));
    status_free(status);
}

static void file_is_written_and_read(void **state)
{
    (void)state;
    char *path = path_join(root, "a.txt");
    struct str text = STR_INIT;
    str_append_cstr(&text, "before-");
    assert_null(file_write(path, SLICE("one\0two")));
    assert_null(file_read(path, 7, &text));
    assert_int_equal(text.len, 14);
    assert_memory_equal(text.ptr, "before-one\0two", 15);
    assert_fails(file_read(path, 6, &text), NRD_INVALID_ARG, "is larger than 6 bytes");
    assert_int_equal(text.len, 14);
    struct file_info info;
    assert_null(file_stat(path, &info));
    assert_int_equal(info.size, 7);
    assert_false(info.is_dir);
    assert_true(info.mtime_ns > 0);
    assert_true(file_exists(path));
    assert_false(file_is_dir(path));
    str_fini(&text);
    mem_free(path);
}

static void file_without_a_size_is_read_whole(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    assert_null(file_read("/proc/self/status", 0, &text));
    assert_true(text.len > 100);
    str_fini(&text);
}

static void file_errors_name_the_path(void **state)
{
    (void)state;
    struct file_info info;
    struct file_list list;
    struct str text = STR_INIT;
    struct nrd_status *status = file_stat("/nonexist", &info);
    assert_int_equal(status_code(status), NRD_INTERNAL);
    assert_string_equal(status_text(status), "failed to stat file /nonexist");
    status_free(status);
    assert_fails(file_read("/nonexist", 0, &text), NRD_INTERNAL, "/nonexist: No such file");
    assert_fails(file_read("/", 0, &text), NRD_INTERNAL, "failed to read file /");
    assert_fails(file_write("/nonexist/x", SLICE("")), NRD_INTERNAL, "/nonexist/x");
    assert_fails(file_list("/nonexist", &list), NRD_INTERNAL, "/nonexist");
    assert_fails(file_make_dirs("/proc/nope/x"), NRD_INTERNAL, "/proc/nope");
    str_fini(&text);
}

static void directories_are_made_listed_and_removed(void **state)
{
    (void)state;
    char *deep = path_join(root, "m/1/x");
    char *m = path_join(root, "m/");
    assert_null(file_make_dirs(deep));
    assert_null(file_make_dirs(deep));
    assert_true(file_is_dir(deep));
    static const char *const names[] = {"b", "a", "10", "2", "Z"};
    for (int i = 0; i < 5; i++) {
        char *path = path_join(m, names[i]);
        assert_null(file_write(path, SLICE("")));
        assert_fails(file_make_dirs(path), NRD_INTERNAL, "it is a file");
        mem_free(path);
    }
    char *link = path_join(m, "link");
    assert_int_equal(symlink("/etc", link), 0);
    struct file_list list;
    assert_null(file_list(m, &list));
    static const char *const sorted[] = {"1", "10", "2", "Z", "a", "b", "link"};
    assert_int_equal(list.count, 7);
    for (int i = 0; i < 7; i++) {
        assert_string_equal(list.names[i], sorted[i]);
    }
    file_list_fini(&list);
    assert_null(file_remove_tree(m));
    assert_false(file_exists(m));
    assert_true(file_is_dir("/etc"));
    assert_null(file_remove_tree(m));
    mem_free(deep);
    mem_free(m);
    mem_free(link);
}

static void path_join_puts_one_slash(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"a", "/b", "a/b"}, {"a//", "//b", "a/b"},
        {"/", "b", "/b"},  {"", "b", "b"},     {"a", "", "a"},     {"", "/b", "/b"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *path = path_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        mem_free(path);
    }
    assert_string_equal(path_base("/a/b.c"), "b.c");
    assert_string_equal(path_base("b.c"), "b.c");
    assert_string_equal(path_base("a/"), "");
}

static void files_survive_no_memory(void **state)
{
    (void)state;
    TORTURE(n)
    {
        struct file_list list = {0};
        struct str text = STR_INIT;
        status_free(file_list("/", &list));
        file_list_fini(&list);
        status_free(file_read("/proc/self/status", 0, &text));
        str_fini(&text);
        mem_free(path_join("a", "b"));
        status_free(file_make_dirs("/tmp"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_is_written_and_read),
        cmocka_unit_test(file_without_a_size_is_read_whole),
        cmocka_unit_test(file_errors_name_the_path),
        cmocka_unit_test(directories_are_made_listed_and_removed),
        cmocka_unit_test(path_join_puts_one_slash),
        cmocka_unit_test(files_survive_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
