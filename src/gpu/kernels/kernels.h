// SPDX-License-Identifier: Apache-2.0
// Kernels: pixel work on a GPU, with the semantics of src/image (its headers say what each number means).
//
// Each call checks its arguments, queues one kernel in the stream and returns. Memory is the stream's device's, and must stay
// until the stream has come by (gpu_buffer_use). Pictures of no pixels are fine and do nothing. The first call of a kind on a
// device compiles or loads its kernels, which takes tenths of a second the first time ever and a millisecond later:
// gpu_kernels_prepare() does that ahead of time. Errors: NRD_INVALID_ARG, NRD_UNAVAILABLE when there is neither a compiler
// nor a binary. Thread: any.
#ifndef NEREID_GPU_KERNELS_KERNELS_H
#define NEREID_GPU_KERNELS_KERNELS_H

#include "gpu/kernels/units.h"
#include "gpu/stream.h"
#include "tensor/dtype.h"

// A view of pixels in the device's memory: `struct image` of src/image, with a device pointer.
struct gpu_image {
    void *data;
    uint32_t width, height, channels; // 1 to 4
    size_t stride;
    enum nrd_dtype dtype; // U8, U16 or F32
};
// Rows without gaps.
struct gpu_image gpu_image_of(void *data, uint32_t width, uint32_t height, uint32_t channels,
                              enum nrd_dtype dtype);

// Loads one unit's kernels now. For whoever knows what will be needed. Thread: any but a loop.
NRD_MUST_USE struct nrd_status *gpu_kernels_prepare(struct gpu_device *device,
                                                    enum gpu_kernel_unit unit);
// The unit that converts between two types. NRD_UNSUPPORTED: only U8, U16 and F32 to U8, F32, or themselves.
NRD_MUST_USE struct nrd_status *gpu_convert_unit(enum nrd_dtype from, enum nrd_dtype to,
                                                 enum gpu_kernel_unit *unit);

enum gpu_sampling {
    GPU_SAMPLE_NEAREST,
    GPU_SAMPLE_LINEAR
}; // image_resize_mode's, without antialias

// Type, scale, order of channels, packed or planes, and size, in one pass. As image_convert() and image_convert_planar(); where
// the sizes differ, as image_resizer_run() before, without rounding in between.
struct gpu_convert {
    struct gpu_image from, to;
    bool
        planar; // `to` is to.channels planes of to.height rows, one after the other; to.stride is a row's
    int8_t order[4]; // for each channel of `to`: a channel of `from`, or negative: alpha
    float scale_min,
        scale_max; // of a float's range; not equal where a float is read or written as another type
    float alpha;
    enum gpu_sampling sampling; // where the sizes differ
};
NRD_MUST_USE struct nrd_status *gpu_kernel_convert_launch(const struct gpu_convert *params,
                                                          struct gpu_stream *stream);

enum gpu_yuv_layout { GPU_YUYV, GPU_UYVY, GPU_NV12, GPU_YUV420 };
enum gpu_yuv_matrix {
    GPU_YUV_ANALOG,
    GPU_YUV_BT601,
    GPU_YUV_BT601_FULL,
    GPU_YUV_BT709,
    GPU_YUV_BT709_FULL,
};
// Between `rgb` (U8, 3 or 4 channels) and planes of its size. As image_from_yuv() and image_to_yuv(), equal to the bit.
struct gpu_yuv {
    enum gpu_yuv_layout layout;
    enum gpu_yuv_matrix matrix;
    uint8_t *planes[3];
    size_t strides[3];
    struct gpu_image rgb;
    int8_t order[4]; // from YUV: which of R, G, B (0, 1, 2) comes where; negative: alpha
    uint8_t alpha;
    uint8_t red; // to YUV: the channel of red, 0 or 2
};
// The planes of a picture without gaps that begins at `data`; sets layout, planes and strides.
void gpu_yuv_planes(struct gpu_yuv *yuv, void *data, enum gpu_yuv_layout layout, uint32_t width,
                    uint32_t height);
NRD_MUST_USE struct nrd_status *gpu_kernel_from_yuv_launch(const struct gpu_yuv *params,
                                                           struct gpu_stream *stream);
NRD_MUST_USE struct nrd_status *gpu_kernel_to_yuv_launch(const struct gpu_yuv *params,
                                                         struct gpu_stream *stream);

enum gpu_bayer { GPU_BAYER_BGGR, GPU_BAYER_RGGB, GPU_BAYER_GBRG, GPU_BAYER_GRBG };
// `from`: U8 or U16, one channel, at least 2x2; `to`: the same type and size, 3 or 4 channels. As image_demosaic(), to the bit.
struct gpu_demosaic {
    struct gpu_image from, to;
    enum gpu_bayer grid;
    uint32_t alpha;
};
NRD_MUST_USE struct nrd_status *gpu_kernel_demosaic_launch(const struct gpu_demosaic *params,
                                                           struct gpu_stream *stream);

enum gpu_classes_kind { GPU_ARGMAX, GPU_THRESHOLD, GPU_SOFTMAX, GPU_SIGMOID };
// Numbers of `channels` classes for width x height pixels. As image_argmax(), image_threshold(), image_softmax(), image_sigmoid();
// at most 256 channels for argmax.
struct gpu_classes {
    enum gpu_classes_kind kind;
    const float *scores;
    uint32_t width, height, channels;
    bool planes;  // channels are planes (CHW); else side by side (HWC)
    uint8_t *map; // argmax, threshold: width * height bytes
    float *out;   // softmax, sigmoid: of the scores' form; may be `scores`
    float threshold;
};
NRD_MUST_USE struct nrd_status *gpu_kernel_classes_launch(const struct gpu_classes *params,
                                                          struct gpu_stream *stream);

// Over `canvas` (U8, 4 channels, rows and data aligned to 4). As image_blend() and image_blend_lut(), equal to the bit.
struct gpu_blend {
    struct gpu_image canvas;
    struct gpu_image
        over; // U8 of 1, 3 or 4 channels and of the canvas's size; or, with `lut`, a map of one channel and of any
              // size, of dtype U8, U16, U32 or I32
    const uint32_t *
        lut; // colours in the device's memory, R in the lowest byte (RGBA in memory); NULL: `over` is a picture
    uint32_t lut_count;
    float opacity; // 0 to 1
};
NRD_MUST_USE struct nrd_status *gpu_kernel_blend_launch(const struct gpu_blend *params,
                                                        struct gpu_stream *stream);

#endif
