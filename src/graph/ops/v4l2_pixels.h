// SPDX-License-Identifier: Apache-2.0
// A camera's frames as pixels: which formats are known, how large they are, and how they become RGB or RGBA.
#ifndef NEREID_GRAPH_OPS_V4L2_PIXELS_H
#define NEREID_GRAPH_OPS_V4L2_PIXELS_H

#include "base/status.h"
#include "image/image.h"

struct v4l2_device;
struct v4l2_frame;

// Place in the order of preference of formats that can be converted, the best first; SIZE_MAX: it cannot.
size_t v4l2_pixels_rank(uint32_t fourcc);
// Converts a frame to `to`: U8 of the camera's size, 3 or 4 channels. NRD_INVALID_ARG: a frame that is too short, a damaged JPEG. Thread: any.
NRD_MUST_USE struct nrd_status *v4l2_pixels_convert(const struct v4l2_device *d,
                                                    const struct v4l2_frame *frame,
                                                    const struct image *to);
// The shape of a frame as it is, bytes without gaps between rows: [height, width, channels] for packed formats, [rows, width] for those in
// planes, [bytes] for the others. Returns the rank.
uint32_t v4l2_pixels_shape(const struct v4l2_device *d, const struct v4l2_frame *frame,
                           int64_t dims[3]);
// Copies a frame to `to`, of that shape. NRD_INVALID_ARG: it is too short.
NRD_MUST_USE struct nrd_status *v4l2_pixels_copy(const struct v4l2_device *d,
                                                 const struct v4l2_frame *frame, void *to);

#endif
