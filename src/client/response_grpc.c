// SPDX-License-Identifier: Apache-2.0
// A ModelInferResponse, read by hand: outputs are views of raw_output_contents. Servers other than Triton may send typed contents instead;
// those are turned into tensors.
#include "client/response.h"
#include "proto/wire.h"
#include "tensor/shape.h"

// Field numbers of src/proto/grpc_service.proto.
enum {
    RESPONSE_MODEL_NAME = 1,
    RESPONSE_MODEL_VERSION = 2,
    RESPONSE_ID = 3,
    RESPONSE_PARAMETERS = 4,
    RESPONSE_OUTPUTS = 5,
    RESPONSE_RAW = 6,
    OUTPUT_NAME = 1,
    OUTPUT_DATATYPE = 2,
    OUTPUT_SHAPE = 3,
    OUTPUT_PARAMETERS = 4,
    OUTPUT_CONTENTS = 5,
    CONTENTS_BOOL = 1,
    CONTENTS_FP32 = 6,
    CONTENTS_FP64 = 7,
    CONTENTS_BYTES = 8,
};

static struct nrd_status *malformed(const char *what)
{
    return status_new(NRD_INTERNAL, "malformed answer: %s", what);
}

static struct nrd_status *cut_off(void)
{
    return malformed("not a ModelInferResponse");
}

static struct nrd_status *keep_text(struct nrd_client_response *r, struct slice text,
                                    const char **out)
{
    *out = arena_strdup(&r->arena, text);
    return *out == NULL ? status_no_memory() : NULL;
}

// ---- parameters -------------------------------------------------------------------------------------------------------

static struct nrd_status *read_value(struct nrd_client_response *r, struct slice bytes,
                                     struct nrd_client_parameter *p)
{
    struct wire_reader in = wire_reader_of(bytes);
    uint32_t field;
    enum wire wire;
    uint64_t number;
    struct slice text;
    p->kind = NRD_CLIENT_PARAMETER_STRING;
    p->as.s = "";
    while (in.at < in.end) {
        if (!wire_read_tag(&in, &field, &wire)) {
            return cut_off();
        }
        if (wire == WIRE_VARINT && (field == 1 || field == 2 || field == 5)) {
            if (!wire_read_varint(&in, &number)) {
                return cut_off();
            }
            p->kind = field == 1 ? NRD_CLIENT_PARAMETER_BOOL : NRD_CLIENT_PARAMETER_INT;
            if (field == 1) {
                p->as.b = number != 0;
            } else {
                p->as.i = (int64_t)number;
            }
        } else if (wire == WIRE_BYTES && field == 3) {
            if (!wire_read_bytes(&in, &text)) {
                return cut_off();
            }
            p->kind = NRD_CLIENT_PARAMETER_STRING;
            NRD_TRY(keep_text(r, text, &p->as.s));
        } else if (wire == WIRE_FIXED64 && field == 4) {
            if (in.end - in.at < 8) {
                return cut_off();
            }
            p->kind = NRD_CLIENT_PARAMETER_DOUBLE;
            memcpy(&p->as.d, in.at, 8);
            in.at += 8;
        } else if (!wire_skip(&in, wire)) {
            return cut_off();
        }
    }
    return NULL;
}

// An entry of map<string, InferParameter>.
static struct nrd_status *read_parameter(struct nrd_client_response *r, struct slice entry,
                                         struct nrd_client_parameter *p)
{
    struct wire_reader in = wire_reader_of(entry);
    uint32_t field;
    enum wire wire;
    struct slice bytes;
    *p = (struct nrd_client_parameter){.name = "", .as.s = ""};
    while (in.at < in.end) {
        if (!wire_read_tag(&in, &field, &wire)) {
            return cut_off();
        }
        if (wire != WIRE_BYTES || field > 2) {
            if (!wire_skip(&in, wire)) {
                return cut_off();
            }
            continue;
        }
        if (!wire_read_bytes(&in, &bytes)) {
            return cut_off();
        }
        NRD_TRY(field == 1 ? keep_text(r, bytes, &p->name) : read_value(r, bytes, p));
    }
    return NULL;
}

// ---- typed contents -----------------------------------------------------------------------------------------------------

// Writes one element; with `to` NULL only counts. Returns its size.
static size_t put_varint_element(char *to, size_t unit, uint64_t value)
{
    if (to != NULL) {
        memcpy(to, &value, unit); // little-endian hosts
    }
    return unit;
}

