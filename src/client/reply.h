// SPDX-License-Identifier: Apache-2.0
// What HTTP replies hold besides tensors. Thread: any.
#ifndef NEREID_CLIENT_REPLY_H
#define NEREID_CLIENT_REPLY_H

#include "base/json.h"
#include "base/str.h"

// Appends what an error reply says: the "error" of its JSON, else the start of its text.
void reply_error_text(struct slice body, struct str *out);
// Parses the JSON of a reply: NRD_INTERNAL "malformed answer: ..." without prefix, or out of memory.
NRD_MUST_USE struct nrd_status *reply_parse(struct arena *arena, struct slice json,
                                            const struct json_node **root);

#endif
