// SPDX-License-Identifier: Apache-2.0
// Status: one allocation holds the code and the text; and the table of what each code is elsewhere.
#include "base/status.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct nrd_status {
    enum nrd_code code;
    char text[];
};

// The one status that owns no memory. Flexible members can be initialised in static objects (a GNU
// extension), but not under -Wpedantic; so its shape is spelled out and cast.
static const struct {
    enum nrd_code code;
    char text[16];
} no_memory = {NRD_UNAVAILABLE, "out of memory"};
_Static_assert(offsetof(struct nrd_status, text) == sizeof(enum nrd_code),
               "the text of the static status lies where that of a made one does");

// Codes beside their counterparts: Triton's error string, HTTP status, gRPC status.
static const struct {
    const char *name;
    int http;
    int grpc;
} codes[] = {
    [NRD_OK] = {"OK", 200, 0},
    [NRD_UNKNOWN] = {"Unknown", 400, 2},
    [NRD_INTERNAL] = {"Internal", 500, 13},
    [NRD_NOT_FOUND] = {"Not found", 404, 5},
    [NRD_INVALID_ARG] = {"Invalid argument", 400, 3},
    [NRD_UNAVAILABLE] = {"Unavailable", 503, 14},
    [NRD_UNSUPPORTED] = {"Unsupported", 501, 12},
    [NRD_ALREADY_EXISTS] = {"Already exists", 400, 6},
    [NRD_CANCELLED] = {"Cancelled", 400, 1},
};

static bool code_known(enum nrd_code code)
{
    return (unsigned)code < sizeof(codes) / sizeof(codes[0]);
}

struct nrd_status *status_no_memory(void)
{
    union {
        const void *from;
        struct nrd_status *to;
    } cast = {.from = &no_memory};
    return cast.to;
}

static struct nrd_status *status_room(enum nrd_code code, size_t length)
{
    if (length > SIZE_MAX - sizeof(struct nrd_status) - 1) {
        return status_no_memory();
    }
    struct nrd_status *status = mem_alloc(sizeof(struct nrd_status) + length + 1);
    if (status == NULL) {
        return status_no_memory();
    }
    status->code = code;
    status->text[length] = '\0';
    return status;
}

struct nrd_status *status_newv(enum nrd_code code, const char *format, va_list args)
{
    char small[256];
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(small, sizeof(small), format, args);
    struct nrd_status *status;
    if (length < 0) {
        static const char unprintable[] = "(a text that could not be printed)";
        status = status_new_text(code, unprintable, sizeof(unprintable) - 1);
    } else if ((size_t)length < sizeof(small)) {
        status = status_new_text(code, small, (size_t)length);
    } else {
        status = status_room(code, (size_t)length);
        if (status != status_no_memory()) {
            vsnprintf(status->text, (size_t)length + 1, format, again);
        }
    }
    va_end(again);
    return status;
}

struct nrd_status *status_new(enum nrd_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct nrd_status *status = status_newv(code, format, args);
    va_end(args);
    return status;
}

struct nrd_status *status_new_text(enum nrd_code code, const char *text, unsigned long length)
{
    struct nrd_status *status = status_room(code, length);
    if (status != status_no_memory() && length != 0) {
        memcpy(status->text, text, length);
    }
    return status;
}

struct nrd_status *status_wrap(struct nrd_status *status, const char *prefix_format, ...)
{
    if (status == NULL || status == status_no_memory()) {
        return status;
    }
    va_list args;
    va_start(args, prefix_format);
    struct nrd_status *prefix = status_newv(status->code, prefix_format, args);
    va_end(args);
    if (prefix == status_no_memory()) {
        return status; // the cause alone says more than "out of memory"
    }
    size_t prefix_length = strlen(prefix->text);
    size_t text_length = strlen(status->text);
    struct nrd_status *whole = status_room(status->code, prefix_length + text_length);
    if (whole == status_no_memory()) {
        status_free(prefix);
        return status;
    }
    memcpy(whole->text, prefix->text, prefix_length);
    memcpy(whole->text + prefix_length, status->text, text_length);
    status_free(prefix);
    status_free(status);
    return whole;
}

struct nrd_status *status_copy(const struct nrd_status *status)
{
    if (status == NULL) {
        return NULL;
    }
    return status_new_text(status->code, status->text, strlen(status->text));
}

void status_free(struct nrd_status *status)
{
    if (status != status_no_memory()) {
        mem_free(status);
    }
}

enum nrd_code status_code(const struct nrd_status *status)
{
    return status == NULL ? NRD_OK : status->code;
}

const char *status_text(const struct nrd_status *status)
{
    return status == NULL ? "" : status->text;
}

const char *code_name(enum nrd_code code)
{
    return code_known(code) ? codes[code].name : "<invalid code>";
}

int code_http(enum nrd_code code)
{
    return code_known(code) ? codes[code].http : 400;
}

int code_grpc(enum nrd_code code)
{
    return code_known(code) ? codes[code].grpc : 2;
}

enum nrd_code code_from_http(int status)
{
    switch (status) {
    case 401: // who may not call is told UNAVAILABLE over gRPC, too
    case 403:
    case 408:
    case 429:
    case 502:
    case 503:
    case 504:
        return NRD_UNAVAILABLE;
    case 404:
        return NRD_NOT_FOUND;
    case 409:
        return NRD_ALREADY_EXISTS;
    case 499:
        return NRD_CANCELLED;
    case 501:
        return NRD_UNSUPPORTED;
    default:
        break;
    }
    if (status >= 200 && status < 300) {
        return NRD_OK;
    }
    return status >= 500 ? NRD_INTERNAL : status >= 400 ? NRD_INVALID_ARG : NRD_UNKNOWN;
}

enum nrd_code code_from_grpc(int status)
{
    // DEADLINE_EXCEEDED, PERMISSION_DENIED, RESOURCE_EXHAUSTED, ABORTED and UNAUTHENTICATED: try later, or as someone else.
    if (status == 4 || status == 7 || status == 8 || status == 10 || status == 16) {
        return NRD_UNAVAILABLE;
    }
    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i].grpc == status) {
            return (enum nrd_code)i;
        }
    }
    // FAILED_PRECONDITION and OUT_OF_RANGE; DATA_LOSS.
    return status == 9 || status == 11 ? NRD_INVALID_ARG
           : status == 15              ? NRD_INTERNAL
                                       : NRD_UNKNOWN;
}
