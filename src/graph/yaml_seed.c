// SPDX-License-Identifier: Apache-2.0
// `gxf_application:` with `components:` of operators, which state no source and no flow:
//
//   gxf_application:                                source ──┬──▶ unet_inference ──▶ unet_inference_report
//     - name: pipeline                                       ├──▶ resnet_inference ──▶ resnet_inference_report
//       components:                                          └──▶ ...
//         - {name: unet_inference, type: "holoscan::TritonInferenceOp", parameters: {...}}
//
// Each input without a flow is fed by one source (the caller's `source`, else the file's, else HOLOSCAN_INPUT_PATH, else the example
// pictures, else a pattern), each output without one is reported. The log says so. Start at yaml_complete_seed().
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/yaml_app.h"

// ---- components -----------------------------------------------------------------------------------------------------

static bool takes(const struct nrd_operator_class *table, const char *param)
{
    return table != NULL && param_find(table->params, param) != NULL;
}

// A component is an operator's entry. One that asks models takes pictures as they come, unless its parameters say otherwise.
static void load_component(struct yaml_loader *l, struct yaml_scope *scope, const char *name,
                           const struct nrd_value *entry)
{
    static const char *const keys[] = {"name", "type", "parameters", NULL};
    char what[160];
    snprintf(what, sizeof what, "component '%s'", name);
    yaml_check_keys(l, entry, what, keys);
    struct nrd_value *copy = nrd_value_copy(entry);
    struct nrd_value *params = nrd_value_copy(nrd_value_get(entry, "parameters"));
    struct nrd_status *status = copy == NULL ? status_no_memory() : NULL;
    if (params == NULL) {
        params = nrd_value_map();
    }
    if (status == NULL && nrd_value_kind(params) == NRD_VALUE_MAP &&
        nrd_value_get(params, "preprocess") == NULL &&
        takes(nrd_find_operator(yaml_text(l, entry, "type")), "preprocess")) {
        status = nrd_value_set(params, "preprocess", nrd_value_string("auto"));
    }
    if (status == NULL) {
        struct nrd_value *moved = params;
        params = NULL;
        status = nrd_value_set(copy, "parameters", moved);
    }
    if (status != NULL) {
        yaml_find(l, entry, status);
    } else {
        (void)yaml_add_operator(l, scope, name, copy);
    }
    nrd_value_free(params);
    nrd_value_free(copy);
}

static void load_graph(struct yaml_loader *l, struct yaml_scope *scope, const char *name,
                       const struct nrd_value *entry)
{
    static const char *const keys[] = {"name", "components", NULL};
    (void)name;
    yaml_check_keys(l, entry, "gxf_application", keys);
    if (nrd_value_get(entry, "components") == NULL) {
        yaml_find(l, entry,
                  status_new(NRD_INVALID_ARG, "gxf_application '%s' has no components", name));
    }
    yaml_each(l, scope, nrd_value_get(entry, "components"), "components", load_component);
}

void yaml_load_seed(struct yaml_loader *l, const struct nrd_value *graphs)
{
    yaml_each(l, &l->first, graphs, "gxf_application", load_graph);
}

// ---- the source -----------------------------------------------------------------------------------------------------

struct source {
    const char *type;
    struct nrd_value *params;
    char *what; // for the log
};

// Sets a parameter that the class has; nothing when it has not.
static struct nrd_status *set(struct source *s, const char *name, const char *text)
{
    if (!takes(nrd_find_operator(s->type), name)) {
        return NULL;
    }
    return nrd_value_set(s->params, name, nrd_value_string(text));
}

static bool has_ending(const char *path, const char *const *endings)
{
    for (; *endings != NULL; endings++) {
        size_t length = strlen(path);
        size_t ending = strlen(*endings);
        if (length > ending &&
            slice_equal_nocase(slice_of(path + length - ending), slice_of(*endings))) {
            return true;
        }
    }
    return false;
}

