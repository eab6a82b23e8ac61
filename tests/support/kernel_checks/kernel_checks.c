// SPDX-License-Identifier: Apache-2.0
// Kernel checks. A picture lies in a larger piece of memory (an area) at a random offset and stride; the area is filled with
// noise, the reference writes into a copy of it, and the two whole areas are compared, so a write beside the picture shows.
#include "tests/support/kernel_checks/kernel_checks.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/copy.h"
#include "image/blend.h"
#include "image/classes.h"
#include "image/convert.h"
#include "image/demosaic.h"
#include "image/resize.h"
#include "image/yuv.h"

static uint32_t next_random(struct kernel_check *k)
{
    k->seed = k->seed * 1664525u + 1013904223u;
    return k->seed >> 7;
}

static uint32_t random_to(struct kernel_check *k, uint32_t least, uint32_t most)
{
    return least + next_random(k) % (most - least + 1);
}

static bool fail(struct kernel_check *k, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(k->message, sizeof(k->message), format, args);
    va_end(args);
    return false;
}

static bool ok(struct kernel_check *k, const char *what, struct nrd_status *status)
{
    if (status == NULL) {
        return true;
    }
    fail(k, "%s: %s", what, status_text(status));
    status_free(status);
    return false;
}

// ---- areas --------------------------------------------------------------------------------------------------------

struct area {
    size_t size;
    unsigned char *host;
    struct tensor_buffer *device;
};

static void area_fini(struct area *a)
{
    free(a->host);
    buffer_unref(a->device);
    memset(a, 0, sizeof(*a));
}

// `size` bytes of noise, on both sides. Floats made of noise are any number; fill_floats() makes usable ones.
static bool area_init(struct kernel_check *k, struct area *a, size_t size)
{
    memset(a, 0, sizeof(*a));
    a->size = size;
    a->host = malloc(size);
    if (a->host == NULL) {
        return fail(k, "out of memory");
    }
    for (size_t i = 0; i < size; i++) {
        a->host[i] = (unsigned char)next_random(k);
    }
    return ok(k, "gpu_direct_get", gpu_direct_get(k->device, size, &a->device));
}

static bool area_upload(struct kernel_check *k, struct area *a)
{
    return ok(k, "upload",
              gpu_copy(k->stream, a->device->data, k->device, a->host, NULL, a->size)) &&
           ok(k, "upload", gpu_stream_sync(k->stream, 0));
}

// The device's bytes; NULL on failure. The caller frees.
static unsigned char *area_download(struct kernel_check *k, struct area *a)
{
    unsigned char *bytes = malloc(a->size);
    if (bytes != NULL &&
        ok(k, "download", gpu_copy(k->stream, bytes, NULL, a->device->data, k->device, a->size)) &&
        ok(k, "download", gpu_stream_sync(k->stream, 0))) {
        return bytes;
    }
    free(bytes);
    return NULL;
}

// A picture in an area: `offset` bytes in, rows `stride` apart.
struct placed {
    struct area area;
    size_t offset;
    struct image image; // on the host
};

static bool picture(struct kernel_check *k, struct placed *p, uint32_t width, uint32_t height,
                    uint32_t channels, enum nrd_dtype dtype, bool gaps)
{
    size_t size = dtype_size(dtype);
    size_t row = (size_t)width * channels * size;
    size_t stride = gaps ? row + random_to(k, 0, 9) * size : row;
    p->offset = gaps ? random_to(k, 0, 5) * size : 0;
    if (!area_init(k, &p->area, p->offset + stride * height + 16)) {
        return false;
    }
    p->image = (struct image){p->area.host + p->offset, width, height, channels, stride, dtype};
    if (dtype == NRD_DTYPE_F32) {
        for (uint32_t y = 0; y < height; y++) {
            float *values = image_row(&p->image, y);
            for (uint32_t x = 0; x < width * channels; x++) {
                values[x] = (float)next_random(k) / 16777216.0f - 0.5f;
            }
        }
    }
    return true;
}

