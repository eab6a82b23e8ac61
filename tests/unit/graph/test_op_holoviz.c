// SPDX-License-Identifier: Apache-2.0
// With NEREID_KEEP_PICTURES=DIR the frames are also written there, to be looked at.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "image/encode.h"
#include "picture_unit.h"

static struct nrd_tensor *give_floats(const char *name, const float *v, int64_t count,
                                      int64_t components)
{
    struct nrd_tensor *t = unit_give(name, NRD_DTYPE_F32, 1, count / components, components);
    memcpy(t->data, v, (size_t)count * sizeof(*v));
    return t;
}
#define GIVE(name, components, ...)                                                                \
    give_floats(name, (const float[]){__VA_ARGS__},                                                \
                sizeof((const float[]){__VA_ARGS__}) / sizeof(float), components)

static struct nrd_tensor *give_picture(const char *name, uint32_t width, uint32_t height)
{
    struct nrd_tensor *t = unit_give(name, NRD_DTYPE_U8, height, width, 3);
    for (uint32_t i = 0; i < width * height; i++) {
        uint8_t *p = (uint8_t *)t->data + 3 * i;
        p[0] = (uint8_t)(40 + 120 * (i % width) / width);
        p[1] = (uint8_t)(60 + 100 * (i / width) / height);
        p[2] = 90;
    }
    return t;
}

// Runs; returns the frame's pixels, and keeps a picture of it where that is asked for.
static const uint8_t *show(const char *name, const char *params, uint32_t width, uint32_t height)
{
    char all[4096];
    snprintf(all, sizeof(all), "{headless: true, width: %u, height: %u, %s}", width, height,
             params);
    ok(unit_run(&holoviz_op, all));
    struct nrd_tensor *t = unit_result("render_buffer_output", NRD_DTYPE_U8, height, width, 4);
    const char *folder = getenv("NEREID_KEEP_PICTURES");
    if (folder != NULL) {
        struct image image = image_of(t->data, width, height, 4, NRD_DTYPE_U8);
        struct str png = STR_INIT;
        char path[512];
        snprintf(path, sizeof(path), "%s/%s.png", folder, name);
        ok(image_write_png(&image, 6, &png));
        ok(file_write(path, str_slice(&png)));
        str_fini(&png);
    }
    return t->data;
}

static const uint8_t *at(const uint8_t *frame, uint32_t width, uint32_t x, uint32_t y)
{
    return frame + 4 * ((size_t)y * width + x);
}
static void assert_pixel(const uint8_t *p, int r, int g, int b)
{
    if (abs(p[0] - r) > 2 || abs(p[1] - g) > 2 || abs(p[2] - b) > 2) {
        fail_msg("pixel is %d,%d,%d, expected %d,%d,%d", p[0], p[1], p[2], r, g, b);
    }
}

static void a_picture_fills_the_frame(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("video", NRD_DTYPE_U8, 2, 2, 3);
    memcpy(t->data, "\xff\0\0\0\xff\0\0\0\xff\xff\xff\xff", 12);
    const uint8_t *p =
        show("picture", "image_aspect: stretch, tensors: [{name: video, type: color}]", 8, 8);
    assert_pixel(at(p, 8, 0, 0), 255, 0, 0);
    assert_pixel(at(p, 8, 7, 0), 0, 255, 0);
    assert_pixel(at(p, 8, 0, 7), 0, 0, 255);
    assert_pixel(at(p, 8, 7, 7), 255, 255, 255);
    assert_int_equal(p[3], 255);
    p = show("picture_kept", "image_aspect: keep, tensors: [{name: video, type: color}]", 16, 8);
    assert_pixel(at(p, 16, 0, 0), 0, 0, 0);
    assert_pixel(at(p, 16, 4, 0), 255, 0, 0);
    unit_forget();
}

