// SPDX-License-Identifier: Apache-2.0
// Maps are straight lines between a few colours. Classes take hues a golden angle apart, so any number of them is spread
// evenly, in three alternating steps of brightness.
#include "image/colormap.h"

#include <math.h>

#define STOPS_MAX 6

struct stops {
    const char *name;
    int count;
    float colors[STOPS_MAX][3];
};
static const struct stops maps[IMAGE_MAP_COUNT] = {
    [IMAGE_MAP_GRAY] = {"gray", 2, {{0, 0, 0}, {1, 1, 1}}},
    [IMAGE_MAP_HEAT] =
        {"heat",
         5,
         {{0, 0, 0}, {0.45f, 0.02f, 0.1f}, {0.9f, 0.25f, 0.05f}, {1, 0.75f, 0.15f}, {1, 1, 0.95f}}},
    [IMAGE_MAP_SEA] = {"sea",
                       5,
                       {{0.1f, 0.05f, 0.35f},
                        {0.1f, 0.3f, 0.55f},
                        {0.1f, 0.55f, 0.55f},
                        {0.4f, 0.8f, 0.4f},
                        {0.98f, 0.92f, 0.2f}}},
    [IMAGE_MAP_SPECTRUM] = {"spectrum",
                            6,
                            {{0, 0, 0.55f},
                             {0, 0.35f, 1},
                             {0, 0.9f, 0.9f},
                             {0.4f, 0.95f, 0.2f},
                             {1, 0.85f, 0},
                             {0.85f, 0, 0}}},
};

bool image_colormap_named(struct slice name, enum image_colormap *map)
{
    for (int i = 0; i < IMAGE_MAP_COUNT; i++) {
        if (slice_is(name, maps[i].name)) {
            *map = (enum image_colormap)i;
            return true;
        }
    }
    return false;
}

struct image_rgba image_colormap_at(enum image_colormap map, float t)
{
    const struct stops *m = &maps[map];
    t = t > 0.0f ? (t < 1.0f ? t : 1.0f) : 0.0f;
    float at = t * (float)(m->count - 1);
    int low = (int)at < m->count - 2 ? (int)at : m->count - 2;
    float part = at - (float)low, rgb[3];
    for (int c = 0; c < 3; c++) {
        rgb[c] = m->colors[low][c] + (m->colors[low + 1][c] - m->colors[low][c]) * part;
    }
    return image_rgba_of(rgb[0], rgb[1], rgb[2], 1.0f);
}

struct image_rgba image_class_color(uint32_t index)
{
    static const float brightness[3] = {1.0f, 0.72f, 0.88f}, saturation[3] = {0.72f, 0.85f, 0.45f};
    float hue = fmodf(0.58f + (float)index * 0.61803399f, 1.0f) * 6.0f;
    float value = brightness[index % 3], rgb[3];
    for (int c = 0; c < 3; c++) {
        // The distance on the circle of hues from this channel's own hue: 0 full, 2 and more none.
        float away = fabsf(fmodf(hue - 2.0f * (float)c + 9.0f, 6.0f) - 3.0f);
        float full = 2.0f - away;
        full = full < 0.0f ? 0.0f : (full > 1.0f ? 1.0f : full);
        rgb[c] = value * (1.0f - saturation[index % 3] * (1.0f - full));
    }
    return image_rgba_of(rgb[0], rgb[1], rgb[2], 1.0f);
}