static struct gpu_image on_device(const struct placed *p)
{
    return (struct gpu_image){(char *)p->area.device->data + p->offset,
                              p->image.width,
                              p->image.height,
                              p->image.channels,
                              p->image.stride,
                              p->image.dtype};
}

// Compares what the device has with the host's area (where the reference wrote).
static bool same_area(struct kernel_check *k, struct area *a, const char *what)
{
    unsigned char *got = area_download(k, a);
    if (got == NULL) {
        return false;
    }
    bool same = true;
    for (size_t i = 0; i < a->size && same; i++) {
        same = got[i] == a->host[i] ||
               fail(k, "%s: byte %zu is %u, expected %u", what, i, got[i], a->host[i]);
    }
    free(got);
    return same;
}

static uint32_t some_width(struct kernel_check *k)
{
    return random_to(k, 1, k->max_width);
}

static uint32_t some_height(struct kernel_check *k)
{
    return random_to(k, 1, k->max_height);
}

// ---- convert and resize -------------------------------------------------------------------------------------------

static const enum nrd_dtype pairs[][2] = {
    {NRD_DTYPE_U8, NRD_DTYPE_U8},   {NRD_DTYPE_U8, NRD_DTYPE_F32}, {NRD_DTYPE_F32, NRD_DTYPE_U8},
    {NRD_DTYPE_F32, NRD_DTYPE_F32}, {NRD_DTYPE_U16, NRD_DTYPE_U8}, {NRD_DTYPE_U16, NRD_DTYPE_U16},
    {NRD_DTYPE_U16, NRD_DTYPE_F32},
};

static void random_conversion(struct kernel_check *k, uint32_t from_channels,
                              struct image_conversion *how)
{
    static const float ranges[][2] = {{0, 1}, {-1, 1}, {0, 255}, {-0.5f, 0.25f}};
    for (int c = 0; c < 4; c++) {
        how->order[c] = (int8_t)((int)random_to(k, 0, from_channels) - 1);
    }
    if (random_to(k, 0, 2) == 0) {
        for (uint32_t c = 0; c < 4; c++) {
            how->order[c] = c < from_channels ? (int8_t)c : IMAGE_ALPHA;
        }
    }
    const float *range = ranges[random_to(k, 0, 3)];
    how->scale_min = range[0];
    how->scale_max = range[1];
    how->alpha = (float)random_to(k, 0, 255);
}

static struct gpu_convert convert_params(const struct placed *from, const struct placed *to,
                                         const struct image_conversion *how)
{
    struct gpu_convert p = {.from = on_device(from),
                            .to = on_device(to),
                            .scale_min = how->scale_min,
                            .scale_max = how->scale_max,
                            .alpha = how->alpha};
    for (int c = 0; c < 4; c++) {
        p.order[c] = how->order[c];
    }
    return p;
}

static bool convert_case(struct kernel_check *k, const enum nrd_dtype *types, uint32_t width,
                         uint32_t height)
{
    struct placed from = {.offset = 0};
    struct placed to = {.offset = 0};
    uint32_t in = random_to(k, 1, 4);
    uint32_t out = random_to(k, 1, 4);
    bool planar = random_to(k, 0, 1) == 1;
    struct image_conversion how;
    random_conversion(k, in, &how);
    bool good = picture(k, &from, width, height, in, types[0], true) &&
                picture(k, &to, width, planar ? height * out : height, planar ? 1 : out, types[1],
                        !planar) &&
                area_upload(k, &from.area) && area_upload(k, &to.area);
    if (good) {
        struct gpu_convert p = convert_params(&from, &to, &how);
        if (planar) {
            p.planar = true;
            p.to.height = height;
            p.to.channels = out;
            image_convert_planar(&from.image, to.image.data, out, types[1], &how);
        } else {
            image_convert(&from.image, &to.image, &how);
        }
        char what[128];
        snprintf(what, sizeof(what), "convert %s to %s%s, %ux%u, %u to %u channels",
                 dtype_name(types[0]), dtype_name(types[1]), planar ? " planes" : "", width, height,
                 in, out);
        good =
            ok(k, what, gpu_kernel_convert_launch(&p, k->stream)) && same_area(k, &to.area, what);
    }
    area_fini(&from.area);
    area_fini(&to.area);
    return good;
}

