// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"

static char path[] = "/tmp/nereid-log-XXXXXX";

static int setup(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd < 0) {
        return -1;
    }
    close(fd);
    struct nrd_status *status = log_set_file(path);
    int bad = status == NULL ? 0 : -1;
    status_free(status);
    return bad;
}

static int teardown(void **state)
{
    (void)state;
    status_free(log_set_file(""));
    return unlink(path);
}

// What was logged since the last call.
static char *take(void)
{
    struct str text = STR_INIT;
    assert_null(file_read(path, 0, &text));
    assert_int_equal(truncate(path, 0), 0);
    return str_take(&text);
}

static void assert_matches(char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, text, 0, NULL, 0) != 0) {
        print_error("'%s' does not match '%s'\n", text, pattern);
        fail();
    }
    regfree(&regex);
    mem_free(text);
}

static void log_line_has_tritons_form(void **state)
{
    (void)state;
    log_printf(LOG_INFO, "src/core/model.c", 472, "loading: \"%s\"\n%d", "m", 1);
    assert_matches(take(),
                   "^I[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6} [0-9]+ model\\.c:472\\] "
                   "\"loading: \\\\\"m\\\\\"\\\\n1\"\n$");
    log_set_format(LOG_FORMAT_ISO8601);
    log_write(LOG_ERROR, "file.c", 1, SLICE("x"));
    assert_matches(
        take(),
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z E [0-9]+ file\\.c:1\\] \"x\"\n$");
    assert_int_equal(log_get_format(), LOG_FORMAT_ISO8601);
    log_set_format(LOG_FORMAT_DEFAULT);
}

static void log_writes_only_enabled_levels(void **state)
{
    (void)state;
    LOG_DEBUG(1, "not seen");
    log_set_verbose(1);
    LOG_DEBUG(1, "seen");
    LOG_DEBUG(2, "not seen");
    log_set_verbose(0);
    assert_matches(take(), "^I[^\n]*\"seen\"\n$");
    log_set_enabled(LOG_WARNING, false);
    assert_false(log_get_enabled(LOG_WARNING));
    LOG_WARN("not seen");
    log_set_enabled(LOG_WARNING, true);
    LOG_WARN("seen %d", 2);
    LOG_ERR("%s", "three");
    assert_matches(take(), "^W[^\n]*\"seen 2\"\nE[^\n]*\"three\"\n$");
}

static void log_long_lines_are_whole(void **state)
{
    (void)state;
    log_printf(LOG_INFO, "a.c", 1, "%2000d", 7);
    char *text = take();
    assert_int_equal(strlen(strchr(text, ']')), 2000 + 2 + 2 + 1);
    mem_free(text);
}

static void log_file_that_cannot_be_is_named(void **state)
{
    (void)state;
    struct nrd_status *status = log_set_file("/nonexist/log");
    assert_int_equal(status_code(status), NRD_INTERNAL);
    assert_non_null(strstr(status_text(status), "'/nonexist/log'"));
    status_free(status);
    assert_string_equal(log_get_file(), path);
}

static void write_lines(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++) {
        LOG_NOTE("line %d of this thread", i);
    }
}

static void log_lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    struct thread threads[3];
    for (int i = 0; i < 3; i++) {
        assert_null(thread_start(&threads[i], "log", 0, write_lines, NULL));
    }
    for (int i = 0; i < 3; i++) {
        thread_join(&threads[i]);
    }
    char *text = take();
    int lines = 0;
    for (char *line = text; *line != '\0'; lines++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_int_equal(*line, 'I');
        assert_memory_equal(end - strlen("of this thread\""), "of this thread\"", 15);
        line = end + 1;
    }
    assert_int_equal(lines, 1500);
    mem_free(text);
}

static void table_is_laid_out_as_tritons(void **state)
{
    (void)state;
    struct table *t = table_create(3);
    static const char *const cells[] = {"Model", "Version", "Status", "resnet",       "1",
                                        "READY", "u",       "2",      "bad:\nno file"};
    for (int i = 0; i < 9; i++) {
        table_add(t, slice_of(cells[i]));
    }
    struct str out = STR_INIT;
    table_print(t, &out);
    assert_string_equal(str_cstr(&out), "+--------+---------+---------+\n"
                                        "| Model  | Version | Status  |\n"
                                        "+--------+---------+---------+\n"
                                        "| resnet | 1       | READY   |\n"
                                        "| u      | 2       | bad:    |\n"
                                        "|        |         | no file |\n"
                                        "+--------+---------+---------+\n");
    log_table(LOG_INFO, "server.c", 5, str_slice(&out));
    assert_matches(take(), "^I[^\n]*server\\.c:5\\] \n\\+--------\\+[^\n]*\n.*\\+\n\n$");
    str_fini(&out);
    table_destroy(t);
    table_destroy(NULL);
}

static void table_cuts_what_is_wider_than_its_share(void **state)
{
    (void)state;
    struct table *t = table_create(2);
    char wide[700];
    memset(wide, 'w', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = '\0';
    table_add(t, SLICE("Option"));
    table_add(t, SLICE("Value"));
    table_add(t, SLICE("o"));
    table_add(t, slice_of(wide));
    struct str out = STR_INIT;
    table_print(t, &out);
    const char *line = str_cstr(&out);
    int lines = 0;
    while (*line != '\0') {
        const char *end = strchr(line, '\n');
        assert_int_equal(end - line, 500);
        line = end + 1;
        lines++;
    }
    assert_int_equal(lines, 6);
    str_fini(&out);
    table_destroy(t);
}

static void table_survives_no_memory(void **state)
{
    (void)state;
    TORTURE(n)
    {
        struct table *t = table_create(1);
        if (t != NULL) {
            struct str out = STR_INIT;
            table_add(t, SLICE("a"));
            table_add(t, SLICE("b"));
            table_print(t, &out);
            assert_true(out.failed || out.len == 5 * 6);
            str_fini(&out);
            table_destroy(t);
        }
        log_printf(LOG_INFO, "a.c", 1, "%600d", 1);
        log_table(LOG_INFO, "a.c", 1, SLICE("x"));
    }
    mem_free(take());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_line_has_tritons_form),
        cmocka_unit_test(log_writes_only_enabled_levels),
        cmocka_unit_test(log_long_lines_are_whole),
        cmocka_unit_test(log_file_that_cannot_be_is_named),
        cmocka_unit_test(log_lines_of_threads_do_not_mix),
        cmocka_unit_test(table_is_laid_out_as_tritons),
        cmocka_unit_test(table_cuts_what_is_wider_than_its_share),
        cmocka_unit_test(table_survives_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
