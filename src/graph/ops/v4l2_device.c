// SPDX-License-Identifier: Apache-2.0
// A camera by V4L2. Settings that a camera cannot do are errors that say what it can, but for the frame rate, which drivers round.
#include "graph/ops/v4l2_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "graph/ops/v4l2_pixels.h"

static int system_open(const char *path, int flags)
{
    return open(path, flags);
}
static int system_ioctl(int fd, unsigned long request, void *arg)
{
    int result;
    do {
        result = ioctl(fd, request, arg);
    } while (result < 0 && errno == EINTR);
    return result;
}
static void *system_map(int fd, size_t length, off_t offset)
{
    return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
}
const struct v4l2_io v4l2_system_io = {.folder = "/dev",
                                       .open = system_open,
                                       .close = close,
                                       .ioctl = system_ioctl,
                                       .map = system_map,
                                       .unmap = munmap,
                                       .poll = poll};

static const char *fourcc_text(uint32_t fourcc, char text[5])
{
    for (int i = 0; i < 4; i++) {
        char c = (char)(fourcc >> (8 * i) & 0x7f);
        text[i] = c >= ' ' && c < 0x7f ? c : '?';
    }
    text[4] = '\0';
    return text;
}

uint32_t v4l2_fourcc_of(const char *text)
{
    return strlen(text) == 4
               ? v4l2_fourcc((uint8_t)text[0], (uint8_t)text[1], (uint8_t)text[2], (uint8_t)text[3])
               : 0;
}

static struct nrd_status *fail(const struct v4l2_device *d, const char *what)
{
    return status_new(NRD_UNAVAILABLE, "camera '%s': %s: %s", d->path, what, strerror(errno));
}

// ---- finding ---------------------------------------------------------------------------------------------------------

static bool is_camera(const struct v4l2_capability *capability)
{
    uint32_t bits = (capability->capabilities & V4L2_CAP_DEVICE_CAPS) != 0
                        ? capability->device_caps
                        : capability->capabilities;
    return (bits & V4L2_CAP_VIDEO_CAPTURE) != 0 && (bits & V4L2_CAP_STREAMING) != 0;
}

// Appends "/dev/video0 (HD Webcam)" for each camera there is.
static void list_cameras(const struct v4l2_io *io, struct str *out)
{
    struct file_list list = {0};
    struct nrd_status *status = file_list(io->folder, &list);
    for (size_t i = 0; status == NULL && i < list.count; i++) {
        char *path =
            strncmp(list.names[i], "video", 5) == 0 ? path_join(io->folder, list.names[i]) : NULL;
        int fd = path == NULL ? -1 : io->open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        struct v4l2_capability capability;
        if (fd >= 0 && io->ioctl(fd, VIDIOC_QUERYCAP, &capability) == 0 && is_camera(&capability)) {
            str_printf(out, "%s%s (%.31s)", out->len == 0 ? "" : ", ", path,
                       (const char *)capability.card);
        }
        if (fd >= 0) {
            io->close(fd);
        }
        mem_free(path);
    }
    file_list_fini(&list);
    status_free(status);
}

static struct nrd_status *no_camera(const struct v4l2_device *d, const char *why)
{
    struct str cameras = STR_INIT;
    list_cameras(d->io, &cameras);
    struct nrd_status *status =
        status_new(NRD_NOT_FOUND, "there is no camera '%s' (%s); %s%s", d->path, why,
                   cameras.len == 0 ? "this machine has none" : "there are: ", str_cstr(&cameras));
    str_fini(&cameras);
    return status;
}

