// SPDX-License-Identifier: Apache-2.0
// Operator classes by name. The one list of the process (nrd_register_operator() is about the process, not about one graph): it
// only grows, under a lock, and holds pointers to static tables.
//
// All of the library's own operators are in it. What they need of large libraries (libav) is behind libraries of codecs, which they
// open themselves (ops/codecs.h, registry_library()): so every operator can be listed and checked on every machine.
#include "graph/registry.h"

#include <dlfcn.h>
#include <libgen.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "graph/nearest.h"
#include "graph/ops/ops.h"
#include "graph/ops/picture_ops.h"

static const struct nrd_operator_class *const BUILT_IN[] = {
    &inference_op,
    &triton_inference_op,
    &ping_tx_op,
    &ping_rx_op,
    &format_converter_op,
    &bayer_demosaic_op,
    &segmentation_postprocessor_op,
    &inference_processor_op,
    &report_sink_op,
    &holoviz_op,
    &ping_tensor_tx_op,
    &ping_tensor_rx_op,
    &async_ping_tx_op,
    &async_ping_rx_op,
    &video_stream_replayer_op,
    &video_stream_recorder_op,
    &v4l2_video_capture_op,
    &picture_source_op,
    &picture_sink_op,
    &pattern_source_op,
    &join_op,
    &split_op,
    &gate_op,
    &throttle_op,
    &frame_tap_op,
};

enum { BUILT_IN_COUNT = sizeof(BUILT_IN) / sizeof(BUILT_IN[0]) };

