// SPDX-License-Identifier: Apache-2.0
// Route: see the header for the rule. Three things keep it honest.
//
//   exploring   A device of which little is known takes its first batches whatever others could do, one at a time.
//   ageing      An estimate that keeps a device from work halves each time the model has worked for AGE_TIMES as long, and sooner
//               while it rests on few samples. So the device is tried again, at a cost of a few per cent, and never after mere
//               idleness, when nothing can have been learnt.
//   lateness    A worker that is late is expected to be late by as much again. So a worker that hangs holds up what was left to it
//               for about as long as it would have taken elsewhere, and not longer.
#include "core/schedule/route.h"

#include <stddef.h>

// Samples before a device, or a size, is trusted: the first batch of a framework is seldom like the others.
#define TRUST 2u
#define AGE_TIMES 32u
#define AGE_TIMES_EACH 4u // at most, for each sample
// A gain is one if it exceeds this part of the batch's time, and this much: a parked thread is slower than a hot one.
#define GAIN_PART 4u
#define GAIN_NS 20000u
// What hangs is not looked at more often.
#define AGAIN_MIN_NS 1000000u
// Arrivals are counted for so long before their rate is taken.
#define COUNT_NS 10000000u
// A sample counts for at most so many times what was expected: one batch that was held up by something else says little.
#define SAMPLE_CLIP 2u
// A device that has only failed so far is taken to be so many times slower than the best.
#define FAILED_TIMES 4u

// ---- estimates ----------------------------------------------------------------------------------

static unsigned size_of(uint64_t rows)
{
    unsigned size = rows <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(rows - 1);
    return size < ROUTE_SIZES ? size : ROUTE_SIZES - 1;
}

// Half of a batch's time is taken to be the same for any size, the other half to be by row.
static uint64_t scale(uint64_t ns, unsigned from, unsigned to)
{
    return to > from ? ns / 2 + ((ns / 2) << (to - from)) : ns / 2 + ((ns / 2) >> (from - to));
}

// The size nearest to `size`, below if possible, that was measured so often; ROUTE_SIZES if none was.
static unsigned nearest(const struct route_speed *speed, unsigned size, unsigned samples)
{
    for (unsigned below = size + 1; below-- > 0;) {
        if (speed->samples[below] >= samples) {
            return below;
        }
    }
    unsigned above = size;
    while (above < ROUTE_SIZES && speed->samples[above] < samples) {
        above++;
    }
    return above;
}

// `*of` is the size that it follows from.
static uint64_t estimate(const struct route_speed *speed, uint64_t rows, unsigned *of)
{
    unsigned size = size_of(rows);
    unsigned from = speed->samples[size] >= TRUST ? size : nearest(speed, size, TRUST);
    from = from == ROUTE_SIZES ? nearest(speed, size, 1) : from;
    if (from == ROUTE_SIZES) {
        return 0;
    }
    *of = from;
    uint64_t ns = from == size ? speed->ns[from] : scale(speed->ns[from], from, size);
    return ns == 0 ? 1 : ns;
}

uint64_t route_estimate(const struct route_speed *speed, uint64_t rows)
{
    unsigned of;
    return estimate(speed, rows, &of);
}

// What a device expects of itself: the older, the better.
static uint64_t hope(const struct route *route, const struct route_device *device, uint64_t rows)
{
    unsigned of = 0;
    uint64_t ns = estimate(&device->speed, rows, &of);
    if (ns == 0) {
        return 0;
    }
    uint64_t times = device->speed.samples[of] * (uint64_t)AGE_TIMES_EACH;
    times = times > AGE_TIMES ? AGE_TIMES : times;
    uint64_t age = route->work_ns - device->speed.at_ns[of];
    uint64_t halves = ns > UINT64_MAX / AGE_TIMES ? 0 : age / (ns * times);
    return halves > 62 ? 0 : ns >> halves;
}