bool kernel_check_convert(struct kernel_check *k)
{
    for (unsigned i = 0; i < k->cases; i++) {
        if (!convert_case(k, pairs[i % 7], some_width(k), some_height(k))) {
            return false;
        }
    }
    return true;
}

// Resizes on the host by way of `type`.
static bool resize_host(struct kernel_check *k, const struct image *from, const struct image *to,
                        bool nearest)
{
    struct image_resizer *resizer = NULL;
    struct image_resize_options options = {
        .from_width = from->width,
        .from_height = from->height,
        .to_width = to->width,
        .to_height = to->height,
        .channels = from->channels,
        .dtype = from->dtype,
        .mode = nearest ? IMAGE_RESIZE_NEAREST : IMAGE_RESIZE_LINEAR,
    };
    if (!ok(k, "resizer", image_resizer_create(&options, &resizer))) {
        return false;
    }
    image_resizer_run(resizer, from, to);
    image_resizer_destroy(resizer);
    return true;
}

// The reference: to floats first and resized as floats, or resized and then made integers; as the kernel, which rounds once.
static bool resize_reference(struct kernel_check *k, const struct image *from,
                             const struct image *to, const struct image_conversion *how,
                             bool nearest)
{
    bool first = to->dtype == NRD_DTYPE_F32;
    struct image middle = first
                              ? image_of(NULL, from->width, from->height, to->channels, to->dtype)
                              : image_of(NULL, to->width, to->height, from->channels, from->dtype);
    middle.data = calloc(middle.stride * middle.height + 1, 1);
    if (middle.data == NULL) {
        return fail(k, "out of memory");
    }
    bool good;
    if (first) {
        image_convert(from, &middle, how);
        good = resize_host(k, &middle, to, nearest);
    } else {
        good = resize_host(k, from, &middle, nearest);
        image_convert(&middle, to, how);
    }
    free(middle.data);
    return good;
}

static bool near_picture(struct kernel_check *k, struct placed *to, double allowed,
                         const char *what)
{
    unsigned char *got = area_download(k, &to->area);
    if (got == NULL) {
        return false;
    }
    bool good = true;
    struct image image = to->image;
    image.data = got + to->offset;
    for (uint32_t y = 0; y < image.height && good; y++) {
        const void *a = image_row(&image, y);
        const void *b = image_row(&to->image, y);
        for (uint32_t i = 0; i < image.width * image.channels && good; i++) {
            double value = image.dtype == NRD_DTYPE_U8    ? ((const uint8_t *)a)[i]
                           : image.dtype == NRD_DTYPE_U16 ? ((const uint16_t *)a)[i]
                                                          : (double)((const float *)a)[i];
            double expected = image.dtype == NRD_DTYPE_U8    ? ((const uint8_t *)b)[i]
                              : image.dtype == NRD_DTYPE_U16 ? ((const uint16_t *)b)[i]
                                                             : (double)((const float *)b)[i];
            good = fabs(value - expected) <= allowed ||
                   fail(k, "%s: row %u, number %u is %g, expected %g", what, y, i, value, expected);
        }
    }
    free(got);
    return good;
}

static bool resize_case(struct kernel_check *k, const enum nrd_dtype *types, bool nearest)
{
    struct placed from = {.offset = 0};
    struct placed to = {.offset = 0};
    struct image_conversion how;
    uint32_t in = random_to(k, 1, 4);
    uint32_t out = random_to(k, 1, 4);
    random_conversion(k, in, &how);
    bool good = picture(k, &from, some_width(k), some_height(k), in, types[0], true) &&
                picture(k, &to, some_width(k), some_height(k), out, types[1], true) &&
                area_upload(k, &from.area) && area_upload(k, &to.area) &&
                resize_reference(k, &from.image, &to.image, &how, nearest);
    if (good) {
        struct gpu_convert p = convert_params(&from, &to, &how);
        p.sampling = nearest ? GPU_SAMPLE_NEAREST : GPU_SAMPLE_LINEAR;
        char what[128];
        snprintf(what, sizeof(what), "resize (%s) %s to %s, %ux%u to %ux%u, %u to %u channels",
                 nearest ? "nearest" : "linear", dtype_name(types[0]), dtype_name(types[1]),
                 from.image.width, from.image.height, to.image.width, to.image.height, in, out);
        double allowed = types[1] != NRD_DTYPE_F32 ? 1.0
                         : types[0] == NRD_DTYPE_F32
                             ? 2e-4
                             : 2e-4 * fabs((double)how.scale_max - (double)how.scale_min);
        good = ok(k, what, gpu_kernel_convert_launch(&p, k->stream)) &&
               (nearest ? same_area(k, &to.area, what) : near_picture(k, &to, allowed, what));
    }
    area_fini(&from.area);
    area_fini(&to.area);
    return good;
}

