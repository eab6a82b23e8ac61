// SPDX-License-Identifier: Apache-2.0
// Timings: each kernel on 1920 x 1080 and 3840 x 2160, beside the time that its bytes take at the speed of a large copy within
// the device, measured in the same run; and what calls cost the host.
//
// A row's launches go round over copies of its pictures that together are larger than the cache. The number is the median of
// 20 measurements, by events, of a captured graph of 50 launches: so the host's part of a launch is not in it.
#include "tests/gpu/gpu_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gpu/copy.h"
#include "gpu/graph_capture.h"
#include "gpu/kernels/kernels.h"

enum { ROUNDS = 20, LAUNCHES = 50, SETS_MAX = 16 };

struct bench {
    struct gpu_device *device;
    struct gpu_stream *stream;
    struct gpu_event *begin;
    struct gpu_event *end;
    double bytes_per_ms; // of a copy within the device, bytes read and written
    struct nrd_status *failure;
};

static void keep(struct bench *b, struct nrd_status *status)
{
    if (b->failure == NULL) {
        b->failure = status;
    } else {
        status_free(status);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef void (*launch_fn)(struct bench *b, unsigned set, void *arg);

static struct gpu_graph *capture(struct bench *b, unsigned sets, launch_fn launch, void *arg)
{
    struct gpu_graph *graph = NULL;
    keep(b, gpu_capture_begin(b->stream));
    for (unsigned i = 0; i < LAUNCHES && b->failure == NULL; i++) {
        launch(b, i % sets, arg);
    }
    if (b->failure == NULL) {
        keep(b, gpu_capture_end(b->stream, &graph));
    } else {
        gpu_capture_abort(b->stream);
    }
    return graph;
}

// Median ms of one launch.
static double measure(struct bench *b, unsigned sets, launch_fn launch, void *arg)
{
    double times[ROUNDS] = {0};
    struct gpu_graph *graph = NULL;
    launch(b, 0, arg); // loads what it needs, which a capture would refuse
    keep(b, gpu_stream_sync(b->stream, 0));
    if (b->failure == NULL) {
        graph = capture(b, sets, launch, arg);
    }
    for (unsigned r = 0; r < ROUNDS + 2 && b->failure == NULL; r++) { // two to warm up
        unsigned at = r < 2 ? 0 : r - 2;
        keep(b, gpu_event_record(b->begin, b->stream));
        keep(b, gpu_graph_launch(graph, b->stream));
        keep(b, gpu_event_record(b->end, b->stream));
        keep(b, gpu_event_wait(b->end, 0));
        if (b->failure == NULL) {
            keep(b, gpu_event_elapsed(b->begin, b->end, &times[at]));
            times[at] /= LAUNCHES;
        }
    }
    gpu_graph_destroy(graph);
    qsort(times, ROUNDS, sizeof(times[0]), compare);
    return b->failure == NULL ? times[ROUNDS / 2] : 0;
}

// The same of launches put into the stream one by one: for what takes long. A copy in a graph is slower than one that is not.
static double measure_stream(struct bench *b, launch_fn launch, void *arg)
{
    double times[ROUNDS] = {0};
    for (unsigned r = 0; r < ROUNDS && b->failure == NULL; r++) {
        keep(b, gpu_event_record(b->begin, b->stream));
        launch(b, 0, arg);
        keep(b, gpu_event_record(b->end, b->stream));
        keep(b, gpu_event_wait(b->end, 0));
        if (b->failure == NULL) {
            keep(b, gpu_event_elapsed(b->begin, b->end, &times[r]));
        }
    }
    qsort(times, ROUNDS, sizeof(times[0]), compare);
    return times[ROUNDS / 2];
}

static void *device_bytes(struct bench *b, size_t size, struct tensor_buffer **buffer)
{
    *buffer = NULL;
    keep(b, gpu_direct_get(b->device, size, buffer));
    if (*buffer == NULL) {
        return NULL;
    }
    // Noise, since zeros can run faster than data.
    unsigned char *noise = mem_alloc(size);
    unsigned seed = 1;
    for (size_t i = 0; noise != NULL && i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        noise[i] = (unsigned char)(seed >> 24);
    }
    keep(b, gpu_copy(b->stream, (*buffer)->data, b->device, noise, NULL, size));
    keep(b, gpu_stream_sync(b->stream, 0));
    mem_free(noise);
    return (*buffer)->data;
}

struct row {
    const char *name;
    size_t read; // bytes of one launch
    size_t written;
    size_t read_too; // of what is written
    unsigned sets;
    struct tensor_buffer *from[SETS_MAX];
    struct tensor_buffer *to[SETS_MAX];
    uint32_t width, height;
    int variant;
    void (*run)(struct bench *b, struct row *row, unsigned set);
};

static void run_row(struct bench *b, unsigned set, void *arg)
{
    struct row *row = arg;
    row->run(b, row, set);
}

static void print_row(struct bench *b, struct row *row)
{
    // Twice the cache and more: 50 MB on an H100.
    size_t one = row->read + row->written + row->read_too;
    row->sets = (unsigned)(((size_t)160 << 20) / one) + 1;
    row->sets = row->sets > SETS_MAX ? SETS_MAX : row->sets;
    for (unsigned i = 0; i < row->sets; i++) {
        (void)device_bytes(b, row->read, &row->from[i]);
        (void)device_bytes(b, row->written, &row->to[i]);
    }
    double ms = b->failure == NULL ? measure(b, row->sets, run_row, row) : 0;
    double bound = (double)one / b->bytes_per_ms;
    if (b->failure == NULL) {
        printf("%-44s %4ux%-4u %8.2f us %8.2f us bound %6.2f x\n", row->name, row->width,
               row->height, ms * 1e3, bound * 1e3, ms / bound);
    }
    for (unsigned i = 0; i < row->sets; i++) {
        buffer_unref(row->from[i]);
        buffer_unref(row->to[i]);
    }
}

static void run_copy(struct bench *b, struct row *row, unsigned set)
{
    keep(b, gpu_copy(b->stream, row->to[set]->data, b->device, row->from[set]->data, b->device,
                     row->read));
}

static void run_convert(struct bench *b, struct row *row, unsigned set)
{
    uint32_t w = row->width;
    uint32_t h = row->height;
    bool resize = row->variant == 2;
    struct gpu_convert p = {
        .from = gpu_image_of(row->from[set]->data, w, h, 3, NRD_DTYPE_U8),
        .to = gpu_image_of(row->to[set]->data, resize ? 640 : w, resize ? 640 : h,
                           row->variant == 1 ? 1 : 3, NRD_DTYPE_F32),
        .order = {2, 1, 0, -1},
        .scale_min = 0,
        .scale_max = 1,
        .sampling = GPU_SAMPLE_LINEAR,
    };
    if (row->variant >= 1) {
        p.planar = true;
        p.to.channels = 3;
        p.to.stride = (size_t)p.to.width * sizeof(float);
    }
    if (row->variant == 3) {
        p.to = gpu_image_of(row->to[set]->data, w, h, 4, NRD_DTYPE_U8);
        p.planar = false;
    }
    keep(b, gpu_kernel_convert_launch(&p, b->stream));
}

static void run_yuv(struct bench *b, struct row *row, unsigned set)
{
    struct gpu_yuv p = {.matrix = GPU_YUV_BT709, .order = {0, 1, 2, -1}, .alpha = 255};
    bool back = row->variant == 1;
    gpu_yuv_planes(&p, back ? row->to[set]->data : row->from[set]->data, GPU_NV12, row->width,
                   row->height);
    p.rgb = gpu_image_of(back ? row->from[set]->data : row->to[set]->data, row->width, row->height,
                         3, NRD_DTYPE_U8);
    keep(b, back ? gpu_kernel_to_yuv_launch(&p, b->stream)
                 : gpu_kernel_from_yuv_launch(&p, b->stream));
}

static void run_demosaic(struct bench *b, struct row *row, unsigned set)
{
    struct gpu_demosaic p = {
        .from = gpu_image_of(row->from[set]->data, row->width, row->height, 1, NRD_DTYPE_U8),
        .to = gpu_image_of(row->to[set]->data, row->width, row->height, 3, NRD_DTYPE_U8),
        .grid = GPU_BAYER_RGGB,
    };
    keep(b, gpu_kernel_demosaic_launch(&p, b->stream));
}

static void run_classes(struct bench *b, struct row *row, unsigned set)
{
    struct gpu_classes p = {
        .kind = row->variant == 0   ? GPU_ARGMAX
                : row->variant == 1 ? GPU_SOFTMAX
                                    : GPU_SIGMOID,
        .scores = row->from[set]->data,
        .width = row->width,
        .height = row->height,
        .channels = 5,
        .planes = true,
        .map = row->to[set]->data,
        .out = row->to[set]->data,
    };
    keep(b, gpu_kernel_classes_launch(&p, b->stream));
}

static void run_blend(struct bench *b, struct row *row, unsigned set)
{
    struct gpu_blend p = {
        .canvas = gpu_image_of(row->to[set]->data, row->width, row->height, 4, NRD_DTYPE_U8),
        .over = gpu_image_of(row->from[set]->data, row->width, row->height, 4, NRD_DTYPE_U8),
        .opacity = 0.5f,
    };
    if (row->variant == 1) {
        p.over = gpu_image_of(row->from[set]->data, row->width, row->height, 1, NRD_DTYPE_U8);
        p.lut = row->from[set]->data; // any colours
        p.lut_count = 256;
    }
    keep(b, gpu_kernel_blend_launch(&p, b->stream));
}

static void print_kernels(struct bench *b, uint32_t w, uint32_t h)
{
    const size_t n = (size_t)w * h;
    struct row rows[] = {
        {"convert RGB u8 to BGR f32", n * 3, n * 12, .variant = 0, .run = run_convert},
        {"convert RGB u8 to BGR f32 planes", n * 3, n * 12, .variant = 1, .run = run_convert},
        {"convert RGB u8 to RGBA u8", n * 3, n * 4, .variant = 3, .run = run_convert},
        {"resize linear to 640x640 f32 planes", n * 3, 640 * 640 * 12, .variant = 2,
         .run = run_convert},
        {"NV12 to RGB u8", n * 3 / 2, n * 3, .run = run_yuv},
        {"RGB u8 to NV12", n * 3, n * 3 / 2, .variant = 1, .run = run_yuv},
        {"demosaic u8 to RGB", n, n * 3, .run = run_demosaic},
        {"argmax of 5 planes", n * 20, n, .run = run_classes},
        {"softmax of 5 planes", n * 20, n * 20, .variant = 1, .run = run_classes},
        {"sigmoid of 5 planes", n * 20, n * 20, .variant = 2, .run = run_classes},
        {"blend RGBA over RGBA", n * 4, n * 4, .read_too = n * 4, .run = run_blend},
        {"blend a class map over RGBA", n, n * 4, .read_too = n * 4, .variant = 1,
         .run = run_blend},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rows[i].width = w;
        rows[i].height = h;
        print_row(b, &rows[i]);
    }
}

// ---- what calls cost the host -------------------------------------------------------------------------------------

static double host_ns(uint64_t begin, unsigned calls)
{
    return (double)(clock_now_ns() - begin) / calls;
}

static void print_calls(struct bench *b)
{
    enum { CALLS = 2000 };
    struct gpu_pool *pool = NULL;
    struct gpu_pool_options options = {.kind = NRD_MEMORY_GPU,
                                       .device = b->device,
                                       .limit_bytes = 64 << 20,
                                       .initial_bytes = 64 << 20};
    struct tensor_buffer *buffer = NULL;
    struct gpu_graph *graph = NULL;
    keep(b, gpu_pool_create(&options, &pool));
    uint64_t begin = clock_now_ns();
    for (int i = 0; i < CALLS && b->failure == NULL; i++) {
        keep(b, gpu_pool_get(pool, 100000, &buffer));
        buffer_unref(buffer);
    }
    printf("%-44s %8.0f ns\n", "pool get and put", host_ns(begin, CALLS));
    begin = clock_now_ns();
    for (int i = 0; i < CALLS && b->failure == NULL; i++) {
        struct gpu_event *event = NULL;
        keep(b, gpu_event_after(b->stream, &event));
        gpu_event_unref(event);
    }
    printf("%-44s %8.0f ns\n", "event get, record, unref", host_ns(begin, CALLS));
    keep(b, gpu_stream_sync(b->stream, 0));
    begin = clock_now_ns();
    for (int i = 0; i < CALLS && b->failure == NULL; i++) {
        keep(b, gpu_pool_get(pool, 100000, &buffer));
        keep(b, gpu_buffer_set_ready(buffer, b->stream));
        keep(b, gpu_buffer_wait(buffer, b->stream));
        keep(b, gpu_buffer_use(buffer, b->stream));
        buffer_unref(buffer);
    }
    printf("%-44s %8.0f ns\n", "hand-over of a buffer (ready, wait, use)", host_ns(begin, CALLS));
    keep(b, gpu_stream_sync(b->stream, 0));
    (void)device_bytes(b, 1 << 16, &buffer);
    begin = clock_now_ns();
    for (int i = 0; i < CALLS && b->failure == NULL; i++) {
        struct gpu_convert p = {
            .from = gpu_image_of(buffer->data, 16, 16, 3, NRD_DTYPE_U8),
            .to = gpu_image_of((char *)buffer->data + 4096, 16, 16, 3, NRD_DTYPE_F32),
            .order = {0, 1, 2, -1},
            .scale_max = 1};
        keep(b, gpu_kernel_convert_launch(&p, b->stream));
    }
    printf("%-44s %8.0f ns\n", "kernel launch", host_ns(begin, CALLS));
    keep(b, gpu_stream_sync(b->stream, 0));
    keep(b, gpu_capture_begin(b->stream));
    for (int i = 0; i < 20; i++) {
        keep(b, gpu_stream_fill(b->stream, buffer->data, 1, 256));
    }
    keep(b, gpu_capture_end(b->stream, &graph));
    begin = clock_now_ns();
    for (int i = 0; i < CALLS / 10 && b->failure == NULL; i++) {
        keep(b, gpu_graph_launch(graph, b->stream));
    }
    printf("%-44s %8.0f ns\n", "launch of a graph of 20 nodes", host_ns(begin, CALLS / 10));
    keep(b, gpu_stream_sync(b->stream, 0));
    gpu_graph_destroy(graph);
    buffer_unref(buffer);
    gpu_pool_destroy(pool);
}

static void print_host_copies(struct bench *b)
{
    enum { SIZE = 64 << 20 };
    struct gpu_pool *pool = NULL;
    struct gpu_pool_options options = {
        .kind = NRD_MEMORY_PINNED, .device = b->device, .limit_bytes = SIZE, .numa_node = -1};
    struct tensor_buffer *pinned = NULL;
    struct tensor_buffer *there = NULL;
    double ms[2] = {0, 0};
    keep(b, gpu_pool_create(&options, &pool));
    uint64_t begin = clock_now_ns();
    keep(b, gpu_pool_get(pool, SIZE, &pinned));
    printf("%-44s %8.2f ms\n", "64 MiB of pinned memory, the first time", host_ns(begin, 1) / 1e6);
    (void)device_bytes(b, SIZE, &there);
    for (int way = 0; way < 2 && b->failure == NULL; way++) {
        keep(b, gpu_event_record(b->begin, b->stream));
        for (int i = 0; i < 10; i++) {
            keep(b, way == 0
                        ? gpu_copy(b->stream, there->data, b->device, pinned->data, NULL, SIZE)
                        : gpu_copy(b->stream, pinned->data, NULL, there->data, b->device, SIZE));
        }
        keep(b, gpu_event_record(b->end, b->stream));
        keep(b, gpu_event_wait(b->end, 0));
        if (b->failure == NULL) {
            keep(b, gpu_event_elapsed(b->begin, b->end, &ms[way]));
        }
    }
    printf("%-44s %8.1f GB/s in, %.1f GB/s out\n", "pinned copies of 64 MiB",
           SIZE * 10 / ms[0] / 1e6, SIZE * 10 / ms[1] / 1e6);
    buffer_unref(pinned);
    buffer_unref(there);
    gpu_pool_destroy(pool);
}

int print_timings(struct gpu_machine *machine)
{
    struct bench b = {.device = machine->device};
    uint64_t begin = clock_now_ns();
    keep(&b, gpu_device_open(b.device));
    printf("%-44s %8.1f ms\n", "making the context", host_ns(begin, 1) / 1e6);
    keep(&b, gpu_stream_create(b.device, GPU_PRIORITY_NORMAL, &b.stream));
    keep(&b, gpu_event_get_timed(b.device, &b.begin));
    keep(&b, gpu_event_get_timed(b.device, &b.end));
    begin = clock_now_ns();
    for (int i = 0; i < GPU_UNIT_COUNT && b.failure == NULL; i++) {
        uint64_t one = clock_now_ns();
        keep(&b, gpu_kernels_prepare(b.device, (enum gpu_kernel_unit)i));
        printf("  %-42s %8.1f ms\n", gpu_unit_name((enum gpu_kernel_unit)i), host_ns(one, 1) / 1e6);
    }
    printf("%-44s %8.1f ms\n", "loading all kernels", host_ns(begin, 1) / 1e6);
    struct row copy = {
        .name = "copy", .read = (size_t)512 << 20, .written = (size_t)512 << 20, .run = run_copy};
    (void)device_bytes(&b, copy.read, &copy.from[0]);
    (void)device_bytes(&b, copy.written, &copy.to[0]);
    if (b.failure == NULL) {
        double ms = measure_stream(&b, run_row, &copy);
        b.bytes_per_ms = (double)(copy.read + copy.written) / ms;
        printf("%-44s %8.0f GB/s, bytes read and written\n", "copy within the device, 512 MiB",
               b.bytes_per_ms / 1e6);
    }
    buffer_unref(copy.from[0]);
    buffer_unref(copy.to[0]);
    if (b.failure == NULL) {
        print_kernels(&b, 1920, 1080);
        print_kernels(&b, 3840, 2160);
        print_calls(&b);
        print_host_copies(&b);
    }
    gpu_event_unref(b.begin);
    gpu_event_unref(b.end);
    gpu_stream_destroy(b.stream);
    if (b.failure != NULL) {
        printf("timings: %s\n", status_text(b.failure));
        status_free(b.failure);
        return 1;
    }
    return 0;
}
