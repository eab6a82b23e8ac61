// SPDX-License-Identifier: Apache-2.0
// Batcher: see the header for the rules. Their finer points are Triton's: a timeout counts when it has passed, not when it
// is reached; preferred sizes win over the delay only while the delay is not over; without a preferred size on the way
// the largest batch that does not exceed the largest preferred one counts as preferred.
#include "core/schedule/batcher.h"

#include <string.h>

#include "base/mem.h"
#include "core/model.h"

static struct request *request_of(struct list_node *node)
{
    return CONTAINER_OF(node, struct request, queue_node);
}

static uint32_t rows_of(const struct request *request)
{
    return request->batch_size == 0 ? 1 : request->batch_size;
}

void batcher_fini(struct batcher *batcher)
{
    mem_free(batcher->preferred);
    mem_free(batcher->needs);
    mem_free(batcher->levels);
}

// ---- levels -------------------------------------------------------------------------------------

// Lists are rings through their heads: moving the heads needs the neighbours told.
static void move_list(struct list_node *to, struct list_node *from)
{
    if (list_empty(from)) {
        list_init(to);
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
}

static void move_level(struct batcher_level *to, struct batcher_level *from)
{
    to->level = from->level;
    to->policy = from->policy;
    to->count = from->count;
    to->kept = from->kept;
    move_list(&to->fresh, &from->fresh);
    move_list(&to->delayed, &from->delayed);
}

static bool grow_levels(struct batcher *batcher)
{
    uint32_t cap = batcher->level_cap == 0 ? 1 : batcher->level_cap * 2;
    struct batcher_level *levels = mem_calloc(cap, sizeof(*levels));
    if (levels == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < batcher->level_count; i++) {
        move_level(&levels[i], &batcher->levels[i]);
    }
    mem_free(batcher->levels);
    batcher->levels = levels;
    batcher->level_cap = cap;
    return true;
}

// Forgets levels that are empty and not configured: a client may name any of 2^64.
static void forget_empty_levels(struct batcher *batcher)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < batcher->level_count; i++) {
        struct batcher_level *level = &batcher->levels[i];
        if (level->count == 0 && !level->kept) {
            continue;
        }
        if (used != i) {
            move_level(&batcher->levels[used], level);
        }
        used++;
    }
    batcher->level_count = used;
}

static uint32_t level_place(const struct batcher *batcher, uint64_t level)
{
    uint32_t at = 0;
    while (at < batcher->level_count && batcher->levels[at].level < level) {
        at++;
    }
    return at;
}

// The level's queue, made with `policy` if it is not there; NULL when memory is out.
static struct batcher_level *find_level(struct batcher *batcher, uint64_t level,
                                        const struct queue_policy *policy)
{
    uint32_t at = level_place(batcher, level);
    if (at < batcher->level_count && batcher->levels[at].level == level) {
        return &batcher->levels[at];
    }
    if (batcher->level_count == batcher->level_cap) {
        forget_empty_levels(batcher);
        at = level_place(batcher, level);
    }
    if (batcher->level_count == batcher->level_cap && !grow_levels(batcher)) {
        return NULL;
    }
    for (uint32_t i = batcher->level_count; i > at; i--) {
        move_level(&batcher->levels[i], &batcher->levels[i - 1]);
    }
    struct batcher_level *made = &batcher->levels[at];
    made->level = level;
    made->policy = *policy;
    made->count = 0;
    made->kept = false;
    list_init(&made->fresh);
    list_init(&made->delayed);
    batcher->level_count++;
    return made;
}

struct nrd_status *batcher_add_level(struct batcher *batcher, uint64_t level,
                                     const struct queue_policy *policy)
{
    struct batcher_level *made = find_level(batcher, level, policy);
    if (made == NULL) {
        return status_no_memory();
    }
    made->kept = true;
    return NULL;
}

// ---- what fits together -------------------------------------------------------------------------

