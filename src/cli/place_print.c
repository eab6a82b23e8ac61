// SPDX-License-Identifier: Apache-2.0
// The text of `nereid place`: tables, reasons, and the fragment that --write appends.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/place.h"

static double number(const struct json_node *object, const char *key)
{
    double value = 0;
    const struct json_node *node = json_get(object, key);
    return node != NULL && json_as_f64(node, &value) ? value : 0;
}

static struct slice text(const struct json_node *object, const char *key)
{
    const struct json_node *node = json_get(object, key);
    return node != NULL && node->type == JSON_STRING ? json_text(node) : SLICE("");
}

static bool is_true(const struct json_node *object, const char *key)
{
    const struct json_node *node = json_get(object, key);
    return node != NULL && node->type == JSON_TRUE;
}

// The elements of an array member, one by one: `*at` starts at NULL. False at the end.
static bool next_of(const struct json_node *list, size_t *index, const struct json_node **at)
{
    if (list == NULL || list->type != JSON_ARRAY || *index >= list->count) {
        return false;
    }
    *at = *index == 0 ? json_first(list) : json_next(*at);
    ++*index;
    return true;
}

#define EACH(list, index, at)                                                                      \
    size_t index = 0;                                                                              \
    for (const struct json_node *at = NULL; next_of(list, &index, &at);)

NRD_PRINTF(2, 3) static void cell(struct table *table, const char *format, ...)
{
    char buffer[160];
    va_list args;
    va_start(args, format);
    vsnprintf(buffer, sizeof(buffer), format, args);
    va_end(args);
    table_add(table, slice_of(buffer));
}

static void print_models(const struct json_node *plan, struct str *out)
{
    static const char *const heads[] = {"Model",      "GPU",       "Instances", "Memory MiB",
                                        "ms/request", "ms/answer", "Share %",   "Busy %"};
    struct table *table = table_create(8);
    if (table == NULL) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < 8; i++) {
        table_add(table, slice_of(heads[i]));
    }
    EACH(json_get(plan, "models"), m, model)
    {
        const struct json_node *placed = json_get(model, "placed");
        if (placed == NULL || placed->count == 0) {
            table_add(table, text(model, "name"));
            cell(table, "none");
            for (size_t i = 2; i < 8; i++) {
                cell(table, "-");
            }
        }
        EACH(placed, p, part)
        {
            table_add(table, text(model, "name"));
            cell(table, "%.0f", number(part, "gpu"));
            cell(table, "%.0f", number(part, "instances"));
            cell(table, "%.0f", number(part, "memory_bytes") / (1 << 20));
            cell(table, "%.3f", number(part, "ms_per_request"));
            cell(table, "%.3f", number(part, "ms_between_answers"));
            cell(table, "%.1f", 100 * number(part, "share"));
            cell(table, "%.1f", 100 * number(part, "utilisation"));
        }
    }
    table_print(table, out);
    table_destroy(table);
}

static void print_gpus(const struct json_node *plan, struct str *out)
{
    static const char *const heads[] = {"GPU", "Name", "Planned MiB", "Free MiB", "Busy %"};
    struct table *table = table_create(5);
    if (table == NULL) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < 5; i++) {
        table_add(table, slice_of(heads[i]));
    }
    EACH(json_get(plan, "gpus"), g, gpu)
    {
        cell(table, "%.0f", number(gpu, "id"));
        table_add(table, text(gpu, "name"));
        cell(table, "%.0f", number(gpu, "planned_bytes") / (1 << 20));
        cell(table, "%.0f", number(gpu, "free_bytes") / (1 << 20));
        cell(table, "%.1f", 100 * number(gpu, "utilisation"));
    }
    table_print(table, out);
    table_destroy(table);
}

static void append_gpus(const struct json_node *list, struct str *out)
{
    const char *separator = "";
    EACH(list, i, gpu)
    {
        double id = 0;
        if (json_as_f64(gpu, &id)) {
            str_printf(out, "%s%.0f", separator, id);
            separator = ", ";
        }
    }
}

