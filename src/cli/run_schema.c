// SPDX-License-Identifier: Apache-2.0
// The JSON schema of applications (draft 7, which editors' YAML modes read). What an operator takes comes from its table, so
// a new operator is in the schema by being there. docs/schema/nereid-app.schema.json is this, committed; a test compares.
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/run.h"

// ---- small pieces ---------------------------------------------------------------------------------------------------

static void pair(struct json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_cstring(w, text);
}

static void raw(struct json_writer *w, const char *key, const char *json)
{
    json_key(w, key);
    json_raw(w, slice_of(json));
}

static void write_value(struct json_writer *w, const struct nrd_value *value)
{
    bool truth;
    int64_t integer;
    double real;
    switch (nrd_value_kind(value)) {
    case NRD_VALUE_NULL:
        json_null(w);
        break;
    case NRD_VALUE_BOOL:
        (void)nrd_value_get_bool(value, &truth);
        json_bool(w, truth);
        break;
    case NRD_VALUE_INT:
        (void)nrd_value_get_int(value, &integer);
        json_i64(w, integer);
        break;
    case NRD_VALUE_REAL:
        (void)nrd_value_get_real(value, &real);
        if (isfinite(real)) {
            json_f64(w, real);
        } else {
            json_cstring(w, nrd_value_text(value));
        }
        break;
    case NRD_VALUE_STRING:
        json_cstring(w, nrd_value_text(value));
        break;
    case NRD_VALUE_LIST:
        json_array_begin(w);
        for (size_t i = 0; i < nrd_value_count(value); i++) {
            write_value(w, nrd_value_at(value, i));
        }
        json_array_end(w);
        break;
    case NRD_VALUE_MAP:
        json_object_begin(w);
        for (size_t i = 0; i < nrd_value_count(value); i++) {
            json_key(w, nrd_value_key(value, i));
            write_value(w, nrd_value_at(value, i));
        }
        json_object_end(w);
        break;
    }
}

// ---- parameters -----------------------------------------------------------------------------------------------------

static void write_range(struct json_writer *w, const struct nrd_param *p)
{
    if (p->min == p->max) { // NOLINT: both are written in the table
        return;
    }
    json_key(w, "minimum");
    json_f64(w, p->min);
    if (isfinite(p->max)) {
        json_key(w, "maximum");
        json_f64(w, p->max);
    }
}

// A list, or one of its items.
static void write_list(struct json_writer *w, const struct nrd_param *p, const char *type)
{
    json_key(w, "anyOf");
    json_array_begin(w);
    for (int list = 0; list < 2; list++) {
        json_object_begin(w);
        if (list == 1) {
            pair(w, "type", "array");
            json_key(w, "items");
            json_object_begin(w);
        }
        raw(w, "type", type);
        if (p->type != NRD_PARAM_STRING_LIST) {
            write_range(w, p);
        }
        json_object_end(w);
        if (list == 1) {
            json_object_end(w);
        }
    }
    json_array_end(w);
}

static void write_choices(struct json_writer *w, const struct nrd_param *p)
{
    json_key(w, "enum");
    json_array_begin(w);
    int64_t count = 0;
    for (; p->choices != NULL && p->choices[count] != NULL; count++) {
        json_cstring(w, p->choices[count]);
    }
    for (int64_t i = 0; i < count; i++) {
        json_i64(w, i);
    }
    json_array_end(w);
}

static void write_type(struct json_writer *w, const struct nrd_param *p)
{
    switch (p->type) {
    case NRD_PARAM_BOOL:
        pair(w, "type", "boolean");
        break;
    case NRD_PARAM_INT:
        pair(w, "type", "integer");
        write_range(w, p);
        break;
    case NRD_PARAM_REAL:
        pair(w, "type", "number");
        write_range(w, p);
        break;
    case NRD_PARAM_STRING:
        raw(w, "type", "[\"string\",\"number\",\"boolean\"]");
        break;
    case NRD_PARAM_DURATION:
    case NRD_PARAM_BYTES:
        raw(w, "type", "[\"string\",\"number\"]");
        break;
    case NRD_PARAM_CHOICE:
        write_choices(w, p);
        break;
    case NRD_PARAM_INT_LIST:
        write_list(w, p, "\"integer\"");
        break;
    case NRD_PARAM_REAL_LIST:
        write_list(w, p, "\"number\"");
        break;
    case NRD_PARAM_STRING_LIST:
        write_list(w, p, "[\"string\",\"number\",\"boolean\"]");
        break;
    case NRD_PARAM_VALUE:
        break;
    case NRD_PARAM_RESOURCE:
        pair(w, "type", "string");
        break;
    }
}

