// SPDX-License-Identifier: Apache-2.0
// Direct: the scheduler of models without a batcher. First in, first out, one request an Execute.
#include "base/mem.h"
#include "core/request.h"
#include "core/schedule/policy.h"

struct direct {
    struct list_node queue;
    uint64_t count;
};

static void direct_destroy(void *queue)
{
    mem_free(queue);
}

static enum nrd_code direct_push(void *queue, struct request *request, uint64_t now_ns,
                                 enum push_effect *effect)
{
    struct direct *direct = queue;
    (void)now_ns;
    list_push_back(&direct->queue, &request->queue_node);
    direct->count++;
    *effect = PUSH_READY;
    return NRD_OK;
}

static bool direct_give_back(void *queue, struct request *request)
{
    struct direct *direct = queue;
    list_insert_before(request_after(&direct->queue, request->queue_ns), &request->queue_node);
    direct->count++;
    return true;
}

static uint32_t direct_take(void *queue, uint64_t now_ns, struct request **batch,
                            struct dropped *dropped, uint64_t *deadline_ns, const struct pick *pick)
{
    struct direct *direct = queue;
    uint64_t skipped = 0;
    (void)now_ns;
    *deadline_ns = 0;
    LIST_FOR_SAFE(node, &direct->queue)
    {
        struct request *request = CONTAINER_OF(node, struct request, queue_node);
        bool cancelled = request_is_cancelled(request);
        if (!cancelled && pick != NULL && pick_passes(pick, request, 1, &skipped)) {
            continue;
        }
        list_remove(node);
        direct->count--;
        if (!cancelled) {
            batch[0] = request;
            return 1;
        }
        list_push_back(&dropped->cancelled, node);
    }
    return 0;
}

static const struct request *direct_front(const void *queue, const struct pick *pick)
{
    const struct direct *direct = queue;
    uint64_t skipped = 0;
    LIST_FOR(node, &direct->queue)
    {
        const struct request *request = CONTAINER_OF(node, struct request, queue_node);
        if (!request_is_cancelled(request) && !pick_passes(pick, request, 1, &skipped)) {
            return request;
        }
    }
    return NULL;
}

static void direct_drain(void *queue, struct list_node *out)
{
    struct direct *direct = queue;
    list_splice_back(out, &direct->queue);
    direct->count = 0;
}

static void direct_size(const void *queue, uint64_t *requests, uint64_t *rows)
{
    const struct direct *direct = queue;
    *requests = direct->count;
    *rows = direct->count;
}

static const struct policy direct_policy = {.destroy = direct_destroy,
                                            .push = direct_push,
                                            .give_back = direct_give_back,
                                            .take = direct_take,
                                            .front = direct_front,
                                            .drain = direct_drain,
                                            .size = direct_size,
                                            .timed = false,
                                            .alone = true};

struct nrd_status *direct_create(const struct model *model, struct policy_queue *out)
{
    (void)model;
    struct direct *direct = mem_calloc(1, sizeof(*direct));
    if (direct == NULL) {
        return status_no_memory();
    }
    list_init(&direct->queue);
    *out = (struct policy_queue){
        .policy = &direct_policy, .queue = direct, .max_batch = 1, .max_rows = 1};
    return NULL;
}
