// SPDX-License-Identifier: Apache-2.0
// libnereid_video.so: what is encoded without loss comes back to the bit, what is encoded with loss comes back alike, and damage is named.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <dlfcn.h>

#include "base/file.h"
#include "base/mem.h"
#include "graph/ops/pattern.h"
#include "graph/ops/video_codec.h"

static char root[64];
static const struct video_codec *codec;

static int setup(void **state)
{
    (void)state;
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 128);
    memcpy(root, "/tmp/nereid-video-XXXXXX", sizeof("/tmp/nereid-video-XXXXXX"));
    if (length <= 0 || mkdtemp(root) == NULL) {
        return -1;
    }
    path[length] = '\0';
    static const char beside[] = "/../../../lib/nereid/operators/libnereid_video.so";
    memcpy(strrchr(path, '/'), beside, sizeof(beside));
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    codec = library == NULL ? NULL : dlsym(library, VIDEO_CODEC_SYMBOL);
    return codec != NULL && codec->abi == VIDEO_CODEC_ABI ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    struct nrd_status *status = file_remove_tree(root);
    int bad = status != NULL ? -1 : 0;
    status_free(status);
    return bad;
}

static void assert_fails(struct nrd_status *status, enum nrd_code code, const char *part)
{
    assert_int_equal(status_code(status), code);
    if (strstr(status_text(status), part) == NULL) {
        fail_msg("'%s' does not have '%s'", status_text(status), part);
    }
    status_free(status);
}

static void assert_fine(struct nrd_status *status)
{
    if (status != NULL) {
        fail_msg("%s", status_text(status));
    }
}

static struct pattern pattern_of(enum pattern_kind kind, uint32_t width, uint32_t height,
                                 enum video_pixels pixels)
{
    return (struct pattern){kind, width, height, video_channels(pixels), 7};
}

static size_t size_of(const struct pattern *p)
{
    return (size_t)p->width * p->height * p->channels;
}

// Writes `count` frames of a pattern to NAME in the test's folder; returns the path, owned.
static char *write_video(const char *name, const char *encoder, const struct pattern *p,
                         enum video_pixels pixels, uint64_t count)
{
    const struct video_writer_options options = {
        .width = p->width, .height = p->height, .pixels = pixels, .rate = 25, .codec = encoder};
    struct video_writer *w = NULL;
    char *path = path_join(root, name);
    uint8_t *frame = mem_alloc(size_of(p));
    assert_fine(codec->create(path, &options, &w));
    for (uint64_t i = 0; i < count; i++) {
        pattern_fill(p, i, frame);
        assert_fine(codec->write(w, frame, 0));
    }
    assert_fine(codec->finish(w));
    mem_free(frame);
    return path;
}

// Reads a video and returns the number of frames; each must be at most `tolerance` from the pattern on average, and at its time.
static uint64_t check_video(struct video_reader *r, const struct pattern *p,
                            enum video_pixels pixels, double tolerance)
{
    uint8_t *want = mem_alloc(size_of(p));
    uint64_t count = 0;
    for (;; count++) {
        struct video_frame frame;
        bool end;
        assert_fine(codec->next(r, &frame, &end));
        if (end) {
            break;
        }
        assert_in_range(frame.time_ns, count * 40000000 - (count == 0 ? 0 : 1000000),
                        count * 40000000 + 1000000);
        uint8_t *got = mem_alloc((size_t)frame.width * frame.height * p->channels);
        assert_fine(codec->convert(r, pixels, got));
        pattern_fill(p, count, want);
        double sum = 0;
        for (uint32_t y = 0; y < p->height; y++) {
            for (uint32_t i = 0; i < p->width * p->channels; i++) {
                sum += abs(want[(size_t)y * p->width * p->channels + i] -
                           got[(size_t)y * frame.width * p->channels + i]);
            }
        }
        if (sum / (double)size_of(p) > tolerance) {
            fail_msg("frame %llu of %ux%ux%u is %f off", (unsigned long long)count, p->width,
                     p->height, p->channels, sum / (double)size_of(p));
        }
        mem_free(got);
    }
    mem_free(want);
    return count;
}

