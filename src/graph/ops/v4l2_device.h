// SPDX-License-Identifier: Apache-2.0
// A camera by V4L2: found, set up, and its frames taken from buffers that it shares with us.
//
//   open -> (wait for poll) take -> give, again and again -> close
//
// All system calls go through a table, so a test can be the camera. Source: the kernel's "Video for Linux API", chapters on
// memory-mapped streaming and on user controls.
#ifndef NEREID_GRAPH_OPS_V4L2_DEVICE_H
#define NEREID_GRAPH_OPS_V4L2_DEVICE_H

#include <poll.h>
#include <sys/types.h>

#include "base/status.h"

struct v4l2_io {
    const char *folder; // where devices are: "/dev"
    int (*open)(const char *path, int flags);
    int (*close)(int fd);
    int (*ioctl)(int fd, unsigned long request, void *arg);
    void *(*map)(int fd, size_t length, off_t offset); // MAP_FAILED with errno
    int (*unmap)(void *address, size_t length);
    int (*poll)(struct pollfd *fds, nfds_t count, int timeout_ms);
};
extern const struct v4l2_io v4l2_system_io;

struct v4l2_request {
    const char *device;
    uint32_t width, height; // 0: as the camera has it
    double rate;            // 0: likewise
    uint32_t buffers;
    uint32_t fourcc;        // 0: the first that we can convert and the camera has
    bool any_fourcc;        // also formats that cannot be converted (they are passed through)
    int64_t exposure, gain; // -1: leave as it is
};

#define V4L2_BUFFERS_MAX 32
struct v4l2_device {
    const struct v4l2_io *io;
    const char *path; // borrowed from the request
    int fd;           // -1: closed
    bool streaming;
    uint32_t width, height, stride, fourcc;
    bool full_range, bt709; // of YUV formats
    double rate;            // what the camera says it does; 0: nothing
    struct {
        void *data;
        size_t length;
    } buffers[V4L2_BUFFERS_MAX];
    uint32_t count;
};

// Opens and sets up, and starts the stream. Errors name the device and what it has instead: NRD_NOT_FOUND lists the cameras that there
// are, NRD_INVALID_ARG and NRD_UNSUPPORTED the formats or the nearest size. `d` is closed on failure. Thread: owner.
NRD_MUST_USE struct nrd_status *
v4l2_open(const struct v4l2_io *io, const struct v4l2_request *request, struct v4l2_device *d);
void v4l2_close(struct v4l2_device *d); // fine when closed

struct v4l2_frame {
    uint32_t index; // for v4l2_give()
    const void *data;
    size_t size;
    bool damaged; // the camera says so
};
// The oldest frame that is there; `*none` when there is none. NRD_UNAVAILABLE: the camera is gone. Never waits.
NRD_MUST_USE struct nrd_status *v4l2_take(struct v4l2_device *d, struct v4l2_frame *frame,
                                          bool *none);
NRD_MUST_USE struct nrd_status *v4l2_give(struct v4l2_device *d, const struct v4l2_frame *frame);

// "YUYV" as a number; 0 when the text has not four characters.
uint32_t v4l2_fourcc_of(const char *text);

#endif
