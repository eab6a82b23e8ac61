/* SPDX-License-Identifier: Apache-2.0 */
/* What all of Nereid's public headers share: codes and statuses, data types, kinds of memory.
   Ownership words: *borrows* (the default), *takes*, *shares* (a reference is counted), *returns owned*. */
#ifndef NEREID_TYPES_H
#define NEREID_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NRD_API __attribute__((visibility("default")))
#define NRD_MUST_USE __attribute__((warn_unused_result))
#define NRD_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

/* The first seven after OK are Triton's error codes, shifted by one (TRITONSERVER_Error_Code + 1). */
enum nrd_code {
    NRD_OK = 0,
    NRD_UNKNOWN,
    NRD_INTERNAL,
    NRD_NOT_FOUND,
    NRD_INVALID_ARG,
    NRD_UNAVAILABLE,
    NRD_UNSUPPORTED,
    NRD_ALREADY_EXISTS,
    NRD_CANCELLED,
};

/* How a fallible call reports failure: NULL is success; anything else is a code and one line of text that names the
   object and the value, and belongs to the caller. */
struct nrd_status;

/* Makes a status; `code` must not be NRD_OK. Returns owned; never NULL: when memory is out, it is a static status
   that says so. Thread: any. */
NRD_API NRD_MUST_USE NRD_PRINTF(2, 3) struct nrd_status *nrd_status_new(enum nrd_code code,
                                                                        const char *format, ...);
/* Frees; takes. NULL is fine. Thread: any. */
NRD_API void nrd_status_free(struct nrd_status *status);
/* NRD_OK for NULL. Thread: any. */
NRD_API enum nrd_code nrd_status_code(const struct nrd_status *status);
/* "" for NULL. Borrowed from `status`. Thread: any. */
NRD_API const char *nrd_status_text(const struct nrd_status *status);
/* "Not found", "Invalid argument", ... Static. Thread: any. */
NRD_API const char *nrd_code_name(enum nrd_code code);

/* Returns early with the status of `expression`, for places where nothing is held. */
#define NRD_TRY(expression)                                                                        \
    do {                                                                                           \
        struct nrd_status *nrd_try_status_ = (expression);                                         \
        if (nrd_try_status_ != NULL) {                                                             \
            return nrd_try_status_;                                                                \
        }                                                                                          \
    } while (0)

/* Triton's data types, in the numbering of TRITONSERVER_DataType. */
enum nrd_dtype {
    NRD_DTYPE_INVALID = 0,
    NRD_DTYPE_BOOL,
    NRD_DTYPE_U8,
    NRD_DTYPE_U16,
    NRD_DTYPE_U32,
    NRD_DTYPE_U64,
    NRD_DTYPE_I8,
    NRD_DTYPE_I16,
    NRD_DTYPE_I32,
    NRD_DTYPE_I64,
    NRD_DTYPE_F16,
    NRD_DTYPE_F32,
    NRD_DTYPE_F64,
    NRD_DTYPE_BYTES, /* elements of any length: each a 32-bit little-endian length and its bytes */
    NRD_DTYPE_BF16,
};
#define NRD_DTYPE_COUNT 15

/* Bytes of an element; 0 for BYTES and INVALID. Thread: any. */
NRD_API size_t nrd_dtype_size(enum nrd_dtype dtype);
/* The protocol's name: "FP32", "BYTES"; "<invalid>". Static. Thread: any. */
NRD_API const char *nrd_dtype_name(enum nrd_dtype dtype);

/* Where bytes are, in the numbering of TRITONSERVER_MemoryType. */
enum nrd_memory {
    NRD_MEMORY_CPU,
    NRD_MEMORY_PINNED, /* of the host, locked for copies by devices */
    NRD_MEMORY_GPU,
};

#ifdef __cplusplus
}
#endif

#endif
