// SPDX-License-Identifier: Apache-2.0
// The functions of include/nereid/types.h, for libnereid.so: base's and tensor's own under their public names. Each library of
// ours links its own hidden copies of base and tensor, so only these are exported.
#include "nereid/types.h"

#include "base/status.h"
#include "tensor/dtype.h"

struct nrd_status *nrd_status_new(enum nrd_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct nrd_status *status = status_newv(code, format, args);
    va_end(args);
    return status;
}

void nrd_status_free(struct nrd_status *status)
{
    status_free(status);
}

enum nrd_code nrd_status_code(const struct nrd_status *status)
{
    return status_code(status);
}

const char *nrd_status_text(const struct nrd_status *status)
{
    return status_text(status);
}

const char *nrd_code_name(enum nrd_code code)
{
    return code_name(code);
}

size_t nrd_dtype_size(enum nrd_dtype dtype)
{
    return dtype_size(dtype);
}

const char *nrd_dtype_name(enum nrd_dtype dtype)
{
    return dtype_name(dtype);
}