bool kernel_check_resize(struct kernel_check *k)
{
    for (unsigned i = 0; i < k->cases; i++) {
        if (!resize_case(k, pairs[i % 7], i % 3 == 0)) {
            return false;
        }
    }
    return true;
}

// ---- YUV ----------------------------------------------------------------------------------------------------------

static void set_planes(struct gpu_yuv *p, const struct image_yuv *host, const struct area *area)
{
    for (int i = 0; i < 3; i++) {
        p->strides[i] = host->strides[i];
        p->planes[i] = host->planes[i] == NULL
                           ? NULL
                           : (uint8_t *)area->device->data + (host->planes[i] - area->host);
    }
}

static bool yuv_case(struct kernel_check *k, enum image_yuv_layout layout,
                     enum image_yuv_matrix matrix, bool to_rgb)
{
    static const int8_t orders[][4] = {{0, 1, 2, -1}, {2, 1, 0, -1}, {-1, 0, 1, 2}};
    uint32_t width = some_width(k);
    uint32_t height = some_height(k);
    struct placed rgb = {.offset = 0};
    struct area yuv = {.size = 0};
    const int8_t *order = orders[random_to(k, 0, 2)];
    bool good = picture(k, &rgb, width, height, random_to(k, 3, 4), NRD_DTYPE_U8, true) &&
                area_init(k, &yuv, image_yuv_size(layout, width, height) + 8) &&
                area_upload(k, &rgb.area) && area_upload(k, &yuv);
    if (good) {
        // 0 to 4 bytes in, so that rows are not aligned.
        struct image_yuv host = image_yuv_of(yuv.host + random_to(k, 0, 4), layout, width, height);
        struct gpu_yuv p = {.layout = (enum gpu_yuv_layout)layout,
                            .matrix = (enum gpu_yuv_matrix)matrix,
                            .rgb = on_device(&rgb),
                            .order = {order[0], order[1], order[2], order[3]},
                            .alpha = 77,
                            .red = (uint8_t)(2 * random_to(k, 0, 1))};
        set_planes(&p, &host, &yuv);
        char what[128];
        snprintf(what, sizeof(what), "%s YUV layout %d, matrix %d, %ux%u", to_rgb ? "from" : "to",
                 (int)layout, (int)matrix, width, height);
        if (to_rgb) {
            image_from_yuv(&host, matrix, &rgb.image, order, 77);
            good = ok(k, what, gpu_kernel_from_yuv_launch(&p, k->stream)) &&
                   same_area(k, &rgb.area, what);
        } else {
            image_to_yuv(&rgb.image, p.red, matrix, &host);
            good = ok(k, what, gpu_kernel_to_yuv_launch(&p, k->stream)) && same_area(k, &yuv, what);
        }
    }
    area_fini(&rgb.area);
    area_fini(&yuv);
    return good;
}

bool kernel_check_yuv(struct kernel_check *k)
{
    for (unsigned i = 0; i < k->cases; i++) {
        if (!yuv_case(k, (enum image_yuv_layout)(i % 4), (enum image_yuv_matrix)(i / 4 % 5),
                      i / 20 % 2 == 0)) {
            return false;
        }
    }
    return true;
}

// ---- demosaic, classes, blend -------------------------------------------------------------------------------------

