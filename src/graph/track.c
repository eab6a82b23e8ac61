// SPDX-License-Identifier: Apache-2.0
// Flow tracking: ways travel with messages, paths are numbered as they are walked, and latencies are summed per path.
//
// A path is a node of a tree whose edges are operators; a hop finds its next node in a hash table that is read without a
// lock and grows under one. A node belongs to one operator, and so does the path that ends there: its sums have one writer.
// What an operator received stays gathered by input until it receives again on that input, or on any after it has
// emitted: so a filter forgets what it dropped, a collector keeps what it waits with, a join sends on what it joined.
#include "graph/track_private.h"

#include "base/mem.h"

enum { SLOTS = 2 * TRACK_NODES_MAX };

static void count_lost(struct track *t)
{
    atomic_fetch_add_explicit(&t->lost, 1, memory_order_relaxed);
}

// ---- nodes and paths -----------------------------------------------------------------------------------------------

static uint32_t slot_of(uint32_t parent, uint32_t op, bool again)
{
    uint64_t key = ((uint64_t)parent << 32 | op) * 2 + again;
    return (uint32_t)((key * 0x9e3779b97f4a7c15ull) >> 40) % SLOTS;
}

// The node, or 0 and the slot where it would be.
static uint32_t find_node(const struct track *t, uint32_t parent, uint32_t op, bool again,
                          uint32_t *slot)
{
    for (uint32_t at = slot_of(parent, op, again);; at = (at + 1) % SLOTS) {
        uint32_t found = atomic_load_explicit(&t->slots[at], memory_order_acquire);
        if (found == 0) {
            *slot = at;
            return 0;
        }
        const struct track_node *node = &t->nodes[found];
        if (node->parent == parent && node->op == op && node->again == again) {
            return found;
        }
    }
}

static bool passed(const struct track *t, uint32_t node, uint32_t op)
{
    for (; node != 0; node = t->nodes[node].parent) {
        if (t->nodes[node].op == op) {
            return true;
        }
    }
    return false;
}