static void lossless_frames_come_back_to_the_bit(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{64, 48}, {33, 19}, {16, 2}, {130, 5}};
    static const enum video_pixels kinds[] = {VIDEO_RGB, VIDEO_RGBA, VIDEO_BGR, VIDEO_GRAY};
    for (size_t s = 0; s < 4; s++) {
        for (size_t k = 0; k < 4; k++) {
            struct pattern p = pattern_of(PATTERN_NOISE, sizes[s][0], sizes[s][1], kinds[k]);
            char *path = write_video("exact.mkv", "ffv1", &p, kinds[k], 5);
            struct video_reader *r = NULL;
            assert_fine(codec->open(path, false, &r));
            assert_int_equal(check_video(r, &p, kinds[k], 0), 5);
            assert_fine(codec->rewind(r));
            assert_int_equal(check_video(r, &p, kinds[k], 0), 5);
            assert_int_equal(codec->damaged(r), 0);
            codec->close(r);
            mem_free(path);
        }
    }
}

static void lossy_frames_come_back_alike(void **state)
{
    (void)state;
    static const char *const names[] = {"a.mp4", "a.mkv", "a.avi", "a.mov"};
    for (size_t i = 0; i < 4; i++) {
        // An odd size: 4:2:0 grows it by one column and row.
        struct pattern p = pattern_of(PATTERN_GRADIENT, 161, 119, VIDEO_RGB);
        char *path = write_video(names[i], "auto", &p, VIDEO_RGB, 30);
        struct video_reader *r = NULL;
        struct video_description d;
        assert_fine(codec->open(path, false, &r));
        codec->describe(r, &d);
        assert_int_equal(d.width, 162);
        assert_int_equal(d.height, 120);
        assert_in_range((int)(d.rate * 100), 2499, 2501);
        assert_int_equal(check_video(r, &p, VIDEO_RGB, 6), 30);
        assert_fine(codec->rewind(r));
        assert_int_equal(check_video(r, &p, VIDEO_RGB, 6), 30);
        codec->close(r);
        mem_free(path);
    }
}

static void frames_keep_their_own_times(void **state)
{
    (void)state;
    static const int64_t times[] = {0, 10000000, 10000000, 500000000};
    struct pattern p = pattern_of(PATTERN_BARS, 32, 16, VIDEO_RGB);
    const struct video_writer_options options = {
        .width = 32, .height = 16, .pixels = VIDEO_RGB, .codec = "ffv1"};
    char *path = path_join(root, "times.mkv");
    struct video_writer *w = NULL;
    struct video_reader *r = NULL;
    uint8_t bytes[32 * 16 * 3];
    pattern_fill(&p, 0, bytes);
    assert_fine(codec->create(path, &options, &w));
    for (size_t i = 0; i < 4; i++) {
        assert_fine(codec->write(w, bytes, times[i]));
    }
    assert_fine(codec->finish(w));
    assert_fine(codec->open(path, false, &r));
    static const int64_t want[] = {0, 10000000, 11000000,
                                   500000000}; // two at once: time only goes on
    for (size_t i = 0; i < 4; i++) {
        struct video_frame frame;
        bool end;
        assert_fine(codec->next(r, &frame, &end));
        assert_false(end);
        assert_int_equal(frame.time_ns, want[i]);
    }
    codec->close(r);
    mem_free(path);
}

// Overwrites bytes in the middle of a file.
static void scribble(const char *path)
{
    struct str bytes = STR_INIT;
    assert_fine(file_read(path, 0, &bytes));
    memset(bytes.ptr + bytes.len / 2, 0x55, 64);
    assert_fine(file_write(path, str_slice(&bytes)));
    str_fini(&bytes);
}

static void a_damaged_frame_is_an_error_or_left_out(void **state)
{
    (void)state;
    struct pattern p = pattern_of(PATTERN_NOISE, 64, 48, VIDEO_RGB);
    char *path = write_video("damaged.mkv", "ffv1", &p, VIDEO_RGB, 9);
    struct video_reader *r = NULL;
    struct video_frame frame;
    bool end = false;
    scribble(path);
    assert_fine(codec->open(path, false, &r));
    struct nrd_status *status = NULL;
    for (int i = 0; i < 9 && status == NULL; i++) {
        status = codec->next(r, &frame, &end);
        assert_false(end);
    }
    assert_fails(status, NRD_INVALID_ARG, "damaged.mkv': frame 4 ");
    codec->close(r);

    // Skipping: what the decoder conceals is taken, what it refuses is counted; either way the end is reached.
    uint64_t count = 0;
    assert_fine(codec->open(path, true, &r));
    for (end = false; !end; count += !end) {
        assert_fine(codec->next(r, &frame, &end));
    }
    assert_int_equal(count + codec->damaged(r), 9);
    codec->close(r);
    mem_free(path);
}

