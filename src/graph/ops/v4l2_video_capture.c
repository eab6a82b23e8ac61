// SPDX-License-Identifier: Apache-2.0
// V4L2VideoCaptureOp: frames of a camera, converted to RGBA or RGB, or passed on as they are.
//
// A thread of the operator's own waits in poll() for the camera and raises an event; compute takes the frame, gives the camera its
// buffer back and waits for the next event. The first compute comes before the first frame: it sends nothing. When nobody takes
// frames, the camera runs out of buffers and drops what it sees: nothing piles up here.
#include "graph/ops/v4l2_video_capture.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "graph/ops/ops.h"
#include "graph/ops/v4l2_pixels.h"

enum { OUT_RGBA, OUT_RGB };
static const char *const out_formats[] = {[OUT_RGBA] = "rgba", [OUT_RGB] = "rgb", NULL};
static const char *const allocator_kind[] = {"allocator", NULL};

#define FIELD(name) offsetof(struct v4l2_capture, name)
static const struct nrd_param params[] = {
    {.name = "device",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(device_path),
     .fallback = "/dev/video0",
     .help = "Path of the camera."},
    {.name = "width",
     .type = NRD_PARAM_INT,
     .offset = FIELD(width),
     .fallback = "0",
     .min = 0,
     .max = 32768,
     .unit = "pixels",
     .help = "0: as the camera has it."},
    {.name = "height",
     .type = NRD_PARAM_INT,
     .offset = FIELD(height),
     .fallback = "0",
     .min = 0,
     .max = 32768,
     .unit = "pixels",
     .help = "0: as the camera has it."},
    {.name = "frame_rate",
     .type = NRD_PARAM_REAL,
     .offset = FIELD(frame_rate),
     .fallback = "0",
     .min = 0,
     .max = 100000,
     .unit = "frames/s",
     .help =
         "0: as the camera has it; one that it cannot do becomes the nearest, which is logged."},
    {.name = "num_buffers",
     .type = NRD_PARAM_INT,
     .offset = FIELD(buffers),
     .fallback = "4",
     .min = 2,
     .max = V4L2_BUFFERS_MAX,
     .help = "Frames that the camera may hold for us."},
    {.name = "numBuffers",
     .type = NRD_PARAM_INT,
     .offset = FIELD(buffers_too),
     .fallback = "0",
     .min = 0,
     .max = V4L2_BUFFERS_MAX,
     .help = "Holoscan's name of num_buffers; counts when it is over 1."},
    {.name = "pixel_format",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(pixel_format),
     .fallback = "auto",
     .help = "The camera's format as four characters (YUYV, MJPG, NV12, RGB3 ...); auto: the one "
             "that is easiest to convert."},
    {.name = "exposure_time",
     .type = NRD_PARAM_INT,
     .offset = FIELD(exposure_time),
     .fallback = "-1",
     .min = -1,
     .max = 2147483647,
     .unit = "100us",
     .help = "-1: as the camera has it."},
    {.name = "gain",
     .type = NRD_PARAM_INT,
     .offset = FIELD(gain),
     .fallback = "-1",
     .min = -1,
     .max = 2147483647,
     .help = "-1: as the camera has it."},
    {.name = "pass_through",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(pass_through),
     .fallback = "false",
     .help = "Send the camera's bytes as they are, without the padding of rows."},
    {.name = "out_format",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(out_format),
     .fallback = "rgba",
     .choices = out_formats,
     .help = "What frames are converted to: 8-bit, [height, width, channels]."},
    {.name = "out_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(out_tensor_name),
     .fallback = "\"\"",
     .help = "Name of the tensor."},
    {.name = "count",
     .type = NRD_PARAM_INT,
     .offset = FIELD(count),
     .fallback = "0",
     .min = 0,
     .max = 9007199254740992.0,
     .unit = "frames",
     .help = "Frames after which it ends; 0: no limit."},
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(allocator),
     .choices = allocator_kind,
     .help = "Where frames are allocated; the fragment's default when absent."},
    {.name = NULL},
};