static void layers_are_drawn_by_priority_and_opacity(void **state)
{
    (void)state;
    struct nrd_tensor *a = unit_give("a", NRD_DTYPE_U8, 2, 2, 3),
                      *b = unit_give("b", NRD_DTYPE_U8, 2, 2, 4);
    memset(a->data, 200, 12);
    for (int i = 0; i < 4; i++) {
        memcpy((uint8_t *)b->data + 4 * i, "\0\0\xc8\x80", 4);
    }
    const uint8_t *p = show(
        "layers", "tensors: [{name: b, type: color, priority: 1}, {name: a, type: color}]", 4, 4);
    assert_pixel(p, 100, 100, 200);
    p = show(
        "layers",
        "tensors: [{name: a, type: color, priority: 2, opacity: 0.25}, {name: b, type: color}]", 4,
        4);
    assert_pixel(p, 50, 50, 125);
    unit_forget();
}

static void numbers_are_looked_up(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("map", NRD_DTYPE_U8, 1, 4, 1);
    memcpy(t->data, "\0\1\2\x09", 4);
    const uint8_t *p = show("lut",
                            "color_lut: [[0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 0, 0.5]], background: "
                            "[1, 1, 1], tensors: [{name: map, type: color_lut}]",
                            4, 1);
    assert_pixel(p, 255, 255, 255);
    assert_pixel(p + 4, 255, 0, 0);
    assert_pixel(p + 8, 127, 255, 127);
    assert_pixel(p + 12, 127, 255, 127); // past the table: its last colour
    unit_forget();
}

static void shapes_lie_where_their_numbers_say(void **state)
{
    (void)state;
    GIVE("boxes", 2, 0.1f, 0.1f, 0.5f, 0.5f);
    GIVE("triangles", 2, 0.6f, 0.1f, 0.9f, 0.1f, 0.9f, 0.5f);
    GIVE("dots", 2, 0.2f, 0.8f);
    GIVE("crosses", 3, 0.5f, 0.8f, 0.2f);
    GIVE("ovals", 4, 0.8f, 0.8f, 0.2f, 0.1f);
    const uint8_t *p =
        show("shapes",
             "tensors: [{name: boxes, type: rectangles, color: [1, 0, 0], line_width: 4}, {name: "
             "triangles, type: triangles,"
             " color: [0, 1, 0, 1]}, {name: dots, type: points, point_size: 10}, {name: crosses, "
             "type: crosses,"
             " line_width: 4, color: [0, 0, 1]}, {name: ovals, type: ovals, line_width: 4}]",
             200, 100);
    assert_pixel(at(p, 200, 60, 10), 255, 0, 0); // the upper edge
    assert_pixel(at(p, 200, 60, 30), 0, 0, 0);   // and inside
    assert_pixel(at(p, 200, 175, 20), 0, 255, 0);
    assert_pixel(at(p, 200, 125, 40), 0, 0, 0);
    assert_pixel(at(p, 200, 40, 80), 255, 255, 255);
    assert_pixel(at(p, 200, 108, 80), 0, 0, 255); // a cross is as wide as high: 20 pixels
    assert_pixel(at(p, 200, 112, 80), 0, 0, 0);
    assert_pixel(at(p, 200, 100, 88), 0, 0, 255);
    assert_pixel(at(p, 200, 140, 80), 255, 255, 255); // half an axis to the left
    assert_pixel(at(p, 200, 160, 80), 0, 0, 0);
    unit_forget();
}

static void views_place_layers(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("v", NRD_DTYPE_U8, 2, 2, 3);
    memset(t->data, 255, 12);
    const uint8_t *p = show("views",
                            "tensors: [{name: v, type: color, views: [{offset_x: 0.5, offset_y: 0, "
                            "width: 0.5, height: 0.5}, {offset_x: -0.25,"
                            " offset_y: 0.75, width: 0.5, height: 0.5}]}]",
                            8, 8);
    assert_pixel(at(p, 8, 3, 0), 0, 0, 0);
    assert_pixel(at(p, 8, 4, 3), 255, 255, 255);
    assert_pixel(at(p, 8, 4, 4), 0, 0, 0);
    assert_pixel(at(p, 8, 1, 6), 255, 255, 255);
    assert_pixel(at(p, 8, 2, 6), 0, 0, 0);
    unit_forget();
}

