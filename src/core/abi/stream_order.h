// SPDX-License-Identifier: Apache-2.0
// Stream order: inputs whose bytes come later, for a backend that does not know of that.
#ifndef NEREID_CORE_ABI_STREAM_ORDER_H
#define NEREID_CORE_ABI_STREAM_ORDER_H

#include "core/request.h"

// Before the input's bytes, on GPU `device_id`, are shown to a backend: waits until they are there, unless the backend asked for the
// event or there is none. The error is the GPU's. Thread: the backend's.
NRD_MUST_USE struct nrd_status *input_await(struct request_input *input, int64_t device_id);

#endif