// The name of a recording in a directory ("x" of x.gxf_index); NULL: none. Returns owned.
static char *find_recording(const char *directory)
{
    struct file_list list = {0};
    char *name = NULL;
    status_free(file_list(directory, &list));
    for (size_t i = 0; i < list.count && name == NULL; i++) {
        if (slice_ends(slice_of(list.names[i]), SLICE(".gxf_index"))) {
            name = mem_strndup(list.names[i], strlen(list.names[i]) - strlen(".gxf_index"));
        }
    }
    file_list_fini(&list);
    return name;
}

static struct nrd_status *choose_directory(struct source *s, const char *path)
{
    char *recording = find_recording(path);
    struct nrd_status *status;
    if (recording != NULL) {
        s->type = "VideoStreamReplayerOp";
        status = set(s, "directory", path);
        status = status != NULL ? status : set(s, "basename", recording);
    } else {
        s->type = "PictureSourceOp";
        status = set(s, "path", path);
    }
    mem_free(recording);
    return status;
}

static struct nrd_status *choose(struct source *s, const char *text)
{
    static const char *const pictures[] = {".png", ".jpg", ".jpeg", ".ppm", ".pgm", NULL};
    if (strcmp(text, "pattern") == 0) {
        s->type = "PatternSourceOp";
        return NULL;
    }
    if (strcmp(text, "camera") == 0 || strncmp(text, "/dev/video", 10) == 0) {
        s->type = "V4L2VideoCaptureOp";
        return set(s, "device", text[0] == '/' ? text : "/dev/video0");
    }
    if (!file_exists(text)) {
        return status_new(NRD_NOT_FOUND,
                          "source '%s': there is no such file or directory (a path, 'camera' or "
                          "'pattern')",
                          text);
    }
    if (file_is_dir(text)) {
        return choose_directory(s, text);
    }
    s->type = has_ending(text, pictures) ? "PictureSourceOp" : "VideoStreamReplayerOp";
    return set(s, "path", text);
}

// The pictures that are installed beside the library, or those of the source tree one works in; NULL: none. Returns owned.
static char *example_pictures(void)
{
    static const char *const folders[] = {"../share/nereid/pictures", "../../examples/pictures"};
    Dl_info self;
    if (dladdr((void *)(uintptr_t)&nrd_app_load_yaml, &self) == 0 || self.dli_fname == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        struct str path = STR_INIT;
        str_append(&path, self.dli_fname, (size_t)(path_base(self.dli_fname) - self.dli_fname));
        str_append_cstr(&path, folders[i]);
        char real[PATH_MAX];
        bool found =
            !path.failed && file_is_dir(str_cstr(&path)) && realpath(str_cstr(&path), real) != NULL;
        str_fini(&path);
        if (found) {
            return mem_strdup(real);
        }
    }
    return NULL;
}

// What feeds the graph, by who said so.
static struct nrd_status *find_source(struct yaml_loader *l, struct source *s,
                                      const struct nrd_value **at)
{
    const struct nrd_value *given = nrd_value_get(l->options, "source");
    const char *environment = getenv("HOLOSCAN_INPUT_PATH");
    if (given == NULL) {
        given = nrd_value_get(l->root, "source");
        *at = given;
    }
    s->params = nrd_value_map();
    if (s->params == NULL) {
        return status_no_memory();
    }
    if (given != NULL) {
        s->what = mem_strdup(nrd_value_text(given));
    } else if (environment != NULL && environment[0] != '\0') {
        s->what = mem_strdup(environment);
    } else {
        s->what = example_pictures();
        s->what = s->what != NULL ? s->what : mem_strdup("pattern");
    }
    return s->what == NULL ? status_no_memory() : choose(s, s->what);
}

