// SPDX-License-Identifier: Apache-2.0
// Options: defaults, lists of texts and settings, deep copies. The setters are in abi/options.c.
#include "core/options.h"

#include <string.h>

#include "base/mem.h"

// ---- lists ----------------------------------------------------------------------------------------------------------

struct nrd_status *text_list_add(struct text_list *list, const char *text)
{
    char *copy = mem_strdup(text);
    char **items = mem_realloc(list->items, (list->count + 1) * sizeof(*items));
    if (items != NULL) {
        list->items = items;
    }
    if (copy == NULL || items == NULL) {
        mem_free(copy);
        return status_no_memory();
    }
    list->items[list->count++] = copy;
    return NULL;
}

bool text_list_has(const struct text_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], text) == 0) {
            return true;
        }
    }
    return false;
}

void text_list_fini(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->items[i]);
    }
    mem_free(list->items);
    *list = (struct text_list){0};
}

struct nrd_status *setting_list_add(struct setting_list *list, const char *group, const char *key,
                                    const char *value)
{
    struct setting made = {mem_strdup(group), mem_strdup(key), mem_strdup(value)};
    struct setting *items = mem_realloc(list->items, (list->count + 1) * sizeof(*items));
    if (items != NULL) {
        list->items = items;
    }
    if (made.group == NULL || made.key == NULL || made.value == NULL || items == NULL) {
        mem_free(made.group);
        mem_free(made.key);
        mem_free(made.value);
        return status_no_memory();
    }
    list->items[list->count++] = made;
    return NULL;
}

const char *setting_list_get(const struct setting_list *list, const char *group, const char *key)
{
    for (size_t i = list->count; i-- > 0;) {
        const struct setting *at = &list->items[i];
        if (strcmp(at->group, group) == 0 && strcmp(at->key, key) == 0) {
            return at->value;
        }
    }
    return NULL;
}

void setting_list_fini(struct setting_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->items[i].group);
        mem_free(list->items[i].key);
        mem_free(list->items[i].value);
    }
    mem_free(list->items);
    *list = (struct setting_list){0};
}

static bool copy_texts(struct text_list *to, const struct text_list *from)
{
    for (size_t i = 0; i < from->count; i++) {
        struct nrd_status *status = text_list_add(to, from->items[i]);
        if (status != NULL) {
            status_free(status);
            return false;
        }
    }
    return true;
}

static bool copy_settings(struct setting_list *to, const struct setting_list *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct setting *at = &from->items[i];
        struct nrd_status *status = setting_list_add(to, at->group, at->key, at->value);
        if (status != NULL) {
            status_free(status);
            return false;
        }
    }
    return true;
}

// ---- options --------------------------------------------------------------------------------------------------------

struct server_options *server_options_create(void)
{
    struct server_options *options = mem_calloc(1, sizeof(*options));
    if (options == NULL) {
        return NULL;
    }
    options->control_mode = TRITONSERVER_MODEL_CONTROL_NONE;
    options->rate_limit_mode = TRITONSERVER_RATE_LIMIT_OFF;
    options->strict_model_config = true;
    options->exit_on_error = true;
    options->strict_readiness = true;
    options->metrics = true;
    options->gpu_metrics = true;
    options->cpu_metrics = true;
    options->metrics_interval_ms = 2000;
    options->exit_timeout_s = 30;
    options->pinned_pool_bytes = (uint64_t)1 << 28;
    options->load_thread_count = 4;
    options->enable_peer_access = true;
    options->min_compute_capability = 6.0;
    options->server_id = mem_strdup("triton");
    options->model_config_name = mem_strdup("");
    options->cache_directory = mem_strdup("/opt/tritonserver/caches");
    options->backend_directory = mem_strdup("/opt/tritonserver/backends");
    options->agent_directory = mem_strdup("/opt/tritonserver/repoagents");
    if (options->server_id == NULL || options->model_config_name == NULL ||
        options->cache_directory == NULL || options->backend_directory == NULL ||
        options->agent_directory == NULL) {
        server_options_destroy(options);
        return NULL;
    }
    return options;
}

