// SPDX-License-Identifier: Apache-2.0
// Reads signatures and writes session settings. See tf_proto.h.
#include "backends/tensorflow/tf_proto.h"

#include <stdlib.h>
#include <string.h>

// ---- the wire ----

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct field {
    uint32_t number;
    enum wire wire;
    uint64_t value;     // WIRE_VARINT
    struct slice bytes; // WIRE_BYTES
};

static bool read_varint(struct slice *in, uint64_t *value)
{
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (in->len == 0) {
            return false;
        }
        uint8_t byte = (uint8_t)in->ptr[0];
        in->ptr++;
        in->len--;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *value = result;
            return true;
        }
    }
    return false;
}

static bool skip(struct slice *in, size_t length)
{
    if (length > in->len) {
        return false;
    }
    in->ptr += length;
    in->len -= length;
    return true;
}

// The next field of a message; false at its end and, with `*broken`, where it is no message.
static bool next_field(struct slice *in, struct field *field, bool *broken)
{
    uint64_t key = 0;
    *field = (struct field){0};
    if (in->len == 0) {
        return false;
    }
    *broken = true;
    if (!read_varint(in, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX) {
        return false;
    }
    field->number = (uint32_t)(key >> 3);
    switch (key & 7) {
    case WIRE_VARINT:
        field->wire = WIRE_VARINT;
        if (!read_varint(in, &field->value)) {
            return false;
        }
        break;
    case WIRE_64:
        field->wire = WIRE_64;
        if (!skip(in, 8)) {
            return false;
        }
        break;
    case WIRE_BYTES:
        field->wire = WIRE_BYTES;
        if (!read_varint(in, &field->value) || field->value > in->len) {
            return false;
        }
        field->bytes = slice_make(in->ptr, (size_t)field->value);
        (void)skip(in, (size_t)field->value);
        break;
    case WIRE_32:
        field->wire = WIRE_32;
        if (!skip(in, 4)) {
            return false;
        }
        break;
    default: // groups are not used
        return false;
    }
    *broken = false;
    return true;
}

static bool is_bytes(const struct field *f, uint32_t number)
{
    return f->number == number && f->wire == WIRE_BYTES;
}

static struct nrd_status *not_a_meta_graph(void)
{
    return status_new(NRD_INVALID_ARG, "the model is broken: its MetaGraphDef cannot be read");
}

// ---- signatures ----

static struct nrd_status *copy_text(struct arena *arena, struct slice text, const char **copy)
{
    *copy = arena_strdup(arena, text);
    return *copy == NULL ? status_no_memory() : NULL;
}

// TensorShapeProto.Dim: 1 size
static struct nrd_status *read_dim(struct slice in, int64_t *dim)
{
    struct field f;
    bool broken = false;
    *dim = 0;
    while (next_field(&in, &f, &broken)) {
        if (f.number == 1 && f.wire == WIRE_VARINT) {
            *dim = (int64_t)f.value < 0 ? -1 : (int64_t)f.value;
        }
    }
    return broken ? not_a_meta_graph() : NULL;
}

// TensorShapeProto: 2 dim, 3 unknown_rank
static struct nrd_status *read_shape(struct arena *arena, struct slice in, struct tf_io *io)
{
    struct field f;
    bool broken = false;
    uint32_t count = 0;
    io->known_rank = true;
    for (struct slice scan = in; next_field(&scan, &f, &broken);) {
        count += is_bytes(&f, 2) ? 1 : 0;
        if (f.number == 3 && f.wire == WIRE_VARINT && f.value != 0) {
            io->known_rank = false;
        }
    }
    if (broken) {
        return not_a_meta_graph();
    }
    int64_t *dims = arena_calloc(arena, (size_t)count + 1, sizeof(*dims));
    if (dims == NULL) {
        return status_no_memory();
    }
    io->dims = dims;
    io->dim_count = 0;
    while (next_field(&in, &f, &broken)) {
        if (is_bytes(&f, 2)) {
            NRD_TRY(read_dim(f.bytes, &dims[io->dim_count++]));
        }
    }
    return NULL;
}

// TensorInfo: 1 name, 2 dtype, 3 tensor_shape
static struct nrd_status *read_tensor(struct arena *arena, struct slice in, struct tf_io *io)
{
    struct field f;
    bool broken = false;
    while (next_field(&in, &f, &broken)) {
        if (is_bytes(&f, 1)) {
            NRD_TRY(copy_text(arena, f.bytes, &io->tensor));
        } else if (f.number == 2 && f.wire == WIRE_VARINT) {
            io->type = f.value > INT32_MAX ? 0 : (int)f.value;
        } else if (is_bytes(&f, 3)) {
            NRD_TRY(read_shape(arena, f.bytes, io));
        }
    }
    return broken ? not_a_meta_graph() : NULL;
}

// An entry of a map: 1 key, 2 value.
static struct nrd_status *read_entry(struct slice in, struct slice *key, struct slice *value)
{
    struct field f;
    bool broken = false;
    *key = SLICE("");
    *value = SLICE("");
    while (next_field(&in, &f, &broken)) {
        if (is_bytes(&f, 1)) {
            *key = f.bytes;
        } else if (is_bytes(&f, 2)) {
            *value = f.bytes;
        }
    }
    return broken ? not_a_meta_graph() : NULL;
}

static int compare_ios(const void *a, const void *b)
{
    const struct tf_io *x = a;
    const struct tf_io *y = b;
    return strcmp(x->name, y->name);
}

// The tensors of a SignatureDef under one field (1 inputs, 2 outputs).
static struct nrd_status *read_ios(struct arena *arena, struct slice in, uint32_t number,
                                   struct tf_ios *ios)
{
    struct field f;
    bool broken = false;
    uint32_t count = 0;
    for (struct slice scan = in; next_field(&scan, &f, &broken);) {
        count += is_bytes(&f, number) ? 1 : 0;
    }
    if (broken) {
        return not_a_meta_graph();
    }
    ios->items = arena_calloc(arena, (size_t)count + 1, sizeof(*ios->items));
    if (ios->items == NULL) {
        return status_no_memory();
    }
    while (next_field(&in, &f, &broken)) {
        if (is_bytes(&f, number)) {
            struct tf_io *io = &ios->items[ios->count];
            struct slice key;
            struct slice value;
            *io = (struct tf_io){.tensor = ""};
            NRD_TRY(read_entry(f.bytes, &key, &value));
            NRD_TRY(copy_text(arena, key, &io->name));
            NRD_TRY(read_tensor(arena, value, io));
            ios->count++;
        }
    }
    qsort(ios->items, ios->count, sizeof(*ios->items), compare_ios);
    return NULL;
}

// Whether a signature may stand in when nobody has named one: it has tensors, and is not one that
// TensorFlow keeps for itself.
static bool may_serve(struct slice key, struct slice signature)
{
    struct field f;
    bool broken = false;
    if (slice_is(key, "__saved_model_init_op") || slice_is(key, "__saved_model_train_op")) {
        return false;
    }
    while (next_field(&signature, &f, &broken)) {
        if (is_bytes(&f, 1) || is_bytes(&f, 2)) {
            return true;
        }
    }
    return false;
}

static bool before(struct slice a, struct slice b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter == 0 ? 0 : memcmp(a.ptr, b.ptr, shorter);
    return order != 0 ? order < 0 : a.len < b.len;
}

struct nrd_status *tf_read_signature(struct arena *arena, struct slice meta_graph, const char *key,
                                     bool *found, struct tf_signature *signature)
{
    struct field f;
    bool broken = false;
    bool any = key[0] == '\0';
    bool exact = false;
    bool have = false;
    struct slice chosen_key = {0};
    struct slice chosen = {0};
    while (next_field(&meta_graph, &f, &broken)) {
        struct slice name;
        struct slice value;
        if (!is_bytes(&f, 5)) { // signature_def
            continue;
        }
        NRD_TRY(read_entry(f.bytes, &name, &value));
        bool same = slice_is(name, any ? "serving_default" : key);
        bool better =
            any && !exact && may_serve(name, value) && (!have || before(name, chosen_key));
        if (same || better) {
            exact = exact || same;
            have = true;
            chosen_key = name;
            chosen = value;
        }
    }
    if (broken) {
        return not_a_meta_graph();
    }
    *found = have;
    if (!have) {
        return NULL;
    }
    struct tf_signature read = {0};
    NRD_TRY(copy_text(arena, chosen_key, &read.key));
    NRD_TRY(read_ios(arena, chosen, 1, &read.inputs));
    NRD_TRY(read_ios(arena, chosen, 2, &read.outputs));
    *signature = read;
    return NULL;
}

const char *tf_type_name(int type)
{
    static const char *const names[] = {
        "DT_INVALID",       "DT_FLOAT",   "DT_DOUBLE", "DT_INT32",      "DT_UINT8",
        "DT_INT16",         "DT_INT8",    "DT_STRING", "DT_COMPLEX64",  "DT_INT64",
        "DT_BOOL",          "DT_QINT8",   "DT_QUINT8", "DT_QINT32",     "DT_BFLOAT16",
        "DT_QINT16",        "DT_QUINT16", "DT_UINT16", "DT_COMPLEX128", "DT_HALF",
        "DT_RESOURCE",      "DT_VARIANT", "DT_UINT32", "DT_UINT64",     "DT_FLOAT8_E5M2",
        "DT_FLOAT8_E4M3FN",
    };
    return type < 0 || (size_t)type >= sizeof(names) / sizeof(names[0]) ? names[0] : names[type];
}

// ---- settings ----

static void write_varint(struct str *out, uint64_t value)
{
    while (value >= 0x80) {
        str_append_char(out, (char)(uint8_t)(value | 0x80));
        value >>= 7;
    }
    str_append_char(out, (char)(uint8_t)value);
}

static void write_int(struct str *out, uint32_t number, int64_t value)
{
    if (value != 0) {
        write_varint(out, (uint64_t)number << 3 | WIRE_VARINT);
        write_varint(out, (uint64_t)value);
    }
}

static void write_double(struct str *out, uint32_t number, double value)
{
    if (value != 0) {
        write_varint(out, (uint64_t)number << 3 | WIRE_64);
        str_append(out, &value, sizeof(value)); // little endian, as all machines that this runs on
    }
}

static void write_message(struct str *out, uint32_t number, struct slice message)
{
    write_varint(out, (uint64_t)number << 3 | WIRE_BYTES);
    write_varint(out, message.len);
    str_append_slice(out, message);
}

void tf_write_config(const struct tf_config *config, struct str *out)
{
    struct str part = STR_INIT;
    struct str inner = STR_INIT;
    if (config->no_gpu) { // 1 device_count
        write_message(&part, 1, SLICE("GPU"));
        write_varint(&part, 2 << 3 | WIRE_VARINT);
        write_varint(&part, 0);
        write_message(out, 1, str_slice(&part));
    }
    write_int(out, 2, config->intra_op_threads);
    write_int(out, 5, config->inter_op_threads);
    str_clear(&part); // 6 gpu_options
    write_double(&part, 1, config->gpu_memory_fraction);
    write_int(&part, 4, config->gpu_allow_growth);
    if (part.len > 0) {
        write_message(out, 6, str_slice(&part));
    }
    write_int(out, 7, config->soft_placement);
    write_int(out, 9, config->per_session_threads);
    str_clear(&part); // 10 graph_options
    write_int(&inner, 5, config->jit_level);
    if (inner.len > 0) { // 3 optimizer_options
        write_message(&part, 3, str_slice(&inner));
    }
    if (config->auto_mixed_precision) { // 10 rewrite_options, with Toggle ON
        str_clear(&inner);
        write_int(&inner, 23, 1);
        write_message(&part, 10, str_slice(&inner));
    }
    if (part.len > 0) {
        write_message(out, 10, str_slice(&part));
    }
    out->failed = out->failed || part.failed || inner.failed;
    str_fini(&part);
    str_fini(&inner);
}