// Rows, of so many of what is counted in the queue.
static uint64_t rows_of(const struct route *route, uint64_t queued)
{
    return route->unit == 0 ? queued : queued * route->unit;
}

static bool is_known(const struct route_device *device)
{
    return device->speed.tries >= TRUST;
}

static void measure(struct route *route, struct route_speed *speed, uint64_t rows, uint64_t ns)
{
    unsigned size = size_of(rows);
    uint64_t *mean = &speed->ns[size];
    if (speed->samples[size] == 0) {
        *mean = ns;
    } else if (speed->samples[size] < TRUST) {
        *mean = ns < *mean ? ns : *mean;
    } else {
        uint64_t clipped = ns / SAMPLE_CLIP > *mean ? *mean * SAMPLE_CLIP : ns;
        *mean = *mean - *mean / 4 + clipped / 4;
    }
    route->work_ns += ns;
    speed->at_ns[size] = route->work_ns;
    speed->samples[size] += speed->samples[size] < UINT8_MAX ? 1 : 0;
    speed->tries += speed->tries < UINT8_MAX ? 1 : 0;
}

uint64_t route_copy_ns(uint64_t bytes)
{
    return 10000 + bytes / 20; // 20 GB/s
}

// ---- devices and workers ------------------------------------------------------------------------

void route_add(struct route *route, struct route_device *device)
{
    struct route_device **last = &route->devices;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    list_init(&device->workers);
    *last = device;
}

void route_add_worker(struct route_device *device, struct route_worker *worker)
{
    *worker = (struct route_worker){.device = device};
    list_push_back(&device->workers, &worker->node);
}

void route_remove_worker(struct route_worker *worker)
{
    list_remove(&worker->node);
}

void route_set_idle(struct route_worker *worker, bool idle)
{
    worker->idle = idle;
    if (idle) {
        list_remove(&worker->node);
        list_push_front(&worker->device->workers, &worker->node);
    }
}

static struct route_worker *worker_of(struct list_node *node)
{
    return CONTAINER_OF(node, struct route_worker, node);
}

// What it costs to have the first request's data there.
static uint64_t copy_to(const struct route *route, const struct route_device *device)
{
    return route->home == NULL || route->home == device ? 0 : route_copy_ns(route->home_bytes);
}

// When it can begin another batch.
static uint64_t free_at(const struct route_worker *worker, uint64_t now_ns)
{
    if (worker->flights == 0) {
        return now_ns;
    }
    return worker->until_ns >= now_ns ? worker->until_ns : now_ns + (now_ns - worker->until_ns);
}

uint64_t route_begin(struct route_worker *worker, uint64_t rows, uint64_t now_ns)
{
    struct route_device *device = worker->device;
    uint64_t expected = route_estimate(&device->speed, rows);
    uint64_t start = worker->flights > 0 && worker->until_ns > now_ns ? worker->until_ns : now_ns;
    worker->until_ns = start + expected;
    worker->load_ns += expected;
    worker->flights++;
    device->flights++;
    return expected;
}

// The least that any device takes.
static uint64_t best_estimate(const struct route *route, uint64_t rows)
{
    uint64_t best = 0;
    for (const struct route_device *d = route->devices; d != NULL; d = d->next) {
        uint64_t ns = route_estimate(&d->speed, rows);
        best = ns != 0 && (best == 0 || ns < best) ? ns : best;
    }
    return best;
}

void route_end(struct route *route, struct route_worker *worker, uint64_t rows, uint64_t began_ns,
               uint64_t expected_ns, uint64_t now_ns, bool failed)
{
    struct route_device *device = worker->device;
    // With several in flight one begins when the one before it has ended.
    uint64_t start = worker->landed_ns > began_ns ? worker->landed_ns : began_ns;
    uint64_t took = now_ns > start ? now_ns - start : 0;
    worker->landed_ns = now_ns;
    worker->load_ns -= expected_ns;
    worker->flights--;
    worker->until_ns = now_ns + worker->load_ns;
    device->flights--;
    if (failed && is_known(device)) {
        return;
    }
    if (failed) {
        // A device that has only failed so far must not look like a fast one.
        uint64_t others = best_estimate(route, rows) * FAILED_TIMES;
        took = took < others ? others : took;
    }
    measure(route, &device->speed, rows, took);
}