static struct nrd_status *find(struct v4l2_device *d)
{
    struct v4l2_capability capability;
    memset(&capability, 0, sizeof(capability));
    d->fd = d->io->open(d->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (d->fd < 0) {
        return no_camera(d, strerror(errno));
    }
    if (d->io->ioctl(d->fd, VIDIOC_QUERYCAP, &capability) != 0) {
        return no_camera(d, "it is no V4L2 device");
    }
    return is_camera(&capability) ? NULL
                                  : no_camera(d, "it is a V4L2 device that captures nothing");
}

// ---- setting up ------------------------------------------------------------------------------------------------------

// Whether the camera has the format; with 0 the first that we can convert, put into `*fourcc`. `names` gets all it has.
static bool choose_format(struct v4l2_device *d, const struct v4l2_request *request,
                          uint32_t *fourcc, struct str *names)
{
    size_t best = SIZE_MAX;
    *fourcc = 0;
    for (uint32_t i = 0;; i++) {
        struct v4l2_fmtdesc desc = {.index = i, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
        char text[5];
        if (d->io->ioctl(d->fd, VIDIOC_ENUM_FMT, &desc) != 0) {
            return best != SIZE_MAX;
        }
        str_printf(names, "%s%s", i == 0 ? "" : ", ", fourcc_text(desc.pixelformat, text));
        size_t rank = v4l2_pixels_rank(desc.pixelformat);
        bool wanted = request->fourcc == 0 ? rank != SIZE_MAX || request->any_fourcc
                                           : desc.pixelformat == request->fourcc &&
                                                 (rank != SIZE_MAX || request->any_fourcc);
        if (wanted && (best == SIZE_MAX || rank < best)) {
            best = rank == SIZE_MAX ? SIZE_MAX - 1 : rank;
            *fourcc = desc.pixelformat;
        }
    }
}

static struct nrd_status *set_format(struct v4l2_device *d, const struct v4l2_request *request)
{
    struct str names = STR_INIT;
    char text[5];
    uint32_t fourcc;
    if (!choose_format(d, request, &fourcc, &names)) {
        struct nrd_status *status =
            request->fourcc == 0
                ? status_new(
                      NRD_UNSUPPORTED,
                      "camera '%s' has none of the formats that can be converted (it has %s)",
                      d->path, str_cstr(&names))
                : status_new(
                      NRD_UNSUPPORTED,
                      "camera '%s' has no format '%s', or one that cannot be converted (it has %s)",
                      d->path, fourcc_text(request->fourcc, text), str_cstr(&names));
        str_fini(&names);
        return status;
    }
    str_fini(&names);
    struct v4l2_format format = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
    if (d->io->ioctl(d->fd, VIDIOC_G_FMT, &format) != 0) {
        return fail(d, "its format cannot be read");
    }
    struct v4l2_pix_format *pix = &format.fmt.pix;
    pix->pixelformat = fourcc;
    pix->width = request->width == 0 ? pix->width : request->width;
    pix->height = request->height == 0 ? pix->height : request->height;
    pix->field = V4L2_FIELD_ANY;
    pix->bytesperline = 0;
    if (d->io->ioctl(d->fd, VIDIOC_S_FMT, &format) != 0) {
        return fail(d, "its format cannot be set");
    }
    if (pix->pixelformat != fourcc || (request->width != 0 && pix->width != request->width) ||
        (request->height != 0 && pix->height != request->height)) {
        return status_new(NRD_INVALID_ARG, "camera '%s' has no %ux%u (the nearest is %ux%u %s)",
                          d->path, request->width, request->height, pix->width, pix->height,
                          fourcc_text(pix->pixelformat, text));
    }
    if (pix->width == 0 || pix->height == 0 || pix->width > 32768 || pix->height > 32768) {
        return status_new(NRD_INVALID_ARG, "camera '%s' says its frames are %ux%u", d->path,
                          pix->width, pix->height);
    }
    d->width = pix->width;
    d->height = pix->height;
    d->stride = pix->bytesperline;
    d->fourcc = fourcc;
    d->full_range = pix->quantization == V4L2_QUANTIZATION_FULL_RANGE;
    d->bt709 = pix->ycbcr_enc == V4L2_YCBCR_ENC_709;
    return NULL;
}

static struct nrd_status *set_rate(struct v4l2_device *d, double rate)
{
    struct v4l2_streamparm parm = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
    struct v4l2_fract *period = &parm.parm.capture.timeperframe;
    bool known = d->io->ioctl(d->fd, VIDIOC_G_PARM, &parm) == 0;
    if (rate > 0) {
        if (!known || (parm.parm.capture.capability & V4L2_CAP_TIMEPERFRAME) == 0) {
            return status_new(NRD_UNSUPPORTED, "camera '%s': its frame rate cannot be set",
                              d->path);
        }
        period->numerator = 1000;
        period->denominator = (uint32_t)(rate * 1000 + 0.5);
        if (d->io->ioctl(d->fd, VIDIOC_S_PARM, &parm) != 0) {
            return fail(d, "its frame rate cannot be set");
        }
    }
    d->rate = known && period->numerator != 0
                  ? (double)period->denominator / (double)period->numerator
                  : 0;
    return NULL;
}

// A value by hand: first its automatic is turned off, where there is one.
static struct nrd_status *set_control(struct v4l2_device *d, uint32_t automatic, int32_t off,
                                      uint32_t id, const char *name, int64_t value)
{
    struct v4l2_control by_hand = {.id = automatic, .value = off};
    struct v4l2_control control = {.id = id, .value = (int32_t)value};
    if (value < 0) {
        return NULL;
    }
    d->io->ioctl(d->fd, VIDIOC_S_CTRL, &by_hand);
    return d->io->ioctl(d->fd, VIDIOC_S_CTRL, &control) == 0
               ? NULL
               : status_new(NRD_INVALID_ARG, "camera '%s': %s cannot be set to %lld: %s", d->path,
                            name, (long long)value, strerror(errno));
}

// ---- buffers ---------------------------------------------------------------------------------------------------------

static struct nrd_status *queue_buffer(struct v4l2_device *d, uint32_t index)
{
    struct v4l2_buffer buffer = {
        .index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    return d->io->ioctl(d->fd, VIDIOC_QBUF, &buffer) == 0
               ? NULL
               : fail(d, "a buffer cannot be given to it");
}

static struct nrd_status *map_buffers(struct v4l2_device *d, uint32_t wanted)
{
    struct v4l2_requestbuffers ask = {
        .count = wanted, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    if (d->io->ioctl(d->fd, VIDIOC_REQBUFS, &ask) != 0) {
        return fail(d, "it gives no buffers (is another program using it?)");
    }
    uint32_t count = ask.count < V4L2_BUFFERS_MAX ? ask.count : V4L2_BUFFERS_MAX;
    for (; d->count < count; d->count++) {
        struct v4l2_buffer buffer = {
            .index = d->count, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
        if (d->io->ioctl(d->fd, VIDIOC_QUERYBUF, &buffer) != 0) {
            return fail(d, "a buffer cannot be found");
        }
        void *data = d->io->map(d->fd, buffer.length, (off_t)buffer.m.offset);
        if (data == MAP_FAILED) {
            return fail(d, "a buffer cannot be mapped");
        }
        d->buffers[d->count].data = data;
        d->buffers[d->count].length = buffer.length;
    }
    return d->count > 0 ? NULL : status_new(NRD_UNAVAILABLE, "camera '%s' has no buffers", d->path);
}

static struct nrd_status *start_stream(struct v4l2_device *d)
{
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    for (uint32_t i = 0; i < d->count; i++) {
        NRD_TRY(queue_buffer(d, i));
    }
    if (d->io->ioctl(d->fd, VIDIOC_STREAMON, &type) != 0) {
        return fail(d, "it does not start");
    }
    d->streaming = true;
    return NULL;
}

static struct nrd_status *set_up(struct v4l2_device *d, const struct v4l2_request *request)
{
    NRD_TRY(find(d));
    NRD_TRY(set_format(d, request));
    NRD_TRY(set_rate(d, request->rate));
    NRD_TRY(set_control(d, V4L2_CID_EXPOSURE_AUTO, V4L2_EXPOSURE_MANUAL, V4L2_CID_EXPOSURE_ABSOLUTE,
                        "exposure_time", request->exposure));
    NRD_TRY(set_control(d, V4L2_CID_AUTOGAIN, 0, V4L2_CID_GAIN, "gain", request->gain));
    NRD_TRY(map_buffers(d, request->buffers));
    return start_stream(d);
}

struct nrd_status *v4l2_open(const struct v4l2_io *io, const struct v4l2_request *request,
                             struct v4l2_device *d)
{
    *d = (struct v4l2_device){.io = io, .path = request->device, .fd = -1};
    struct nrd_status *status = set_up(d, request);
    if (status != NULL) {
        v4l2_close(d);
    }
    return status;
}

void v4l2_close(struct v4l2_device *d)
{
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    if (d->io == NULL || d->fd < 0) {
        return;
    }
    if (d->streaming) {
        d->io->ioctl(d->fd, VIDIOC_STREAMOFF, &type);
        d->streaming = false;
    }
    for (uint32_t i = 0; i < d->count; i++) {
        d->io->unmap(d->buffers[i].data, d->buffers[i].length);
    }
    d->count = 0;
    d->io->close(d->fd);
    d->fd = -1;
}

// ---- frames ----------------------------------------------------------------------------------------------------------

struct nrd_status *v4l2_take(struct v4l2_device *d, struct v4l2_frame *frame, bool *none)
{
    struct v4l2_buffer buffer = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    *none = false;
    if (d->io->ioctl(d->fd, VIDIOC_DQBUF, &buffer) != 0) {
        *none = errno == EAGAIN;
        return *none ? NULL : fail(d, errno == ENODEV ? "it is gone" : "no frame can be had");
    }
    if (buffer.index >= d->count) {
        return status_new(NRD_INTERNAL, "camera '%s' returned buffer %u of %u", d->path,
                          buffer.index, d->count);
    }
    size_t length = d->buffers[buffer.index].length;
    *frame = (struct v4l2_frame){
        .index = buffer.index,
        .data = d->buffers[buffer.index].data,
        .size = buffer.bytesused == 0 || buffer.bytesused > length ? length : buffer.bytesused,
        .damaged = (buffer.flags & V4L2_BUF_FLAG_ERROR) != 0,
    };
    return NULL;
}

struct nrd_status *v4l2_give(struct v4l2_device *d, const struct v4l2_frame *frame)
{
    return queue_buffer(d, frame->index);
}
