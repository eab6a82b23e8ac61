// SPDX-License-Identifier: Apache-2.0
// BayerDemosaicOp: one colour a pixel, as a camera's sensor sends it, to RGB or RGBA. Parameters and their numbers are Holoscan's
// (and so NPP's); ours are names for the grid. Bilinear; edges by mirroring.
#include "base/status.h"
#include "graph/ops/picture_ops.h"
#include "graph/ops/pixels.h"

struct bayer_demosaic {
    const char *in_tensor_name, *out_tensor_name;
    int64_t interpolation_mode, alpha_value;
    int grid;
    bool generate_alpha;
    struct nrd_resource *pool, *stream_pool;

    struct pixel_place place;
};

static const char *const grids[] = {[IMAGE_BAYER_BGGR] = "bggr",
                                    [IMAGE_BAYER_RGGB] = "rggb",
                                    [IMAGE_BAYER_GBRG] = "gbrg",
                                    [IMAGE_BAYER_GRBG] = "grbg",
                                    NULL};
static const char *const allocator_kind[] = {"allocator", NULL};
static const char *const stream_kind[] = {"cuda_stream_pool", NULL};

#define FIELD(name) offsetof(struct bayer_demosaic, name)
static const struct nrd_param params[] = {
    {.name = "in_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(in_tensor_name),
     .fallback = "\"\"",
     .help = "The tensor that is read; the only one when empty."},
    {.name = "out_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(out_tensor_name),
     .fallback = "\"\"",
     .help = "Name of the tensor that is sent."},
    {.name = "interpolation_mode",
     .type = NRD_PARAM_INT,
     .offset = FIELD(interpolation_mode),
     .fallback = "0",
     .help = "0 (NPP's only one): bilinear."},
    {.name = "bayer_grid_pos",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(grid),
     .fallback = "gbrg",
     .choices = grids,
     .help = "Colours of the upper left four pixels; as a number: 0 bggr, 1 rggb, 2 gbrg, 3 grbg."},
    {.name = "generate_alpha",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(generate_alpha),
     .fallback = "false",
     .help = "Sends four channels."},
    {.name = "alpha_value",
     .type = NRD_PARAM_INT,
     .offset = FIELD(alpha_value),
     .fallback = "255",
     .min = 0,
     .max = 65535,
     .help = "What the fourth one holds."},
    {.name = "pool",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(pool),
     .choices = allocator_kind,
     .help = "Memory of the output; the fragment's default when absent."},
    {.name = "cuda_stream_pool",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(stream_pool),
     .choices = stream_kind,
     .help = "For Holoscan's files: streams are the fragment's."},
    {.name = NULL},
};
static const struct nrd_port inputs[] = {
    {.name = "receiver",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .help = "A sensor's picture: UINT8 or UINT16 [height, width] or [height, width, 1]."},
    {.name = NULL},
};
static const struct nrd_port outputs[] = {
    {.name = "transmitter",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .help = "[height, width, 3 or 4] of the same type."},
    {.name = NULL},
};

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    (void)op;
    const struct bayer_demosaic *b = self;
    return b->interpolation_mode == 0
               ? NULL
               : status_new(NRD_INVALID_ARG, "parameter 'interpolation_mode' is %lld, must be 0",
                            (long long)b->interpolation_mode);
}

static struct nrd_status *demosaic(void *self, struct pixel_run *run, struct nrd_tensor **out)
{
    struct bayer_demosaic *b = self;
    struct image from;
    NRD_TRY(pixels_of_tensor(run->tensor, b->in_tensor_name, &from));
    if (from.channels != 1 || from.dtype == NRD_DTYPE_F32 || from.width < 2 || from.height < 2 ||
        from.width % 2 != 0 || from.height % 2 != 0) {
        char shape[PIXELS_SHAPE_MAX];
        return status_new(NRD_INVALID_ARG,
                          "tensor '%s' of %s %s is no Bayer picture: UINT8 or UINT16, one "
                          "channel, even height and width",
                          b->in_tensor_name, nrd_dtype_name(from.dtype),
                          pixels_shape(run->tensor, shape));
    }
    uint32_t channels = b->generate_alpha ? 4 : 3;
    const int64_t dims[3] = {from.height, from.width, channels};
    NRD_TRY(pixels_allocate(run, b->pool, from.dtype, dims, 3, out));
    struct image to = image_of((*out)->data, from.width, from.height, channels, from.dtype);
    return run->device->demosaic(run, &from, (enum image_bayer)b->grid, &to,
                                 (uint32_t)b->alpha_value);
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct bayer_demosaic *b = self;
    const struct pixel_step step = {.in_name = b->in_tensor_name,
                                    .out_name = b->out_tensor_name,
                                    .gpu = true,
                                    .place = &b->place,
                                    .work = demosaic};
    return pixels_compute(ctx, &step, self);
}

const struct nrd_operator_class bayer_demosaic_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "BayerDemosaicOp",
    .summary = "Makes RGB of what a sensor with a Bayer grid sends.",
    .state_size = sizeof(struct bayer_demosaic),
    .params = params,
    .inputs = inputs,
    .outputs = outputs,
    .setup = setup,
    .compute = compute,
};
