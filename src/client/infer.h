// SPDX-License-Identifier: Apache-2.0
// Inference requests: checked, then written into a call by the protocol's writer.
#ifndef NEREID_CLIENT_INFER_H
#define NEREID_CLIENT_INFER_H

#include "client/client.h"

// NRD_INVALID_ARG for what no server could take: names that are missing, sizes that do not fit shapes. Thread: any.
NRD_MUST_USE struct nrd_status *infer_check(const struct nrd_client_request *request);
// Writers. `call` is fresh; tensor bytes stay where they are. Thread: owner of the call.
NRD_MUST_USE struct nrd_status *infer_write_http(struct nrd_client_call *call,
                                                 const struct nrd_client_request *request);
NRD_MUST_USE struct nrd_status *infer_write_grpc(struct nrd_client_call *call,
                                                 const struct nrd_client_request *request);
// Whether a name can stand in a path: what would end or split it cannot.
bool http_name_fits_path(const char *name);
// Appends "POST /v2/models/NAME[/versions/V]SUFFIX" with its checks to `head`; VERB is with its blank.
NRD_MUST_USE struct nrd_status *http_write_model_target(struct nrd_client_call *call,
                                                        const char *verb, const char *model,
                                                        const char *version, const char *suffix);
// Appends the headers that every request has, and the head's end. A body of `size` bytes follows, whose first `json` (SIZE_MAX: does not matter) are JSON.
void http_write_headers(struct nrd_client_call *call, bool has_body, size_t size, size_t json);

#endif
