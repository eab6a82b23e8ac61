// SPDX-License-Identifier: Apache-2.0
// Status: the one way a fallible call reports failure.
//
// NULL is success. Anything else carries a code and one line of text that names the object and
// the value, and belongs to the caller, who passes it up or gives it to status_free(). Each code has
// exactly one Triton, one HTTP and one gRPC counterpart; the table is in status.c and nowhere else.
// Hot paths that cannot afford a text return a bare `enum nrd_code`.
#ifndef NEREID_BASE_STATUS_H
#define NEREID_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>

#include "nereid/types.h"

// Makes a status; `code` must not be NRD_OK. Returns owned; never NULL: when memory is out, it is the
// static "out of memory" status, which status_free() leaves alone. Thread: any.
NRD_MUST_USE NRD_PRINTF(2, 3) struct nrd_status *status_new(enum nrd_code code, const char *format,
                                                            ...);
NRD_MUST_USE NRD_PRINTF(2, 0) struct nrd_status *status_newv(enum nrd_code code, const char *format,
                                                             va_list args);
// Makes a status whose text is exactly `text` of `length` bytes (no format). Returns owned.
NRD_MUST_USE struct nrd_status *status_new_text(enum nrd_code code, const char *text,
                                                unsigned long length);
// The static out-of-memory status (code NRD_UNAVAILABLE). Thread: any.
NRD_MUST_USE struct nrd_status *status_no_memory(void);
// Puts "`prefix`" before the text of `status`; takes and returns owned. NULL stays NULL.
NRD_MUST_USE NRD_PRINTF(2, 3) struct nrd_status *status_wrap(struct nrd_status *status,
                                                             const char *prefix_format, ...);
// A second, equal status. Returns owned. NULL stays NULL.
NRD_MUST_USE struct nrd_status *status_copy(const struct nrd_status *status);
// Frees; takes. NULL is fine.
void status_free(struct nrd_status *status);
// NRD_OK for NULL.
enum nrd_code status_code(const struct nrd_status *status);
// "" for NULL. Borrowed from `status`.
const char *status_text(const struct nrd_status *status);

// Names as Triton prints them: "Internal", "Invalid argument", "Not found", "OK", ...
const char *code_name(enum nrd_code code);
// HTTP status number (200, 400, 404, 500, 501, 503) and gRPC status number (0..16).
int code_http(enum nrd_code code);
int code_grpc(enum nrd_code code);
// The other way, for clients; NRD_OK for 2xx and 0. What has no counterpart of its own falls to its neighbour (504: unavailable).
enum nrd_code code_from_http(int status);
enum nrd_code code_from_grpc(int status);

#endif
