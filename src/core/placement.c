// SPDX-License-Identifier: Apache-2.0
// Placement: from groups to instances; see placement.h.
#include "core/placement.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static struct nrd_status *add(struct placement_list *list,
                              const Inference__ModelInstanceGroup *group, int32_t number,
                              TRITONSERVER_InstanceGroupKind kind, int32_t device,
                              const char *default_policy)
{
    struct placement *items = mem_realloc(list->items, (list->count + 1) * sizeof(*items));
    if (items == NULL) {
        return status_no_memory();
    }
    list->items = items;
    struct str name = STR_INIT;
    str_printf(&name, "%s_%d", group->name, (int)number);
    struct placement *item = &items[list->count];
    *item = (struct placement){
        .group = group,
        .name = str_take(&name),
        .policy_name =
            mem_strdup(group->host_policy[0] != '\0' ? group->host_policy : default_policy),
        .kind = kind,
        .device_id = device,
    };
    list->count++;
    return item->name == NULL || item->policy_name == NULL ? status_no_memory() : NULL;
}

static struct nrd_status *add_gpus(struct placement_list *list,
                                   const Inference__ModelInstanceGroup *group, int32_t number)
{
    for (size_t i = 0; i < group->n_gpus; i++) {
        char policy[32];
        snprintf(policy, sizeof(policy), "gpu_%d", (int)group->gpus[i]);
        NRD_TRY(
            add(list, group, number, TRITONSERVER_INSTANCEGROUPKIND_GPU, group->gpus[i], policy));
    }
    return NULL;
}

static struct nrd_status *expand_one(struct placement_list *list,
                                     const Inference__ModelInstanceGroup *group, int32_t number)
{
    switch ((int)group->kind) {
    case INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_CPU:
        return add(list, group, number, TRITONSERVER_INSTANCEGROUPKIND_CPU, 0, "cpu");
    case INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_MODEL:
        return add(list, group, number, TRITONSERVER_INSTANCEGROUPKIND_MODEL, 0, "model");
    case INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_GPU:
        return add_gpus(list, group, number);
    case INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_AUTO:
        return status_new(NRD_INVALID_ARG, "instance_group kind KIND_AUTO not supported");
    default:
        return status_new(NRD_INVALID_ARG, "instance_group kind %d not supported",
                          (int)group->kind);
    }
}

struct nrd_status *placement_expand(const Inference__ModelConfig *config,
                                    struct placement_list *list)
{
    struct placement_list made = {0};
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < config->n_instance_group && status == NULL; i++) {
        const Inference__ModelInstanceGroup *group = config->instance_group[i];
        for (int32_t c = 0; c < group->count && status == NULL; c++) {
            status = expand_one(&made, group, c);
        }
    }
    if (status != NULL) {
        placement_list_fini(&made);
        return status;
    }
    *list = made;
    return NULL;
}

void placement_list_fini(struct placement_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->items[i].name);
        mem_free(list->items[i].policy_name);
    }
    mem_free(list->items);
    *list = (struct placement_list){0};
}
