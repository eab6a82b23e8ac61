// SPDX-License-Identifier: Apache-2.0
// V4L2VideoCaptureOp with a pretended camera behind its system calls: formats, sizes, buffers, frames, damage, and a camera that goes.
#include "op_unit.h"

#include <errno.h>
#include <linux/videodev2.h>
#include <sys/mman.h>
#include <unistd.h>

#include "graph/ops/ops.h"
#include "graph/ops/v4l2_video_capture.h"
#include "image/encode.h"

// ---- the camera ------------------------------------------------------------------------------------------------------

enum { CAMERA_WIDTH = 8, CAMERA_HEIGHT = 4, CAMERA_BUFFERS = 6, CAMERA_BYTES = 4096 };

// A frame is what fill() makes of its number. The bytes that wake poll() come through a pipe: one for each frame that is ready.
static struct camera {
    uint32_t formats[4], format_count;
    uint32_t fourcc, width, height, stride;
    uint32_t rate;
    int32_t exposure, gain, exposure_mode;
    bool has_no_stream, is_gone_after, streaming;
    uint32_t damaged_frame; // 0: none; from 1
    uint32_t frames_left;
    uint32_t produced;
    uint8_t memory[CAMERA_BUFFERS][CAMERA_BYTES];
    uint32_t buffer_count, mapped;
    uint32_t queue[CAMERA_BUFFERS], queued; // oldest first
    size_t (*fill)(uint32_t number, uint8_t *to);
    int pipe[2];
    bool open;
} camera;

static void give_frames(void)
{
    // As many as there are buffers for, and no more than one is announced at a time.
    if (camera.streaming && camera.queued > 0 && camera.frames_left > 0) {
        assert_int_equal(write(camera.pipe[1], "x", 1), 1);
    }
}

static int camera_open(const char *path, int flags)
{
    (void)flags;
    if (strstr(path, "video7") == NULL) {
        errno = ENOENT;
        return -1;
    }
    if (pipe(camera.pipe) != 0) {
        return -1;
    }
    camera.open = true;
    return camera.pipe[0];
}

static int camera_close(int fd)
{
    close(camera.pipe[1]);
    camera.open = false;
    return close(fd);
}

static int set_control(const struct v4l2_control *c)
{
    int32_t *to = c->id == V4L2_CID_EXPOSURE_AUTO       ? &camera.exposure_mode
                  : c->id == V4L2_CID_EXPOSURE_ABSOLUTE ? &camera.exposure
                  : c->id == V4L2_CID_GAIN              ? &camera.gain
                                                        : NULL;
    if (to == NULL || (c->id == V4L2_CID_GAIN && c->value > 100)) {
        errno = to == NULL ? EINVAL : ERANGE;
        return -1;
    }
    *to = c->value;
    return 0;
}

static int dequeue(struct v4l2_buffer *b)
{
    char byte;
    if (camera.frames_left == 0 && camera.is_gone_after) {
        errno = ENODEV;
        return -1;
    }
    if (!camera.streaming || camera.queued == 0 || camera.frames_left == 0) {
        errno = EAGAIN;
        return -1;
    }
    assert_int_equal(read(camera.pipe[0], &byte, 1), 1);
    b->index = camera.queue[0];
    memmove(camera.queue, camera.queue + 1, --camera.queued * sizeof(camera.queue[0]));
    b->bytesused = (uint32_t)camera.fill(camera.produced, camera.memory[b->index]);
    camera.produced++;
    b->flags = camera.produced == camera.damaged_frame ? V4L2_BUF_FLAG_ERROR : 0;
    camera.frames_left--;
    give_frames();
    if (camera.frames_left == 0 && camera.is_gone_after) {
        assert_int_equal(write(camera.pipe[1], "x", 1), 1); // poll() reports that something is up
    }
    return 0;
}

static int enqueue(const struct v4l2_buffer *b)
{
    bool was_empty = camera.queued == 0;
    assert_true(b->index < camera.buffer_count && camera.queued < camera.buffer_count);
    camera.queue[camera.queued++] = b->index;
    if (was_empty) {
        give_frames();
    }
    return 0;
}

static int enum_format(struct v4l2_fmtdesc *d)
{
    if (d->index >= camera.format_count) {
        errno = EINVAL;
        return -1;
    }
    d->pixelformat = camera.formats[d->index];
    return 0;
}

