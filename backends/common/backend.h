// SPDX-License-Identifier: Apache-2.0
// What every backend needs to speak to its host: errors, log lines, the check of the interface's
// version, the settings of the command line. A backend fails with TRITONSERVER_Error, base with
// nrd_status; backend_error() is the one bridge.
#ifndef NEREID_BACKENDS_COMMON_BACKEND_H
#define NEREID_BACKENDS_COMMON_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/slice.h"
#include "base/status.h"
#include "triton/core/tritonbackend.h"

// Turns a status into the same error: code and text. Takes `status`; NULL gives NULL. Returns
// owned. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *backend_error(struct nrd_status *status);
// Makes an error with a formatted text (cut at 2 KiB). Returns owned. Thread: any.
NRD_MUST_USE NRD_PRINTF(2, 3) TRITONSERVER_Error *backend_error_new(TRITONSERVER_Error_Code code,
                                                                    const char *format, ...);
// UNAVAILABLE "out of memory". Returns owned. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *backend_no_memory(void);

// Returns early with the error of `expression`, for places where nothing is held.
#define BACKEND_TRY(expression)                                                                    \
    do {                                                                                           \
        TRITONSERVER_Error *backend_try_error_ = (expression);                                     \
        if (backend_try_error_ != NULL) {                                                          \
            return backend_try_error_;                                                             \
        }                                                                                          \
    } while (0)

// Writes to the host's log, if the level is on. Thread: any.
#define BACKEND_LOG(level, ...)                                                                    \
    backend_log(TRITONSERVER_LOG_##level, __FILE__, __LINE__, __VA_ARGS__)
NRD_PRINTF(4, 5)
void backend_log(TRITONSERVER_LogLevel level, const char *file, int line, const char *format, ...);
// For failures that nobody can be told of but the log. Takes `error`; NULL is fine. Thread: any.
void backend_log_error(TRITONSERVER_Error *error, const char *what);

// UNSUPPORTED unless the host speaks this version of TRITONBACKEND. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *backend_check_version(const char *name);

// The settings that the command line gave to a backend (--backend-config=NAME,key=value).
struct backend_settings {
    struct arena arena;
    const struct json_node *cmdline; // NULL when there are none
};
// Reads them. The caller owns `settings` (backend_settings_fini). Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *backend_settings_init(struct backend_settings *settings,
                                                       TRITONBACKEND_Backend *backend);
void backend_settings_fini(struct backend_settings *settings);
// False when the setting is absent. `*value` is borrowed from the settings.
bool backend_setting(const struct backend_settings *settings, const char *key, struct slice *value);

// Settings and parameters are text. These read them, with Triton's errors (INVALID_ARG): whole
// numbers of 32 bits; "true", "1", "false", "0" in any case. `what` names the parameter. Thread:
// any.
NRD_MUST_USE TRITONSERVER_Error *backend_parse_int(const char *what, struct slice text, int *value);
NRD_MUST_USE TRITONSERVER_Error *backend_parse_bool(const char *what, struct slice text,
                                                    bool *value);
// The same for a setting, under its name; one that is absent leaves `*value` as it is. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *backend_setting_int(const struct backend_settings *settings,
                                                     const char *key, int *value);
NRD_MUST_USE TRITONSERVER_Error *backend_setting_bool(const struct backend_settings *settings,
                                                      const char *key, bool *value);

#endif
