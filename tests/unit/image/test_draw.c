// SPDX-License-Identifier: Apache-2.0
#include "image_unit.h"

#include <math.h>
#include <stdlib.h>

#include "image/colormap.h"
#include "image/draw.h"
#include "image/text.h"

#define WIDTH 61
#define HEIGHT 47
static const struct image_rgba white = {255, 255, 255, 255};

// A black canvas, a drawer on it.
struct scene {
    struct unit_picture picture;
    struct drawer drawer;
};
static void scene_begin(struct scene *s)
{
    memset(s, 0, sizeof(*s));
    s->picture = unit_picture(WIDTH, HEIGHT, 4, NRD_DTYPE_U8, 3);
    image_fill(&s->picture.view, (struct image_rgba){0, 0, 0, 255});
    assert_true(drawer_begin(&s->drawer, &s->picture.view));
}
static int red_at(const struct scene *s, uint32_t x, uint32_t y)
{
    return ((const uint8_t *)image_row(&s->picture.view, y))[4 * x];
}
static double sum_of(const struct scene *s)
{
    double sum = 0.0;
    for (uint32_t y = 0; y < HEIGHT; y++) {
        for (uint32_t x = 0; x < WIDTH; x++) {
            sum += red_at(s, x, y) / 255.0;
        }
    }
    return sum;
}
static void scene_end(struct scene *s)
{
    drawer_fini(&s->drawer);
    unit_check_and_free(&s->picture);
}

// Whether a point lies in a polygon: crossings of a ray to the right.
static bool inside(const struct draw_point *p, size_t count, double x, double y)
{
    bool in = false;
    for (size_t i = 0, j = count - 1; i < count; j = i++) {
        double xi = (double)p[i].x, yi = (double)p[i].y, xj = (double)p[j].x, yj = (double)p[j].y;
        if ((yi > y) != (yj > y) && x < (xj - xi) * (y - yi) / (yj - yi) + xi) {
            in = !in;
        }
    }
    return in;
}

static void polygon_covers_each_pixel_by_its_area(void **state)
{
    (void)state;
    enum { GRID = 24 };
    uint32_t seed = 11;
    for (int round = 0; round < 60; round++) {
        struct scene s;
        scene_begin(&s);
        struct draw_point triangle[3];
        for (int i = 0; i < 3; i++) { // also outside of the canvas, on all sides
            triangle[i].x = (float)(unit_random(&seed) % 2000) / 1000.0f * WIDTH - WIDTH / 2.0f;
            triangle[i].y = (float)(unit_random(&seed) % 2000) / 1000.0f * HEIGHT - HEIGHT / 2.0f;
        }
        draw_polygon(&s.drawer, triangle, 3, white);
        for (uint32_t y = 0; y < HEIGHT; y++) {
            for (uint32_t x = 0; x < WIDTH; x++) {
                int hits = 0;
                for (int k = 0; k < GRID * GRID; k++) {
                    hits += inside(triangle, 3, x + (k % GRID + 0.5) / GRID,
                                   y + ((double)(k / GRID) + 0.5) / GRID);
                }
                double expected = (double)hits / (GRID * GRID), got = red_at(&s, x, y) / 255.0;
                if (fabs(got - expected) > 0.06) { // what GRID x GRID samples can be off by
                    fail_msg("round %d pixel %u,%u: %g, expected %g", round, x, y, got, expected);
                }
            }
        }
        scene_end(&s);
    }
}

static void shapes_have_their_areas(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s);
    draw_rectangle(&s.drawer, (struct draw_point){10.25f, 8.5f},
                   (struct draw_point){30.75f, 20.25f}, 0.0f, white);
    assert_true(fabs(sum_of(&s) - 20.5 * 11.75) < 0.5);
    scene_end(&s);
    scene_begin(&s);
    draw_oval(&s.drawer, (struct draw_point){30.0f, 23.0f}, 20.0f, 12.0f, 0.0f, white);
    assert_true(fabs(sum_of(&s) - 3.14159265 * 20 * 12) < 3.0);
    scene_end(&s);
    scene_begin(&s);
    draw_oval(&s.drawer, (struct draw_point){30.0f, 23.0f}, 20.0f, 12.0f, 2.0f, white);
    assert_true(fabs(sum_of(&s) - 3.14159265 * (21.0 * 13.0 - 19.0 * 11.0)) < 3.0);
    assert_int_equal(red_at(&s, 30, 23), 0);
    scene_end(&s);
    scene_begin(&s);
    draw_line(&s.drawer, (struct draw_point){5.0f, 5.0f}, (struct draw_point){50.0f, 40.0f}, 3.0f,
              white);
    assert_true(fabs(sum_of(&s) - 3.0 * sqrt(45.0 * 45.0 + 35.0 * 35.0)) < 1.5);
    scene_end(&s);
    scene_begin(&s);
    draw_cross(&s.drawer, (struct draw_point){30.0f, 20.0f}, 20.0f, 20.0f, 2.0f, white);
    assert_true(fabs(sum_of(&s) - (2 * 40.0 - 4.0)) < 0.5); // the middle counts once
    scene_end(&s);
    scene_begin(&s);
    draw_rectangle(&s.drawer, (struct draw_point){40.0f, 30.0f}, (struct draw_point){10.0f, 10.0f},
                   2.0f, white);
    assert_true(fabs(sum_of(&s) - (32.0 * 22.0 - 28.0 * 18.0)) < 0.5);
    assert_int_equal(red_at(&s, 25, 20), 0);
    scene_end(&s);
}