static bool copy_resources(struct server_options *to, const struct server_options *from)
{
    if (from->resource_count == 0) {
        return true;
    }
    to->resources = mem_calloc(from->resource_count, sizeof(*to->resources));
    if (to->resources == NULL) {
        return false;
    }
    for (size_t i = 0; i < from->resource_count; i++) {
        to->resources[i] = from->resources[i];
        to->resources[i].name = mem_strdup(from->resources[i].name);
        to->resource_count = i + 1;
        if (to->resources[i].name == NULL) {
            return false;
        }
    }
    return true;
}

// Copies all texts; false when memory is out, with `to` good for server_options_destroy.
static bool copy_owned(struct server_options *to, const struct server_options *from)
{
    to->server_id = mem_strdup(from->server_id);
    to->model_config_name = mem_strdup(from->model_config_name);
    to->cache_directory = mem_strdup(from->cache_directory);
    to->backend_directory = mem_strdup(from->backend_directory);
    to->agent_directory = mem_strdup(from->agent_directory);
    if (from->cache_name != NULL) {
        to->cache_name = mem_strdup(from->cache_name);
        to->cache_config = mem_strdup(from->cache_config);
        if (to->cache_name == NULL || to->cache_config == NULL) {
            return false;
        }
    }
    return to->server_id != NULL && to->model_config_name != NULL && to->cache_directory != NULL &&
           to->backend_directory != NULL && to->agent_directory != NULL &&
           copy_resources(to, from) && copy_texts(&to->repositories, &from->repositories) &&
           copy_texts(&to->startup_models, &from->startup_models) &&
           copy_settings(&to->cuda_pool_bytes, &from->cuda_pool_bytes) &&
           copy_settings(&to->cuda_virtual_address, &from->cuda_virtual_address) &&
           copy_settings(&to->backend_config, &from->backend_config) &&
           copy_settings(&to->host_policies, &from->host_policies) &&
           copy_settings(&to->metrics_config, &from->metrics_config) &&
           copy_settings(&to->place_loads, &from->place_loads);
}

struct server_options *server_options_copy(const struct server_options *options)
{
    struct server_options *copy = mem_alloc(sizeof(*copy));
    if (copy == NULL) {
        return NULL;
    }
    *copy = *options;
    copy->server_id = copy->model_config_name = copy->cache_directory = NULL;
    copy->backend_directory = copy->agent_directory = copy->cache_name = copy->cache_config = NULL;
    copy->repositories = copy->startup_models = (struct text_list){0};
    copy->resources = NULL;
    copy->resource_count = 0;
    copy->cuda_pool_bytes = copy->cuda_virtual_address = (struct setting_list){0};
    copy->backend_config = (struct setting_list){0};
    copy->host_policies = copy->metrics_config = copy->place_loads = (struct setting_list){0};
    if (!copy_owned(copy, options)) {
        server_options_destroy(copy);
        return NULL;
    }
    return copy;
}

void server_options_destroy(struct server_options *options)
{
    if (options == NULL) {
        return;
    }
    mem_free(options->server_id);
    mem_free(options->model_config_name);
    mem_free(options->cache_name);
    mem_free(options->cache_config);
    mem_free(options->cache_directory);
    mem_free(options->backend_directory);
    mem_free(options->agent_directory);
    text_list_fini(&options->repositories);
    text_list_fini(&options->startup_models);
    for (size_t i = 0; i < options->resource_count; i++) {
        mem_free(options->resources[i].name);
    }
    mem_free(options->resources);
    setting_list_fini(&options->cuda_pool_bytes);
    setting_list_fini(&options->cuda_virtual_address);
    setting_list_fini(&options->backend_config);
    setting_list_fini(&options->host_policies);
    setting_list_fini(&options->metrics_config);
    setting_list_fini(&options->place_loads);
    mem_free(options);
}