static int get_set_format(struct v4l2_format *f, bool set)
{
    if (set) {
        camera.fourcc = f->fmt.pix.pixelformat;
    }
    f->fmt.pix.pixelformat = camera.fourcc;
    f->fmt.pix.width = camera.width;
    f->fmt.pix.height = camera.height;
    f->fmt.pix.bytesperline = camera.stride;
    return 0;
}

static int camera_ioctl(int fd, unsigned long request, void *arg)
{
    struct v4l2_streamparm *parm = arg;
    struct v4l2_buffer *buffer = arg;
    assert_int_equal(fd, camera.pipe[0]);
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *c = arg;
        *c = (struct v4l2_capability){.card = "Pretended camera",
                                      .capabilities =
                                          V4L2_CAP_VIDEO_CAPTURE |
                                          (camera.has_no_stream ? 0 : V4L2_CAP_STREAMING)};
        return 0;
    }
    case VIDIOC_ENUM_FMT:
        return enum_format(arg);
    case VIDIOC_G_FMT:
        return get_set_format(arg, false);
    case VIDIOC_S_FMT:
        return get_set_format(arg, true);
    case VIDIOC_S_PARM:
        camera.rate = parm->parm.capture.timeperframe.denominator / 1000;
        return 0;
    case VIDIOC_G_PARM:
        parm->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        parm->parm.capture.timeperframe = (struct v4l2_fract){1, camera.rate};
        return 0;
    case VIDIOC_S_CTRL:
        return set_control(arg);
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *r = arg;
        camera.buffer_count = r->count = r->count > CAMERA_BUFFERS ? CAMERA_BUFFERS : r->count;
        return 0;
    }
    case VIDIOC_QUERYBUF:
        buffer->length = CAMERA_BYTES;
        buffer->m.offset = buffer->index * CAMERA_BYTES;
        return 0;
    case VIDIOC_QBUF:
        return enqueue(arg);
    case VIDIOC_DQBUF:
        return dequeue(arg);
    case VIDIOC_STREAMON:
        camera.streaming = true;
        give_frames();
        return 0;
    case VIDIOC_STREAMOFF:
        camera.streaming = false;
        return 0;
    default:
        errno = ENOTTY;
        return -1;
    }
}

static void *camera_map(int fd, size_t length, off_t offset)
{
    (void)fd;
    assert_int_equal(length, CAMERA_BYTES);
    camera.mapped++;
    return camera.memory[offset / CAMERA_BYTES];
}

static int camera_unmap(void *address, size_t length)
{
    (void)address;
    (void)length;
    camera.mapped--;
    return 0;
}

static struct v4l2_io camera_io = {.open = camera_open,
                                   .close = camera_close,
                                   .ioctl = camera_ioctl,
                                   .map = camera_map,
                                   .unmap = camera_unmap,
                                   .poll = poll};

// ---- frames ----------------------------------------------------------------------------------------------------------

static size_t fill_yuyv(uint32_t number, uint8_t *to)
{
    // Gray that grows with the number; rows have 4 bytes of padding.
    for (uint32_t y = 0; y < CAMERA_HEIGHT; y++) {
        for (uint32_t x = 0; x < CAMERA_WIDTH; x++) {
            to[y * 20 + 2 * x] = (uint8_t)(16 + number * 10);
            to[y * 20 + 2 * x + 1] = 128;
        }
        memset(to + y * 20 + 16, 0xee, 4);
    }
    return 20 * CAMERA_HEIGHT;
}

static size_t fill_rgb(uint32_t number, uint8_t *to)
{
    for (uint32_t i = 0; i < CAMERA_WIDTH * CAMERA_HEIGHT; i++) {
        to[3 * i] = (uint8_t)(number + 1);
        to[3 * i + 1] = (uint8_t)i;
        to[3 * i + 2] = 200;
    }
    return CAMERA_WIDTH * CAMERA_HEIGHT * 3;
}

static size_t fill_nv12(uint32_t number, uint8_t *to)
{
    memset(to, (int)(16 + number * 10), CAMERA_WIDTH * CAMERA_HEIGHT);
    memset(to + CAMERA_WIDTH * CAMERA_HEIGHT, 128, CAMERA_WIDTH * CAMERA_HEIGHT / 2);
    return CAMERA_WIDTH * CAMERA_HEIGHT * 3 / 2;
}

