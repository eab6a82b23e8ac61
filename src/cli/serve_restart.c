// SPDX-License-Identifier: Apache-2.0
// Serve, restart: counting restarts, and executing the program again. See the header.
#include "cli/serve_restart.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "net/inherit.h"
#include "protocol/error.h"

// "COUNT@SECONDS" of the first of them, on the steady clock.
#define VARIABLE "NEREID_RESTARTS"

static long long steady_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

struct nrd_status *restart_may(void)
{
    const char *text = getenv(VARIABLE);
    unsigned count = 0;
    long long first = 0;
    long long now = steady_seconds();
    // NOLINTNEXTLINE(cert-err34-c): what cannot be read is taken for none, by the count of fields
    if (text == NULL || sscanf(text, "%u@%lld", &count, &first) != 2 || first > now ||
        now - first > RESTARTS_WINDOW_S) {
        count = 0;
        first = now;
    }
    if (count >= RESTARTS_MAX) {
        return status_new(NRD_UNAVAILABLE, "%u restarts in %lld s were not enough", count,
                          now - first);
    }
    char next[64];
    snprintf(next, sizeof(next), "%u@%lld", count + 1, first);
    return setenv(VARIABLE, next, 1) == 0 ? NULL : status_no_memory();
}

struct nrd_status *restart_arguments_own(struct restart_arguments *arguments)
{
    str_init(&arguments->text);
    return file_read("/proc/self/cmdline", 0, &arguments->text);
}

void restart_arguments_add(struct restart_arguments *arguments, const char *name, const char *value)
{
    str_printf(&arguments->text, "--%s=%s", name, value);
    str_append(&arguments->text, "", 1);
}

static struct slice text_of(const struct json_node *row, const char *key)
{
    const struct json_node *value = json_get(row, key);
    return value != NULL && value->type == JSON_STRING ? json_text(value) : SLICE("");
}

// A model that serves no more for want of a GPU is one that the server is to serve again.
static bool was_loaded(const struct json_node *row)
{
    struct slice state = text_of(row, "state");
    struct slice reason = text_of(row, "reason");
    return slice_is(state, "READY") || memmem(reason.ptr, reason.len, " is lost: ", 10) != NULL;
}

static struct nrd_status *add_models(struct restart_arguments *arguments, struct slice index)
{
    struct arena arena;
    const struct json_node *rows = NULL;
    arena_init(&arena, 4096);
    struct nrd_status *status = json_parse_status(&arena, index, JSON_STRICT, "index", &rows);
    const struct json_node *row = status == NULL ? json_first(rows) : NULL;
    for (uint32_t i = 0; status == NULL && i < rows->count; i++, row = json_next(row)) {
        struct slice name = text_of(row, "name");
        if (was_loaded(row)) {
            str_printf(&arguments->text, "--load-model=%.*s", (int)name.len, name.ptr);
            str_append(&arguments->text, "", 1);
        }
    }
    arena_fini(&arena);
    return status;
}

struct nrd_status *restart_arguments_add_models(struct restart_arguments *arguments,
                                                TRITONSERVER_Server *core)
{
    TRITONSERVER_Message *message = NULL;
    const char *text = NULL;
    size_t size = 0;
    NRD_TRY(error_to_status(TRITONSERVER_ServerModelIndex(core, 0, &message)));
    struct nrd_status *status =
        error_to_status(TRITONSERVER_MessageSerializeToJson(message, &text, &size));
    if (status == NULL) {
        status = add_models(arguments, slice_make(text, size));
    }
    status_free(error_to_status(TRITONSERVER_MessageDelete(message)));
    return status;
}

void restart_arguments_fini(struct restart_arguments *arguments)
{
    str_fini(&arguments->text);
}

struct nrd_status *restart_exec(const struct restart_arguments *arguments)
{
    NRD_TRY(str_status(&arguments->text));
    const char *text = str_cstr(&arguments->text);
    size_t length = arguments->text.len;
    size_t count = 0;
    for (size_t i = 0; i < length; i++) {
        count += text[i] == '\0';
    }
    const char **argv = mem_calloc(count + 1, sizeof(*argv));
    if (argv == NULL) {
        return status_no_memory();
    }
    const char *at = text;
    for (size_t i = 0; i < count; i++) {
        argv[i] = at;
        at += strlen(at) + 1;
    }
    struct nrd_status *status = inherit_pass();
    if (status == NULL) {
        execv("/proc/self/exe", (char **)(uintptr_t)argv);
        status = status_new(NRD_INTERNAL, "execv: %s", strerror(errno));
    }
    mem_free(argv);
    return status;
}