// The node for `op` after `parent`; 0 when there are too many.
static uint32_t node_after(struct track *t, uint32_t parent, uint32_t op, bool again)
{
    uint32_t slot;
    uint32_t found = find_node(t, parent, op, again, &slot);
    if (found != 0) {
        return found;
    }
    pthread_mutex_lock(&t->lock);
    found = find_node(t, parent, op, again, &slot);
    if (found == 0 && t->node_count < TRACK_NODES_MAX) {
        found = t->node_count++;
        struct track_node *node = &t->nodes[found];
        node->parent = parent;
        node->op = op;
        node->again = again;
        node->depth = parent == 0 ? 1 : t->nodes[parent].depth + 1;
        node->is_cycle = passed(t, parent, op);
        atomic_store_explicit(&t->slots[slot], found, memory_order_release);
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

static void path_free(struct track_path *path)
{
    if (path != NULL) {
        mem_free(path->name);
        mem_free(path->held);
        mem_free(path);
    }
}

// The path that ends at a node, made at its first message; NULL when there are too many, or no memory.
static struct track_path *path_of(struct track *t, uint32_t node)
{
    struct track_path *path = atomic_load_explicit(&t->nodes[node].path, memory_order_acquire);
    if (path != NULL ||
        atomic_load_explicit(&t->path_count, memory_order_relaxed) >= TRACK_PATHS_MAX) {
        return path;
    }
    path = mem_calloc(1, sizeof(*path));
    if (path == NULL) {
        return NULL;
    }
    path->name = track_path_name(t, node);
    if (t->options.skip_last > 0) {
        path->held = mem_calloc(t->options.skip_last, sizeof(*path->held));
    }
    if (path->name == NULL || (t->options.skip_last > 0 && path->held == NULL)) {
        path_free(path);
        return NULL;
    }
    pthread_mutex_lock(&t->lock);
    uint32_t count = atomic_load_explicit(&t->path_count, memory_order_relaxed);
    if (count >= TRACK_PATHS_MAX) {
        path_free(path);
        path = NULL;
    } else {
        t->paths[count] = path;
        atomic_store_explicit(&t->nodes[node].path, path, memory_order_release);
        atomic_store_explicit(&t->path_count, count + 1, memory_order_release);
    }
    pthread_mutex_unlock(&t->lock);
    return path;
}

// Counts one message that came to the end of a path.
static void finish(struct track *t, uint32_t node, int64_t latency_ns)
{
    struct track_path *path = path_of(t, node);
    if (path == NULL) {
        count_lost(t);
        return;
    }
    if (latency_ns < t->options.threshold_ns) {
        return;
    }
    if (path->skipped < t->options.skip_first) {
        path->skipped++;
        return;
    }
    if (t->options.skip_last > 0) {
        int64_t *place = &path->held[path->held_count % t->options.skip_last];
        int64_t oldest = *place;
        *place = latency_ns;
        if (path->held_count++ < t->options.skip_last) {
            return;
        }
        latency_ns = oldest;
    }
    latency_add(&path->latency, latency_ns);
}

// ---- ways ----------------------------------------------------------------------------------------------------------

void track_release(struct track_way *way)
{
    while (way != NULL) {
        struct track_way *next = way->next;
        object_pool_put(way->track->pool, way);
        way = next;
    }
}

// A new entry at the front block of `*ways`; NULL: no memory.
static struct track_entry *add_entry(struct track *t, struct track_way **ways)
{
    struct track_way *way = *ways;
    if (way == NULL || way->count == TRACK_BLOCK_WAYS) {
        way = object_pool_get(t->pool);
        if (way == NULL) {
            return NULL;
        }
        way->track = t;
        way->count = 0;
        way->next = *ways;
        *ways = way;
    }
    return track_entry_at(way, way->count++);
}

static struct track_entry *copy_entry(struct track *t, struct track_way **ways,
                                      const struct track_entry *from)
{
    struct track_entry *entry = add_entry(t, ways);
    if (entry != NULL) {
        size_t times = t->logs ? (size_t)t->nodes[from->node].depth * 2 * sizeof(int64_t) : 0;
        memcpy(entry, from, sizeof(*entry) + times);
    }
    return entry;
}

static void drop_all(struct track_operator *op)
{
    for (size_t i = 0; i < op->input_count; i++) {
        track_release(op->inputs[i].ways);
        op->inputs[i].ways = NULL;
    }
}

static bool nothing_gathered(const struct track_operator *op)
{
    for (size_t i = 0; i < op->input_count; i++) {
        if (op->inputs[i].ways != NULL) {
            return false;
        }
    }
    return true;
}

static void forget_freshness(struct track_operator *op)
{
    for (size_t i = 0; i < op->input_count; i++) {
        op->inputs[i].fresh = false;
    }
}

void track_begin(struct track_operator *op, int64_t now_ns)
{
    op->begin_ns = now_ns;
    if (op->received) {
        op->received = false;
        forget_freshness(op);
    }
}

// One way of a message that was received: one operator longer now.
static void extend(struct track_operator *op, struct track_way **ways,
                   const struct track_entry *from, bool again, int64_t now_ns)
{
    struct track *t = op->track;
    uint32_t node = node_after(t, from->node, op->index, again);
    struct track_entry *entry = node == 0 ? NULL : copy_entry(t, ways, from);
    if (entry == NULL) {
        count_lost(t);
        return;
    }
    entry->node = node;
    uint32_t last = (t->nodes[node].depth - 1) * 2;
    if (t->logs) {
        entry->times[last] = now_ns;
        entry->times[last + 1] = now_ns;
    }
    if (!t->nodes[node].is_cycle) {
        return;
    }
    if (!op->answering) {
        finish(t, node, now_ns - entry->start_ns);
    }
    if (t->logs && !op->answering) {
        track_log_begin(t);
        track_log_way(t, entry);
        track_log_end(t);
    }
    struct track_way *way = *ways;
    if (--way->count == 0) {
        *ways = way->next;
        object_pool_put(t->pool, way);
    }
}

void track_received(struct track_operator *op, size_t input, const struct track_way *way,
                    bool again)
{
    struct track *t = op->track;
    if (!op->received) {
        op->received = true;
        if (op->emitted) {
            op->emitted = false;
            drop_all(op);
        }
    }
    struct track_gathered *gathered = &op->inputs[input];
    if (!gathered->fresh) {
        gathered->fresh = true;
        track_release(gathered->ways);
        gathered->ways = NULL;
    }
    int64_t now_ns = t->logs ? t->now(t->now_arg) : op->begin_ns;
    for (; way != NULL; way = way->next) {
        for (uint32_t i = 0; i < way->count; i++) {
            extend(op, &gathered->ways, track_entry_at(way, i), again, now_ns);
        }
    }
}

void track_answer(struct track_operator *op)
{
    drop_all(op);
    forget_freshness(op);
    op->emitted = false;
    op->answering = true;
}

// The way of a message that begins here.
static struct track_way *begin_way(struct track_operator *op, int64_t now_ns)
{
    struct track *t = op->track;
    if (op->root == 0) {
        op->root = node_after(t, 0, op->index, false);
    }
    struct track_way *way = NULL;
    struct track_entry *entry = op->root == 0 ? NULL : add_entry(t, &way);
    if (entry == NULL) {
        count_lost(t);
        return NULL;
    }
    entry->node = op->root;
    entry->start_ns = op->begin_ns;
    if (t->logs) {
        entry->times[0] = op->begin_ns;
        entry->times[1] = now_ns;
    }
    return way;
}

struct track_way *track_emitted(struct track_operator *op, size_t output)
{
    struct track *t = op->track;
    _Atomic uint64_t *count = &op->output_counts[output];
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    op->emitted = true;
    op->answering = false;
    int64_t now_ns = t->logs ? t->now(t->now_arg) : 0;
    if (nothing_gathered(op)) {
        return begin_way(op, now_ns);
    }
    struct track_way *ways = NULL;
    uint32_t copied = 0;
    for (size_t i = 0; i < op->input_count; i++) {
        for (const struct track_way *way = op->inputs[i].ways; way != NULL; way = way->next) {
            for (uint32_t k = 0; k < way->count; k++) {
                struct track_entry *entry =
                    copied == TRACK_WAYS_MAX ? NULL : copy_entry(t, &ways, track_entry_at(way, k));
                if (entry == NULL) {
                    count_lost(t);
                    continue;
                }
                copied++;
                if (t->logs) {
                    entry->times[t->nodes[entry->node].depth * 2 - 1] = now_ns;
                }
            }
        }
    }
    return ways;
}

void track_end_compute(struct track_operator *op, int64_t now_ns)
{
    if (!op->is_sink || !op->received || nothing_gathered(op)) {
        return;
    }
    struct track *t = op->track;
    if (t->logs) {
        track_log_begin(t);
    }
    for (size_t i = 0; i < op->input_count; i++) {
        for (const struct track_way *way = op->inputs[i].ways; way != NULL; way = way->next) {
            for (uint32_t k = 0; k < way->count; k++) {
                struct track_entry *entry = track_entry_at(way, k);
                finish(t, entry->node, now_ns - entry->start_ns);
                if (t->logs) {
                    entry->times[t->nodes[entry->node].depth * 2 - 1] = now_ns;
                    track_log_way(t, entry);
                }
            }
        }
    }
    if (t->logs) {
        track_log_end(t);
    }
    drop_all(op);
}

// ---- life ----------------------------------------------------------------------------------------------------------

static bool operator_init(struct track *t, size_t index, const struct track_spec_operator *spec)
{
    struct track_operator *op = &t->operators[index];
    op->track = t;
    op->index = (uint32_t)index;
    op->is_source = spec->is_source;
    op->is_sink = spec->is_sink;
    op->input_count = spec->input_count;
    op->output_count = spec->output_count;
    const char **outputs = arena_calloc(&t->arena, spec->output_count + 1, sizeof(*outputs));
    bool copied = outputs != NULL;
    for (size_t i = 0; i < spec->output_count && copied; i++) {
        outputs[i] = arena_strdup(&t->arena, slice_of(spec->outputs[i]));
        copied = outputs[i] != NULL;
    }
    op->output_names = outputs;
    t->names[index] = arena_strdup(&t->arena, slice_of(spec->name));
    op->inputs = mem_calloc(spec->input_count + 1, sizeof(*op->inputs));
    op->output_counts = mem_calloc(spec->output_count + 1, sizeof(*op->output_counts));
    return copied && t->names[index] != NULL && op->inputs != NULL && op->output_counts != NULL;
}

static bool make_tables(struct track *t, const struct track_spec *spec)
{
    size_t times = t->logs ? (spec->operator_count + 1) * 2 * sizeof(int64_t) : 0;
    t->stride = sizeof(struct track_entry) + times;
    t->pool = object_pool_create(sizeof(struct track_way) + TRACK_BLOCK_WAYS * t->stride, 1024);
    t->operators = mem_calloc(spec->operator_count + 1, sizeof(*t->operators));
    t->names = mem_calloc(spec->operator_count + 1, sizeof(*t->names));
    t->paths = mem_calloc(TRACK_PATHS_MAX, sizeof(*t->paths));
    t->nodes = mem_calloc(TRACK_NODES_MAX, sizeof(*t->nodes));
    t->slots = mem_calloc(SLOTS, sizeof(*t->slots));
    if (t->pool == NULL || t->operators == NULL || t->names == NULL || t->paths == NULL ||
        t->nodes == NULL || t->slots == NULL) {
        return false;
    }
    for (; t->operator_count < spec->operator_count; t->operator_count++) {
        if (!operator_init(t, t->operator_count, &spec->operators[t->operator_count])) {
            t->operator_count++;
            return false;
        }
    }
    return true;
}

struct nrd_status *track_create(const struct track_spec *spec, struct track **track)
{
    if (spec->options.skip_last > TRACK_SKIP_LAST_MAX) {
        return status_new(NRD_INVALID_ARG, "flow tracking: skip_last is %llu, at most %d",
                          (unsigned long long)spec->options.skip_last, TRACK_SKIP_LAST_MAX);
    }
    struct track *t = mem_calloc(1, sizeof(*t));
    if (t == NULL) {
        return status_no_memory();
    }
    t->options = spec->options;
    t->now = spec->now;
    t->now_arg = spec->now_arg;
    t->node_count = 1;
    arena_init(&t->arena, 0);
    t->log.fd = -1;
    t->logs = spec->options.log_path != NULL && spec->options.log_path[0] != '\0';
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->log.lock, NULL);
    struct nrd_status *status = make_tables(t, spec) ? NULL : status_no_memory();
    if (status == NULL && t->logs) {
        status = track_log_open(t);
    }
    if (status != NULL) {
        track_destroy(t);
        return status;
    }
    *track = t;
    return NULL;
}

struct nrd_status *track_restart(struct track *t)
{
    uint32_t paths = atomic_load_explicit(&t->path_count, memory_order_relaxed);
    for (uint32_t i = 0; i < paths; i++) {
        latency_clear(&t->paths[i]->latency);
        t->paths[i]->skipped = 0;
        t->paths[i]->held_count = 0;
    }
    for (size_t i = 0; i < t->operator_count; i++) {
        struct track_operator *op = &t->operators[i];
        drop_all(op);
        op->received = false;
        op->emitted = false;
        forget_freshness(op);
        for (size_t k = 0; k < op->output_count; k++) {
            atomic_store_explicit(&op->output_counts[k], 0, memory_order_relaxed);
        }
    }
    atomic_store_explicit(&t->lost, 0, memory_order_relaxed);
    if (!t->logs) {
        return NULL;
    }
    status_free(track_log_close(t));
    return track_log_open(t);
}

struct nrd_status *track_end(struct track *t)
{
    for (size_t i = 0; i < t->operator_count; i++) {
        drop_all(&t->operators[i]);
    }
    return t->logs ? track_log_close(t) : NULL;
}

void track_destroy(struct track *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->operator_count; i++) {
        if (t->operators[i].inputs != NULL) {
            drop_all(&t->operators[i]);
        }
        mem_free(t->operators[i].inputs);
        mem_free(t->operators[i].output_counts);
    }
    status_free(track_log_close(t));
    uint32_t paths = atomic_load_explicit(&t->path_count, memory_order_relaxed);
    for (uint32_t i = 0; i < paths; i++) {
        path_free(t->paths[i]);
    }
    object_pool_destroy(t->pool);
    mem_free(t->log.nodes);
    mem_free(t->operators);
    mem_free(t->names);
    mem_free(t->paths);
    mem_free(t->nodes);
    mem_free(t->slots);
    arena_fini(&t->arena);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->log.lock);
    mem_free(t);
}

struct track_operator *track_operator_at(struct track *t, size_t index)
{
    return &t->operators[index];
}