static struct {
    pthread_mutex_t lock;
    const struct nrd_operator_class **items; // those that were registered
    size_t count, capacity;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

const char *registry_bare_name(const char *name)
{
    static const char *const PREFIXES[] = {
        "holoscan::ops::", "holoscan::", "nereid::ops::", "nereid::", "nvidia::gxf::"};
    for (size_t i = 0; i < sizeof(PREFIXES) / sizeof(PREFIXES[0]); i++) {
        size_t length = strlen(PREFIXES[i]);
        if (strncmp(name, PREFIXES[i], length) == 0) {
            return name + length;
        }
    }
    return name;
}

// Holoscan's names may lack the "Op" at the end.
static bool same_name(const char *class_name, const char *asked)
{
    size_t length = strlen(asked);
    return strncmp(class_name, asked, length) == 0 &&
           (class_name[length] == '\0' || strcmp(class_name + length, "Op") == 0);
}

static const struct nrd_operator_class *find_known(const char *bare)
{
    for (size_t i = 0; i < BUILT_IN_COUNT; i++) {
        if (same_name(BUILT_IN[i]->name, bare)) {
            return BUILT_IN[i];
        }
    }
    const struct nrd_operator_class *found = NULL;
    pthread_mutex_lock(&registry.lock);
    for (size_t i = registry.count; i-- > 0 && found == NULL;) {
        if (same_name(registry.items[i]->name, bare)) {
            found = registry.items[i];
        }
    }
    pthread_mutex_unlock(&registry.lock);
    return found;
}

// A table that cannot be run safely is refused.
static struct nrd_status *check_table(const struct nrd_operator_class *table)
{
    if (table->abi != NRD_OPERATOR_ABI) {
        return status_new(NRD_INVALID_ARG, "operator class '%s' has ABI %u, this library has %d",
                          table->name == NULL ? "" : table->name, table->abi, NRD_OPERATOR_ABI);
    }
    if (table->name == NULL || table->name[0] == '\0' || table->compute == NULL) {
        return status_new(NRD_INVALID_ARG, "operator class '%s' has no %s",
                          table->name == NULL ? "" : table->name,
                          table->compute == NULL ? "compute" : "name");
    }
    return NULL;
}

struct nrd_status *nrd_register_operator(const struct nrd_operator_class *table)
{
    NRD_TRY(check_table(table));
    struct nrd_status *status = NULL;
    pthread_mutex_lock(&registry.lock);
    for (size_t i = 0; i < registry.count; i++) {
        if (registry.items[i] == table) {
            goto done; // twice is fine
        }
        if (strcmp(registry.items[i]->name, table->name) == 0) {
            status = status_new(NRD_ALREADY_EXISTS, "operator class '%s' is registered already",
                                table->name);
            goto done;
        }
    }
    if (registry.count == registry.capacity) {
        size_t capacity = registry.capacity == 0 ? 16 : registry.capacity * 2;
        const struct nrd_operator_class **grown =
            mem_realloc(registry.items, capacity * sizeof(*grown));
        if (grown == NULL) {
            status = status_no_memory();
            goto done;
        }
        registry.items = grown;
        registry.capacity = capacity;
    }
    registry.items[registry.count++] = table;
done:
    pthread_mutex_unlock(&registry.lock);
    return status;
}

// ---- libraries ----

// Tries DIR/../<relative> for the folder of this library or program; "" when there is nothing readable.
static bool beside_self(const char *relative, char *path, size_t size)
{
    Dl_info self;
    char real[4096];
    if (dladdr((void *)(uintptr_t)&nrd_register_operator, &self) == 0 || self.dli_fname == NULL ||
        (realpath(self.dli_fname, real) == NULL && realpath("/proc/self/exe", real) == NULL)) {
        return false;
    }
    int length = snprintf(path, size, "%s/%s", dirname(real), relative);
    return length > 0 && (size_t)length < size && access(path, R_OK) == 0;
}

// Where a bare name of a library is: beside this library, in lib/nereid/operators, else as the system finds it.
static void locate(const char *name, char *path, size_t size)
{
    static const char *const FOLDERS[] = {"", "nereid/operators/", "../lib/nereid/operators/",
                                          "../../../lib/nereid/operators/"};
    if (strchr(name, '/') == NULL) {
        for (size_t i = 0; i < sizeof(FOLDERS) / sizeof(FOLDERS[0]); i++) {
            char relative[512];
            snprintf(relative, sizeof(relative), "%s%s", FOLDERS[i], name);
            if (beside_self(relative, path, size)) {
                return;
            }
        }
    }
    snprintf(path, size, "%s", name);
}

struct nrd_status *registry_library(const char *name, void **handle)
{
    char path[4096];
    locate(name, path, sizeof(path));
    *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return *handle == NULL ? status_new(NRD_NOT_FOUND, "%s", dlerror()) : NULL;
}

struct nrd_status *registry_open(const char *name, void **handle)
{
    void *library = NULL;
    NRD_TRY(status_wrap(registry_library(name, &library), "cannot open extension '%s': ", name));
    const struct nrd_operator_class *const *tables = dlsym(library, NRD_OPERATORS_SYMBOL);
    if (tables == NULL) {
        dlclose(library);
        return status_new(NRD_INVALID_ARG, "extension '%s' exports no %s", name,
                          NRD_OPERATORS_SYMBOL);
    }
    for (; *tables != NULL; tables++) {
        struct nrd_status *status = nrd_register_operator(*tables);
        if (status != NULL) {
            // Tables before this one are known now: the library stays.
            return status_wrap(status, "extension '%s': ", name);
        }
    }
    *handle = library;
    return NULL;
}

static void offer_nearest(struct nearest *nearest)
{
    for (size_t i = 0; i < BUILT_IN_COUNT; i++) {
        nearest_offer(nearest, BUILT_IN[i]->name);
    }
    pthread_mutex_lock(&registry.lock);
    for (size_t i = 0; i < registry.count; i++) {
        nearest_offer(nearest, registry.items[i]->name);
    }
    pthread_mutex_unlock(&registry.lock);
}

struct nrd_status *registry_find(const char *name, const struct nrd_operator_class **table)
{
    const char *bare = registry_bare_name(name);
    const struct nrd_operator_class *found = find_known(bare);
    if (found == NULL) {
        struct nearest nearest;
        nearest_init(&nearest, bare);
        offer_nearest(&nearest);
        char hint[128];
        return status_new(NRD_NOT_FOUND, "unknown operator class '%s'%s", name,
                          nearest_hint(&nearest, hint, sizeof(hint)));
    }
    *table = found;
    return NULL;
}

const struct nrd_operator_class *nrd_find_operator(const char *name)
{
    const struct nrd_operator_class *table = NULL;
    status_free(registry_find(name, &table));
    return table;
}

const struct nrd_operator_class *nrd_operator_class_at(size_t index)
{
    if (index < BUILT_IN_COUNT) {
        return BUILT_IN[index];
    }
    index -= BUILT_IN_COUNT;
    pthread_mutex_lock(&registry.lock);
    const struct nrd_operator_class *found = index < registry.count ? registry.items[index] : NULL;
    pthread_mutex_unlock(&registry.lock);
    return found;
}