// The elements of one field of InferTensorContents, packed or one by one. With `to` NULL: their size only. False: malformed.
static bool put_contents(struct slice contents, enum nrd_dtype dtype, char *to, size_t *size)
{
    struct wire_reader in = wire_reader_of(contents);
    size_t unit = nrd_dtype_size(dtype);
    bool fixed = dtype == NRD_DTYPE_F32 || dtype == NRD_DTYPE_F64;
    size_t at = 0;
    uint32_t field;
    enum wire wire;
    while (in.at < in.end) {
        const unsigned char *single;
        struct slice run;
        if (!wire_read_tag(&in, &field, &wire)) {
            return false;
        }
        single = in.at;
        bool is_bytes = field == CONTENTS_BYTES;
        if (is_bytes != (dtype == NRD_DTYPE_BYTES) ||
            (!is_bytes && fixed != (field == CONTENTS_FP32 || field == CONTENTS_FP64))) {
            return false;
        }
        if (wire == WIRE_BYTES) {
            if (!wire_read_bytes(&in, &run)) {
                return false;
            }
        } else {
            if (is_bytes || !wire_skip(&in, wire)) {
                return false;
            }
            run = slice_make(single, (size_t)(in.at - single));
        }
        if (is_bytes) {
            uint32_t length = (uint32_t)run.len;
            if (to != NULL) {
                memcpy(to + at, &length, sizeof(length));
                memcpy(to + at + sizeof(length), run.len > 0 ? run.ptr : "", run.len);
            }
            at += sizeof(length) + run.len;
        } else if (fixed) {
            if (run.len % unit != 0) {
                return false;
            }
            if (to != NULL && run.len > 0) {
                memcpy(to + at, run.ptr, run.len);
            }
            at += run.len;
        } else {
            struct wire_reader values = wire_reader_of(run);
            uint64_t value;
            while (values.at < values.end) {
                if (!wire_read_varint(&values, &value)) {
                    return false;
                }
                at += put_varint_element(to == NULL ? NULL : to + at, unit, value);
            }
        }
    }
    *size = at;
    return true;
}

static struct nrd_status *show_contents(struct nrd_client_response *r,
                                        struct nrd_client_tensor *tensor, struct slice contents)
{
    size_t size = 0;
    if (tensor->dtype == NRD_DTYPE_F16 || tensor->dtype == NRD_DTYPE_BF16 ||
        !put_contents(contents, tensor->dtype, NULL, &size)) {
        return malformed("typed contents that do not fit their datatype");
    }
    char *to = arena_alloc(&r->arena, size > 0 ? size : 1);
    if (to == NULL) {
        return status_no_memory();
    }
    (void)put_contents(contents, tensor->dtype, to, &size);
    tensor->data = to;
    tensor->size = size;
    return NULL;
}

// ---- outputs ------------------------------------------------------------------------------------------------------------

// Adds the dimensions in `run` to the shape, which has room.
static bool add_dims(struct slice run, int64_t *shape, size_t *rank)
{
    struct wire_reader in = wire_reader_of(run);
    uint64_t value;
    while (in.at < in.end) {
        if (!wire_read_varint(&in, &value) || value > INT64_MAX) {
            return false;
        }
        shape[(*rank)++] = (int64_t)value;
    }
    return true;
}

struct output_bytes {
    struct slice raw;      // ptr NULL: none came
    struct slice contents; // the same
};

static struct nrd_status *read_output_parameter(struct nrd_client_response *r, struct slice entry,
                                                struct nrd_client_tensor *tensor)
{
    struct nrd_client_parameter p;
    NRD_TRY(read_parameter(r, entry, &p));
    bool number = p.kind == NRD_CLIENT_PARAMETER_INT && p.as.i >= 0;
    if (strcmp(p.name, "shared_memory_region") == 0 && p.kind == NRD_CLIENT_PARAMETER_STRING) {
        tensor->region = p.as.s;
    } else if (strcmp(p.name, "shared_memory_offset") == 0 && number) {
        tensor->region_offset = (uint64_t)p.as.i;
    } else if (strcmp(p.name, "shared_memory_byte_size") == 0 && number) {
        tensor->size = (size_t)p.as.i;
    }
    return NULL;
}