static void a_stroke_with_round_ends_is_one_shape(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s);
    static const struct draw_point points[3] = {{10.0f, 10.0f}, {40.0f, 12.0f}, {30.0f, 35.0f}};
    draw_strip(&s.drawer, points, 3, 6.0f, (struct image_rgba){255, 0, 0, 128});
    // Where the two segments and the round joint overlap, the colour is laid on once.
    assert_in_range(red_at(&s, 40, 12), 126, 130);
    assert_in_range(red_at(&s, 25, 11), 126, 130);
    scene_end(&s);
}

static void drawing_outside_and_nonsense_draws_nothing(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s);
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e30f};
    for (int i = 0; i < 4; i++) {
        struct draw_point p = {bad[i], 5.0f}, q = {5.0f, bad[i]};
        draw_line(&s.drawer, p, (struct draw_point){9.0f, 9.0f}, 2.0f, white);
        draw_line(&s.drawer, (struct draw_point){9.0f, 9.0f}, q, 2.0f, white);
        draw_dot(&s.drawer, p, 3.0f, white);
        draw_dot(&s.drawer, (struct draw_point){5.0f, 5.0f}, bad[i] < 0.0f ? bad[i] : -1.0f, white);
    }
    draw_rectangle(&s.drawer, (struct draw_point){-50.0f, -50.0f},
                   (struct draw_point){-10.0f, 900.0f}, 3.0f, white);
    draw_oval(&s.drawer, (struct draw_point){500.0f, 20.0f}, 30.0f, 30.0f, 2.0f, white);
    draw_text(&s.drawer, "far away", 1.1f * WIDTH, 1.1f * HEIGHT, 20.0f, 1.0f, white);
    draw_polygon(&s.drawer, NULL, 0, white);
    assert_true(sum_of(&s) == 0.0);
    // A shape larger than the canvas covers all of it.
    draw_oval(&s.drawer, (struct draw_point){30.0f, 20.0f}, 900.0f, 900.0f, 0.0f, white);
    assert_true(sum_of(&s) == WIDTH * HEIGHT);
    scene_end(&s);
}

static void drawing_again_allocates_nothing(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s);
    uint64_t before = 0;
    for (int i = 0; i < 3; i++) {
        before = i == 1 ? mem_count() : before;
        assert_true(drawer_begin(&s.drawer, &s.picture.view));
        draw_text(&s.drawer, "hex_nut 99.7 %", 2.0f, 2.0f, 20.0f, 1.0f, white);
        draw_oval(&s.drawer, (struct draw_point){30.0f, 20.0f}, 9.0f, 9.0f, 2.0f, white);
    }
    assert_int_equal(mem_count(), before);
    scene_end(&s);
}

static void text_is_as_wide_as_it_says(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s);
    for (char c = ' '; c < 127; c++) {
        char text[2] = {c, '\0'};
        image_fill(&s.picture.view, (struct image_rgba){0, 0, 0, 255});
        float end = draw_text(&s.drawer, text, 10.0f, 3.0f, 40.0f, 1.0f, white);
        assert_true(fabsf(end - 10.0f - text_width(text, 40.0f)) < 0.01f);
        int outside = 0, within = 0;
        for (uint32_t y = 0; y < HEIGHT; y++) {
            for (uint32_t x = 0; x < WIDTH; x++) {
                bool in = (float)x > 8.0f && (float)x < end + 1.0f && y >= 3 && y < 43;
                outside += !in && red_at(&s, x, y) > 0;
                within += in && red_at(&s, x, y) > 128;
            }
        }
        if (outside != 0 || (within == 0) != (c == ' ')) {
            fail_msg("'%c': %d pixels outside of its place, %d within", c, outside, within);
        }
    }
    assert_true(text_width("\xed\x95\x9c", 25.0f) ==
                text_width("\xed\x95", 25.0f)); // also when cut off
    assert_true(text_width("\n\t", 25.0f) == 0.0f);
    scene_end(&s);
}

static void colors_of_classes_differ(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        for (uint32_t j = 0; j < i; j++) {
            struct image_rgba a = image_class_color(i), b = image_class_color(j);
            int apart = abs(a.r - b.r) + abs(a.g - b.g) + abs(a.b - b.b);
            assert_true(apart > 30);
        }
    }
    enum image_colormap map;
    assert_true(image_colormap_named(SLICE("heat"), &map));
    assert_false(image_colormap_named(SLICE("jet"), &map));
    assert_int_equal(image_colormap_at(IMAGE_MAP_GRAY, 0.5f).g, 128);
    assert_int_equal(image_colormap_at(IMAGE_MAP_GRAY, NAN).g, 0);
    assert_int_equal(image_colormap_at(IMAGE_MAP_GRAY, 9.0f).g, 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(polygon_covers_each_pixel_by_its_area),
        cmocka_unit_test(shapes_have_their_areas),
        cmocka_unit_test(a_stroke_with_round_ends_is_one_shape),
        cmocka_unit_test(drawing_outside_and_nonsense_draws_nothing),
        cmocka_unit_test(drawing_again_allocates_nothing),
        cmocka_unit_test(text_is_as_wide_as_it_says),
        cmocka_unit_test(colors_of_classes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