static bool demosaic_case(struct kernel_check *k, enum image_bayer grid, enum nrd_dtype dtype)
{
    struct placed from = {.offset = 0};
    struct placed to = {.offset = 0};
    uint32_t width = some_width(k) + 1;
    uint32_t height = some_height(k) + 1;
    bool good = picture(k, &from, width, height, 1, dtype, true) &&
                picture(k, &to, width, height, random_to(k, 3, 4), dtype, true) &&
                area_upload(k, &from.area) && area_upload(k, &to.area);
    if (good) {
        struct gpu_demosaic p = {.from = on_device(&from),
                                 .to = on_device(&to),
                                 .grid = (enum gpu_bayer)grid,
                                 .alpha = 200};
        char what[96];
        snprintf(what, sizeof(what), "demosaic grid %d of %s, %ux%u", (int)grid, dtype_name(dtype),
                 width, height);
        image_demosaic(&from.image, grid, &to.image, 200);
        good =
            ok(k, what, gpu_kernel_demosaic_launch(&p, k->stream)) && same_area(k, &to.area, what);
    }
    area_fini(&from.area);
    area_fini(&to.area);
    return good;
}

bool kernel_check_demosaic(struct kernel_check *k)
{
    for (unsigned i = 0; i < k->cases; i++) {
        if (!demosaic_case(k, (enum image_bayer)(i % 4),
                           i / 4 % 2 == 0 ? NRD_DTYPE_U8 : NRD_DTYPE_U16)) {
            return false;
        }
    }
    return true;
}

static double softmax_at(const float *scores, uint32_t channels, size_t step, uint32_t which)
{
    double most = -INFINITY;
    double sum = 0;
    for (uint32_t c = 0; c < channels; c++) {
        most = fmax(most, (double)scores[c * step]);
    }
    for (uint32_t c = 0; c < channels; c++) {
        sum += exp((double)scores[c * step] - most);
    }
    return exp((double)scores[which * step] - most) / sum;
}

static bool check_floats(struct kernel_check *k, const struct gpu_classes *p, const float *scores,
                         const float *got, const char *what)
{
    size_t pixels = (size_t)p->width * p->height;
    size_t step = p->planes ? pixels : 1;
    for (size_t i = 0; i < pixels; i++) {
        const float *pixel = scores + (p->planes ? i : i * p->channels);
        for (uint32_t c = 0; c < p->channels; c++) {
            double value = (double)got[pixel - scores + c * step];
            double expected = p->kind == GPU_SIGMOID ? 1.0 / (1.0 + exp(-(double)pixel[c * step]))
                                                     : softmax_at(pixel, p->channels, step, c);
            double allowed = p->kind == GPU_SIGMOID ? 1e-6 : 1e-5 * expected + 1e-30;
            if (!(fabs(value - expected) <= allowed)) {
                return fail(k, "%s: pixel %zu, class %u is %g, expected %g", what, i, c, value,
                            expected);
            }
        }
    }
    return true;
}