// The input of the same name; usually at the same place.
static const struct request_input *counterpart(const struct request *request, uint32_t place,
                                               const struct model_io *io)
{
    if (place < request->input_count && request->inputs[place].io == io) {
        return &request->inputs[place];
    }
    for (uint32_t i = 0; i < request->input_count; i++) {
        if (request->inputs[i].io == io) {
            return &request->inputs[i];
        }
    }
    return NULL;
}

static bool same_content(const struct request_input *a, const struct request_input *b)
{
    if (a->data.count != 1 || b->data.count != 1 || a->data.byte_size != b->data.byte_size) {
        return false;
    }
    const struct request_buffer *x = &a->data.buffers[0];
    const struct request_buffer *y = &b->data.buffers[0];
    return x->attributes.memory_type != TRITONSERVER_MEMORY_GPU &&
           y->attributes.memory_type != TRITONSERVER_MEMORY_GPU &&
           memcmp(x->base, y->base, a->data.byte_size) == 0;
}

bool batcher_same_batch(const struct batcher *batcher, const struct request *first,
                        const struct request *request)
{
    if (batcher->optional && first->input_count != request->input_count) {
        return false;
    }
    if (!batcher->check_shapes && !batcher->optional) {
        return true;
    }
    for (uint32_t i = 0; i < request->input_count; i++) {
        const struct request_input *b = &request->inputs[i];
        const struct request_input *a = counterpart(first, i, b->io);
        if (a == NULL) {
            return false;
        }
        uint8_t need = batcher->needs[b->io->index];
        if (need == EQUAL_NEED_NONE) {
            continue;
        }
        if (a->shape_count != b->shape_count ||
            memcmp(a->shape, b->shape, a->shape_count * sizeof(*a->shape)) != 0 ||
            ((need & EQUAL_NEED_CONTENT) != 0 && !same_content(a, b))) {
            return false;
        }
    }
    return true;
}

// ---- push ---------------------------------------------------------------------------------------

static uint64_t timeout_of(const struct queue_policy *policy, const struct request *request,
                           uint64_t now_ns)
{
    uint64_t us = policy->default_timeout_us;
    if (policy->allow_override && request->timeout_us != 0 && request->timeout_us < us) {
        us = request->timeout_us;
    }
    return us == 0 ? 0 : now_ns + us * 1000;
}

enum nrd_code batcher_push(struct batcher *batcher, struct request *request, uint64_t now_ns,
                           enum push_effect *effect)
{
    struct batcher_level *level = find_level(batcher, request->priority, &batcher->default_policy);
    if (level == NULL ||
        (level->policy.max_queue_size != 0 && level->count >= level->policy.max_queue_size)) {
        return NRD_UNAVAILABLE;
    }
    request->timeout_ns = timeout_of(&level->policy, request, now_ns);
    request->delayed = false;
    bool fits = list_empty(&level->fresh) ||
                batcher_same_batch(batcher, request_of(level->fresh.next), request);
    list_push_back(&level->fresh, &request->queue_node);
    level->count++;
    batcher->request_count++;
    batcher->row_count += rows_of(request);
    // Waiting is certain only in the plain case; else an executor is to look.
    bool plain = batcher->level_count == 1 && request->timeout_ns == 0 && fits &&
                 list_empty(&level->delayed);
    bool wait = batcher->delay_ns != 0 && plain && batcher->row_count < batcher->preferred[0];
    *effect = wait ? PUSH_WAIT : PUSH_READY;
    return NRD_OK;
}

struct list_node *request_after(struct list_node *list, uint64_t queue_ns)
{
    struct list_node *at = list->next;
    while (at != list && request_of(at)->queue_ns <= queue_ns) {
        at = at->next;
    }
    return at;
}

bool batcher_give_back(struct batcher *batcher, struct request *request)
{
    struct batcher_level *level = find_level(batcher, request->priority, &batcher->default_policy);
    if (level == NULL) {
        return false;
    }
    struct list_node *list = request->delayed ? &level->delayed : &level->fresh;
    list_insert_before(request_after(list, request->queue_ns), &request->queue_node);
    level->count++;
    batcher->request_count++;
    batcher->row_count += rows_of(request);
    return true;
}

// ---- take ---------------------------------------------------------------------------------------

