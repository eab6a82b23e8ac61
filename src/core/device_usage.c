// SPDX-License-Identifier: Apache-2.0
// Device usage: each instance counts in a shard of its own; here the shards of a device are added up.
#include "core/device_usage.h"

#include "core/instance.h"
#include "core/model.h"
#include "core/schedule/scheduler.h"

uint32_t model_device_usage(const struct model *model, struct device_usage *out, uint32_t room)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->instance_count; i++) {
        const struct instance *instance = model->instances[i];
        uint32_t at = 0;
        while (at < count &&
               (out[at].kind != instance->kind || out[at].device_id != instance->device_id)) {
            at++;
        }
        if (at == room) {
            continue;
        }
        if (at == count) {
            out[count++] =
                (struct device_usage){.kind = instance->kind, .device_id = instance->device_id};
            scheduler_read_device(model->scheduler, instance->kind, instance->device_id,
                                  &out[at].in_service, &out[at].queued_requests);
        }
        out[at].instances++;
        stats_add_usage(instance->shard, &out[at].done);
    }
    return count;
}