static void give_everything(void)
{
    give_picture("video", 320, 240);
    struct nrd_tensor *map = unit_give("regions", NRD_DTYPE_F32, 1, 4, 64, 64),
                      *kinds = unit_give("kinds", NRD_DTYPE_F32, 1, 3);
    for (int i = 0; i < 64 * 64; i++) {
        int x = i % 64 - 32, y = i / 64 - 32,
            class = x * x + y * y < 300 ? 2 : (x > 10 && y > 10 ? 3 : 0);
        ((float *)map->data)[class * 64 * 64 + i] = 1.0f;
    }
    memcpy(kinds->data, ((float[]){0.1f, 0.85f, 0.05f}), 12);
    unit_give("features", NRD_DTYPE_F32, 1, 147);
}

static void what_networks_answer_is_shown_without_being_told(void **state)
{
    (void)state;
    give_everything();
    const uint8_t *p = show("answers", "labels: {kinds: [hex_bolt, hex_nut, washer]}", 640, 480);
    const uint8_t *inside = at(p, 640, 320, 240), *outside = at(p, 640, 600, 100);
    assert_pixel(outside, 40 + 120 * 600 / 640, 60 + 100 * 100 / 480, 90);
    assert_true(abs(inside[0] - 100) + abs(inside[1] - 110) + abs(inside[2] - 90) > 60); // coloured
    int white = 0;
    for (uint32_t x = 10; x < 200; x++) {
        white += at(p, 640, x, 28)[0] > 230;
    }
    assert_true(white > 5); // the label's letters
    unit_forget();
}

static void texts_and_strips_and_depths_are_drawn(void **state)
{
    (void)state;
    give_picture("video", 160, 120);
    GIVE("texts", 3, 0.05f, 0.55f, 0.12f, 0.4f, 0.75f, 0.08f, 1.1f, 1.1f, 0.05f);
    GIVE("curve", 2, 0.0f, 0.5f, 0.2f, 0.4f, 0.4f, 0.45f, 0.6f, 0.2f, 0.8f, 0.3f, 1.0f, 0.1f);
    GIVE("boxes", 2, 0.55f, 0.5f, 0.9f, 0.9f);
    GIVE("lines", 2, 0.0f, 0.0f, 1.0f, 1.0f);
    struct nrd_tensor *depth = unit_give("depth", NRD_DTYPE_F32, 48, 64);
    for (int i = 0; i < 64 * 48; i++) {
        ((float *)depth->data)[i] = (float)(i % 64) / 10.0f + 3.0f;
    }
    const uint8_t *p = show("texts",
                            "tensors: [{name: video, type: color}, {name: depth, type: depth_map, "
                            "colormap: spectrum, views: [{offset_x: 0.7, offset_y:"
                            " 0.05, width: 0.25, height: 0.25}]}, {name: lines, type: lines, "
                            "color: [1, 1, 1, 0.3], line_width: 2}, {name: curve,"
                            " type: line_strip, color: [1, 0.8, 0, 0.7], line_width: 6}, {name: "
                            "boxes, type: rectangles, text: gear, line_width: 3, color: [0, 1, 1],"
                            " background: [0, 0, 0, 0.6]}, {name: texts, type: text, text: "
                            "['Nereid 0.1', 'second text']}]",
                            640, 480);
    int white = 0;
    for (uint32_t y = 264; y < 330; y++) {
        white += at(p, 640, 40, y)[0] > 200;
    }
    assert_true(white > 5);
    unit_forget();
}

static void layers_that_are_not_there_are_named(void **state)
{
    (void)state;
    give_picture("video", 8, 8);
    fails(unit_run(&holoviz_op, "{headless: true, tensors: [{name: boxes, type: rectangles}]}"),
          "has tensor 'boxes'");
    show("absent",
         "optional_tensors: true, tensors: [{name: boxes, type: rectangles}, {name: video, type: "
         "color}]",
         8, 8);
    unit_forget();
}

