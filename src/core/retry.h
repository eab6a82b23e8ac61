// SPDX-License-Identifier: Apache-2.0
// Retry: what was executing on a GPU when that was lost is executed on another device, once.
//
// Backends answer their requests themselves, errors too. So the core looks at what they send: an error that ends a request on a
// GPU that turns out to be lost is kept back, and when the backend lets go of the request, it goes to its queue again instead of
// to the client. It works with any backend as it was built. The rule and its reasons: docs/decisions/0019-retry.md.
//
//            Execute on a GPU        error, the GPU is lost            released
//   OFF ──────retry_arm()──▶ ARMED ────retry_holds()────▶ HELD ────retry_again()────▶ OFF, queued anew
//                              └── any other answer, or released ──▶ OFF: it goes on as ever
#ifndef NEREID_CORE_RETRY_H
#define NEREID_CORE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct instance;
struct request;
struct response;
struct response_factory;

enum retry_state { RETRY_OFF, RETRY_ARMED, RETRY_HELD };

// The request is about to be executed by `instance`. Only those on a GPU are armed, and only the first time.
// Thread: the executor.
void retry_arm(const struct instance *instance, struct request *request);
// True for an error (`status`, which is not NULL) that is not to be sent: the response was taken. Thread: any.
bool retry_holds(struct response *response, uint32_t flags);
// Something of the request's answer goes out: it can't be had anew. Thread: any.
void retry_forget(struct response_factory *factory);
// Whether the error of this request is kept back, so that it is not counted as a failure. Thread: the request's.
bool retry_is_held(const struct request *request);
// The backend lets go of the request. True: it is queued again, and may be gone already. False: it was not held, or its error was
// sent now; the caller releases it. Thread: the request's.
bool retry_again(struct request *request);
// Execute failed, and the request is the core's again: true as above; false: it is to be answered. Thread: the executor.
bool retry_failed(struct request *request);

// Answers and releases those of `batch` whose inputs lie in the memory of a lost GPU; how many are left, in their order.
// Thread: the executor.
uint32_t retry_weed(struct request **batch, uint32_t count);
// NULL, or UNAVAILABLE "input 'x' lies in the memory of GPU 0, which is lost". Thread: the request's.
NRD_MUST_USE struct nrd_status *retry_check_inputs(const struct request *request);

#endif
