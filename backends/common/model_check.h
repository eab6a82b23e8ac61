// SPDX-License-Identifier: Apache-2.0
// Where a configuration and its model disagree, in Triton's words: one text for all backends whose
// models declare their tensors. Thread: any.
#ifndef NEREID_BACKENDS_COMMON_MODEL_CHECK_H
#define NEREID_BACKENDS_COMMON_MODEL_CHECK_H

#include "backends/common/model_config.h"

// INVALID_ARG unless the shape that model `model` declares for `tensor` (batch dimension included,
// -1 where it is open) is `configured`, the configuration's. With `exact` an open dimension of the
// model must be open in the configuration too.
NRD_MUST_USE TRITONSERVER_Error *model_check_dims(const char *model, const char *tensor,
                                                  const int64_t *dims, uint32_t dim_count,
                                                  struct model_shape configured, bool batching,
                                                  bool exact);
// The error of the call above, for backends that compare otherwise. Returns owned.
NRD_MUST_USE TRITONSERVER_Error *model_check_dims_differ(const char *model, const char *tensor,
                                                         const int64_t *dims, uint32_t dim_count,
                                                         struct model_shape configured,
                                                         bool batching);
// INVALID_ARG "unexpected inference input 'x', allowed inputs are: a, b". `role` is "input" or
// "output"; `allowed` is sorted by the call.
NRD_MUST_USE TRITONSERVER_Error *model_check_unknown(const char *role, const char *name,
                                                     const char **allowed, size_t count);
// Counts the START, END, READY and CORRID inputs that a sequence batcher adds to the
// configuration's list of inputs; INTERNAL when `knows` does not know one of them. UNSUPPORTED for
// implicit state, naming `backend`. NULL `knows` asks nothing.
typedef bool (*model_knows_fn)(void *userp, struct slice input);
NRD_MUST_USE TRITONSERVER_Error *model_check_sequence(const struct model_config *config,
                                                      const char *backend, model_knows_fn knows,
                                                      void *userp, uint32_t *count);

#endif
