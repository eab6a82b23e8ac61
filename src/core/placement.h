// SPDX-License-Identifier: Apache-2.0
// Placement: on which devices the instances of a model go.
//
// Groups are completed and checked by config (config_normalize_instances); here they are expanded into one entry an
// instance: KIND_CPU and KIND_MODEL `count` entries, KIND_GPU `count` entries for each of its GPUs.
#ifndef NEREID_CORE_PLACEMENT_H
#define NEREID_CORE_PLACEMENT_H

#include "base/status.h"
#include "config/model_config.h"
#include "core/instance.h"
#include "core/options.h"

// One instance to be made. `group` is borrowed from the configuration.
struct placement {
    const Inference__ModelInstanceGroup *group;
    char *name;        // "<group>_<n>"
    char *policy_name; // of the host policy
    TRITONSERVER_InstanceGroupKind kind;
    int32_t device_id;
};
struct placement_list {
    struct placement *items;
    size_t count;
};

// Expands the instance groups of a complete configuration. INVALID_ARG for a kind that has no meaning here. Returns owned:
// placement_list_fini.
NRD_MUST_USE struct nrd_status *placement_expand(const Inference__ModelConfig *config,
                                                 struct placement_list *list);
void placement_list_fini(struct placement_list *list);

#endif
