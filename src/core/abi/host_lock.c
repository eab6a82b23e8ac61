// SPDX-License-Identifier: Apache-2.0
// nereid_host_*: memory of front ends that GPUs copy out of directly (nereid/ext/core.h).
#include "core/gpus.h"
#include "core/instance.h"
#include "core/model.h"
#include "core/request.h"
#include "core/server.h"
#include "nereid/ext/core.h"
#include "proto/model_config.pb-c.h"

bool nereid_request_is_staged(struct TRITONSERVER_InferenceRequest *request)
{
    const struct model *model = ((struct request *)request)->model;
    const Inference__ModelOptimizationPolicy *optimization = model->config->optimization;
    if (optimization != NULL && optimization->input_pinned_memory != NULL &&
        !optimization->input_pinned_memory->enable) {
        return false;
    }
    // Acquire: what is counted is whole.
    uint32_t count = atomic_load_explicit(&model->instance_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        if (model->instances[i]->kind == TRITONSERVER_INSTANCEGROUPKIND_GPU) {
            return true;
        }
    }
    return false;
}

void *nereid_host_lock(struct TRITONSERVER_Server *server, void *at, size_t size)
{
    return gpus_lock_host(((struct server *)server)->gpus, at, size);
}

void nereid_host_unlock(void *lock)
{
    gpus_unlock_host(lock);
}
