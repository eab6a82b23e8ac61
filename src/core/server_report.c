// SPDX-License-Identifier: Apache-2.0
// Server report: shapes and texts are Triton's, since clients and people's scripts read them.
#include "core/server_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/model_config.h"
#include "core/lifecycle.h"
#include "core/model.h"
#include "core/server.h"
#include "core/stats.h"

static const char *const extensions[] = {
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
};
#define EXTENSION_COUNT (sizeof(extensions) / sizeof(extensions[0]))

// ---- JSON -----------------------------------------------------------------------------------------------------------

struct nrd_status *server_metadata(const struct server *server, struct message **message)
{
    struct str out = STR_INIT;
    struct json_writer w;
    json_begin(&w, &out);
    json_object_begin(&w);
    json_key(&w, "name");
    json_cstring(&w, server->options->server_id);
    json_key(&w, "version");
    json_cstring(&w, NEREID_VERSION);
    json_key(&w, "extensions");
    json_array_begin(&w);
    for (size_t i = 0; i < EXTENSION_COUNT; i++) {
        json_cstring(&w, extensions[i]);
    }
    json_array_end(&w);
    json_object_end(&w);
    return message_take(&out, message);
}

// The shape has the batch dimension for every tensor of a model that batches, shape tensors too, as Triton prints it.
static void write_io(struct json_writer *w, const struct model *model, const struct model_io *io,
                     uint32_t count)
{
    json_array_begin(w);
    for (uint32_t i = 0; i < count; i++) {
        json_object_begin(w);
        json_key(w, "name");
        json_cstring(w, io[i].name);
        json_key(w, "datatype");
        json_cstring(w, TRITONSERVER_DataTypeString(io[i].datatype));
        json_key(w, "shape");
        json_array_begin(w);
        if (model->max_batch_size > 0) {
            json_i64(w, -1);
        }
        for (uint32_t k = 0; k < io[i].dim_count; k++) {
            json_i64(w, io[i].dims[k]);
        }
        json_array_end(w);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_versions(struct json_writer *w, const struct version_rows *rows)
{
    json_array_begin(w);
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->items[i].state == MODEL_STATE_READY) {
            char text[24];
            snprintf(text, sizeof(text), "%lld", (long long)rows->items[i].version);
            json_cstring(w, text);
        }
    }
    json_array_end(w);
}

struct nrd_status *server_model_metadata(struct server *server, const char *name, int64_t version,
                                         struct message **message)
{
    struct model *model = NULL;
    NRD_TRY(server_find_model(server, name, version, &model));
    struct version_rows rows = {0};
    struct nrd_status *status = server_check_ready(server);
    if (status == NULL) {
        status = lifecycle_rows(server->lifecycle, name, false, &rows);
    }
    if (status != NULL) {
        model_unref(model);
        return status;
    }
    struct str out = STR_INIT;
    struct json_writer w;
    json_begin(&w, &out);
    json_object_begin(&w);
    json_key(&w, "name");
    json_cstring(&w, name);
    json_key(&w, "versions");
    if (version == -1) {
        write_versions(&w, &rows);
    } else {
        json_array_begin(&w);
        json_cstring(&w, model->version_text);
        json_array_end(&w);
    }
    json_key(&w, "platform");
    json_cstring(&w, model->config->platform[0] != '\0' ? model->config->platform
                                                        : model->config->backend);
    json_key(&w, "inputs");
    write_io(&w, model, model->inputs, model->input_count);
    json_key(&w, "outputs");
    write_io(&w, model, model->outputs, model->output_count);
    json_object_end(&w);
    version_rows_fini(&rows);
    model_unref(model);
    return message_take(&out, message);
}

// One version's statistics. A model that asked for a GPU and was put on the CPU or on another GPU says so: fields that Triton's
// document does not have, and only there.
static void write_statistics(const struct model *model, struct str *out)
{
    stats_json(model->stats, out);
    bool fell_back = (model->flags & MODEL_FLAG_FELL_BACK_TO_CPU) != 0;
    if ((!fell_back && model->gpu_map == NULL) || out->len == 0 || out->ptr[out->len - 1] != '}') {
        return;
    }
    str_truncate(out, out->len - 1);
    str_append_cstr(out, fell_back ? ",\"gpu_fallback\":\"cpu\"" : "");
    if (model->gpu_map != NULL) {
        str_printf(out, ",\"gpu_map\":{%s}", model->gpu_map);
    }
    str_append_cstr(out, "}");
}

struct nrd_status *server_model_statistics(struct server *server, const char *name, int64_t version,
                                           struct message **message)
{
    NRD_TRY(server_check_ready(server));
    struct version_rows rows = {0};
    NRD_TRY(lifecycle_rows(server->lifecycle, name[0] == '\0' ? NULL : name, true, &rows));
    size_t ready = 0;
    size_t written = 0;
    struct str out = STR_INIT;
    str_append_cstr(&out, "{\"model_stats\":[");
    for (size_t i = 0; i < rows.count; i++) {
        const struct version_row *row = &rows.items[i];
        ready += row->model != NULL;
        if (row->model != NULL && (name[0] == '\0' || version == -1 || row->version == version)) {
            str_append_cstr(&out, written++ > 0 ? "," : "");
            write_statistics(row->model, &out);
        }
    }
    str_append_cstr(&out, "]}");
    version_rows_fini(&rows);
    struct nrd_status *status = NULL;
    if (name[0] != '\0' && ready == 0) {
        status = status_new(NRD_INVALID_ARG, "requested model '%s' is not available", name);
    } else if (name[0] != '\0' && written == 0) {
        status = status_new(NRD_INVALID_ARG,
                            "requested model version is not available for model '%s'", name);
    }
    if (status != NULL) {
        str_fini(&out);
        return status;
    }
    return message_take(&out, message);
}