static void explain_model(const struct json_node *model, struct str *out)
{
    str_append_slice(out, text(model, "why"));
    str_append_char(out, '\n');
    EACH(json_get(model, "alternatives"), i, other)
    {
        const struct json_node *gpus = json_get(other, "gpus");
        str_append_cstr(out, gpus != NULL && gpus->count > 1 ? "  not on GPUs " : "  not on GPU ");
        append_gpus(gpus, out);
        str_append_cstr(out, ": ");
        if (is_true(other, "fits") && fabs(number(other, "throughput") - 1) >= 0.0005) {
            str_printf(out, "%.1f %% of the throughput; ", 100 * number(other, "throughput"));
        }
        str_append_slice(out, text(other, "why"));
        str_append_char(out, '\n');
    }
}

void place_print(const struct json_node *plan, bool explain, struct str *out)
{
    print_models(plan, out);
    print_gpus(plan, out);
    double sustains = number(plan, "sustains");
    if (slice_is(text(plan, "demand"), "equal")) {
        str_printf(out, "Sustains %.1f requests/s of each model, asked for alike.\n", sustains);
    } else {
        str_printf(out, "Sustains %.2f times the expected load.\n", sustains);
    }
    str_append_cstr(out, is_true(plan, "exact") ? "No placement is better by these figures.\n"
                                                : "The best that was found in the time given.\n");
    EACH(json_get(plan, "models"), m, model)
    {
        const struct json_node *placed = json_get(model, "placed");
        if (explain) {
            explain_model(model, out);
        } else if (placed == NULL || placed->count == 0) {
            str_append_slice(out, text(model, "why"));
            str_append_char(out, '\n');
        }
    }
}

// ---- writing ------------------------------------------------------------------------------------------------------

static void append_group(const struct json_node *model, struct str *out)
{
    double instances = 1;
    EACH(json_get(model, "placed"), i, part)
    {
        instances = number(part, "instances");
    }
    str_printf(out, "instance_group [ { kind: KIND_GPU count: %.0f gpus: [ ", instances);
    append_gpus(json_get(model, "gpus"), out);
    str_append_cstr(out, " ] } ]\n");
}

// Appends to the file by writing a whole one beside it, so that there is always one of the two.
static struct nrd_status *append_to(const char *path, struct slice group)
{
    struct str content = STR_INIT;
    struct str beside = STR_INIT;
    str_printf(&beside, "%s.%d", path, (int)getpid());
    struct nrd_status *status = str_status(&beside);
    if (status == NULL && file_exists(path)) {
        status = file_read(path, 0, &content);
    }
    if (status == NULL) {
        bool open = content.len > 0 && content.ptr[content.len - 1] != '\n';
        str_append_cstr(&content, open ? "\n# By nereid place.\n" : "# By nereid place.\n");
        str_append_slice(&content, group);
        status = str_status(&content);
    }
    if (status == NULL) {
        status = file_write(str_cstr(&beside), str_slice(&content));
    }
    if (status == NULL && rename(str_cstr(&beside), path) != 0) {
        status = status_new(NRD_INTERNAL, "failed to rename to %s: %s", path, strerror(errno));
    }
    str_fini(&content);
    str_fini(&beside);
    return status;
}

struct nrd_status *place_write(const struct json_node *model, struct str *out)
{
    const struct json_node *placed = json_get(model, "placed");
    if (!slice_is(text(model, "ground"), "open") || placed == NULL || placed->count == 0) {
        return NULL;
    }
    struct slice directory = text(model, "directory");
    struct str path = STR_INIT;
    struct str group = STR_INIT;
    str_printf(&path, "%.*s/config.pbtxt", (int)directory.len, directory.ptr);
    append_group(model, &group);
    struct nrd_status *status = path.failed || group.failed ? status_no_memory() : NULL;
    if (status == NULL && is_true(model, "own_groups")) {
        str_printf(out, "%s: has instance groups of its own; not changed. Put into them: gpus: [ ",
                   str_cstr(&path));
        append_gpus(json_get(model, "gpus"), out);
        str_append_cstr(out, " ]\n");
    } else if (status == NULL) {
        status = append_to(str_cstr(&path), str_slice(&group));
        if (status == NULL) {
            str_printf(out, "%s: %s", str_cstr(&path), str_cstr(&group));
        }
    }
    str_fini(&path);
    str_fini(&group);
    return status;
}
