// SPDX-License-Identifier: Apache-2.0
// ModelInferRequest: what the hand-written reader accepts, protobuf-c accepts too, with the same names, shapes and tensors.
// (Not the other way round: protobuf-c does not look at UTF-8 and at some varints.)
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proto/grpc_service.pb-c.h"
#include "protocol/grpc_infer_pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

static void read_arrays(struct arena *arena, const struct infer_contents *contents)
{
    static const size_t sizes[INFER_CONTENTS_KINDS] = {1, 4, 8, 4, 8, 4, 8, 0};
    for (int k = 0; k < INFER_CONTENTS_KINDS; k++) {
        const struct infer_array *array = &contents->arrays[k];
        struct slice tensor;
        if (array->count > 0 &&
            infer_array_tensor(arena, array, (enum infer_contents_kind)k, sizes[k], &tensor)) {
            require(k == INFER_CONTENTS_BYTES || tensor.len == array->count * sizes[k]);
        }
    }
}

static void compare(const struct infer_request *q, const Inference__ModelInferRequest *other)
{
    // protobuf-c ends a text at its first NUL.
    require(strcmp(q->model_name.ptr, other->model_name) == 0);
    require(q->input_count == other->n_inputs);
    require(q->output_count == other->n_outputs);
    require(q->raw.count == other->n_raw_input_contents);
    for (unsigned i = 0; i < q->input_count; i++) {
        require(strcmp(q->inputs[i].name.ptr, other->inputs[i]->name) == 0);
        require(q->inputs[i].dim_count == other->inputs[i]->n_shape);
        for (unsigned k = 0; k < q->inputs[i].dim_count; k++) {
            require(q->inputs[i].shape[k] == other->inputs[i]->shape[k]);
        }
    }
    for (unsigned i = 0; i < q->raw.count; i++) {
        require(q->raw.items[i].len == other->raw_input_contents[i].len);
        require(q->raw.items[i].len == 0 ||
                memcmp(q->raw.items[i].ptr, other->raw_input_contents[i].data,
                       q->raw.items[i].len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = mem_alloc(size + 1);
    if (copy == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    struct arena arena;
    arena_init(&arena, 0);
    struct infer_request q;
    if (infer_pb_read(&arena, copy, size, &q)) {
        Inference__ModelInferRequest *other =
            inference__model_infer_request__unpack(NULL, size, data);
        if (other != NULL) {
            compare(&q, other);
            inference__model_infer_request__free_unpacked(other, NULL);
        }
        for (unsigned i = 0; i < q.input_count; i++) {
            if (q.inputs[i].contents != NULL) {
                read_arrays(&arena, q.inputs[i].contents);
            }
        }
    } else {
        require(size == 0 || memcmp(copy, data, size) == 0); // a refused message is left as it was
    }
    arena_fini(&arena);
    mem_free(copy);
    return 0;
}
