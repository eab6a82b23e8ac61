// SPDX-License-Identifier: Apache-2.0
// GPU map: what a configuration's GPU number means on a machine that has other GPUs; see config_gpu_map in model_config.h.
#include <inttypes.h>

#include "config/model_config.h"

bool config_gpu_supported(const struct config_devices *devices, int32_t id)
{
    for (size_t i = 0; i < devices->gpu_count; i++) {
        if (devices->gpus[i].id == id) {
            return !devices->gpus[i].lost &&
                   devices->gpus[i].compute_capability >= devices->min_compute_capability;
        }
    }
    return false;
}

// The supported GPU that is `id` modulo their number; -1: there is none.
static int32_t wrapped(const struct config_devices *devices, int32_t id)
{
    int32_t count = 0;
    for (size_t i = 0; i < devices->gpu_count; i++) {
        count += config_gpu_supported(devices, devices->gpus[i].id) ? 1 : 0;
    }
    int32_t left = count == 0 ? -1 : id % count;
    for (size_t i = 0; i < devices->gpu_count && left >= 0; i++) {
        if (config_gpu_supported(devices, devices->gpus[i].id) && left-- == 0) {
            return devices->gpus[i].id;
        }
    }
    return -1;
}

int32_t config_map_gpu(const struct config_devices *devices, int32_t id)
{
    for (size_t i = 0; i < devices->map.count; i++) {
        if (devices->map.pairs[i].from == id) {
            return devices->map.pairs[i].to;
        }
    }
    bool wrap = devices->map.kind == CONFIG_GPU_MAP_WRAP ||
                (devices->map.kind == CONFIG_GPU_MAP_BY_FALLBACK && devices->gpu_fallback_cpu);
    if (!wrap || id < 0 || config_gpu_supported(devices, id)) {
        return id;
    }
    int32_t other = wrapped(devices, id);
    return other >= 0 ? other : id;
}

static struct nrd_status *bad(struct slice text, const char *why)
{
    return status_new(NRD_INVALID_ARG,
                      "GPU map '%.*s': %s; expected 'none', 'wrap', or pairs as in '2:1,3:0'",
                      (int)text.len, text.ptr, why);
}

static bool read_id(struct slice text, int32_t *id)
{
    uint64_t number = 0;
    if (!slice_to_u64(text, &number) || number > INT32_MAX) {
        return false;
    }
    *id = (int32_t)number;
    return true;
}

// A number that is somebody's target must stay, or what it becomes would depend on the order of things.
static const char *conflict(const struct config_gpu_map *map)
{
    for (size_t a = 0; a < map->count; a++) {
        for (size_t b = 0; b < map->count; b++) {
            if (a != b && map->pairs[a].from == map->pairs[b].from) {
                return "a GPU is mapped twice";
            }
            if (map->pairs[a].to == map->pairs[b].from && map->pairs[b].from != map->pairs[b].to) {
                return "a GPU that another one is mapped to is mapped itself";
            }
        }
    }
    return NULL;
}

struct nrd_status *config_gpu_map_parse(struct slice text, struct config_gpu_map *out)
{
    struct config_gpu_map map = {.kind = CONFIG_GPU_MAP_PAIRS};
    if (slice_is(text, "none") || slice_is(text, "wrap")) {
        map.kind = slice_is(text, "none") ? CONFIG_GPU_MAP_NONE : CONFIG_GPU_MAP_WRAP;
        *out = map;
        return NULL;
    }
    struct slice rest = text;
    struct slice pair;
    while (slice_cut(&rest, ',', &pair)) {
        struct slice to = pair;
        struct slice from;
        if (map.count == CONFIG_GPU_PAIRS_MAX) {
            return bad(text, "too many pairs");
        }
        struct config_gpu_pair *at = &map.pairs[map.count];
        if (!slice_cut(&to, ':', &from) || !read_id(from, &at->from) || !read_id(to, &at->to)) {
            return bad(text, "not a pair of GPU numbers");
        }
        map.count++;
    }
    const char *why = map.count == 0 ? "no pair" : conflict(&map);
    if (why != NULL) {
        return bad(text, why);
    }
    *out = map;
    return NULL;
}