static void a_file_that_was_cut_is_read_to_the_cut_and_named(void **state)
{
    (void)state;
    struct pattern p = pattern_of(PATTERN_NOISE, 64, 48, VIDEO_RGB);
    char *path = write_video("cut.mkv", "ffv1", &p, VIDEO_RGB, 9);
    struct str bytes = STR_INIT;
    struct video_reader *r = NULL;
    struct video_frame frame;
    bool end = false;
    assert_fine(file_read(path, 0, &bytes));
    str_truncate(&bytes, bytes.len / 2);
    assert_fine(file_write(path, str_slice(&bytes)));
    assert_fine(codec->open(path, false, &r));
    for (int i = 0; i < 4; i++) {
        assert_fine(codec->next(r, &frame, &end));
    }
    assert_fails(codec->next(r, &frame, &end), NRD_INVALID_ARG, "cut.mkv': frame 4 ");
    codec->close(r);
    str_fini(&bytes);
    mem_free(path);
}

// As a kill or a full disk leaves it.
static void an_mp4_without_its_end_is_read_to_there(void **state)
{
    (void)state;
    struct pattern p = pattern_of(PATTERN_NOISE, 64, 48, VIDEO_RGB);
    char *path = write_video("end.mp4", "mpeg4", &p, VIDEO_RGB, 60);
    struct str bytes = STR_INIT;
    struct video_reader *r = NULL;
    struct video_frame frame;
    bool end = false;
    int frames = 0;
    assert_fine(file_read(path, 0, &bytes));
    str_truncate(&bytes, bytes.len / 2);
    assert_fine(file_write(path, str_slice(&bytes)));
    assert_fine(codec->open(path, false, &r));
    for (;; frames++) {
        struct nrd_status *status = codec->next(r, &frame, &end);
        bool over = status != NULL || end; // the last frame may have been cut, which is named
        status_free(status);
        if (over) {
            break;
        }
    }
    assert_in_range(frames, 20, 32);
    codec->close(r);
    str_fini(&bytes);
    mem_free(path);
}

static void what_cannot_be_opened_is_named(void **state)
{
    (void)state;
    struct pattern p = pattern_of(PATTERN_NOISE, 64, 48, VIDEO_RGB);
    struct video_reader *r = NULL;
    struct video_writer *w = NULL;
    char *path = write_video("cut.mp4", "mpeg4", &p, VIDEO_RGB, 9);
    struct str bytes = STR_INIT;
    assert_fine(file_read(path, 0, &bytes));
    str_truncate(&bytes, 40); // in its head
    assert_fine(file_write(path, str_slice(&bytes)));
    assert_fails(codec->open(path, false, &r), NRD_INVALID_ARG,
                 "cut.mp4': no video that can be decoded: Stream not found");
    assert_fine(file_write(path, SLICE("no video at all")));
    assert_fails(codec->open(path, false, &r), NRD_INVALID_ARG, "cut.mp4'");
    assert_fails(codec->open("/tmp/nereid-absent.mp4", false, &r), NRD_NOT_FOUND,
                 "nereid-absent.mp4'");

    struct video_writer_options options = {
        .width = 32, .height = 16, .pixels = VIDEO_RGB, .rate = 25, .codec = "none_such"};
    assert_fails(codec->create(path, &options, &w), NRD_UNSUPPORTED, "no encoder 'none_such'");
    options.codec = "auto";
    assert_fails(codec->create("/tmp/nereid-absent.none", &options, &w), NRD_UNSUPPORTED,
                 "names no video container");
    assert_fails(codec->create("/tmp/nereid-no-folder/x.mp4", &options, &w), NRD_UNAVAILABLE,
                 "cannot be made");
    str_fini(&bytes);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lossless_frames_come_back_to_the_bit),
        cmocka_unit_test(lossy_frames_come_back_alike),
        cmocka_unit_test(frames_keep_their_own_times),
        cmocka_unit_test(a_damaged_frame_is_an_error_or_left_out),
        cmocka_unit_test(a_file_that_was_cut_is_read_to_the_cut_and_named),
        cmocka_unit_test(an_mp4_without_its_end_is_read_to_there),
        cmocka_unit_test(what_cannot_be_opened_is_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