// ---- tables ---------------------------------------------------------------------------------------------------------

static void print_table(const struct table *table)
{
    struct str out = STR_INIT;
    table_print(table, &out);
    log_table(LOG_INFO, __FILE__, __LINE__, str_slice(&out));
    str_fini(&out);
}

static void print_models(struct server *server)
{
    struct table *table = table_create(3);
    struct version_rows rows = {0};
    struct nrd_status *status = lifecycle_rows(server->lifecycle, NULL, false, &rows);
    if (table == NULL || status != NULL) {
        status_free(status);
        table_destroy(table);
        return;
    }
    table_add(table, SLICE("Model"));
    table_add(table, SLICE("Version"));
    table_add(table, SLICE("Status"));
    for (size_t i = 0; i < rows.count; i++) {
        const struct version_row *row = &rows.items[i];
        struct str version = STR_INIT;
        struct str state = STR_INIT;
        if (row->version < 0) {
            str_append_cstr(&version, "-");
            str_append_cstr(&state, "Not loaded: No model version was found");
        } else {
            str_append_i64(&version, row->version);
            str_printf(&state, "%s%s%s", model_state_name(row->state),
                       row->reason[0] == '\0' ? "" : ": ", row->reason);
        }
        table_add(table, slice_of(row->name));
        table_add(table, str_slice(&version));
        table_add(table, str_slice(&state));
        str_fini(&version);
        str_fini(&state);
    }
    print_table(table);
    table_destroy(table);
    version_rows_fini(&rows);
}

void server_print_summary(struct server *server)
{
    if (!LOG_ON(LOG_INFO)) {
        return;
    }
    struct table *agents = table_create(2);
    if (agents != NULL) {
        table_add(agents, SLICE("Repository Agent"));
        table_add(agents, SLICE("Path"));
        print_table(agents);
        table_destroy(agents);
    }
    struct str backends = STR_INIT;
    backend_set_print(&server->backends, &backends);
    log_table(LOG_INFO, __FILE__, __LINE__, str_slice(&backends));
    str_fini(&backends);
    print_models(server);
}

NRD_PRINTF(3, 4)
static void add_option(struct table *table, const char *name, const char *format, ...)
{
    char value[512];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    table_add(table, slice_of(name));
    table_add(table, slice_of(value));
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// One row a text, sorted; `format` takes the row's number.
static void add_texts(struct table *table, const char *prefix, const char *suffix,
                      const struct text_list *list)
{
    char **sorted = mem_calloc(list->count + 1, sizeof(char *));
    if (sorted == NULL) {
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        sorted[i] = list->items[i];
    }
    qsort(sorted, list->count, sizeof(char *), compare_texts);
    for (size_t i = 0; i < list->count; i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s%zu%s", prefix, i, suffix);
        add_option(table, name, "%s", sorted[i]);
    }
    mem_free(sorted);
}

void server_print_options(const struct server *server)
{
    static const char *const modes[] = {
        [TRITONSERVER_MODEL_CONTROL_NONE] = "MODE_NONE",
        [TRITONSERVER_MODEL_CONTROL_POLL] = "MODE_POLL",
        [TRITONSERVER_MODEL_CONTROL_EXPLICIT] = "MODE_EXPLICIT",
    };
    const struct server_options *options = server->options;
    struct table *table = LOG_ON(LOG_INFO) ? table_create(2) : NULL;
    if (table == NULL) {
        return;
    }
    struct str all = STR_INIT;
    for (size_t i = 0; i < EXTENSION_COUNT; i++) {
        str_printf(&all, "%s%s", i == 0 ? "" : " ", extensions[i]);
    }
    table_add(table, SLICE("Option"));
    table_add(table, SLICE("Value"));
    add_option(table, "server_id", "%s", options->server_id);
    add_option(table, "server_version", "%s", NEREID_VERSION);
    add_option(table, "server_extensions", "%s", str_cstr(&all));
    str_fini(&all);
    add_texts(table, "model_repository_path[", "]", &options->repositories);
    add_option(table, "model_control_mode", "%s",
               (size_t)options->control_mode < 3 ? modes[options->control_mode] : "<unknown>");
    add_texts(table, "startup_models_", "", &options->startup_models);
    add_option(table, "strict_model_config", "%d", options->strict_model_config);
    add_option(table, "model_config_name", "%s", options->model_config_name);
    add_option(table, "rate_limit", "%s",
               options->rate_limit_mode == TRITONSERVER_RATE_LIMIT_OFF ? "OFF" : "EXECUTION_COUNT");
    add_option(table, "pinned_memory_pool_byte_size", "%llu",
               (unsigned long long)options->pinned_pool_bytes);
    add_option(table, "min_supported_compute_capability", "%.1f", options->min_compute_capability);
    add_option(table, "strict_readiness", "%d", options->strict_readiness);
    add_option(table, "exit_timeout", "%u", options->exit_timeout_s);
    add_option(table, "cache_enabled", "%d", options->cache_name != NULL);
    print_table(table);
    table_destroy(table);
}

// ---- host policies --------------------------------------------------------------------------------------------------

struct nrd_status *server_host_policy(const struct server *server, const char *policy,
                                      struct message **message)
{
    static const char *const keys[] = {"cpu-cores", "numa-node"};
    struct str out = STR_INIT;
    struct json_writer w;
    json_begin(&w, &out);
    json_object_begin(&w);
    json_key(&w, policy);
    json_object_begin(&w);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *value = setting_list_get(&server->options->host_policies, policy, keys[i]);
        if (value != NULL) {
            json_key(&w, keys[i]);
            json_cstring(&w, value);
        }
    }
    json_object_end(&w);
    json_object_end(&w);
    return message_take(&out, message);
}
