// SPDX-License-Identifier: Apache-2.0
// Messages. The head and three tensors lie in the message; further tensors in blocks that come from a pool too. What stays the
// same for all messages of a run (where they go back to) is in message_pools.
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/str.h"
#include "graph/message_private.h"
#include "graph/metadata.h"
#include "graph/track.h"
#include "graph/value.h"

enum { POOL_IDLE_MAX = 1 << 16 };

struct nrd_status *message_pools_init(struct message_pools *pools, size_t count)
{
    pools->messages = object_pool_create(sizeof(struct nrd_message), POOL_IDLE_MAX);
    pools->more = object_pool_create(sizeof(struct message_more), POOL_IDLE_MAX);
    if (pools->messages == NULL || pools->more == NULL) {
        message_pools_fini(pools);
        return status_no_memory();
    }
    // All of them at once, so that the pool has them before the first one is asked for.
    struct nrd_message *chain = NULL;
    bool enough = true;
    for (size_t i = 0; i < count && enough; i++) {
        struct nrd_message *m = object_pool_get(pools->messages);
        enough = m != NULL;
        if (enough) {
            m->object = chain;
            chain = m;
        }
    }
    while (chain != NULL) {
        struct nrd_message *next = chain->object;
        object_pool_put(pools->messages, chain);
        chain = next;
    }
    if (!enough) {
        message_pools_fini(pools);
        return status_no_memory();
    }
    return NULL;
}

void message_pools_fini(struct message_pools *pools)
{
    object_pool_destroy(pools->messages);
    object_pool_destroy(pools->more);
    *pools = (struct message_pools){0};
}

struct nrd_message *message_get(const struct message_pools *pools)
{
    struct nrd_message *m =
        pools == NULL ? mem_aligned(16, sizeof(*m)) : object_pool_get(pools->messages);
    if (m == NULL) {
        return NULL;
    }
    m->pools = pools;
    atomic_init(&m->references, 1);
    m->tensor_count = 0;
    m->value_size = 0;
    m->value_type = NULL;
    m->object_type = NULL;
    m->object = NULL;
    m->object_release = NULL;
    m->metadata = NULL;
    m->way = NULL;
    m->way_is_given = false;
    m->more = NULL;
    m->acquired = -1;
    return m;
}

struct nrd_message *nrd_message_create(void)
{
    return message_get(NULL);
}

struct nrd_message *nrd_message_ref(struct nrd_message *message)
{
    atomic_fetch_add_explicit(&message->references, 1, memory_order_relaxed);
    return message;
}

// The index-th place; it is there.
static struct message_tensor *tensor_place(const struct nrd_message *m, size_t index)
{
    if (index < MESSAGE_TENSORS_HERE) {
        return (struct message_tensor *)(uintptr_t)&m->tensors[index];
    }
    index -= MESSAGE_TENSORS_HERE;
    struct message_more *more = m->more;
    for (; index >= MESSAGE_TENSORS_MORE; index -= MESSAGE_TENSORS_MORE) {
        more = more->next;
    }
    return &more->items[index];
}

static void drop_object(struct nrd_message *m)
{
    if (m->object_release != NULL) {
        m->object_release(m->object);
    }
}

static void clear(struct nrd_message *m)
{
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        nrd_tensor_unref(tensor_place(m, i)->tensor);
    }
    while (m->more != NULL) {
        struct message_more *more = m->more;
        m->more = more->next;
        if (m->pools == NULL) {
            mem_free(more);
        } else {
            object_pool_put(m->pools->more, more);
        }
    }
    if (m->object != NULL) {
        drop_object(m);
    }
    if (m->metadata != NULL) {
        nrd_value_free(m->metadata);
    }
    if (m->way != NULL) {
        track_release(m->way);
    }
}