static struct nrd_status *read_output(struct nrd_client_response *r, struct slice bytes,
                                      struct nrd_client_tensor *tensor, struct slice *contents)
{
    struct wire_reader in = wire_reader_of(bytes);
    // A dimension takes a byte at least.
    int64_t *shape = arena_alloc(&r->arena, (bytes.len + 1) * sizeof(*shape));
    if (shape == NULL) {
        return status_no_memory();
    }
    tensor->name = "";
    tensor->shape = shape;
    uint32_t field;
    enum wire wire;
    while (in.at < in.end) {
        struct slice value;
        if (!wire_read_tag(&in, &field, &wire)) {
            return cut_off();
        }
        const unsigned char *single = in.at;
        if (wire != WIRE_BYTES) {
            if (!wire_skip(&in, wire)) {
                return cut_off();
            }
            value = slice_make(single, (size_t)(in.at - single));
            if (field == OUTPUT_SHAPE && !add_dims(value, shape, &tensor->rank)) {
                return cut_off();
            }
            continue;
        }
        if (!wire_read_bytes(&in, &value)) {
            return cut_off();
        }
        if (field == OUTPUT_NAME) {
            NRD_TRY(keep_text(r, value, &tensor->name));
        } else if (field == OUTPUT_DATATYPE) {
            tensor->dtype = dtype_from_name(value);
        } else if (field == OUTPUT_SHAPE) {
            if (!add_dims(value, shape, &tensor->rank)) {
                return malformed("an output with a bad shape");
            }
        } else if (field == OUTPUT_PARAMETERS) {
            NRD_TRY(read_output_parameter(r, value, tensor));
        } else if (field == OUTPUT_CONTENTS) {
            *contents = value;
        }
    }
    return tensor->dtype == NRD_DTYPE_INVALID ? malformed("an output with an unknown datatype")
                                              : NULL;
}

// ---- the message ----------------------------------------------------------------------------------------------------------

struct counts {
    size_t outputs;
    size_t parameters;
    size_t raw;
};

static bool count_fields(struct slice message, struct counts *counts)
{
    struct wire_reader in = wire_reader_of(message);
    uint32_t field;
    enum wire wire;
    while (in.at < in.end) {
        if (!wire_read_tag(&in, &field, &wire) || !wire_skip(&in, wire)) {
            return false;
        }
        counts->outputs += wire == WIRE_BYTES && field == RESPONSE_OUTPUTS;
        counts->parameters += wire == WIRE_BYTES && field == RESPONSE_PARAMETERS;
        counts->raw += wire == WIRE_BYTES && field == RESPONSE_RAW;
    }
    return true;
}

static struct nrd_status *read_field(struct nrd_client_response *r, uint32_t field,
                                     struct slice value, struct output_bytes *bytes,
                                     size_t *raw_count)
{
    switch (field) {
    case RESPONSE_MODEL_NAME:
        return keep_text(r, value, &r->model);
    case RESPONSE_MODEL_VERSION:
        return keep_text(r, value, &r->version);
    case RESPONSE_ID:
        return keep_text(r, value, &r->id);
    case RESPONSE_PARAMETERS:
        return read_parameter(r, value, &r->parameters[r->parameter_count++]);
    case RESPONSE_OUTPUTS:
        r->count++;
        return read_output(r, value, &r->tensors[r->count - 1], &bytes[r->count - 1].contents);
    case RESPONSE_RAW:
        bytes[(*raw_count)++].raw = value;
        return NULL;
    default:
        return NULL;
    }
}

static struct nrd_status *show(struct nrd_client_response *r, const struct output_bytes *bytes,
                               size_t raw_count)
{
    for (size_t i = 0; i < r->count; i++) {
        struct nrd_client_tensor *tensor = &r->tensors[i];
        // An output in shared memory has an empty entry, or none.
        if (bytes[i].contents.len > 0) {
            NRD_TRY(show_contents(r, tensor, bytes[i].contents));
        } else if (i < raw_count && bytes[i].raw.len > 0 &&
                   !response_show(r, tensor, bytes[i].raw)) {
            return status_no_memory();
        }
    }
    for (size_t i = 0; i < r->parameter_count; i++) {
        if (strcmp(r->parameters[i].name, "triton_final_response") == 0 &&
            r->parameters[i].kind == NRD_CLIENT_PARAMETER_BOOL) {
            r->final = r->parameters[i].as.b;
        }
    }
    return NULL;
}

struct nrd_status *response_read_grpc(struct slice message, struct nrd_client_response *r)
{
    struct counts counts = {0};
    if (!count_fields(message, &counts)) {
        return cut_off();
    }
    size_t places = counts.outputs > counts.raw ? counts.outputs : counts.raw;
    struct output_bytes *bytes = arena_calloc(&r->arena, places + 1, sizeof(*bytes));
    if (bytes == NULL || !response_expect(r, counts.outputs, counts.parameters)) {
        return status_no_memory();
    }
    struct wire_reader in = wire_reader_of(message);
    size_t raw_count = 0;
    uint32_t field;
    enum wire wire;
    while (in.at < in.end) {
        struct slice value;
        if (!wire_read_tag(&in, &field, &wire)) {
            return cut_off();
        }
        if (wire == WIRE_BYTES && wire_read_bytes(&in, &value)) {
            NRD_TRY(read_field(r, field, value, bytes, &raw_count));
        } else if (wire == WIRE_BYTES || !wire_skip(&in, wire)) {
            return cut_off();
        }
    }
    return show(r, bytes, raw_count);
}
