// SPDX-License-Identifier: Apache-2.0
// Sends one picture-sized tensor to a model and prints what comes back. Works with Nereid and with Triton, over HTTP or gRPC.
//
//   cc infer.c $(pkg-config --cflags --libs nereid) -o infer
//   ./infer grpc://localhost:8001 resnet
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "nereid/client.h"

// A picture of the input's own shape, with 1 where the shape leaves the size open: a grey ramp.
static float *make_picture(const struct nrd_client_tensor_metadata *input, int64_t *shape,
                           size_t *bytes)
{
    size_t count = 1;
    for (size_t i = 0; i < input->rank; i++) {
        shape[i] = input->shape[i] < 0 ? 1 : input->shape[i];
        count *= (size_t)shape[i];
    }
    *bytes = count * sizeof(float);
    float *pixels = malloc(*bytes);
    for (size_t i = 0; pixels != NULL && i < count; i++) {
        pixels[i] = (float)i / (float)count;
    }
    return pixels;
}

static void print_outputs(const struct nrd_client_response *response)
{
    for (size_t i = 0; i < nrd_client_response_count(response); i++) {
        const struct nrd_client_tensor *t = nrd_client_response_output(response, i);
        printf("%s %s [", t->name, nrd_dtype_name(t->dtype));
        for (size_t k = 0; k < t->rank; k++) {
            printf("%s%" PRId64, k > 0 ? "," : "", t->shape[k]);
        }
        printf("]");
        const float *values = t->data;
        for (size_t k = 0; t->dtype == NRD_DTYPE_F32 && k < 4 && k < t->size / sizeof(float); k++) {
            printf(" %g", (double)values[k]);
        }
        printf("\n");
    }
}

static struct nrd_status *run(struct nrd_client *client, const char *model)
{
    struct nrd_client_model_metadata *metadata = NULL;
    NRD_TRY(nrd_client_model_metadata(client, model, NULL, &metadata));
    const struct nrd_client_tensor_metadata *wanted = metadata->inputs;
    int64_t shape[16];
    struct nrd_status *status = NULL;
    if (metadata->input_count != 1 || wanted->dtype != NRD_DTYPE_F32 || wanted->rank > 16) {
        status = nrd_status_new(NRD_UNSUPPORTED, "model '%s' does not take one FP32 tensor", model);
        nrd_client_model_metadata_free(metadata);
        return status;
    }
    size_t size = 0;
    float *pixels = make_picture(wanted, shape, &size);
    const struct nrd_client_input input = {
        .name = wanted->name,
        .dtype = NRD_DTYPE_F32,
        .shape = shape,
        .rank = wanted->rank,
        .data = pixels,
        .size = size,
    };
    const struct nrd_client_request request = {.model = model, .inputs = &input, .input_count = 1};
    struct nrd_client_response *response = NULL;
    status = nrd_client_infer(client, &request, &response);
    if (status == NULL) {
        print_outputs(response);
        nrd_client_response_free(response);
    }
    free(pixels);
    nrd_client_model_metadata_free(metadata);
    return status;
}

int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : "http://localhost:8000";
    const char *model = argc > 2 ? argv[2] : "resnet";
    const struct nrd_client_options options = {.timeout_ms = 10000};
    struct nrd_client *client = NULL;
    struct nrd_status *status = nrd_client_create(url, &options, &client);
    if (status == NULL) {
        status = run(client, model);
    }
    if (status != NULL) {
        fprintf(stderr, "infer: %s\n", nrd_status_text(status));
    }
    int failed = status != NULL;
    nrd_status_free(status);
    nrd_client_destroy(client);
    return failed;
}
