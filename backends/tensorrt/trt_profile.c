// SPDX-License-Identifier: Apache-2.0
// Ranges of optimization profiles, and the choice among them. See trt_profile.h.
#include "backends/tensorrt/trt_profile.h"

#include "base/mem.h"

TRITONSERVER_Error *trt_profile_index(const char *name, int *index)
{
    int64_t value = 0;
    if (name[0] == '\0') {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG, "profile name must not be empty");
    }
    if (!slice_to_i64(slice_of(name), &value) || value < INT32_MIN || value > INT32_MAX) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG, "unable to parse '%s': stoi",
                                 name);
    }
    *index = (int)value;
    return NULL;
}

// ---- reading ----

// How many values a shape tensor has.
static uint32_t value_count(const struct trt_io *io)
{
    return io->tensor.dims.count == 0 ? 1 : (uint32_t)io->tensor.dims.d[0];
}

static TRITONSERVER_Error *read_range(const struct trt_model *m, const struct trt_plan *plan,
                                      const struct trt_io *io, int index, struct trt_range *range)
{
    const struct trt_shim *shim = m->backend->library.shim;
    range->known = true;
    range->count = io->tensor.shape_tensor ? value_count(io) : (uint32_t)io->tensor.dims.count;
    if (range->count > TRT_VALUES_MAX) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "model '%s': shape tensor '%s' has %u values, at most %d are "
                                 "supported",
                                 m->config.name, io->tensor.name, range->count, TRT_VALUES_MAX);
    }
    for (int select = TRT_MIN; select <= TRT_MAX; select++) {
        struct trt_dims dims = io->tensor.dims;
        if (io->tensor.shape_tensor) {
            if (!shim->engine_profile_values(plan->engine, io->tensor.name, index,
                                             (enum trt_select)select, range->bounds[select],
                                             range->count)) {
                range->known = false;
            }
            continue;
        }
        if (io->open && !shim->engine_profile_shape(plan->engine, io->tensor.name, index,
                                                    (enum trt_select)select, &dims)) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "model '%s': profile %d tells no shapes for input '%s'",
                                     m->config.name, index, io->tensor.name);
        }
        memcpy(range->bounds[select], dims.d, range->count * sizeof(dims.d[0]));
    }
    return NULL;
}

TRITONSERVER_Error *trt_profile_init(struct trt_profile_ranges *ranges, const struct trt_model *m,
                                     const struct trt_plan *plan, const char *name, int index)
{
    *ranges = (struct trt_profile_ranges){.index = index, .name = name};
    if (index < 0 || index >= plan->info.profiles) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "Can not set the specified optimization profile %s[%d] for %s. "
                                 "Expected optimization profile index range 0-%d",
                                 name, index, m->config.name, plan->info.profiles - 1);
    }
    ranges->inputs = mem_calloc((size_t)plan->io_count + 1, sizeof(*ranges->inputs));
    TRITONSERVER_Error *error = ranges->inputs == NULL ? backend_no_memory() : NULL;
    for (uint32_t i = 0; i < plan->io_count && error == NULL; i++) {
        if (plan->ios[i].tensor.input) {
            error = read_range(m, plan, &plan->ios[i], index, &ranges->inputs[i]);
        }
    }
    if (error != NULL) {
        trt_profile_fini(ranges);
    }
    return error;
}

void trt_profile_fini(struct trt_profile_ranges *ranges)
{
    mem_free(ranges->inputs);
    ranges->inputs = NULL;
}

// ---- choosing ----

static bool fits(const struct trt_range *range, const struct trt_wish *wish)
{
    if (wish->count != range->count) {
        return false;
    }
    for (uint32_t i = 0; i < wish->count; i++) {
        if (wish->values[i] < range->bounds[TRT_MIN][i] ||
            wish->values[i] > range->bounds[TRT_MAX][i]) {
            return false;
        }
    }
    return true;
}

int64_t trt_profile_distance(const struct trt_profile_ranges *ranges, const struct trt_plan *plan,
                             const struct trt_wish *wishes)
{
    int64_t distance = 0;
    for (uint32_t i = 0; i < plan->io_count; i++) {
        const struct trt_range *range = &ranges->inputs[i];
        if (!range->known) {
            continue;
        }
        if (!fits(range, &wishes[i])) {
            return -1;
        }
        for (uint32_t k = 0; k < range->count; k++) {
            int64_t step = wishes[i].values[k] - range->bounds[TRT_OPT][k];
            distance += step < 0 ? -step : step;
        }
    }
    return distance;
}