static size_t fill_jpeg(uint32_t number, uint8_t *to)
{
    uint8_t pixels[CAMERA_WIDTH * CAMERA_HEIGHT * 3];
    struct str jpeg = STR_INIT;
    memset(pixels, (int)(number * 10), sizeof(pixels));
    struct image from = image_of(pixels, CAMERA_WIDTH, CAMERA_HEIGHT, 3, NRD_DTYPE_U8);
    ok(image_write_jpeg(&from, 95, &jpeg));
    assert_true(jpeg.len < CAMERA_BYTES);
    memcpy(to, jpeg.ptr, jpeg.len);
    size_t size = number == 1 ? jpeg.len / 2 : jpeg.len; // the second is cut
    str_fini(&jpeg);
    return size;
}

static void plug_in(uint32_t fourcc, size_t (*fill)(uint32_t, uint8_t *), uint32_t frames)
{
    camera = (struct camera){.formats = {V4L2_PIX_FMT_HM12, fourcc},
                             .format_count = 2,
                             .width = CAMERA_WIDTH,
                             .height = CAMERA_HEIGHT,
                             .rate = 30,
                             .frames_left = frames,
                             .fill = fill};
    camera.stride = fourcc == V4L2_PIX_FMT_YUYV ? 20 : 0;
    camera_io.folder = unit_root;
}

static struct nrd_app *compose(const char *params, struct probe **p)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *op = add_named(f, "V4L2VideoCaptureOp", "camera", params);
    ((struct v4l2_capture *)nrd_operator_state(op))->io = &camera_io;
    *p = add_probe(f, op, "");
    return app;
}

static void assert_all_given_back(void)
{
    assert_false(camera.open);
    assert_false(camera.streaming);
    assert_int_equal(camera.mapped, 0);
}

// ---- tests -----------------------------------------------------------------------------------------------------------

static void frames_of_each_format_become_rgba(void **state)
{
    (void)state;
    static const struct {
        uint32_t fourcc;
        size_t (*fill)(uint32_t, uint8_t *);
        int first, second; // red of two frames
    } cases[] = {
        {V4L2_PIX_FMT_YUYV, fill_yuyv, 0, 12},
        {V4L2_PIX_FMT_NV12, fill_nv12, 0, 12},
        {V4L2_PIX_FMT_RGB24, fill_rgb, 1, 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct probe *p;
        plug_in(cases[i].fourcc, cases[i].fill, 20);
        struct nrd_app *app = compose("{device: /dev/video7, count: 20, num_buffers: 3}", &p);
        ok(nrd_app_run(app));
        assert_int_equal(p->count, 20);
        for (size_t k = 0; k < 2; k++) {
            const struct nrd_tensor *t = probe_tensor(p, k);
            const uint8_t *pixels = t->data;
            assert_int_equal(t->dims[0], CAMERA_HEIGHT);
            assert_int_equal(t->dims[1], CAMERA_WIDTH);
            assert_int_equal(t->dims[2], 4);
            assert_int_equal(pixels[0], k == 0 ? cases[i].first : cases[i].second);
            assert_int_equal(pixels[4 * CAMERA_WIDTH * CAMERA_HEIGHT - 1], 255);
            assert_true(nrd_message_acquired(p->messages[k]) >= 0);
        }
        nrd_app_destroy(app);
        assert_all_given_back();
    }
}

static void a_second_run_opens_the_camera_again(void **state)
{
    (void)state;
    struct probe *p;
    plug_in(V4L2_PIX_FMT_RGB24, fill_rgb, 50);
    struct nrd_app *app = compose("{device: /dev/video7, count: 5, out_format: rgb}", &p);
    ok(nrd_app_run(app));
    assert_all_given_back();
    camera.queued = 0;
    ok(nrd_app_run(app));
    assert_all_given_back();
    assert_int_equal(p->count, 10);
    assert_int_equal(probe_tensor(p, 0)->dims[2], 3);
    nrd_app_destroy(app);
}

static void pass_through_sends_rows_without_padding(void **state)
{
    (void)state;
    struct probe *p;
    plug_in(V4L2_PIX_FMT_YUYV, fill_yuyv, 3);
    struct nrd_app *app =
        compose("{device: /dev/video7, count: 3, pass_through: true, pixel_format: YUYV}", &p);
    ok(nrd_app_run(app));
    const struct nrd_tensor *t = probe_tensor(p, 2);
    const uint8_t *bytes = t->data;
    assert_int_equal(t->rank, 3);
    assert_int_equal(t->dims[2], 2);
    for (size_t i = 0; i < t->byte_size; i += 2) {
        assert_int_equal(bytes[i], 36);
        assert_int_equal(bytes[i + 1], 128);
    }
    nrd_app_destroy(app);
}

static void damaged_frames_are_left_out(void **state)
{
    (void)state;
    struct probe *p;
    plug_in(V4L2_PIX_FMT_MJPEG, fill_jpeg, 6); // its second frame is cut
    camera.damaged_frame = 4;                  // and the camera says that this one is bad
    struct nrd_app *app = compose("{device: /dev/video7, count: 4}", &p);
    ok(nrd_app_run(app));
    static const int want[] = {0, 20, 40, 50};
    for (size_t i = 0; i < 4; i++) {
        assert_in_range(*(uint8_t *)probe_tensor(p, i)->data, want[i] < 1 ? 0 : want[i] - 1,
                        want[i] + 1);
    }
    nrd_app_destroy(app);
    assert_all_given_back();
}

static void settings_reach_the_camera(void **state)
{
    (void)state;
    struct probe *p;
    plug_in(V4L2_PIX_FMT_RGB24, fill_rgb, 1);
    struct nrd_app *app =
        compose("{device: /dev/video7, count: 1, width: 8, height: 4, frame_rate: 60, "
                "exposure_time: 50, gain: 7, numBuffers: 5}",
                &p);
    ok(nrd_app_run(app));
    assert_int_equal(camera.rate, 60);
    assert_int_equal(camera.exposure_mode, V4L2_EXPOSURE_MANUAL);
    assert_int_equal(camera.exposure, 50);
    assert_int_equal(camera.gain, 7);
    assert_int_equal(camera.buffer_count, 5);
    nrd_app_destroy(app);
}

static void what_a_camera_cannot_do_is_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{device: /dev/video9}", "there is no camera '/dev/video9' (No such file or directory); "
                                  "there are: $/video7 (Pretended camera)"},
        {"{device: /dev/video7, width: 9, height: 4}",
         "camera '/dev/video7' has no 9x4 (the nearest is 8x4 RGB3)"},
        {"{device: /dev/video7, pixel_format: H264}",
         "camera '/dev/video7' has no format 'H264', or one that cannot be converted (it has HM12, "
         "RGB3)"},
        {"{device: /dev/video7, pixel_format: HM12}", "one that cannot be converted"},
        {"{device: /dev/video7, gain: 1000}",
         "gain cannot be set to 1000: Numerical result out of range"},
    };
    ok(file_write(in_root("$/video7"), SLICE("")));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct probe *p;
        plug_in(V4L2_PIX_FMT_RGB24, fill_rgb, 1);
        struct nrd_app *app = compose(cases[i][0], &p);
        fails(nrd_app_run(app), in_root(cases[i][1]));
        nrd_app_destroy(app);
        assert_all_given_back();
    }
    struct probe *p;
    plug_in(V4L2_PIX_FMT_RGB24, fill_rgb, 1);
    camera.has_no_stream = true;
    struct nrd_app *app = compose("{device: /dev/video7}", &p);
    fails(nrd_app_run(app), "captures nothing); this machine has none");
    nrd_app_destroy(app);
    assert_all_given_back();
}

