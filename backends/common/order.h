// SPDX-License-Identifier: Apache-2.0
// Batches in the order of streams: where the host knows Nereid's extension (nereid/ext/core.h), an
// input on a GPU comes with the event after which it may be read, and a batch that stays on its GPU
// goes out with one instead of being waited for. Elsewhere all of this does nothing, and everything
// is waited for. Thread: owner (the instance's thread) for all functions.
#ifndef NEREID_BACKENDS_COMMON_ORDER_H
#define NEREID_BACKENDS_COMMON_ORDER_H

#include "backends/common/batch.h"

// Before the buffers of an input are asked for, where what reads them is queued into the instance's
// stream: that stream waits for the input. (Who does not call this finds the host waiting.)
NRD_MUST_USE TRITONSERVER_Error *batch_order_input(const struct batch *b,
                                                   TRITONBACKEND_Input *input);
// The batch computes from here on (batch_compute_begin): what its statistics need if it goes out with an event, or after one that did.
void batch_order_begin(struct batch *b);
// Whether batch_end() need not wait: the instance is on a GPU, the begin was marked, all clients take an event, and no host
// memory is still to be read or written. True only after all outputs were given.
bool batch_is_ordered(const struct batch *b);
// The end of the batch's work on GPUs: an event goes to all responses, and `*departs`: then batch_order_depart() is called once they are
// sent and the requests released, in place of reports. Or everything is waited for.
NRD_MUST_USE TRITONSERVER_Error *batch_order_end(struct batch *b, bool *departs);
void batch_order_depart(struct batch *b);

#endif