// ---- the rule -----------------------------------------------------------------------------------

static uint64_t gain_ns(uint64_t ns)
{
    return ns / GAIN_PART + GAIN_NS;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

// What the other workers make of the queue.
struct others {
    uint64_t rows;    // that they will have finished by the deadline
    uint64_t at_once; // of those, the next batch of each
    double rows_per_ns;
    uint64_t again_ns; // when one of those relied on has become too late; 0: none can
};

// `deadline_ns` is when the asking worker `self` would have finished, less the gain; `patience_ns` how long it would take.
static void look_at_others(struct route *route, const struct route_worker *self, uint64_t rows,
                           uint64_t now_ns, uint64_t deadline_ns, uint64_t patience_ns,
                           struct others *others)
{
    uint64_t batch = rows < route->max_rows ? rows : route->max_rows;
    *others = (struct others){0};
    for (struct route_device *device = route->devices; device != NULL; device = device->next) {
        device->left_rows = 0;
        uint64_t each = device->serves ? route_estimate(&device->speed, rows_of(route, batch)) : 0;
        each += each == 0 ? 0 : copy_to(route, device);
        struct list_node *end = &device->workers;
        for (struct list_node *at = end->next; at != end && each != 0; at = at->next) {
            const struct route_worker *w = worker_of(at);
            uint64_t from = free_at(w, now_ns);
            if (w == self || from + each >= deadline_ns) {
                continue;
            }
            uint64_t count = (deadline_ns - from - 1) / each;
            count = count > ROUTE_SKIP_MAX ? ROUTE_SKIP_MAX : count;
            device->left_rows += count * batch;
            others->at_once += batch;
            others->rows_per_ns += (double)batch / (double)each;
            if (w->flights > 0) {
                uint64_t spare = patience_ns > each ? patience_ns - each : 0;
                spare = spare < AGAIN_MIN_NS ? AGAIN_MIN_NS : spare;
                uint64_t again = w->until_ns + spare;
                again = again < now_ns + AGAIN_MIN_NS ? now_ns + AGAIN_MIN_NS : again;
                others->again_ns = sooner(others->again_ns, again);
            }
        }
        others->rows += device->left_rows;
    }
}

void route_arrive(struct route *route, uint64_t rows, uint64_t now_ns)
{
    route->counted_rows += rows;
    uint64_t span = now_ns - route->counted_ns;
    if (span < COUNT_NS) {
        return;
    }
    double rate = (double)route->counted_rows / (double)span;
    double part = span >= 4 * (uint64_t)COUNT_NS ? 1 : (double)span / (4.0 * COUNT_NS);
    route->rows_per_ns += (rate - route->rows_per_ns) * part;
    route->counted_rows = 0;
    route->counted_ns = now_ns;
}

// How many rows at the front of the queue are the others'.
static uint64_t reserve(const struct route *route, const struct others *others, uint64_t now_ns)
{
    uint64_t span = now_ns - route->counted_ns;
    double comes = span < 4 * (uint64_t)COUNT_NS ? route->rows_per_ns
                                                 : (double)route->counted_rows / (double)span;
    double spare = others->rows_per_ns > comes ? 1 - comes / others->rows_per_ns : 0;
    uint64_t rows = (uint64_t)((double)others->rows * spare);
    return rows > others->at_once ? rows : others->at_once;
}

static bool others_are_known(const struct route *route, const struct route_device *device)
{
    for (const struct route_device *d = route->devices; d != NULL; d = d->next) {
        if (d != device && d->serves && is_known(d)) {
            return true;
        }
    }
    return false;
}

void route_decide(struct route *route, const struct route_worker *worker, uint64_t rows,
                  uint64_t now_ns, struct route_choice *choice)
{
    const struct route_device *device = worker->device;
    uint64_t start = free_at(worker, now_ns);
    *choice = (struct route_choice){.take = true,
                                    .max_rows = route->max_rows,
                                    .start_ns = start,
                                    .finish_ns = start,
                                    .copy_ns = copy_to(route, device)};
    if (!is_known(device)) {
        choice->take = device->flights == 0 || !others_are_known(route, device);
        return;
    }
    // Few rows may be worth taking where many are not.
    uint64_t all = rows < route->max_rows ? rows : route->max_rows;
    for (uint64_t batch = all;; batch = (uint64_t)1 << (size_of(batch) - 1)) {
        struct others others;
        uint64_t ns = hope(route, device, rows_of(route, batch)) + choice->copy_ns;
        uint64_t gain = gain_ns(ns);
        uint64_t patience = ns > gain ? ns - gain : 0;
        look_at_others(route, worker, rows, now_ns, start + patience, patience, &others);
        uint64_t theirs = reserve(route, &others, now_ns);
        choice->finish_ns = start + ns;
        if (theirs < rows) {
            uint64_t behind = rows - batch < others.rows ? rows - batch : others.rows;
            uint64_t skip = theirs > behind ? theirs : behind;
            choice->skip_rows = skip < ROUTE_SKIP_MAX ? (uint32_t)skip : ROUTE_SKIP_MAX;
            choice->max_rows = batch == all ? route->max_rows : (uint32_t)batch;
            return;
        }
        if (batch == 1) {
            choice->take = false;
            choice->again_ns = others.again_ns;
            return;
        }
    }
}

struct route_worker *route_pick(struct route *route, uint64_t rows, uint64_t now_ns,
                                route_finds_fn finds, void *arg, uint64_t *again_ns)
{
    struct route_worker *best = NULL;
    uint64_t best_ns = 0;
    *again_ns = 0;
    for (struct route_device *device = route->devices; device != NULL; device = device->next) {
        // Those of one device are alike: the first that is idle speaks for them.
        struct list_node *at = device->workers.next;
        while (at != &device->workers && !worker_of(at)->idle) {
            at = at->next;
        }
        if (at == &device->workers || !device->serves) {
            continue;
        }
        struct route_choice choice;
        route_decide(route, worker_of(at), rows, now_ns, &choice);
        if (!choice.take || (finds != NULL && !finds(arg, worker_of(at), &choice))) {
            *again_ns = sooner(*again_ns, choice.again_ns);
        } else if (best == NULL || choice.finish_ns < best_ns) {
            best = worker_of(at);
            best_ns = choice.finish_ns;
        }
    }
    return best;
}

bool route_leaves(const struct route *route, const struct route_worker *worker,
                  const struct route_choice *choice, struct route_device *home, uint64_t bytes,
                  uint32_t rows, uint64_t now_ns)
{
    const struct route_device *device = worker->device;
    if (home == NULL || home == device || !home->serves || !is_known(home) || !is_known(device)) {
        return false;
    }
    uint64_t each = route_estimate(&home->speed, rows_of(route, rows));
    uint64_t from = UINT64_MAX;
    LIST_FOR(node, &home->workers)
    {
        uint64_t at = free_at(worker_of(node), now_ns);
        from = at < from ? at : from;
    }
    uint64_t there = from + each * (1 + home->left_rows / route->max_rows);
    uint64_t here = choice->finish_ns - choice->copy_ns + route_copy_ns(bytes);
    if (from == UINT64_MAX || there + gain_ns(here - choice->start_ns) >= here) {
        return false;
    }
    home->left_rows += rows;
    return true;
}