static void write_param(struct json_writer *w, const struct nrd_param *p)
{
    struct str text = STR_INIT;
    struct nrd_value *fallback = NULL;
    json_key(w, p->name);
    json_object_begin(w);
    str_append_cstr(&text, p->help == NULL ? "" : p->help);
    if (p->unit != NULL) {
        str_printf(&text, " Unit: %s.", p->unit);
    }
    pair(w, "description", str_cstr(&text));
    write_type(w, p);
    if (p->fallback != NULL) {
        status_free(nrd_value_parse(p->fallback, strlen(p->fallback), "", &fallback));
        json_key(w, "default");
        write_value(w, fallback);
    }
    json_object_end(w);
    nrd_value_free(fallback);
    str_fini(&text);
}

// A parameter that is required may also come from a group or the command line, so none is "required" here.
static void write_operator(struct json_writer *w, const struct nrd_operator_class *table)
{
    json_key(w, table->name);
    json_object_begin(w);
    pair(w, "description", table->summary == NULL ? "" : table->summary);
    pair(w, "type", "object");
    json_key(w, "additionalProperties");
    json_bool(w, false);
    json_key(w, "properties");
    json_object_begin(w);
    for (const struct nrd_param *p = table->params; p != NULL && p->name != NULL; p++) {
        write_param(w, p);
    }
    json_object_end(w);
    json_object_end(w);
}

// ---- the application ------------------------------------------------------------------------------------------------

#define REF(name) "{\"$ref\":\"#/definitions/" name "\"}"
#define MAP_OR_LIST(name)                                                                          \
    "{\"anyOf\":[{\"type\":\"array\",\"items\":" REF(                                              \
        name) "},"                                                                                 \
              "{\"type\":\"object\",\"additionalProperties\":" REF(name) "}]}"
#define TEXT "{\"type\":\"string\"}"

// The parts that do not depend on operators: name and schema.
static const char *const parts[][2] = {
    {"condition", "{\"type\":\"object\",\"required\":[\"type\"],\"properties\":{"
                  "\"type\":{\"type\":\"string\"},\"name\":" TEXT ","
                  "\"ports\":{\"type\":\"array\",\"items\":" TEXT "},"
                  "\"parameters\":{\"type\":\"object\"}}}"},
    {"resource", "{\"type\":\"object\",\"properties\":{\"type\":" TEXT ",\"name\":" TEXT "}}"},
    {"scheduler",
     "{\"anyOf\":[" TEXT ",{\"type\":\"object\",\"properties\":{\"type\":" TEXT "}}]}"},
    {"flow", "{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"->\"},"
             "{\"type\":\"object\",\"required\":[\"from\",\"to\"],\"additionalProperties\":false,"
             "\"properties\":{\"from\":" TEXT ","
             "\"to\":{\"anyOf\":[" TEXT ",{\"type\":\"array\",\"items\":" TEXT "}]},"
             "\"ports\":{\"type\":\"object\"},"
             "\"capacity\":{\"type\":\"integer\",\"minimum\":0},"
             "\"policy\":{\"enum\":[\"port\",\"pop\",\"reject\",\"fault\",\"fail\"]},"
             "\"latest\":{\"type\":\"boolean\"}}}]}"},
    {"flows", "{\"anyOf\":[" TEXT ",{\"type\":\"array\",\"items\":" REF("flow") "}]}"},
    {"metadata", "{\"anyOf\":[{\"type\":\"boolean\"},{\"enum\":[\"raise\",\"reject\",\"update\"]},"
                 "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
                 "\"enabled\":{\"type\":\"boolean\"},"
                 "\"policy\":{\"enum\":[\"raise\",\"reject\",\"update\"]}}}]}"},
    {"pool",
     "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"name\":" TEXT ","
     "\"threads\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1024},"
     "\"operators\":{\"type\":\"array\",\"items\":{\"anyOf\":[" TEXT ","
     "{\"type\":\"object\",\"required\":[\"operator\"],\"additionalProperties\":false,"
     "\"properties\":{\"operator\":" TEXT ",\"pin\":{\"type\":\"boolean\"},"
     "\"policy\":{\"enum\":[\"none\",\"fifo\",\"rr\",\"deadline\"]},"
     "\"priority\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":99},"
     "\"cores\":{\"type\":[\"string\",\"integer\"]},"
     "\"runtime\":{},\"deadline\":{},\"period\":{}}}]}}}}"},
    {"subgraph",
     "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
     "\"operators\":" MAP_OR_LIST("operator") ",\"flows\":" REF(
         "flows") ","
                  "\"conditions\":" MAP_OR_LIST(
                      "condition") ","
                                   "\"inputs\":{\"type\":\"object\",\"additionalProperties\":" TEXT
                                   "},"
                                   "\"outputs\":{\"type\":\"object\",\"additionalProperties\":" TEXT
                                   "}}}"},
    {"fragment",
     "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"name\":" TEXT
     ",\"operators\":" MAP_OR_LIST("operator") ",\"flows\":" REF(
         "flows") ","
                  "\"conditions\":" MAP_OR_LIST("condition") ",\"scheduler\":" REF(
                      "scheduler") ","
                                   "\"resources\":" MAP_OR_LIST("resource") ",\"metadata\":" REF(
                                       "metadata") ","
                                                   "\"thread_pools\":" MAP_OR_LIST(
                                                       "pool") ","
                                                               "\"data_loggers\":" MAP_OR_LIST(
                                                                   "resource") "}}"},
    {"graph", "{\"type\":\"object\",\"required\":[\"components\"],\"additionalProperties\":false,"
              "\"properties\":{\"name\":" TEXT ",\"components\":{\"type\":\"array\","
              "\"items\":" REF("operator") "}}}"},
};