static bool classes_case(struct kernel_check *k, enum gpu_classes_kind kind)
{
    uint32_t width = some_width(k);
    uint32_t height = some_height(k);
    uint32_t channels = random_to(k, 1, random_to(k, 0, 3) == 0 ? 200 : 9);
    struct placed scores = {.offset = 0};
    struct area map = {.size = 0};
    bool planes = random_to(k, 0, 1) == 1;
    bool good = picture(k, &scores, width, height, channels, NRD_DTYPE_F32, false) &&
                area_init(k, &map, (size_t)width * height + 8);
    float *numbers = scores.image.data;
    size_t count = (size_t)width * height * channels;
    for (size_t i = 0; good && i < count; i++) {
        // Steps, so that equal scores come often; and a NaN here and there where that has a meaning.
        numbers[i] = roundf(numbers[i] * 60.0f) / 4.0f;
        if (kind <= GPU_THRESHOLD && random_to(k, 0, 30) == 0) {
            numbers[i] = NAN;
        }
    }
    good = good && area_upload(k, &scores.area) && area_upload(k, &map);
    if (good) {
        struct gpu_classes p = {.kind = kind,
                                .scores = scores.area.device->data,
                                .width = width,
                                .height = height,
                                .channels = channels,
                                .planes = planes,
                                .map = map.device->data,
                                .out = scores.area.device->data,
                                .threshold = 0.5f};
        struct image_scores host = {numbers, width, height, channels,
                                    planes ? IMAGE_CHW : IMAGE_HWC};
        char what[96];
        snprintf(what, sizeof(what), "classes kind %d, %ux%ux%u %s", (int)kind, width, height,
                 channels, planes ? "planes" : "packed");
        good = ok(k, what, gpu_kernel_classes_launch(&p, k->stream));
        if (good && kind == GPU_ARGMAX) {
            image_argmax(&host, map.host);
            good = same_area(k, &map, what);
        } else if (good && kind == GPU_THRESHOLD) {
            image_threshold(&host, 0.5f, map.host);
            good = same_area(k, &map, what);
        } else if (good) {
            unsigned char *got = area_download(k, &scores.area);
            good =
                got != NULL && check_floats(k, &p, numbers, (const float *)(const void *)got, what);
            free(got);
        }
    }
    area_fini(&scores.area);
    area_fini(&map);
    return good;
}

bool kernel_check_classes(struct kernel_check *k)
{
    for (unsigned i = 0; i < k->cases; i++) {
        if (!classes_case(k, (enum gpu_classes_kind)(i % 4))) {
            return false;
        }
    }
    return true;
}

static bool blend_case(struct kernel_check *k, int kind)
{
    static const enum nrd_dtype map_types[] = {NRD_DTYPE_U8, NRD_DTYPE_U16, NRD_DTYPE_U32};
    static const uint32_t channels[] = {1, 3, 4};
    uint32_t width = some_width(k);
    uint32_t height = some_height(k);
    bool is_map = kind >= 3;
    struct placed canvas = {.offset = 0};
    struct placed over = {.offset = 0};
    struct area lut = {.size = 0};
    float opacity = (float)random_to(k, 0, 16) / 16.0f;
    bool good =
        picture(k, &canvas, width, height, 4, NRD_DTYPE_U8, false) &&
        (is_map ? picture(k, &over, some_width(k), some_height(k), 1, map_types[kind - 3], true)
                : picture(k, &over, width, height, channels[kind], NRD_DTYPE_U8, true)) &&
        area_init(k, &lut, 40 * 4);
    if (good && is_map && kind > 3) {
        for (uint32_t y = 0; y < over.image.height; y++) { // small numbers, and some past the table
            for (uint32_t x = 0; x < over.image.width; x++) {
                uint32_t number = random_to(k, 0, 50);
                if (kind == 4) {
                    ((uint16_t *)image_row(&over.image, y))[x] = (uint16_t)number;
                } else {
                    ((uint32_t *)image_row(&over.image, y))[x] = number == 50 ? UINT32_MAX : number;
                }
            }
        }
    }
    good =
        good && area_upload(k, &canvas.area) && area_upload(k, &over.area) && area_upload(k, &lut);
    if (good) {
        struct gpu_blend p = {
            .canvas = on_device(&canvas), .over = on_device(&over), .opacity = opacity};
        char what[96];
        snprintf(what, sizeof(what), "blend kind %d, %ux%u", kind, width, height);
        if (is_map) {
            p.lut = lut.device->data;
            p.lut_count = 40;
            image_blend_lut(&canvas.image, &over.image,
                            (const struct image_rgba *)(const void *)lut.host, 40, opacity);
        } else {
            image_blend(&canvas.image, &over.image, opacity);
        }
        good =
            ok(k, what, gpu_kernel_blend_launch(&p, k->stream)) && same_area(k, &canvas.area, what);
    }
    area_fini(&canvas.area);
    area_fini(&over.area);
    area_fini(&lut);
    return good;
}

bool kernel_check_blend(struct kernel_check *k)
{
    for (unsigned i = 0; i < k->cases; i++) {
        if (!blend_case(k, (int)(i % 6))) {
            return false;
        }
    }
    return true;
}

// ---- refusals -----------------------------------------------------------------------------------------------------

