// SPDX-License-Identifier: Apache-2.0
// Loop: one event loop a thread, over libevent's event_base.
//
// Everything that belongs to a loop is touched by its thread alone. Other threads reach it by one call, loop_post(),
// which costs one compare-and-swap and, only when the loop sleeps, one write to an eventfd: a burst
// of posts makes one wake. Each turn of the loop does, in this order: file descriptors that are ready, posted
// tasks, deferred calls (once each), then sleep. All structs are embedded in their users; nothing is allocated.
// Start at loop_create(), loop_start() and loop_post().
#ifndef NEREID_NET_LOOP_H
#define NEREID_NET_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/list.h"
#include "base/queue.h"
#include "base/status.h"

struct loop;

// Makes a loop that does not run yet. Errors: what the system lacks. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *loop_create(struct loop **out);
// Starts a thread named `name` that runs the loop until loop_stop(). Thread: any, once.
NRD_MUST_USE struct nrd_status *loop_start(struct loop *loop, const char *name);
// Runs the loop on the calling thread until loop_stop(); instead of loop_start().
void loop_run(struct loop *loop);
// Asks the loop to end: what was posted before is still run. Returns at once. Thread: any.
void loop_stop(struct loop *loop);
// Stops, joins the thread if there is one, runs what is still posted or deferred (on the calling thread)
// and frees. Streams, watches and timers must be gone. NULL is fine. Thread: any but the loop's.
void loop_destroy(struct loop *loop);
// True from loop_start() (or the start of loop_run()) until the loop has ended. Thread: any.
bool loop_is_running(const struct loop *loop);
// True on the thread that runs `loop`. Thread: any.
bool loop_is_current(const struct loop *loop);
// clock_now_ns() as of the start of this turn (cheap). Thread: loop.
uint64_t loop_now_ns(const struct loop *loop);

// A task: memory is the poster's and may be freed or posted again from inside `run`.
struct loop_task {
    struct queue_node node;
    void (*run)(struct loop_task *task);
};
// Runs `task->run` on the loop's thread, in the order of each poster. A task must not be posted again before it has begun
// to run. Borrows until then. Thread: any.
void loop_post(struct loop *loop, struct loop_task *task);
// The same in two steps, for posters that wake once after many posts: true means that loop_wake() must follow.
NRD_MUST_USE bool loop_post_quietly(struct loop *loop, struct loop_task *task); // Thread: any
void loop_wake(struct loop *loop); // Thread: any; nothing when it is awake

// A deferred call: runs once at the end of this turn, however often it was asked for.
struct loop_defer {
    struct list_node node; // zero until the first use
    void (*run)(struct loop_defer *defer);
    bool queued;
};
void loop_defer(struct loop *loop, struct loop_defer *defer);        // Thread: loop
void loop_defer_cancel(struct loop *loop, struct loop_defer *defer); // Thread: loop

// A file descriptor's readiness, level triggered.
enum loop_event { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };
struct loop_watch {
    struct event event;
    struct loop *loop;
    void (*ready)(struct loop_watch *watch);
    bool active;
};
// Prepares; starts nothing. `events` is one enum loop_event. Thread: loop (or before it runs).
void loop_watch_init(struct loop_watch *watch, struct loop *loop, int fd, enum loop_event event,
                     void (*ready)(struct loop_watch *watch));
// Both are free when nothing changes. False: no memory or a bad fd.
bool loop_watch_start(struct loop_watch *watch);
void loop_watch_stop(struct loop_watch *watch);

// A timer, single shot; starting it again moves it.
struct loop_timer {
    struct event event;
    struct loop *loop;
    void (*fire)(struct loop_timer *timer);
};
void loop_timer_init(struct loop_timer *timer, struct loop *loop,
                     void (*fire)(struct loop_timer *timer));
void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms); // Thread: loop
void loop_timer_stop(struct loop_timer *timer);                     // Thread: loop

// A coarse deadline for things that mostly finish in time (a connection's next byte): setting it is one store. All
// deadlines of a loop are looked at twice a second, so it fires up to half a second late.
struct loop_deadline {
    struct list_node node;
    uint64_t at_ns;                               // of clock_now_ns(); 0: none. Set it freely.
    void (*fire)(struct loop_deadline *deadline); // at_ns is 0 again when this runs
};
void loop_deadline_add(struct loop *loop, struct loop_deadline *deadline);    // Thread: loop
void loop_deadline_remove(struct loop *loop, struct loop_deadline *deadline); // Thread: loop

#endif
