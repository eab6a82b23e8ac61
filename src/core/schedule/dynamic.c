// SPDX-License-Identifier: Apache-2.0
// Dynamic: the batcher as a scheduler's policy, set up from dynamic_batching of the configuration.
#include <stdlib.h>

#include "base/mem.h"
#include "core/model.h"
#include "core/schedule/batcher.h"
#include "proto/model_config.pb-c.h"

static void dynamic_destroy(void *queue)
{
    batcher_fini(queue);
    mem_free(queue);
}

static enum nrd_code dynamic_push(void *queue, struct request *request, uint64_t now_ns,
                                  enum push_effect *effect)
{
    return batcher_push(queue, request, now_ns, effect);
}

static bool dynamic_give_back(void *queue, struct request *request)
{
    return batcher_give_back(queue, request);
}

static uint32_t dynamic_take(void *queue, uint64_t now_ns, struct request **batch,
                             struct dropped *dropped, uint64_t *deadline_ns,
                             const struct pick *pick)
{
    enum cut_reason reason;
    return batcher_take(queue, now_ns, batch, dropped, deadline_ns, &reason, pick);
}

static const struct request *dynamic_front(const void *queue, const struct pick *pick)
{
    return batcher_front(queue, pick);
}

static void dynamic_size(const void *queue, uint64_t *requests, uint64_t *rows)
{
    const struct batcher *batcher = queue;
    *requests = batcher->request_count;
    *rows = batcher->row_count;
}

static void dynamic_expire(void *queue, uint64_t now_ns, struct dropped *dropped)
{
    batcher_expire(queue, now_ns, dropped);
}

static void dynamic_drain(void *queue, struct list_node *out)
{
    batcher_drain(queue, out);
}

static const struct policy dynamic_policy = {.destroy = dynamic_destroy,
                                             .expire = dynamic_expire,
                                             .push = dynamic_push,
                                             .give_back = dynamic_give_back,
                                             .take = dynamic_take,
                                             .front = dynamic_front,
                                             .drain = dynamic_drain,
                                             .size = dynamic_size,
                                             .timed = true};

static struct queue_policy read_policy(const Inference__ModelQueuePolicy *config)
{
    if (config == NULL) {
        return (struct queue_policy){0};
    }
    return (struct queue_policy){
        .delay_on_timeout =
            config->timeout_action == INFERENCE__MODEL_QUEUE_POLICY__TIMEOUT_ACTION__DELAY,
        .allow_override = config->allow_timeout_override,
        .default_timeout_us = config->default_timeout_microseconds,
        .max_queue_size = config->max_queue_size,
    };
}

static int compare_sizes(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static struct nrd_status *read_sizes(struct batcher *batcher,
                                     const Inference__ModelDynamicBatching *config)
{
    size_t count = config->n_preferred_batch_size;
    batcher->preferred = mem_calloc(count + 1, sizeof(*batcher->preferred));
    if (batcher->preferred == NULL) {
        return status_no_memory();
    }
    for (size_t i = 0; i < count; i++) {
        if (config->preferred_batch_size[i] > 0) {
            batcher->preferred[batcher->preferred_count++] =
                (uint32_t)config->preferred_batch_size[i];
        }
    }
    if (batcher->preferred_count == 0) {
        batcher->preferred[batcher->preferred_count++] = batcher->max_batch_size;
    }
    qsort(batcher->preferred, batcher->preferred_count, sizeof(*batcher->preferred), compare_sizes);
    return NULL;
}

static struct nrd_status *read_needs(struct batcher *batcher, const struct model *model)
{
    batcher->input_count = model->input_count;
    batcher->needs = mem_calloc(model->input_count + 1, sizeof(*batcher->needs));
    if (batcher->needs == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < model->input_count; i++) {
        const struct model_io *io = &model->inputs[i];
        batcher->optional = batcher->optional || io->optional;
        if (io->shape_tensor) {
            batcher->needs[i] = EQUAL_NEED_SHAPE | EQUAL_NEED_CONTENT;
        } else if (io->variable && !io->ragged) {
            batcher->needs[i] = EQUAL_NEED_SHAPE;
        }
        batcher->check_shapes = batcher->check_shapes || batcher->needs[i] != EQUAL_NEED_NONE;
    }
    return NULL;
}

static void note_timeout(struct batcher *batcher, const struct queue_policy *policy)
{
    uint64_t us = policy->delay_on_timeout ? 0 : policy->default_timeout_us;
    if (us != 0 && (batcher->least_timeout_us == 0 || us < batcher->least_timeout_us)) {
        batcher->least_timeout_us = us;
    }
}

static struct nrd_status *read_levels(struct batcher *batcher,
                                      const Inference__ModelDynamicBatching *config)
{
    batcher->priority_levels = config->priority_levels;
    batcher->default_policy = read_policy(config->default_queue_policy);
    note_timeout(batcher, &batcher->default_policy);
    if (config->priority_levels == 0) {
        return batcher_add_level(batcher, 0, &batcher->default_policy);
    }
    for (size_t i = 0; i < config->n_priority_queue_policy; i++) {
        struct queue_policy policy = read_policy(config->priority_queue_policy[i]->value);
        note_timeout(batcher, &policy);
        NRD_TRY(batcher_add_level(batcher, config->priority_queue_policy[i]->key, &policy));
    }
    return NULL;
}

// A quarter of the shortest timeout, between 5 and 500 ms.
static uint64_t watch_period(const struct batcher *batcher)
{
    uint64_t us = batcher->least_timeout_us / 4;
    us = us < 5000 ? 5000 : us > 500000 ? 500000 : us;
    return batcher->least_timeout_us == 0 ? 0 : us * 1000;
}

struct nrd_status *dynamic_create(const struct model *model, struct policy_queue *out)
{
    const Inference__ModelDynamicBatching *config = model->config->dynamic_batching;
    struct batcher *batcher = mem_calloc(1, sizeof(*batcher));
    if (batcher == NULL) {
        return status_no_memory();
    }
    batcher->max_batch_size = model->max_batch_size == 0 ? 1 : model->max_batch_size;
    batcher->delay_ns = config->max_queue_delay_microseconds * 1000;
    struct nrd_status *status = read_sizes(batcher, config);
    if (status == NULL) {
        status = read_needs(batcher, model);
    }
    if (status == NULL) {
        status = read_levels(batcher, config);
    }
    if (status != NULL) {
        dynamic_destroy(batcher);
        return status;
    }
    *out = (struct policy_queue){.policy = &dynamic_policy,
                                 .queue = batcher,
                                 .max_batch = batcher->max_batch_size,
                                 .max_rows = batcher->max_batch_size,
                                 .priority_levels = config->priority_levels,
                                 .default_priority = config->default_priority_level,
                                 .preserve_ordering = config->preserve_ordering,
                                 .watch_ns = watch_period(batcher)};
    return NULL;
}