static void remove_request(struct batcher *batcher, struct batcher_level *level,
                           struct request *request)
{
    list_remove(&request->queue_node);
    level->count--;
    batcher->request_count--;
    batcher->row_count -= rows_of(request);
}

// Where a look through the queues stands.
struct walk {
    struct batcher *batcher;
    struct dropped *dropped;
    uint64_t now_ns;
    uint32_t level;
    bool in_delayed;
    struct list_node *at; // NULL: begin the current list
};

// The next request that may go into a batch; drops and delays those that may not. NULL at the end.
static struct request *walk_next(struct walk *walk)
{
    struct batcher *batcher = walk->batcher;
    while (walk->level < batcher->level_count) {
        struct batcher_level *level = &batcher->levels[walk->level];
        struct list_node *head = walk->in_delayed ? &level->delayed : &level->fresh;
        struct list_node *node = walk->at == NULL ? head->next : walk->at;
        if (node == head) {
            walk->at = NULL;
            walk->level += walk->in_delayed ? 1 : 0;
            walk->in_delayed = !walk->in_delayed;
            continue;
        }
        struct request *request = request_of(node);
        walk->at = node->next;
        bool expired = request->timeout_ns != 0 && walk->now_ns > request->timeout_ns;
        if (request_is_cancelled(request)) {
            remove_request(batcher, level, request);
            list_push_back(&walk->dropped->cancelled, node);
        } else if (!expired || walk->in_delayed) {
            return request;
        } else if (level->policy.delay_on_timeout) {
            list_remove(node);
            list_push_back(&level->delayed, node);
            request->delayed = true;
        } else {
            remove_request(batcher, level, request);
            list_push_back(&walk->dropped->rejected, node);
        }
    }
    return NULL;
}

// The batch being formed.
struct forming {
    struct request *first;
    uint32_t count;
    uint64_t rows;
    uint64_t oldest_ns;
    uint64_t closest_timeout_ns; // 0: none
    uint32_t best_count;         // at the best cut so far
    uint64_t best_rows;
    enum cut_reason ended; // CUT_NONE: the queue was empty
};

static bool is_preferred(const struct batcher *batcher, uint64_t rows)
{
    for (uint32_t i = 0; i < batcher->preferred_count; i++) {
        if (batcher->preferred[i] == rows) {
            return true;
        }
    }
    return false;
}

static void form(struct batcher *batcher, struct walk *walk, struct request **batch,
                 const struct pick *pick, struct forming *forming)
{
    uint64_t max_rows = batcher->max_batch_size;
    max_rows = pick != NULL && pick->max_rows < max_rows ? pick->max_rows : max_rows;
    uint64_t skipped = 0;
    uint64_t max_preferred = batcher->preferred[batcher->preferred_count - 1];
    struct request *request;
    while ((request = walk_next(walk)) != NULL) {
        uint32_t rows = rows_of(request);
        if (forming->count == 0) {
            if (pick != NULL && pick_passes(pick, request, rows, &skipped)) {
                continue;
            }
            forming->first = request;
        } else {
            if (forming->rows + rows > max_preferred && forming->best_rows == 0) {
                forming->best_rows = forming->rows;
                forming->best_count = forming->count;
            }
            if (forming->rows + rows > max_rows || forming->count == batcher->max_batch_size) {
                forming->ended = CUT_FULL;
                return;
            }
            if (!batcher_same_batch(batcher, forming->first, request)) {
                forming->ended = CUT_SHAPE;
                return;
            }
        }
        batch[forming->count++] = request;
        forming->rows += rows;
        if (forming->oldest_ns == 0 || request->queue_ns < forming->oldest_ns) {
            forming->oldest_ns = request->queue_ns;
        }
        uint64_t timeout = request->delayed ? 0 : request->timeout_ns;
        if (timeout != 0 &&
            (forming->closest_timeout_ns == 0 || timeout < forming->closest_timeout_ns)) {
            forming->closest_timeout_ns = timeout;
        }
        if (is_preferred(batcher, forming->rows)) {
            forming->best_rows = forming->rows;
            forming->best_count = forming->count;
        }
    }
}

