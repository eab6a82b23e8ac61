// SPDX-License-Identifier: Apache-2.0
// JSON writer: compact, in the form of rapidjson's Writer; and a parsed tape written again.
#include "base/json.h"
#include "base/json_scan.h"

void json_begin(struct json_writer *w, struct str *out)
{
    *w = (struct json_writer){.out = out};
}

// Before a value: its comma.
static void put_comma(struct json_writer *w)
{
    if (w->comma) {
        str_append_char(w->out, ',');
    }
    w->comma = true;
}

static void put_open(struct json_writer *w, char bracket)
{
    put_comma(w);
    str_append_char(w->out, bracket);
    w->comma = false;
}

static void put_close(struct json_writer *w, char bracket)
{
    str_append_char(w->out, bracket);
    w->comma = true;
}

void json_object_begin(struct json_writer *w)
{
    put_open(w, '{');
}

void json_object_end(struct json_writer *w)
{
    put_close(w, '}');
}

void json_array_begin(struct json_writer *w)
{
    put_open(w, '[');
}

void json_array_end(struct json_writer *w)
{
    put_close(w, ']');
}

void json_key_slice(struct json_writer *w, struct slice key)
{
    put_comma(w);
    json_escape(w->out, key);
    str_append_char(w->out, ':');
    w->comma = false;
}

void json_key(struct json_writer *w, const char *key)
{
    json_key_slice(w, slice_of(key));
}

void json_string(struct json_writer *w, struct slice text)
{
    put_comma(w);
    json_escape(w->out, text);
}

void json_cstring(struct json_writer *w, const char *text)
{
    json_string(w, slice_of(text));
}

void json_u64(struct json_writer *w, uint64_t value)
{
    put_comma(w);
    str_append_u64(w->out, value);
}

void json_i64(struct json_writer *w, int64_t value)
{
    put_comma(w);
    str_append_i64(w->out, value);
}

void json_f64(struct json_writer *w, double value)
{
    put_comma(w);
    str_append_f64(w->out, value);
}

void json_bool(struct json_writer *w, bool value)
{
    put_comma(w);
    str_append_cstr(w->out, value ? "true" : "false");
}

void json_null(struct json_writer *w)
{
    put_comma(w);
    str_append_cstr(w->out, "null");
}

void json_raw(struct json_writer *w, struct slice json)
{
    put_comma(w);
    str_append_slice(w->out, json);
}

static void put_escape(struct str *out, unsigned char c)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    char letter = c < 0x20 ? letters[c] : (char)c;
    if (letter != '\0') {
        char two[2] = {'\\', letter};
        str_append(out, two, sizeof(two));
    } else {
        char six[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        str_append(out, six, sizeof(six));
    }
}

void json_escape(struct str *out, struct slice text)
{
    const char *at = text.ptr;
    const char *end = text.len == 0 ? at : at + text.len;
    char *to = text.len > SIZE_MAX - 2 ? NULL : str_reserve(out, text.len + 2);
    if (to == NULL) {
        out->failed = true;
        return;
    }
    const char *stop = json_scan_plain(at, end);
    if (stop == end) {
        // The common case: nothing to escape, one copy into what was reserved.
        to[0] = '"';
        if (text.len != 0) {
            memcpy(to + 1, at, text.len);
        }
        to[text.len + 1] = '"';
        to[text.len + 2] = '\0';
        out->len += text.len + 2;
        return;
    }
    str_append_char(out, '"');
    while (at < end) {
        stop = json_scan_plain(at, end);
        str_append(out, at, (size_t)(stop - at));
        if (stop < end) {
            put_escape(out, (unsigned char)*stop++);
        }
        at = stop;
    }
    str_append_char(out, '"');
}

static void write_scalar(struct json_writer *w, const struct json_node *node)
{
    switch ((enum json_type)node->type) {
    case JSON_NULL:
        json_null(w);
        break;
    case JSON_FALSE:
    case JSON_TRUE:
        json_bool(w, node->type == JSON_TRUE);
        break;
    case JSON_UINT:
        json_u64(w, node->as.u);
        break;
    case JSON_INT:
        json_i64(w, node->as.i);
        break;
    case JSON_DOUBLE:
        json_f64(w, node->as.d);
        break;
    case JSON_STRING:
        json_string(w, json_text(node));
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
}

// Depth is bounded by the reader, so recursion is too.
void json_write_node(struct json_writer *w, const struct json_node *node)
{
    const struct json_node *end = json_next(node);
    const struct json_node *child = node + 1;
    switch ((enum json_type)node->type) {
    case JSON_ARRAY:
        json_array_begin(w);
        for (; child < end; child = json_next(child)) {
            json_write_node(w, child);
        }
        json_array_end(w);
        break;
    case JSON_OBJECT:
        json_object_begin(w);
        while (child < end) {
            json_key_slice(w, json_text(child));
            json_write_node(w, child + 1);
            child = json_next(child + 1);
        }
        json_object_end(w);
        break;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_UINT:
    case JSON_INT:
    case JSON_DOUBLE:
    case JSON_STRING:
        write_scalar(w, node);
        break;
    }
}
