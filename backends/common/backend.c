// SPDX-License-Identifier: Apache-2.0
// Errors, log lines and settings of a backend. See backend.h.
#include "backends/common/backend.h"

#include <stdio.h>

enum { TEXT_MAX = 2048 };

TRITONSERVER_Error *backend_error(struct nrd_status *status)
{
    if (status == NULL) {
        return NULL;
    }
    // Triton's codes are ours less one (status.h).
    TRITONSERVER_Error_Code code = (TRITONSERVER_Error_Code)(status_code(status) - 1);
    TRITONSERVER_Error *error = TRITONSERVER_ErrorNew(code, status_text(status));
    status_free(status);
    return error;
}

TRITONSERVER_Error *backend_error_new(TRITONSERVER_Error_Code code, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return TRITONSERVER_ErrorNew(code, text);
}

TRITONSERVER_Error *backend_no_memory(void)
{
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNAVAILABLE, "out of memory");
}

void backend_log(TRITONSERVER_LogLevel level, const char *file, int line, const char *format, ...)
{
    if (!TRITONSERVER_LogIsEnabled(level)) {
        return;
    }
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    TRITONSERVER_Error *error = TRITONSERVER_LogMessage(level, file, line, text);
    if (error != NULL) {
        TRITONSERVER_ErrorDelete(error); // there is no one left to tell
    }
}

void backend_log_error(TRITONSERVER_Error *error, const char *what)
{
    if (error == NULL) {
        return;
    }
    BACKEND_LOG(ERROR, "%s: %s - %s", what, TRITONSERVER_ErrorCodeString(error),
                TRITONSERVER_ErrorMessage(error));
    TRITONSERVER_ErrorDelete(error);
}

TRITONSERVER_Error *backend_check_version(const char *name)
{
    uint32_t major = 0;
    uint32_t minor = 0;
    BACKEND_TRY(TRITONBACKEND_ApiVersion(&major, &minor));
    if (major != TRITONBACKEND_API_VERSION_MAJOR || minor < TRITONBACKEND_API_VERSION_MINOR) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "the server's TRITONBACKEND API version %u.%u does not support "
                                 "backend '%s', which needs %d.%d",
                                 major, minor, name, TRITONBACKEND_API_VERSION_MAJOR,
                                 TRITONBACKEND_API_VERSION_MINOR);
    }
    return NULL;
}

TRITONSERVER_Error *backend_settings_init(struct backend_settings *settings,
                                          TRITONBACKEND_Backend *backend)
{
    TRITONSERVER_Message *message = NULL; // the server's
    BACKEND_TRY(TRITONBACKEND_BackendConfig(backend, &message));
    const char *base = NULL;
    size_t size = 0;
    BACKEND_TRY(TRITONSERVER_MessageSerializeToJson(message, &base, &size));
    arena_init(&settings->arena, 0);
    settings->cmdline = NULL;
    if (size == 0) {
        return NULL;
    }
    // The message may be freed before the settings are, and strings of the tape borrow the text.
    char *text = arena_strdup(&settings->arena, slice_make(base, size));
    if (text == NULL) {
        arena_fini(&settings->arena);
        return backend_no_memory();
    }
    const struct json_node *root = NULL;
    struct nrd_status *status = json_parse_status(&settings->arena, slice_make(text, size),
                                                  JSON_STRICT, "backend configuration", &root);
    if (status != NULL) {
        arena_fini(&settings->arena);
        return backend_error(status);
    }
    settings->cmdline = json_get(root, "cmdline");
    return NULL;
}

void backend_settings_fini(struct backend_settings *settings)
{
    arena_fini(&settings->arena);
    settings->cmdline = NULL;
}

bool backend_setting(const struct backend_settings *settings, const char *key, struct slice *value)
{
    if (settings->cmdline == NULL) {
        return false;
    }
    const struct json_node *node = json_get(settings->cmdline, key);
    if (node == NULL || node->type != JSON_STRING) {
        return false;
    }
    *value = json_text(node);
    return true;
}

TRITONSERVER_Error *backend_parse_int(const char *what, struct slice text, int *value)
{
    int64_t wide = 0;
    if (!slice_to_i64(text, &wide) || wide < INT32_MIN || wide > INT32_MAX) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "failed to convert '%.*s' to int integral number for '%s'",
                                 (int)text.len, text.ptr, what);
    }
    *value = (int)wide;
    return NULL;
}

TRITONSERVER_Error *backend_parse_bool(const char *what, struct slice text, bool *value)
{
    if (slice_equal_nocase(text, SLICE("true")) || slice_is(text, "1")) {
        *value = true;
        return NULL;
    }
    if (slice_equal_nocase(text, SLICE("false")) || slice_is(text, "0")) {
        *value = false;
        return NULL;
    }
    return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                             "failed to convert '%.*s' to boolean for '%s'", (int)text.len,
                             text.ptr, what);
}

TRITONSERVER_Error *backend_setting_int(const struct backend_settings *settings, const char *key,
                                        int *value)
{
    struct slice text = {0};
    return backend_setting(settings, key, &text) ? backend_parse_int(key, text, value) : NULL;
}

TRITONSERVER_Error *backend_setting_bool(const struct backend_settings *settings, const char *key,
                                         bool *value)
{
    struct slice text = {0};
    return backend_setting(settings, key, &text) ? backend_parse_bool(key, text, value) : NULL;
}
