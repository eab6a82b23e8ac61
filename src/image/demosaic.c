// SPDX-License-Identifier: Apache-2.0
// A row of a Bayer grid alternates green with one other colour X (red or blue); the third colour Z lies above and below X
// diagonally. So one function does a row, told where the first X is; red and blue are swapped by where X and Z are written.
// The two pixels at the ends are done with mirrored neighbours, all others in pairs.
#include "image/demosaic.h"

#define AVERAGE_2(a, b) (((uint32_t)(a) + (uint32_t)(b) + 1u) >> 1)
#define AVERAGE_4(a, b, c, d)                                                                      \
    (((uint32_t)(a) + (uint32_t)(b) + (uint32_t)(c) + (uint32_t)(d) + 2u) >> 2)

// Pixel at column `x` with neighbours at `l` and `r`; `on` is true where X itself was measured.
#define DEFINE_ROW(NAME, TYPE)                                                                     \
    IMAGE_INLINE void NAME##_pixel(const TYPE *up, const TYPE *row, const TYPE *down, uint32_t l,  \
                                   uint32_t x, uint32_t r, bool on, TYPE *to, uint32_t red_at)     \
    {                                                                                              \
        if (on) {                                                                                  \
            to[red_at] = row[x];                                                                   \
            to[1] = (TYPE)AVERAGE_4(up[x], down[x], row[l], row[r]);                               \
            to[2 - red_at] = (TYPE)AVERAGE_4(up[l], up[r], down[l], down[r]);                      \
        } else {                                                                                   \
            to[red_at] = (TYPE)AVERAGE_2(row[l], row[r]);                                          \
            to[1] = row[x];                                                                        \
            to[2 - red_at] = (TYPE)AVERAGE_2(up[x], down[x]);                                      \
        }                                                                                          \
    }                                                                                              \
    IMAGE_INLINE void NAME##_any(const TYPE *up, const TYPE *row, const TYPE *down,                \
                                 uint32_t width, uint32_t first_x, TYPE *restrict to,              \
                                 uint32_t step, uint32_t red_at, TYPE alpha)                       \
    {                                                                                              \
        NAME##_pixel(up, row, down, 1, 0, 1, first_x == 0, to, red_at);                            \
        uint32_t x = 1;                                                                            \
        for (; x + 2 < width; x += 2) {                                                            \
            NAME##_pixel(up, row, down, x - 1, x, x + 1, first_x == 1, to + x * step, red_at);     \
            NAME##_pixel(up, row, down, x, x + 1, x + 2, first_x == 0, to + (x + 1) * step,        \
                         red_at);                                                                  \
        }                                                                                          \
        for (; x < width; x++) {                                                                   \
            uint32_t r = x + 1 < width ? x + 1 : width - 2;                                        \
            NAME##_pixel(up, row, down, x - 1, x, r, (x & 1u) == first_x, to + x * step, red_at);  \
        }                                                                                          \
        for (x = 0; step == 4 && x < width; x++) {                                                 \
            to[x * step + 3] = alpha;                                                              \
        }                                                                                          \
    }                                                                                              \
    IMAGE_FAST static void NAME(const TYPE *up, const TYPE *row, const TYPE *down, uint32_t width, \
                                uint32_t first_x, TYPE *to, uint32_t step, uint32_t x_at,          \
                                uint32_t alpha)                                                    \
    {                                                                                              \
        if (step == 3) {                                                                           \
            NAME##_any(up, row, down, width, first_x, to, 3, x_at, (TYPE)alpha);                   \
        } else {                                                                                   \
            NAME##_any(up, row, down, width, first_x, to, 4, x_at, (TYPE)alpha);                   \
        }                                                                                          \
    }
DEFINE_ROW(row_u8, uint8_t)
DEFINE_ROW(row_u16, uint16_t)

void image_demosaic(const struct image *from, enum image_bayer grid, const struct image *to,
                    uint32_t alpha)
{
    if (from->width < 2 || from->height < 2) {
        return;
    }
    // Where red is in the grid: its row and column.
    uint32_t red_y = grid == IMAGE_BAYER_BGGR || grid == IMAGE_BAYER_GBRG ? 1 : 0;
    uint32_t red_x = grid == IMAGE_BAYER_BGGR || grid == IMAGE_BAYER_GRBG ? 1 : 0;
    for (uint32_t y = 0; y < from->height; y++) {
        const void *up = image_row(from, y == 0 ? 1 : y - 1);
        const void *down = image_row(from, y + 1 < from->height ? y + 1 : y - 1);
        bool with_red = (y & 1u) == red_y;
        uint32_t first_x = with_red ? red_x : 1 - red_x;
        uint32_t x_at = with_red ? 0 : 2;
        if (from->dtype == NRD_DTYPE_U8) {
            row_u8(up, image_row(from, y), down, from->width, first_x, image_row(to, y),
                   to->channels, x_at, alpha);
        } else {
            row_u16(up, image_row(from, y), down, from->width, first_x, image_row(to, y),
                    to->channels, x_at, alpha);
        }
    }
}
