// SPDX-License-Identifier: Apache-2.0
// The types of conditions, for the table in condition.c.
#ifndef NEREID_GRAPH_CONDITION_TYPES_H
#define NEREID_GRAPH_CONDITION_TYPES_H

#include "graph/condition.h"

// condition_port.c
extern const struct condition_type condition_message_available;
extern const struct condition_type condition_downstream_affordable;
extern const struct condition_type condition_multi_message;
extern const struct condition_type condition_multi_message_timeout;
extern const struct condition_type condition_expiring_message;
extern const struct condition_type condition_first_pick_over;
// condition_time.c
extern const struct condition_type condition_count;
extern const struct condition_type condition_boolean;
extern const struct condition_type condition_periodic;
extern const struct condition_type condition_timeout;
extern const struct condition_type condition_deadline;
// A PeriodicCondition's period in ns; false: it is another. Thread: owner.
bool condition_period(const struct nrd_condition *c, int64_t *period);
// condition_async.c
extern const struct condition_type condition_asynchronous;
extern const struct condition_type condition_memory_available;
// The allocator that a MemoryAvailableCondition waits for, borrowed; NULL: it is another condition. Thread: owner.
const struct nrd_resource *condition_allocator(const struct nrd_condition *c);
// condition_cuda.c
extern const struct condition_type condition_cuda_stream;
extern const struct condition_type condition_cuda_event;
extern const struct condition_type condition_cuda_buffer_available;

#endif
