// SPDX-License-Identifier: Apache-2.0
// Device usage: what a model does on each of its devices. Start at model_device_usage().
#ifndef NEREID_CORE_DEVICE_USAGE_H
#define NEREID_CORE_DEVICE_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/stats.h"
#include "triton/core/tritonserver.h"

struct model;

struct device_usage {
    TRITONSERVER_InstanceGroupKind kind;
    int32_t device_id;
    bool in_service;
    uint32_t instances;
    struct stats_usage done; // by all its instances there
    // Of the requests that are queued for the model, those that this device is expected to take.
    uint64_t queued_requests;
};

// Fills up to `room` entries, one for each device that `model` has instances on (passive ones count too), in the order
// of the instances, and returns how many there are. Allocates nothing. `model` is referenced. Thread: any.
uint32_t model_device_usage(const struct model *model, struct device_usage *out, uint32_t room);

#endif