static const struct nrd_port outputs[] = {
    {.name = "signal", .type = "tensors", .policy = NRD_QUEUE_FAULT, .help = "A frame."},
    {.name = NULL},
};

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    (void)op;
    const struct v4l2_capture *c = self;
    return strcmp(c->pixel_format, "auto") == 0 || v4l2_fourcc_of(c->pixel_format) != 0
               ? NULL
               : status_new(NRD_INVALID_ARG,
                            "pixel_format '%s' is neither auto nor four characters",
                            c->pixel_format);
}

// ---- the thread that waits -------------------------------------------------------------------------------------------

static bool stopping(const struct v4l2_capture *c)
{
    return atomic_load_explicit(&c->stopping, memory_order_acquire);
}

static void wait_for_frames(void *arg)
{
    struct v4l2_capture *c = arg;
    while (!stopping(c)) {
        if (!atomic_exchange_explicit(&c->armed, false, memory_order_acq_rel)) {
            parking_wait(&c->parking, 0);
            continue;
        }
        struct pollfd fds[] = {{.fd = c->device.fd, .events = POLLIN},
                               {.fd = c->wake_fd, .events = POLLIN}};
        while (c->device.io->poll(fds, 2, -1) < 0 && errno == EINTR) {
        }
        nrd_operator_async(c->op, NRD_ASYNC_EVENT_DONE); // an error too: compute finds out which
    }
}

static void arm(struct v4l2_capture *c)
{
    nrd_operator_async(c->op, NRD_ASYNC_EVENT_WAITING);
    atomic_store_explicit(&c->armed, true, memory_order_release);
    parking_wake(&c->parking);
}

static struct nrd_status *start_thread(struct v4l2_capture *c)
{
    atomic_store_explicit(&c->armed, false, memory_order_relaxed);
    atomic_store_explicit(&c->stopping, false, memory_order_relaxed);
    parking_init(&c->parking);
    c->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (c->wake_fd < 0) {
        return status_new(NRD_UNAVAILABLE, "cannot make an eventfd: %s", strerror(errno));
    }
    c->has_wake_fd = true;
    return thread_start(&c->thread, nrd_operator_name(c->op), 0, wait_for_frames, c);
}

static void shut(struct v4l2_capture *c)
{
    const uint64_t one = 1;
    if (c->thread.started) {
        atomic_store_explicit(&c->stopping, true, memory_order_release);
        while (write(c->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
        }
        parking_wake(&c->parking);
        thread_join(&c->thread);
        c->thread.started = false;
    }
    if (c->has_wake_fd) {
        close(c->wake_fd);
        c->has_wake_fd = false;
    }
    v4l2_close(&c->device);
}

// ---- a run -----------------------------------------------------------------------------------------------------------

static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    struct v4l2_capture *c = self;
    const struct v4l2_request request = {
        .device = c->device_path,
        .width = (uint32_t)c->width,
        .height = (uint32_t)c->height,
        .rate = c->frame_rate,
        .buffers = (uint32_t)(c->buffers_too > 1 ? c->buffers_too : c->buffers),
        .fourcc = strcmp(c->pixel_format, "auto") == 0 ? 0 : v4l2_fourcc_of(c->pixel_format),
        .any_fourcc = c->pass_through,
        .exposure = c->exposure_time,
        .gain = c->gain,
    };
    c->op = op;
    c->sent = c->damaged = 0;
    NRD_TRY(v4l2_open(c->io == NULL ? &v4l2_system_io : c->io, &request, &c->device));
    if (c->frame_rate > 0 &&
        (c->device.rate < c->frame_rate * 0.99 || c->device.rate > c->frame_rate * 1.01)) {
        nrd_operator_log(op, NRD_LOG_WARNING, "camera '%s' gives %g frames a second, not %g",
                         c->device_path, c->device.rate, c->frame_rate);
    }
    return start_thread(c);
}