static void a_camera_that_goes_ends_the_run(void **state)
{
    (void)state;
    struct probe *p;
    plug_in(V4L2_PIX_FMT_RGB24, fill_rgb, 3);
    camera.is_gone_after = true;
    struct nrd_app *app = compose("{device: /dev/video7}", &p);
    fails(nrd_app_run(app), "camera '/dev/video7': it is gone: No such device");
    assert_int_equal(p->count, 3);
    nrd_app_destroy(app);
    assert_all_given_back();
}

static void a_camera_that_is_silent_can_be_stopped(void **state)
{
    (void)state;
    struct probe *p;
    plug_in(V4L2_PIX_FMT_RGB24, fill_rgb, 2);
    struct nrd_app *app = compose("{device: /dev/video7}", &p);
    set_scheduler(nrd_app_fragment(app), "EventBasedScheduler", NULL);
    ok(nrd_app_run_async(app));
    nrd_app_stop(app, true); // before, between or after its two frames: all end
    ok(nrd_app_wait(app));
    nrd_app_destroy(app);
    assert_false(camera.open);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_each_format_become_rgba),
        cmocka_unit_test(a_second_run_opens_the_camera_again),
        cmocka_unit_test(pass_through_sends_rows_without_padding),
        cmocka_unit_test(damaged_frames_are_left_out),
        cmocka_unit_test(settings_reach_the_camera),
        cmocka_unit_test(what_a_camera_cannot_do_is_named),
        cmocka_unit_test(a_camera_that_goes_ends_the_run),
        cmocka_unit_test(a_camera_that_is_silent_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, unit_setup, unit_teardown);
}