// How many of the formed batch go now; 0: none, ask again at `*deadline_ns`.
static uint32_t decide(const struct batcher *batcher, const struct forming *forming,
                       uint64_t now_ns, uint64_t *deadline_ns, enum cut_reason *reason)
{
    uint64_t waited = now_ns > forming->oldest_ns ? now_ns - forming->oldest_ns : 0;
    bool over = batcher->delay_ns != 0 && waited >= batcher->delay_ns;
    if (forming->best_rows != 0 && !over) {
        *reason = CUT_PREFERRED;
        return forming->best_count;
    }
    *reason = forming->ended;
    if (forming->ended != CUT_NONE ||
        forming->rows >= batcher->preferred[batcher->preferred_count - 1]) {
        return forming->count;
    }
    if (over || batcher->delay_ns == 0) {
        *reason = over ? CUT_DELAY : CUT_QUEUE_EMPTY;
        return forming->count;
    }
    *deadline_ns = forming->oldest_ns + batcher->delay_ns;
    // A timeout strikes when it has passed.
    if (forming->closest_timeout_ns != 0 && forming->closest_timeout_ns + 1 < *deadline_ns) {
        *deadline_ns = forming->closest_timeout_ns + 1;
    }
    return 0;
}

uint32_t batcher_take(struct batcher *batcher, uint64_t now_ns, struct request **batch,
                      struct dropped *dropped, uint64_t *deadline_ns, enum cut_reason *reason,
                      const struct pick *pick)
{
    *deadline_ns = 0;
    *reason = CUT_NONE;
    struct walk walk = {.batcher = batcher, .dropped = dropped, .now_ns = now_ns};
    struct forming forming = {0};
    form(batcher, &walk, batch, pick, &forming);
    if (forming.count == 0) {
        return 0;
    }
    uint32_t count = decide(batcher, &forming, now_ns, deadline_ns, reason);
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        while (batcher->levels[at].level != batch[i]->priority) {
            at++;
        }
        remove_request(batcher, &batcher->levels[at], batch[i]);
    }
    return count;
}

// The first of `list` that a batch may begin with.
static const struct request *front_of(const struct list_node *list, const struct pick *pick,
                                      uint64_t *skipped)
{
    LIST_FOR(node, list)
    {
        const struct request *request = request_of(node);
        if (!request_is_cancelled(request) &&
            !pick_passes(pick, request, rows_of(request), skipped)) {
            return request;
        }
    }
    return NULL;
}

const struct request *batcher_front(const struct batcher *batcher, const struct pick *pick)
{
    uint64_t skipped = 0;
    const struct request *found = NULL;
    for (uint32_t i = 0; i < batcher->level_count && found == NULL; i++) {
        found = front_of(&batcher->levels[i].fresh, pick, &skipped);
        if (found == NULL) {
            found = front_of(&batcher->levels[i].delayed, pick, &skipped);
        }
    }
    return found;
}

void batcher_expire(struct batcher *batcher, uint64_t now_ns, struct dropped *dropped)
{
    for (uint32_t i = 0; i < batcher->level_count; i++) {
        struct batcher_level *level = &batcher->levels[i];
        if (level->policy.delay_on_timeout || level->policy.default_timeout_us == 0) {
            continue;
        }
        LIST_FOR_SAFE(node, &level->fresh)
        {
            struct request *request = request_of(node);
            if (request_is_cancelled(request)) {
                remove_request(batcher, level, request);
                list_push_back(&dropped->cancelled, node);
            } else if (now_ns > request->timeout_ns) {
                remove_request(batcher, level, request);
                list_push_back(&dropped->rejected, node);
            } else if (!level->policy.allow_override) {
                break; // those behind it time out later
            }
        }
    }
}

void batcher_drain(struct batcher *batcher, struct list_node *out)
{
    for (uint32_t i = 0; i < batcher->level_count; i++) {
        list_splice_back(out, &batcher->levels[i].fresh);
        list_splice_back(out, &batcher->levels[i].delayed);
        batcher->levels[i].count = 0;
    }
    batcher->request_count = 0;
    batcher->row_count = 0;
}
