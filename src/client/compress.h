// SPDX-License-Identifier: Apache-2.0
// gzip and deflate (zlib's form, as HTTP and gRPC mean it) of requests and replies. Thread: owner of the call.
#ifndef NEREID_CLIENT_COMPRESS_H
#define NEREID_CLIENT_COMPRESS_H

#include "client/client.h"

// "gzip" or "deflate"; NULL for none.
const char *compress_name(enum nrd_client_compression compression);
// Appends what `parts` hold, without the first `skip` bytes, compressed.
NRD_MUST_USE struct nrd_status *compress_parts(const struct iovec *parts, unsigned count,
                                               size_t skip, enum nrd_client_compression compression,
                                               struct str *out);
// Replaces call->reply by what it holds inflated, at most `most` bytes; the byte at `aligned` lies on a multiple of 64.
NRD_MUST_USE struct nrd_status *inflate_reply(struct nrd_client_call *call, size_t aligned,
                                              size_t most);

#endif
