// SPDX-License-Identifier: Apache-2.0
// Pixels: what the picture operators share: tensors seen as pictures, and the one seam behind which pixel work is done on the host or
// on a GPU.
//
// An operator asks pixels_begin() with its input tensor, and then calls the functions of `run.device` with views of its tensors;
// where those lie is the seam's business. Where a GPU's functions are not there (or not for that type of pixel), the tensor is
// brought to the host, and the log says so once for each operator.
#ifndef NEREID_GRAPH_OPS_PIXELS_H
#define NEREID_GRAPH_OPS_PIXELS_H

#include "image/classes.h"
#include "image/convert.h"
#include "image/demosaic.h"
#include "image/resize.h"
#include "image/yuv.h"
#include "nereid/operator.h"

struct gpu_stream;
struct pixel_run;

// Each call may return before the work is done: it is in the order of the run's stream. Errors name what the device cannot do.
struct pixel_device {
    const char *name; // "host", "CUDA"
    enum nrd_memory memory;
    struct nrd_status *(*convert)(struct pixel_run *run, const struct image *from,
                                  const struct image *to, const struct image_conversion *how);
    struct nrd_status *(*convert_planar)(struct pixel_run *run, const struct image *from,
                                         void *planes, uint32_t channels, enum nrd_dtype dtype,
                                         const struct image_conversion *how);
    struct nrd_status *(*from_yuv)(struct pixel_run *run, const struct image_yuv *from,
                                   enum image_yuv_matrix matrix, const struct image *to,
                                   const int8_t *order, uint8_t alpha);
    struct nrd_status *(*to_yuv)(struct pixel_run *run, const struct image *from, uint32_t red,
                                 enum image_yuv_matrix matrix, const struct image_yuv *to);
    // `cache` is the operator's own; it holds what was made for the sizes, and is made anew when they change.
    struct nrd_status *(*resize)(struct pixel_run *run, struct image_resizer **cache,
                                 const struct image_resize_options *options,
                                 const struct image *from, const struct image *to);
    struct nrd_status *(*demosaic)(struct pixel_run *run, const struct image *from,
                                   enum image_bayer grid, const struct image *to, uint32_t alpha);
    struct nrd_status *(*argmax)(struct pixel_run *run, const struct image_scores *scores,
                                 uint8_t *to);
    struct nrd_status *(*threshold)(struct pixel_run *run, const struct image_scores *scores,
                                    float threshold, uint8_t *to);
    // All bytes of memory without gaps to one value.
    struct nrd_status *(*fill)(struct pixel_run *run, void *data, uint8_t value, size_t size);
};
extern const struct pixel_device pixel_host; // pixels.c
extern const struct pixel_device
    pixel_gpu; // pixels_gpu.c; what it lacks, pixel_gpu_resizes() and the operators say
bool pixel_gpu_resizes(enum image_resize_mode mode, bool antialias);

// One compute's work on one tensor.
struct pixel_run {
    struct nrd_compute *ctx;
    const struct pixel_device *device;
    struct nrd_tensor *tensor; // shared with the message, or a copy on the host
    struct gpu_stream *stream; // of a GPU
    int32_t ordinal;           // of the GPU
};

// An operator's memory of what it has said already.
struct pixel_place {
    bool logged;
};

// `gpu`: whether the work could be done where a tensor on a GPU lies. Returns owned: pixels_end(). Thread: the operator's.
NRD_MUST_USE struct nrd_status *pixels_begin(struct pixel_place *place, struct nrd_compute *ctx,
                                             struct nrd_tensor *tensor, bool gpu,
                                             struct pixel_run *run);
// The part of pixels_begin() and of pixels_on_host() that is about GPUs; in pixels_gpu.c.
NRD_MUST_USE struct nrd_status *pixels_begin_gpu(struct nrd_compute *ctx, struct nrd_tensor *tensor,
                                                 struct pixel_run *run);
NRD_MUST_USE struct nrd_status *
pixels_copy_to_host(struct nrd_compute *ctx, struct nrd_tensor *tensor, struct nrd_tensor **host);
void pixels_end(struct pixel_run *run);
// A tensor where the run works, from `allocator` (NULL: the default one). Returns owned.
NRD_MUST_USE struct nrd_status *pixels_allocate(struct pixel_run *run,
                                                struct nrd_resource *allocator,
                                                enum nrd_dtype dtype, const int64_t *dims,
                                                uint32_t rank, struct nrd_tensor **tensor);
// The tensor on the host: shares it when it is there, else a copy, which is waited for. Returns owned. Thread: the operator's.
NRD_MUST_USE struct nrd_status *pixels_on_host(struct pixel_place *place, struct nrd_compute *ctx,
                                               struct nrd_tensor *tensor, struct nrd_tensor **host);

// A tensor as a picture: [H, W], [H, W, C] or [1, H, W, C] with C from 1 to 4, of U8, U16 or FP32. NRD_INVALID_ARG names the tensor
// ("" is fine), its shape and what would do.
NRD_MUST_USE struct nrd_status *pixels_of_tensor(const struct nrd_tensor *tensor, const char *name,
                                                 struct image *image);
// "[1,3,128,128]", into `text` of at least PIXELS_SHAPE_MAX bytes; returns it.
#define PIXELS_SHAPE_MAX 192
const char *pixels_shape(const struct nrd_tensor *tensor, char *text);

// Sends one tensor as a message of its own, with the time at which `from` was acquired. Takes `tensor`, also on failure.
NRD_MUST_USE struct nrd_status *pixels_emit(struct nrd_compute *ctx, size_t output,
                                            const char *name, struct nrd_tensor *tensor,
                                            const struct nrd_message *from);

// What an operator of one input and one output does: a tensor in, a picture out.
struct pixel_step {
    const char *in_name;
    bool takes_only; // of a message with one tensor that one is taken, whatever its name
    const char *out_name;
    bool gpu; // as of pixels_begin()
    struct pixel_place *place;
    // Makes a tensor of `run->tensor`: returns owned, and what it has set when it fails is given up.
    struct nrd_status *(*work)(void *self, struct pixel_run *run, struct nrd_tensor **out);
};
// Its compute: receives on input 0, sends on output 0. Without a message it does nothing. Thread: the operator's.
NRD_MUST_USE struct nrd_status *pixels_compute(struct nrd_compute *ctx,
                                               const struct pixel_step *step, void *self);

#endif