static const char
    root_properties
        [] =
            "{\"application\":{\"type\":\"object\",\"properties\":{\"name\":" TEXT "}},"
            "\"operators\":" MAP_OR_LIST("operator") ",\"flows\":" REF(
                "flows") ","
                         "\"conditions\":" MAP_OR_LIST("condition") ",\"scheduler\":" REF(
                             "scheduler") ","
                                          "\"resources\":{\"anyOf\":[" MAP_OR_LIST(
                                              "resource") ",{\"type\":\"object\"}]},"
                                                          "\"thread_pools\":" MAP_OR_LIST("pool") ",\"fragments\":" MAP_OR_LIST(
                                                              "fragment") ","
                                                                          "\"extensions\":{"
                                                                          "\"type\":\"array\","
                                                                          "\"items\":" TEXT "},"
                                                                          "\"subgraphs\":{\"type\":"
                                                                          "\"object\","
                                                                          "\"additionalProperties\""
                                                                          ":" REF(
                                                                              "subgraph") "},"
                                                                                          "\"tracki"
                                                                                          "ng\":{"
                                                                                          "\"anyOf"
                                                                                          "\":[{"
                                                                                          "\"type\""
                                                                                          ":\"boole"
                                                                                          "an\"},{"
                                                                                          "\"type\""
                                                                                          ":\"objec"
                                                                                          "t\","
                                                                                          "\"additi"
                                                                                          "onalProp"
                                                                                          "erties\""
                                                                                          ":false,"
                                                                                          "\"proper"
                                                                                          "ties\":{"
                                                                                          "\"log\""
                                                                                          ":" TEXT
                                                                                          ","
                                                                                          "\"skip_"
                                                                                          "first\":"
                                                                                          "{\"type"
                                                                                          "\":"
                                                                                          "\"intege"
                                                                                          "r\","
                                                                                          "\"minimu"
                                                                                          "m\":0},"
                                                                                          "\"skip_"
                                                                                          "last\":{"
                                                                                          "\"type\""
                                                                                          ":\"integ"
                                                                                          "er\","
                                                                                          "\"minimu"
                                                                                          "m\":0},"
                                                                                          "\"thresh"
                                                                                          "old\":{}"
                                                                                          "}}]},"
                                                                                          "\"includ"
                                                                                          "e\":{"
                                                                                          "\"anyOf"
                                                                                          "\":"
                                                                                          "[" TEXT
                                                                                          ",{"
                                                                                          "\"type\""
                                                                                          ":\"array"
                                                                                          "\","
                                                                                          "\"items"
                                                                                          "\":" TEXT
                                                                                          "}]},"
                                                                                          "\"data_"
                                                                                          "loggers"
                                                                                          "\""
                                                                                          ":" MAP_OR_LIST("resource") ",\"metadata\":" REF(
                                                                                              "meta"
                                                                                              "dat"
                                                                                              "a") ","
                                                                                                   "\"source\":" TEXT
                                                                                                   ",\"source_parameters\":{\"type\":\"object\"},"
                                                                                                   "\"report_parameters\":{\"type\":\"object\"},"
                                                                                                   "\"gxf_application\":{\"type\":\"array\",\"items\":" REF(
                                                                                                       "graph") "}}";

