/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: what flows from operator to operator. A message is counted by reference and carries any of: named tensors, one small
   value of a plain type, one object of the sender's, metadata, and the time at which its data was acquired. Passing it on moves a
   reference, never bytes; behind a fan-out all branches hold the same message, so only a holder of the only reference
   may change it (nrd_message_is_writable). Memory comes from the plan's pool: in steady state nothing is allocated. */
#ifndef NEREID_MESSAGE_H
#define NEREID_MESSAGE_H

#include "nereid/tensor.h"
#include "nereid/value.h"

#ifdef __cplusplus
extern "C" {
#endif

struct nrd_message;

#define NRD_MESSAGE_VALUE_MAX 64 /* bytes of a value that a message holds in itself */

/* A message outside of any graph (tests, injected input); operators take theirs from nrd_message_new() in operator.h.
   Returns owned, NULL when memory is out. Thread: any. */
NRD_API struct nrd_message *nrd_message_create(void);
NRD_API struct nrd_message *nrd_message_ref(struct nrd_message *message); /* shares; Thread: any */
NRD_API void nrd_message_unref(struct nrd_message *message); /* NULL is fine; Thread: any */
NRD_API bool nrd_message_is_writable(const struct nrd_message *message);

/* Adds a tensor under a name (copied; at most 63 bytes; "" is a name). Takes `tensor` on success. A name that is there is
   replaced. NRD_INVALID_ARG; NRD_UNAVAILABLE when memory is out. Thread: owner. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_message_add_tensor(struct nrd_message *message, const char *name, struct nrd_tensor *tensor);
NRD_API size_t nrd_message_tensor_count(const struct nrd_message *message);
/* Borrowed; NULL past the end, or when there is none of that name. */
NRD_API struct nrd_tensor *nrd_message_tensor_at(const struct nrd_message *message, size_t index,
                                                 const char **name);
NRD_API struct nrd_tensor *nrd_message_tensor(const struct nrd_message *message, const char *name);
/* The tensor of that name, or, when `name` is "", the only one. Errors name what the message has: "message has no tensor
   'image' (it has 'video')". Borrowed. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_message_find_tensor(const struct nrd_message *message,
                                                                const char *name,
                                                                struct nrd_tensor **tensor);

/* The plain value: `type` is the name that the ports' types are compared by (static text). */
NRD_API NRD_MUST_USE enum nrd_code nrd_message_set_value(struct nrd_message *message,
                                                         const char *type, const void *value,
                                                         size_t size);
/* Borrowed; NULL when there is none. `size` may be NULL. */
NRD_API const void *nrd_message_value(const struct nrd_message *message, const char **type,
                                      size_t *size);
/* An object of the sender's; `release` (may be NULL) gets it with the last reference. Replaces the one before. */
NRD_API void nrd_message_set_object(struct nrd_message *message, const char *type, void *object,
                                    void (*release)(void *object));
NRD_API void *nrd_message_object(const struct nrd_message *message,
                                 const char *type); /* NULL: none of that type */

/* Metadata of the message: see nrd_metadata_* in operator.h for what travels by itself. NULL when there is none. */
NRD_API const struct nrd_value *nrd_message_metadata(const struct nrd_message *message);
/* Sets one entry; takes `value`. Thread: owner. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_message_set_metadata(struct nrd_message *message, const char *key, struct nrd_value *value);
/* Nanoseconds of the graph's clock; -1 when the sender gave none. */
NRD_API int64_t nrd_message_acquired(const struct nrd_message *message);
NRD_API void nrd_message_set_acquired(struct nrd_message *message, int64_t timestamp_ns);

#ifdef __cplusplus
}
#endif

#endif