static void holoviz_refuses_by_name(void **state)
{
    (void)state;
    give_picture("v", 8, 8);
    unit_give("s", NRD_DTYPE_F32, 4, 5);
    static const struct {
        const char *params, *part;
    } bad[] = {
        {"{tensors: [{name: v, type: points_3d}]}", "t.yaml:1:28: tensors: 'points_3d'"},
        {"{tensors: [{name: v, type: image}]}", "'image' is no type"},
        {"{tensors: [{name: v, colour: [1]}]}", "'colour' is no key"},
        {"{tensors: [{type: color}]}", "'name' is missing"},
        {"{tensors: {name: v}}", "no list"},
        {"{tensors: [{name: v, color: red}]}", "'red' is no colour"},
        {"{tensors: [{name: v, image_format: y8u8y8v8_422_unorm}]}", "y8u8y8v8_422_unorm"},
        {"{enable_depth_buffer_output: true}", "enable_depth_buffer_output"},
        {"{font_path: x.ttf}", "font_path"},
        {"{headless: true, http: nowhere}", "'nowhere'"},
        {"{headless: true, tensors: [{name: v, type: color_lut}]}", "no color_lut"},
        {"{headless: true, tensors: [{name: v, type: points}]}",
         "tensor 'v' of UINT8 [8,8,3] cannot be shown as points"},
        {"{headless: true, tensors: [{name: s, type: rectangles}]}", "two numbers a corner"},
        {"{headless: true, tensors: [{name: s, type: segmentation}]}",
         "cannot be shown as segmentation"},
        {"{headless: true, tensors: [{name: s, type: color}], width: 0}", "width"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fails(unit_run(&holoviz_op, bad[i].params), bad[i].part);
    }
    unit_forget();
}

static void frames_after_the_first_take_nothing_from_the_heap(void **state)
{
    (void)state;
    uint64_t counts[2];
    for (int i = 0; i < 2; i++) {
        give_everything();
        unit.sends = i == 0 ? 20 : 60;
        uint64_t before = mem_count();
        show("steady", "labels: {kinds: [hex_bolt, hex_nut, washer]}", 200, 100);
        unit_forget();
        counts[i] = mem_count() - before;
    }
    assert_int_equal(counts[0], counts[1]);
}

// A viewer in a graph that runs: asked from within the sink, while the page is up.
static int page_port_of_log;
static struct nrd_status *ask_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    nrd_message_unref(nrd_receive(ctx, 0));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)page_port_of_log)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    static const char request[] =
        "GET /stats.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    char reply[4096];
    size_t length = 0;
    ssize_t n = connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0
                    ? -1
                    : write(fd, request, sizeof(request) - 1);
    while (n > 0 && length < sizeof(reply) - 1) {
        n = read(fd, reply + length, sizeof(reply) - 1 - length);
        length += n > 0 ? (size_t)n : 0;
    }
    reply[length] = '\0';
    close(fd);
    assert_non_null(strstr(reply, "\"name\":\"kinds\",\"type\":\"classification\",\"dtype\":"
                                  "\"FP32\",\"shape\":[1,3],\"text\":\"hex_nut 85.0 %\""));
    return NULL;
}

static void the_page_tells_what_is_shown(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); // a port that is free
    struct sockaddr_in any = {.sin_family = AF_INET};
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(any);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
    page_port_of_log = ntohs(any.sin_port);
    close(fd);
    give_everything();
    struct nrd_operator_class ask = unit_sink_op;
    ask.compute = ask_compute;
    unit.app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(unit.app);
    char params[256];
    snprintf(params, sizeof(params),
             "{headless: true, width: 64, height: 48, http: '%d', labels: {kinds: [a, hex_nut]}}",
             page_port_of_log);
    struct nrd_operator *source = add(f, &unit_source_op, "source", NULL),
                        *viz = add(f, &holoviz_op, "viz", params);
    struct nrd_operator *sink = add(f, &ask, "sink", NULL);
    add_condition(source, "CountCondition", "{count: 1}");
    ok(nrd_add_flow(source, "", viz, "receivers", NULL));
    flow(viz, sink);
    ok(nrd_app_run(unit.app));
    assert_int_equal(counts_of(sink).computes, 1);
    unit_forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_fills_the_frame),
        cmocka_unit_test(layers_are_drawn_by_priority_and_opacity),
        cmocka_unit_test(numbers_are_looked_up),
        cmocka_unit_test(shapes_lie_where_their_numbers_say),
        cmocka_unit_test(views_place_layers),
        cmocka_unit_test(what_networks_answer_is_shown_without_being_told),
        cmocka_unit_test(texts_and_strips_and_depths_are_drawn),
        cmocka_unit_test(layers_that_are_not_there_are_named),
        cmocka_unit_test(holoviz_refuses_by_name),
        cmocka_unit_test(frames_after_the_first_take_nothing_from_the_heap),
        cmocka_unit_test(the_page_tells_what_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