static TRITONSERVER_Error *why_dims(const struct trt_range *range, const char *name,
                                    const char *who, const struct trt_wish *wish)
{
    if (wish->count != range->count) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "request specifies invalid shape for input '%s' for %s. Error "
                                 "details: model expected %u dimensions but received %u dimensions",
                                 name, who, range->count, wish->count);
    }
    for (uint32_t i = 0; i < wish->count; i++) {
        if (wish->values[i] < range->bounds[TRT_MIN][i] ||
            wish->values[i] > range->bounds[TRT_MAX][i]) {
            return backend_error_new(
                TRITONSERVER_ERROR_INTERNAL,
                "request specifies invalid shape for input '%s' for %s. Error details: model "
                "expected the shape of dimension %u to be between %lld and %lld but received %lld",
                name, who, i, (long long)range->bounds[TRT_MIN][i],
                (long long)range->bounds[TRT_MAX][i], (long long)wish->values[i]);
        }
    }
    return NULL;
}

static TRITONSERVER_Error *why_values(const struct trt_range *range, const char *name,
                                      const char *who, const struct trt_wish *wish)
{
    if (wish->count != range->count) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "mismatch between the number of shape values. Expecting %u. Got "
                                 "%u (input '%s' of %s)",
                                 range->count, wish->count, name, who);
    }
    for (uint32_t i = 0; i < wish->count; i++) {
        if (wish->values[i] < range->bounds[TRT_MIN][i] ||
            wish->values[i] > range->bounds[TRT_MAX][i]) {
            return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                     "The shape value at index %u is expected to be in range from "
                                     "%lld to %lld, Got: %lld (input '%s' of %s)",
                                     i, (long long)range->bounds[TRT_MIN][i],
                                     (long long)range->bounds[TRT_MAX][i],
                                     (long long)wish->values[i], name, who);
        }
    }
    return NULL;
}

TRITONSERVER_Error *trt_profile_why(const struct trt_profile_ranges *ranges,
                                    const struct trt_plan *plan, const char *who,
                                    const struct trt_wish *wishes)
{
    for (uint32_t i = 0; i < plan->io_count; i++) {
        const struct trt_range *range = &ranges->inputs[i];
        const char *name = plan->ios[i].tensor.name;
        if (range->known) {
            BACKEND_TRY(plan->ios[i].tensor.shape_tensor ? why_values(range, name, who, &wishes[i])
                                                         : why_dims(range, name, who, &wishes[i]));
        }
    }
    return NULL;
}

// ---- the batch limit, for completion ----

static TRITONSERVER_Error *limit_of(const struct trt_model *m, const struct trt_plan *plan,
                                    int index, int64_t *limit)
{
    struct trt_profile_ranges ranges;
    BACKEND_TRY(trt_profile_init(&ranges, m, plan, "", index));
    int64_t least = INT32_MAX;
    for (uint32_t i = 0; i < plan->io_count; i++) {
        const struct trt_range *range = &ranges.inputs[i];
        if (range->known && range->count > 0 && range->bounds[TRT_MAX][0] < least) {
            least = range->bounds[TRT_MAX][0];
        }
    }
    trt_profile_fini(&ranges);
    *limit = least > *limit ? least : *limit;
    return NULL;
}

TRITONSERVER_Error *trt_profile_batch_limit(const struct trt_model *m, const struct trt_plan *plan,
                                            int64_t *limit)
{
    const struct json_node *groups = json_get(m->config.root, "instance_group");
    uint32_t named = 0;
    *limit = 0;
    const struct json_node *group =
        groups != NULL && groups->type == JSON_ARRAY && groups->count > 0 ? json_first(groups)
                                                                          : NULL;
    for (uint32_t g = 0; group != NULL && g < groups->count; g++, group = json_next(group)) {
        const struct json_node *profiles = json_get(group, "profile");
        uint32_t count = profiles != NULL && profiles->type == JSON_ARRAY ? profiles->count : 0;
        const struct json_node *n = count > 0 ? json_first(profiles) : NULL;
        for (uint32_t i = 0; i < count; i++, n = json_next(n)) {
            struct slice text = {0};
            int64_t index = -1;
            BACKEND_TRY(backend_error(json_want_string(n, &text)));
            if (!slice_to_i64(text, &index) || index < 0 || index >= plan->info.profiles) {
                return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                         "unable to autofill for '%s', configuration specified "
                                         "invalid profile %.*s . Number of profiles supported by "
                                         "TensorRT engine: %d",
                                         m->config.name, (int)text.len, text.ptr,
                                         plan->info.profiles);
            }
            BACKEND_TRY(limit_of(m, plan, (int)index, limit));
            named++;
        }
    }
    return named > 0 ? NULL : limit_of(m, plan, 0, limit);
}