// Adds the source; NULL: a finding says why not.
static struct nrd_operator *add_source(struct yaml_loader *l)
{
    struct source s = {0};
    const struct nrd_value *at = NULL;
    struct nrd_operator *op = NULL;
    struct nrd_status *status = find_source(l, &s, &at);
    if (status == NULL) {
        status = yaml_overlay(s.params, nrd_value_get(l->root, "source_parameters"));
    }
    if (status == NULL) {
        status = yaml_overlay_sets(l, &l->first, "source", s.params);
    }
    if (status == NULL) {
        status = nrd_add_operator(l->first.fragment, s.type, "source", s.params, &op);
    }
    if (status == NULL) {
        LOG_NOTE("source: %s (%s) feeds each operator that has no flow into it", s.what, s.type);
        status = map_put(&l->first.operators, SLICE("source"), op, NULL);
    }
    yaml_find(l, at, status);
    nrd_value_free(s.params);
    mem_free(s.what);
    return op;
}

// ---- what has no flow -----------------------------------------------------------------------------------------------

static bool flows(const struct yaml_loader *l, const struct nrd_operator *op, const char *port,
                  bool output)
{
    char key[600];
    snprintf(key, sizeof key, "%p%c%s", (const void *)op, output ? '>' : '<', port);
    if (map_has(&l->first.flowing, slice_of(key))) {
        return true;
    }
    snprintf(key, sizeof key, "%p%c", (const void *)op, output ? '>' : '<'); // its only port
    return map_has(&l->first.flowing, slice_of(key));
}

// A report for one output, with `report_parameters:` of the root (names of classes, for one).
static void report(struct yaml_loader *l, struct nrd_operator *op, const struct nrd_port *port,
                   const struct nrd_value *at)
{
    char name[300];
    struct nrd_operator *sink = NULL;
    struct nrd_value *params = nrd_value_map();
    snprintf(name, sizeof name, "%s_report", nrd_operator_name(op));
    struct nrd_status *status =
        params == NULL ? status_no_memory()
                       : yaml_overlay(params, nrd_value_get(l->root, "report_parameters"));
    if (status == NULL) {
        status = yaml_overlay_sets(l, &l->first, name, params);
    }
    if (status == NULL) {
        status = nrd_add_operator(l->first.fragment, "ReportSinkOp", name, params, &sink);
    }
    if (status == NULL) {
        status = nrd_add_flow(op, port->name, sink, "", NULL);
    }
    yaml_find(l, at, status);
    nrd_value_free(params);
}

static void complete(struct yaml_loader *l, struct nrd_operator **source,
                     const struct nrd_value *at)
{
    const char *name = nrd_value_text(nrd_value_get(at, "name"));
    struct nrd_operator *op = map_get(&l->first.operators, slice_of(name));
    const struct nrd_operator_class *table =
        nrd_find_operator(nrd_value_text(nrd_value_get(at, "type")));
    if (op == NULL || table == NULL) {
        return;
    }
    for (const struct nrd_port *p = table->inputs; p != NULL && p->name != NULL; p++) {
        if ((p->flags & NRD_PORT_OPTIONAL) != 0 || flows(l, op, p->name, false)) {
            continue;
        }
        if (*source == NULL && (*source = add_source(l)) == NULL) {
            return;
        }
        yaml_find(l, at, nrd_add_flow(*source, "", op, p->name, NULL));
    }
    for (const struct nrd_port *p = table->outputs; p != NULL && p->name != NULL; p++) {
        if ((p->flags & NRD_PORT_OPTIONAL) == 0 && !flows(l, op, p->name, true)) {
            report(l, op, p, at);
        }
    }
}

void yaml_complete_seed(struct yaml_loader *l, const struct nrd_value *graphs)
{
    struct nrd_operator *source = NULL;
    if (l->findings.len > 0) {
        return; // what is broken is not completed: its findings come first
    }
    for (size_t i = 0; i < nrd_value_count(graphs); i++) {
        const struct nrd_value *components = nrd_value_get(nrd_value_at(graphs, i), "components");
        for (size_t j = 0; j < nrd_value_count(components) && l->findings.len == 0; j++) {
            complete(l, &source, nrd_value_at(components, j));
        }
    }
    if (source != NULL && l->findings.len == 0) {
        LOG_NOTE("outputs without a flow are reported (ReportSinkOp)");
    }
}