// An operator's entry: its keys, and for each type the parameters of that type.
static void write_entry(struct json_writer *w, const struct nrd_operator_class **all, size_t count)
{
    json_key(w, "operator");
    json_object_begin(w);
    pair(w, "type", "object");
    json_key(w, "additionalProperties");
    json_bool(w, false);
    raw(w, "properties",
        "{\"name\":" TEXT ",\"type\":" TEXT ",\"subgraph\":" TEXT ","
        "\"parameters\":{\"type\":\"object\"},"
        "\"parameters_from\":{\"anyOf\":[" TEXT ",{\"type\":\"array\",\"items\":" TEXT "}]},"
        "\"conditions\":" MAP_OR_LIST("condition") ",\"metadata\":" REF("metadata") "}");
    raw(w, "anyOf", "[{\"required\":[\"type\"]},{\"required\":[\"subgraph\"]}]");
    json_key(w, "allOf");
    json_array_begin(w);
    for (size_t i = 0; i < count; i++) {
        struct str text = STR_INIT;
        size_t bare = strlen(all[i]->name);
        bare -= bare > 2 && strcmp(all[i]->name + bare - 2, "Op") == 0 ? 2 : 0;
        str_printf(&text,
                   "{\"if\":{\"required\":[\"type\"],\"properties\":{\"type\":{\"pattern\":"
                   "\"^([a-z]+::)*%.*s(Op)?$\"}}},"
                   "\"then\":{\"properties\":{\"parameters\":{\"$ref\":\"#/definitions/%s\"}}}}",
                   (int)bare, all[i]->name, all[i]->name);
        json_raw(w, str_slice(&text));
        str_fini(&text);
    }
    json_array_end(w);
    json_object_end(w);
}

// One key or item a line, so that a committed schema shows what changed.
static void write_indented(struct slice json, struct str *out)
{
    int depth = 0;
    bool text = false;
    for (size_t i = 0; i < json.len; i++) {
        char c = json.ptr[i];
        bool opens = !text && (c == '{' || c == '[');
        bool closes = !text && (c == '}' || c == ']');
        bool empty =
            opens && i + 1 < json.len && (json.ptr[i + 1] == '}' || json.ptr[i + 1] == ']');
        if (c == '"') {
            text = !text;
        } else if (text && c == '\\') {
            str_append_char(out, c);
            c = json.ptr[++i];
        }
        if (closes) {
            depth--;
            str_printf(out, "\n%*s", depth, "");
        }
        str_append_char(out, c);
        if (empty) {
            str_append_char(out, json.ptr[++i]);
        } else if (opens || (!text && c == ',')) {
            depth += opens;
            str_printf(out, "\n%*s", depth, "");
        } else if (!text && c == ':') {
            str_append_char(out, ' ');
        }
    }
    str_append_char(out, '\n');
}

void run_write_schema(struct str *out)
{
    struct json_writer w;
    struct str text = STR_INIT;
    size_t count;
    const struct nrd_operator_class **all = run_sorted_operators(&count);
    json_begin(&w, &text);
    json_object_begin(&w);
    pair(&w, "$schema", "http://json-schema.org/draft-07/schema#");
    pair(&w, "title", "An application of Nereid");
    pair(&w, "description", "Made by `nereid run --schema`; docs/graphs.md explains the keys.");
    pair(&w, "type", "object");
    raw(&w, "anyOf",
        "[{\"required\":[\"operators\"]},{\"required\":[\"fragments\"]},"
        "{\"required\":[\"gxf_application\"]}]");
    raw(&w, "properties", root_properties);
    json_key(&w, "definitions");
    json_object_begin(&w);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        raw(&w, parts[i][0], parts[i][1]);
    }
    write_entry(&w, all, count);
    for (size_t i = 0; i < count; i++) {
        write_operator(&w, all[i]);
    }
    json_object_end(&w);
    json_object_end(&w);
    write_indented(str_slice(&text), out);
    str_fini(&text);
    mem_free(all);
}
