// SPDX-License-Identifier: Apache-2.0
// Worker: threads for calls that block, so that loops do not.
//
// Threads are started when jobs wait and none is idle, up to a limit, and end when nothing comes for a while. Jobs are
// embedded in their users; nothing is allocated. Thread: any.
#ifndef NEREID_NET_WORKER_H
#define NEREID_NET_WORKER_H

#include "base/list.h"
#include "base/status.h"

struct worker;
struct worker_job {
    struct list_node node;
    void (*run)(
        struct worker_job
            *job); // on a thread of the worker; the job may be freed or posted again from inside
};

// At most `max_threads` threads named `name`. Returns owned.
NRD_MUST_USE struct nrd_status *worker_create(const char *name, unsigned max_threads,
                                              struct worker **out);
// Runs `job->run` soon. False: no thread could be started and none runs; the job was not taken.
bool worker_post(struct worker *worker, struct worker_job *job) __attribute__((warn_unused_result));
// Runs what is posted, joins and frees. NULL is fine.
void worker_destroy(struct worker *worker);

#endif
