// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648 section 4), for file overrides and CUDA handles in JSON. Thread: any.
#ifndef NEREID_BASE_BASE64_H
#define NEREID_BASE_BASE64_H

#include "base/str.h"

// Appends the decoded bytes; white space inside is passed over; anything else is NRD_INVALID_ARG.
NRD_MUST_USE struct nrd_status *base64_decode(struct slice text, struct str *out);
void base64_encode(struct slice bytes, struct str *out);

#endif