static bool refused(struct kernel_check *k, struct nrd_status *status, const char *text)
{
    bool good = status != NULL && strcmp(status_text(status), text) == 0;
    if (!good) {
        fail(k, "\"%s\", expected \"%s\"", status_text(status), text);
    }
    status_free(status);
    return good;
}

bool kernel_check_refusals(struct kernel_check *k)
{
    struct gpu_image bytes = gpu_image_of((void *)256, 4, 4, 3, NRD_DTYPE_U8);
    struct gpu_image wide = gpu_image_of((void *)256, 4, 4, 5, NRD_DTYPE_U8);
    struct gpu_image doubles = gpu_image_of((void *)256, 4, 4, 3, NRD_DTYPE_F64);
    struct gpu_image crooked = gpu_image_of((void *)257, 4, 4, 3, NRD_DTYPE_F32);
    struct gpu_image none = gpu_image_of((void *)256, 0, 0, 3, NRD_DTYPE_U8);
    struct gpu_image grey = gpu_image_of((void *)256, 4, 1, 1, NRD_DTYPE_U8);
    struct gpu_image thin = gpu_image_of((void *)256, 4, 1, 3, NRD_DTYPE_U8);
    struct gpu_image canvas = gpu_image_of((void *)256, 4, 4, 4, NRD_DTYPE_U8);
    struct gpu_convert convert = {.from = bytes, .to = wide, .order = {0, 1, 2, -1}};
    bool good = refused(k, gpu_kernel_convert_launch(&convert, k->stream),
                        "convert: 5 channels, expected 1 to 4");
    convert.to = doubles;
    good = good && refused(k, gpu_kernel_convert_launch(&convert, k->stream),
                           "no kernel converts UINT8 to FP64");
    convert.to = crooked;
    good = good && refused(k, gpu_kernel_convert_launch(&convert, k->stream),
                           "convert: pixels of FP32 are not aligned");
    convert.to = bytes;
    convert.order[1] = 3;
    good = good && refused(k, gpu_kernel_convert_launch(&convert, k->stream),
                           "convert: channel 3 of a picture of 3");
    convert.order[1] = 1;
    convert.from = none;
    good = good && refused(k, gpu_kernel_convert_launch(&convert, k->stream),
                           "convert: from a picture of no pixels to one of 4x4");
    convert.to = none;
    good = good && ok(k, "nothing", gpu_kernel_convert_launch(&convert, k->stream));
    struct gpu_yuv yuv = {.rgb = bytes, .order = {0, 1, 3, 0}};
    good = good && refused(k, gpu_kernel_from_yuv_launch(&yuv, k->stream), "yuv: channel 3 of RGB");
    yuv.red = 1;
    good = good && refused(k, gpu_kernel_to_yuv_launch(&yuv, k->stream),
                           "yuv: red in channel 1, expected 0 or 2");
    struct gpu_demosaic demosaic = {.from = grey, .to = bytes};
    good = good && refused(k, gpu_kernel_demosaic_launch(&demosaic, k->stream),
                           "demosaic: sizes 4x1 and 4x4 differ");
    demosaic.to = thin;
    good = good && refused(k, gpu_kernel_demosaic_launch(&demosaic, k->stream),
                           "demosaic: a picture of 4x1, at least 2x2");
    struct gpu_classes classes = {.kind = GPU_ARGMAX, .channels = 257};
    good = good && refused(k, gpu_kernel_classes_launch(&classes, k->stream),
                           "classes: 257 channels, expected 1 to 256");
    classes.channels = 3;
    good = good && refused(k, gpu_kernel_classes_launch(&classes, k->stream),
                           "classes: no place to read from or to write to");
    struct gpu_blend blend = {.canvas = canvas, .over = grey};
    good = good && refused(k, gpu_kernel_blend_launch(&blend, k->stream),
                           "blend: sizes 4x4 and 4x1 differ");
    blend.lut = (const uint32_t *)256;
    return good && refused(k, gpu_kernel_blend_launch(&blend, k->stream),
                           "blend: over it 4x1 of UINT8 and 1 channels, 0 colours");
}