static struct nrd_status *make_tensor(struct v4l2_capture *c, struct nrd_operator *op,
                                      const struct v4l2_frame *frame, struct nrd_tensor **tensor)
{
    uint32_t channels = c->out_format == OUT_RGB ? 3 : 4, rank = 3;
    int64_t dims[3] = {c->device.height, c->device.width, channels};
    if (c->pass_through) {
        rank = v4l2_pixels_shape(&c->device, frame, dims);
    }
    NRD_TRY(nrd_allocate(op, c->allocator, NRD_DTYPE_U8, dims, rank, NRD_MEMORY_CPU, 0, tensor));
    struct image to =
        image_of((*tensor)->data, c->device.width, c->device.height, channels, NRD_DTYPE_U8);
    struct nrd_status *status = c->pass_through
                                    ? v4l2_pixels_copy(&c->device, frame, (*tensor)->data)
                                    : v4l2_pixels_convert(&c->device, frame, &to);
    if (status != NULL) {
        nrd_tensor_unref(*tensor);
        *tensor = NULL;
    }
    return status;
}

static struct nrd_status *send_frame(struct nrd_compute *ctx, struct v4l2_capture *c,
                                     struct nrd_tensor *tensor)
{
    struct nrd_message *message = nrd_message_new(ctx);
    struct nrd_status *status = message == NULL
                                    ? status_no_memory()
                                    : nrd_message_add_tensor(message, c->out_tensor_name, tensor);
    if (status != NULL) {
        nrd_tensor_unref(tensor);
        nrd_message_unref(message);
        return status;
    }
    nrd_message_set_acquired(message, nrd_compute_now(ctx));
    enum nrd_code code = nrd_emit(ctx, 0, message);
    if (code != NRD_OK) {
        return nrd_compute_fail(ctx, code, "a frame could not be sent");
    }
    c->sent++;
    return NULL;
}

// Takes one frame from the camera, if there is one. A frame that the camera or its JPEG decoder calls damaged is left out.
static struct nrd_status *capture(struct nrd_compute *ctx, struct v4l2_capture *c)
{
    struct v4l2_frame frame;
    struct nrd_tensor *tensor = NULL;
    bool none;
    NRD_TRY(v4l2_take(&c->device, &frame, &none));
    if (none) {
        return NULL;
    }
    struct nrd_status *status =
        frame.damaged ? NULL : make_tensor(c, nrd_compute_operator(ctx), &frame, &tensor);
    struct nrd_status *given = v4l2_give(&c->device, &frame);
    if (nrd_status_code(status) == NRD_INVALID_ARG) { // the frame's fault
        if (c->damaged == 0) {
            nrd_operator_log(c->op, NRD_LOG_WARNING, "left out: %s", nrd_status_text(status));
        }
        nrd_status_free(status);
        status = NULL;
    }
    c->damaged += tensor == NULL && status == NULL;
    if (status == NULL) {
        status = given;
    } else {
        nrd_status_free(given);
    }
    if (status != NULL) {
        nrd_tensor_unref(tensor);
        return status;
    }
    return tensor == NULL ? NULL : send_frame(ctx, c, tensor);
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct v4l2_capture *c = self;
    NRD_TRY(capture(ctx, c));
    if (c->count > 0 && c->sent == (uint64_t)c->count) {
        nrd_operator_async(c->op, NRD_ASYNC_NEVER);
    } else {
        arm(c);
    }
    return NULL;
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    struct v4l2_capture *c = self;
    shut(c);
    if (c->damaged > 0) {
        nrd_operator_log(op, NRD_LOG_WARNING, "%llu damaged frames were left out, %llu were sent",
                         (unsigned long long)c->damaged, (unsigned long long)c->sent);
    }
    return NULL;
}

static void destroy(struct nrd_operator *op, void *self)
{
    (void)op;
    shut(self); // of a start that failed
}

const struct nrd_operator_class v4l2_video_capture_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "V4L2VideoCaptureOp",
    .summary = "Captures frames from a V4L2 camera.",
    .state_size = sizeof(struct v4l2_capture),
    .params = params,
    .outputs = outputs,
    .setup = setup,
    .start = start,
    .compute = compute,
    .stop = stop,
    .destroy = destroy,
};