void nrd_message_unref(struct nrd_message *message)
{
    if (message == NULL) {
        return;
    }
    // Whoever has the only reference needs no atomic write to give it up: nobody else can take one.
    if (atomic_load_explicit(&message->references, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&message->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    clear(message);
    if (message->pools == NULL) {
        mem_free(message);
    } else {
        object_pool_put(message->pools->messages, message);
    }
}

bool nrd_message_is_writable(const struct nrd_message *message)
{
    return atomic_load_explicit(&message->references, memory_order_acquire) == 1;
}

struct nrd_message *message_copy(const struct message_pools *pools,
                                 const struct nrd_message *message)
{
    if (message->object != NULL) {
        return NULL;
    }
    struct nrd_message *copy = message_get(pools);
    if (copy == NULL) {
        return NULL;
    }
    copy->value_type = message->value_type;
    copy->value_size = message->value_size;
    memcpy(copy->value, message->value, message->value_size);
    copy->acquired = message->acquired;
    copy->metadata = value_share(message->metadata);
    bool complete = true;
    for (uint32_t i = 0; i < message->tensor_count && complete; i++) {
        const struct message_tensor *from = tensor_place(message, i);
        struct nrd_status *status =
            nrd_message_add_tensor(copy, from->name, nrd_tensor_ref(from->tensor));
        if (status != NULL) {
            nrd_tensor_unref(from->tensor);
            status_free(status);
            complete = false;
        }
    }
    if (!complete) {
        nrd_message_unref(copy);
        return NULL;
    }
    return copy;
}

// ---- tensors ----

static struct message_tensor *find_tensor(const struct nrd_message *m, const char *name)
{
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        struct message_tensor *place = tensor_place(m, i);
        if (strcmp(place->name, name) == 0) {
            return place;
        }
    }
    return NULL;
}

// Makes room for one tensor more. False: no memory.
static bool grow(struct nrd_message *m)
{
    if (m->tensor_count < MESSAGE_TENSORS_HERE ||
        (m->tensor_count - MESSAGE_TENSORS_HERE) % MESSAGE_TENSORS_MORE != 0) {
        return true;
    }
    struct message_more *more =
        m->pools == NULL ? mem_alloc(sizeof(*more)) : object_pool_get(m->pools->more);
    if (more == NULL) {
        return false;
    }
    more->next = NULL;
    struct message_more **end = &m->more;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = more;
    return true;
}

struct nrd_status *nrd_message_add_tensor(struct nrd_message *message, const char *name,
                                          struct nrd_tensor *tensor)
{
    size_t length = strnlen(name, MESSAGE_NAME_MAX + 1);
    if (length > MESSAGE_NAME_MAX) {
        return status_new(NRD_INVALID_ARG, "the tensor name '%.63s...' is longer than %d bytes",
                          name, MESSAGE_NAME_MAX);
    }
    struct message_tensor *place = find_tensor(message, name);
    if (place != NULL) {
        nrd_tensor_unref(place->tensor);
        place->tensor = tensor;
        return NULL;
    }
    if (!grow(message)) {
        return status_no_memory();
    }
    place = tensor_place(message, message->tensor_count++);
    memcpy(place->name, name, length + 1);
    place->tensor = tensor;
    return NULL;
}

size_t nrd_message_tensor_count(const struct nrd_message *message)
{
    return message->tensor_count;
}

struct nrd_tensor *nrd_message_tensor_at(const struct nrd_message *message, size_t index,
                                         const char **name)
{
    if (index >= message->tensor_count) {
        return NULL;
    }
    const struct message_tensor *place = tensor_place(message, index);
    if (name != NULL) {
        *name = place->name;
    }
    return place->tensor;
}

struct nrd_tensor *nrd_message_tensor(const struct nrd_message *message, const char *name)
{
    const struct message_tensor *place = find_tensor(message, name);
    return place == NULL ? NULL : place->tensor;
}

struct nrd_status *nrd_message_find_tensor(const struct nrd_message *message, const char *name,
                                           struct nrd_tensor **tensor)
{
    if (name[0] == '\0' && message->tensor_count == 1) {
        *tensor = tensor_place(message, 0)->tensor;
        return NULL;
    }
    const struct message_tensor *place = find_tensor(message, name);
    if (place != NULL) {
        *tensor = place->tensor;
        return NULL;
    }
    struct str list = STR_INIT;
    for (uint32_t i = 0; i < message->tensor_count; i++) {
        str_printf(&list, "%s'%s'", i == 0 ? "it has " : ", ", tensor_place(message, i)->name);
    }
    struct nrd_status *status =
        status_new(NRD_NOT_FOUND, "message has no tensor '%s' (%s)", name,
                   message->tensor_count == 0 ? "it has none" : str_cstr(&list));
    str_fini(&list);
    return status;
}

// ---- value, object, metadata, time ----

enum nrd_code nrd_message_set_value(struct nrd_message *message, const char *type,
                                    const void *value, size_t size)
{
    if (size > NRD_MESSAGE_VALUE_MAX || type == NULL) {
        return NRD_INVALID_ARG;
    }
    message->value_type = type;
    message->value_size = size;
    memcpy(message->value, value, size);
    return NRD_OK;
}

const void *nrd_message_value(const struct nrd_message *message, const char **type, size_t *size)
{
    if (type != NULL) {
        *type = message->value_type;
    }
    if (size != NULL) {
        *size = message->value_size;
    }
    return message->value_type == NULL ? NULL : message->value;
}

void nrd_message_set_object(struct nrd_message *message, const char *type, void *object,
                            void (*release)(void *object))
{
    if (message->object != NULL) {
        drop_object(message);
    }
    message->object_type = type;
    message->object = object;
    message->object_release = object == NULL ? NULL : release;
}

void *nrd_message_object(const struct nrd_message *message, const char *type)
{
    return message->object != NULL && strcmp(message->object_type, type) == 0 ? message->object
                                                                              : NULL;
}

const struct nrd_value *nrd_message_metadata(const struct nrd_message *message)
{
    return message->metadata;
}

struct nrd_status *nrd_message_set_metadata(struct nrd_message *message, const char *key,
                                            struct nrd_value *value)
{
    return metadata_put(&message->metadata, key, value);
}

int64_t nrd_message_acquired(const struct nrd_message *message)
{
    return message->acquired;
}

void nrd_message_set_acquired(struct nrd_message *message, int64_t timestamp_ns)
{
    message->acquired = timestamp_ns;
}
