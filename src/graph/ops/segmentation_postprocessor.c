// SPDX-License-Identifier: Apache-2.0
// SegmentationPostprocessorOp: a network's scores for each pixel to a map of class numbers, UINT8 [height, width, 1], in tensor
// "out_tensor". softmax: the class with the greatest score. sigmoid: 1 where the first channel is at least 0.5. raw (ours): scores
// before a softmax (the greatest wins) or, of one channel, before a sigmoid (at least 0). Without a name, or with one that is not
// there, the only tensor is taken.
#include "base/status.h"
#include "graph/ops/picture_ops.h"
#include "graph/ops/pixels.h"

enum network_output { OUTPUT_SOFTMAX, OUTPUT_SIGMOID, OUTPUT_RAW };
enum data_format { DATA_HWC, DATA_NCHW, DATA_NHWC, DATA_CHW };
static const char *const network_outputs[] = {"softmax", "sigmoid", "raw", NULL};
static const char *const data_formats[] = {"hwc", "nchw", "nhwc", "chw", NULL};
static const char *const allocator_kind[] = {"allocator", NULL};
static const char *const stream_kind[] = {"cuda_stream_pool", NULL};

struct segmentation_postprocessor {
    const char *in_tensor_name, *out_tensor_name;
    int network_output, data_format;
    struct nrd_resource *allocator, *stream_pool;

    struct pixel_place place;
};

#define FIELD(name) offsetof(struct segmentation_postprocessor, name)
static const struct nrd_param params[] = {
    {.name = "in_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(in_tensor_name),
     .fallback = "\"\"",
     .help = "The tensor of scores; the only one when empty."},
    {.name = "network_output_type",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(network_output),
     .fallback = "softmax",
     .choices = network_outputs,
     .help = "What the scores are."},
    {.name = "data_format",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(data_format),
     .fallback = "hwc",
     .choices = data_formats,
     .help = "Order of the dimensions."},
    {.name = "out_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(out_tensor_name),
     .fallback = "out_tensor",
     .help = "Name of the map."},
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(allocator),
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
    {.name = "in_tensor", .type = "tensors", .policy = NRD_QUEUE_FAULT, .help = "Scores, FP32."},
    {.name = NULL},
};
static const struct nrd_port outputs[] = {
    {.name = "out_tensor",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .help = "Class numbers, UINT8 [height, width, 1]."},
    {.name = NULL},
};

static struct nrd_status *read_scores(const struct segmentation_postprocessor *s,
                                      const struct nrd_tensor *tensor, struct image_scores *scores)
{
    bool batch = s->data_format == DATA_NCHW || s->data_format == DATA_NHWC;
    bool planes = s->data_format == DATA_NCHW || s->data_format == DATA_CHW;
    uint32_t rank = tensor->rank;
    const int64_t *dims = tensor->dims;
    if (batch && rank == 4 && dims[0] == 1) {
        dims++;
        rank--;
    }
    char shape[PIXELS_SHAPE_MAX];
    if (rank != 3 || tensor->dtype != NRD_DTYPE_F32) {
        return status_new(NRD_INVALID_ARG,
                          "tensor '%s' of %s %s is no map of scores in '%s': FP32 of %s",
                          s->in_tensor_name, nrd_dtype_name(tensor->dtype),
                          pixels_shape(tensor, shape), data_formats[s->data_format],
                          batch ? "four dimensions, the first of them 1" : "three dimensions");
    }
    int64_t channels = planes ? dims[0] : dims[2];
    const int64_t *size = planes ? dims + 1 : dims;
    if (channels < 1 || channels > 255 || size[0] > 65536 || size[1] > 65536) {
        return status_new(NRD_INVALID_ARG,
                          "tensor '%s' %s has %lld channels in '%s': 1 to 255, and sides of at "
                          "most 65536",
                          s->in_tensor_name, pixels_shape(tensor, shape), (long long)channels,
                          data_formats[s->data_format]);
    }
    *scores = (struct image_scores){tensor->data, (uint32_t)size[1], (uint32_t)size[0],
                                    (uint32_t)channels, planes ? IMAGE_CHW : IMAGE_HWC};
    return NULL;
}

static struct nrd_status *make_map(void *self, struct pixel_run *run, struct nrd_tensor **out)
{
    const struct segmentation_postprocessor *s = self;
    struct image_scores scores;
    NRD_TRY(read_scores(s, run->tensor, &scores));
    const int64_t dims[3] = {scores.height, scores.width, 1};
    NRD_TRY(pixels_allocate(run, s->allocator, NRD_DTYPE_U8, dims, 3, out));
    if (s->network_output == OUTPUT_SIGMOID) {
        return run->device->threshold(run, &scores, 0.5f, (*out)->data);
    }
    if (s->network_output == OUTPUT_RAW && scores.channels == 1) {
        return run->device->threshold(run, &scores, 0.0f, (*out)->data);
    }
    return run->device->argmax(run, &scores, (*out)->data);
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct segmentation_postprocessor *s = self;
    const struct pixel_step step = {.in_name = s->in_tensor_name,
                                    .takes_only = true,
                                    .out_name = s->out_tensor_name,
                                    .gpu = true,
                                    .place = &s->place,
                                    .work = make_map};
    return pixels_compute(ctx, &step, self);
}

const struct nrd_operator_class segmentation_postprocessor_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "SegmentationPostprocessorOp",
    .summary = "Makes a map of class numbers of a network's scores for each pixel.",
    .state_size = sizeof(struct segmentation_postprocessor),
    .params = params,
    .inputs = inputs,
    .outputs = outputs,
    .compute = compute,
};
