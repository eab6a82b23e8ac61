// SPDX-License-Identifier: Apache-2.0
// Message: a JSON document that crosses the ABI (TRITONSERVER_Message). Text that never changes once made.
#ifndef NEREID_CORE_MESSAGE_H
#define NEREID_CORE_MESSAGE_H

#include "base/status.h"
#include "base/str.h"

struct message {
    size_t length;
    char text[]; // terminated; the length does not count that
};

// Copies `json`, which is known to be JSON. Returns owned; NULL when memory is out. Thread: any.
struct message *message_create(struct slice json);
// Takes what `json` holds as a message; `json` is finished in any case.
NRD_MUST_USE struct nrd_status *message_take(struct str *json, struct message **message);
void message_destroy(struct message *message); // NULL is fine

#endif
