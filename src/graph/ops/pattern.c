// SPDX-License-Identifier: Apache-2.0
#include "graph/ops/pattern.h"

#include <endian.h>
#include <string.h>

// The eight bars of a test card, from white to black.
static const uint8_t bar_colors[8][3] = {{255, 255, 255}, {255, 255, 0}, {0, 255, 255}, {0, 255, 0},
                                         {255, 0, 255},   {255, 0, 0},   {0, 0, 255},   {0, 0, 0}};

// splitmix64 (Steele, Lea, Flood 2014).
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint8_t *put(uint8_t *to, uint32_t channels, uint8_t r, uint8_t g, uint8_t b)
{
    if (channels == 1) {
        *to++ = (uint8_t)((299u * r + 587u * g + 114u * b + 500u) / 1000u); // as JPEG's Y
        return to;
    }
    *to++ = r;
    *to++ = g;
    *to++ = b;
    if (channels == 4) {
        *to++ = 255;
    }
    return to;
}

// Frame `index` has moved by so many pixels, or wrapped around.
static uint32_t shift(const struct pattern *p, uint64_t index)
{
    return (uint32_t)((index * 2 + p->seed) % p->width);
}

static size_t row_size(const struct pattern *p)
{
    return (size_t)p->width * p->channels;
}

static void fill_bars(const struct pattern *p, uint64_t index, uint8_t *to)
{
    uint32_t moved = shift(p, index);
    uint8_t *row = to;
    for (uint32_t x = 0; x < p->width; x++) {
        const uint8_t *c = bar_colors[(uint64_t)((x + moved) % p->width) * 8 / p->width];
        row = put(row, p->channels, c[0], c[1], c[2]);
    }
    for (uint32_t y = 1; y < p->height; y++) {
        memcpy(to + y * row_size(p), to, row_size(p));
    }
}

static void checker_row(const struct pattern *p, uint32_t moved, uint32_t side, uint32_t flip,
                        uint8_t *to)
{
    for (uint32_t x = 0; x < p->width; x++) {
        uint8_t v = (((x + moved) / side + flip) & 1) != 0 ? 235 : 20;
        to = put(to, p->channels, v, v, v);
    }
}

static void fill_checker(const struct pattern *p, uint64_t index, uint8_t *to)
{
    uint32_t side = p->width < 64 ? 4 : p->width / 16, moved = shift(p, index);
    for (uint32_t y = 0; y < p->height; y++) {
        if (y < 2 * side && y % side == 0) {
            checker_row(p, moved, side, y / side, to + y * row_size(p));
        } else { // like the first row of its squares, which is among the first two
            memcpy(to + y * row_size(p), to + y / side % 2 * side * row_size(p), row_size(p));
        }
    }
}

static void fill_gradient(const struct pattern *p, uint64_t index, uint8_t *to)
{
    uint32_t moved = shift(p, index);
    for (uint32_t y = 0; y < p->height; y++) {
        uint8_t down = (uint8_t)((uint64_t)y * 255 / p->height);
        uint8_t *row = to + y * row_size(p);
        if (y > 0 && p->channels > 1) { // only the second colour goes down
            memcpy(row, to, row_size(p));
            for (size_t i = 1; i < row_size(p); i += p->channels) {
                row[i] = down;
            }
            continue;
        }
        for (uint32_t x = 0; x < p->width; x++) {
            uint8_t across = (uint8_t)((uint64_t)((x + moved) % p->width) * 255 / p->width);
            row = put(row, p->channels, across, down, (uint8_t)index);
        }
    }
}

static void fill_noise(const struct pattern *p, uint64_t index, uint8_t *to)
{
    size_t size = row_size(p) * p->height;
    uint64_t state = mix(p->seed ^ mix(index));
    for (size_t i = 0; i < size; i += 8) {
        state = mix(state);
        const uint64_t bytes = htole64(state); // the same on every machine
        memcpy(to + i, &bytes, size - i < 8 ? size - i : 8);
    }
    for (size_t i = 3; p->channels == 4 && i < size; i += 4) {
        to[i] = 255;
    }
}

void pattern_fill(const struct pattern *p, uint64_t index, uint8_t *to)
{
    switch (p->kind) {
    case PATTERN_BARS:
        fill_bars(p, index, to);
        break;
    case PATTERN_CHECKER:
        fill_checker(p, index, to);
        break;
    case PATTERN_GRADIENT:
        fill_gradient(p, index, to);
        break;
    case PATTERN_NOISE:
        fill_noise(p, index, to);
        break;
    }
}
