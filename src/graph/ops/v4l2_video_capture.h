// SPDX-License-Identifier: Apache-2.0
// The state of V4L2VideoCaptureOp, for tests that are its camera: set `io` before the run.
#ifndef NEREID_GRAPH_OPS_V4L2_VIDEO_CAPTURE_H
#define NEREID_GRAPH_OPS_V4L2_VIDEO_CAPTURE_H

#include "base/thread.h"
#include "graph/ops/v4l2_device.h"
#include "nereid/operator.h"

struct v4l2_capture {
    const char *device_path, *pixel_format, *out_tensor_name;
    int64_t width, height, buffers, buffers_too, exposure_time, gain, count;
    double frame_rate;
    bool pass_through;
    int out_format;
    struct nrd_resource *allocator;

    const struct v4l2_io *io; // NULL: the system's
    struct v4l2_device device;
    struct nrd_operator *op;
    struct thread thread; // waits for frames
    struct parking parking;
    int wake_fd; // ends its wait in poll()
    bool has_wake_fd;
    _Atomic bool armed, stopping;
    uint64_t sent, damaged;
};

#endif
