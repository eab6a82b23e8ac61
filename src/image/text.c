// SPDX-License-Identifier: Apache-2.0
// A glyph is a text of strokes: each point is a digit 0-9A-F for x and a letter for y ('a' is the top of capitals, 'g' of small letters, 'q'
// the base line, 'w' the end of descenders). Points in a row are joined by straight lines; after '~' by a smooth curve
// through them (Catmull-Rom), after '@' by a closed one. A stroke is about a ninth of the capitals' height wide.
#include "image/text.h"

#include <math.h>

#define LINE_UNITS 25.0f   // height of a line
#define TOP_UNITS 1.5f     // above 'a'
#define STROKE_UNITS 1.75f // width of a stroke
#define GAP_UNITS 3.6f     // between characters
#define SPACE_UNITS 5.0f
#define POINTS_MAX 24

static const char *const glyphs[] = {
    ['!'] = "1a1k 1p1q",
    ['"'] = "1a1e 5a5e",
    ['#'] = "3b1p 8b6p 0f9f 0l9l",
    ['$'] = "~9d7b4b1c0e2h7i9l8o4p1p0n 4a4r",
    ['%'] = "0qBa @2b4d2f0d @9lBn9p7n",
    ['&'] = "~Ai8o4q1p0m2j6f7c5a3a2c3f6kAq",
    ['\''] = "1a1e",
    ['('] = "~4a1d0i1n4q",
    [')'] = "~0a3d4i3n0q",
    ['*'] = "4b4j 1d7h 7d1h",
    ['+'] = "5e5o 0j9j",
    [','] = "1p0t",
    ['-'] = "0j6j",
    ['.'] = "1p1q",
    ['/'] = "0s8a",
    ['0'] = "@5a8c9i8o5q2o1i2c",
    ['1'] = "1d5a5q",
    ['2'] = "~0e1b4a7b8e7h4l0q 0q9q",
    ['3'] = "~0c2a5a7b8d7g4h 4h3h ~4h8i9l8o5q2q0o",
    ['4'] = "7q7a0l9l",
    ['5'] = "8a1a0h ~0h3g6g9j9n6q3q0o",
    ['6'] = "~8b5a2c0i0m2p5q8p9m8j5h2i0l",
    ['7'] = "0a9a3q",
    ['8'] = "@4a7b8d7g4h1g0d1b @4h7i9l8o4q1o0l1i",
    ['9'] = "~1p4q7o9i9e7b4a1b0e1h4i7h9f",
    [':'] = "1g1h 1p1q",
    [';'] = "1g1h 1p0t",
    ['<'] = "8d0j8p",
    ['='] = "0g9g 0m9m",
    ['>'] = "0d8j0p",
    ['?'] = "~0d2a5a8b8f6h4j4l 4p4q",
    ['@'] = "~Ao8q4q1o0i1d4a8aBdBiAl8m7k7f @7i6f4f3i4l6l",
    ['A'] = "0q5aAq 2k8k",
    ['B'] = "4q0q0a4a ~4a7b8d7g4h 4h0h ~4h8i9l8p4q",
    ['C'] = "~9d7a4a1c0i1o4q7q9n",
    ['D'] = "3q0q0a3a ~3a7b9f9l7p3q",
    ['E'] = "8a0a0q8q 0h7h",
    ['F'] = "8a0a0q 0h7h",
    ['G'] = "~9d7a4a1c0i1o4q7q9n 9n9i5i",
    ['H'] = "0a0q 9a9q 0h9h",
    ['I'] = "1a1q",
    ['J'] = "6a6l ~6l5p3q1p0m",
    ['K'] = "0a0q 9a0k 3h9q",
    ['L'] = "0a0q8q",
    ['M'] = "0q0a5lAaAq",
    ['N'] = "0q0a9q9a",
    ['O'] = "@5a8bAfAl8p5q2p0l0f2b",
    ['P'] = "0q0a4a ~4a8b9e8h4i 4i0i",
    ['Q'] = "@5a8bAfAl8p5q2p0l0f2b 6mAr",
    ['R'] = "0q0a4a ~4a8b9e8h4i 4i0i 4i9q",
    ['S'] = "~9d7a4a1b0e2h7i9l8p5q2q0n",
    ['T'] = "0aAa 5a5q",
    ['U'] = "0a0l ~0l1p4q5q8p9l 9l9a",
    ['V'] = "0a5qAa",
    ['W'] = "0a3q6c9qCa",
    ['X'] = "0a9q 9a0q",
    ['Y'] = "0a5hAa 5h5q",
    ['Z'] = "0a9a0q9q",
    ['['] = "4a0a0s4s",
    ['\\'] = "0a8s",
    [']'] = "0a4a4s0s",
    ['^'] = "0f4a8f",
    ['_'] = "0s9s",
    ['`'] = "0a3d",
    ['a'] = "7g7q ~7i5g3g1h0k0m1p3q5q7o",
    ['b'] = "0a0q ~0i2g4g6h7k7m6p4q2q0o",
    ['c'] = "~7i5g3g1h0k0m1p3q5q7o",
    ['d'] = "7a7q ~7i5g3g1h0k0m1p3q5q7o",
    ['e'] = "0l7l ~7l7j5g3g1h0k0m1p3q5q7o",
    ['f'] = "~6a4a2c2e 2e2q 0g5g",
    ['g'] = "7g7s ~7s6v3w1v ~7i5g3g1h0k0m1p3q5q7o",
    ['h'] = "0a0q ~0i3g5g7i7k 7k7q",
    ['i'] = "1g1q 1b1c",
    ['j'] = "3g3t ~3t2w0w 3b3c",
    ['k'] = "0a0q 6g0m 2k7q",
    ['l'] = "1a1q",
    ['m'] = "0g0q ~0i2g4g5i5k 5k5q ~5i7g9gAiAk AkAq",
    ['n'] = "0g0q ~0i3g5g7i7k 7k7q",
    ['o'] = "@3g5g7j7n5q3q0n0j",
    ['p'] = "0g0w ~0i2g4g6h7k7m6p4q2q0o",
    ['q'] = "7g7w ~7i5g3g1h0k0m1p3q5q7o",
    ['r'] = "0g0q ~0j2g4g5g",
    ['s'] = "~6i5g2g0h1k5l7n6p4q1q0o",
    ['t'] = "2b2n ~2n3q5q 0g5g",
    ['u'] = "0g0m ~0m1q3q5p7n 7g7q",
    ['v'] = "0g4q8g",
    ['w'] = "0g3q5h7qAg",
    ['x'] = "0g7q 7g0q",
    ['y'] = "0g4q 8g4q3t ~3t2v0w",
    ['z'] = "0g7g0q7q",
    ['{'] = "~5a3b3f1i3l3p5q",
    ['|'] = "1a1t",
    ['}'] = "~0a2b2f4i2l2p0q",
    ['~'] = "~0l1i3i5l7l8i",
};
static const char box[] = "0a8a8q0q0a";

// ---- reading --------------------------------------------------------------------------------------------------------

// The next character of a UTF-8 text: its glyph, NULL for a space, and whether it is drawn at all.
static const char *next_glyph(const char **text, bool *drawn)
{
    unsigned char c = (unsigned char)*(*text)++;
    *drawn = c >= ' ' && c != 127;
    if (c < 128) {
        return c < sizeof(glyphs) / sizeof(glyphs[0]) ? glyphs[c] : NULL;
    }
    while (((unsigned char)**text & 0xC0u) == 0x80u) {
        (*text)++;
    }
    return box;
}

static int unit_of(char c)
{
    return c <= '9' ? c - '0' : c - 'A' + 10;
}

static float glyph_units(const char *glyph)
{
    if (glyph == NULL) {
        return SPACE_UNITS;
    }
    int widest = 0;
    for (const char *p = glyph; *p != '\0'; p++) {
        if (*p != ' ' && *p != '~' && *p != '@') {
            int x = unit_of(*p++);
            widest = x > widest ? x : widest;
        }
    }
    return (float)widest + GAP_UNITS;
}

float text_width(const char *text, float size)
{
    float units = 0.0f;
    while (*text != '\0') {
        bool drawn;
        const char *glyph = next_glyph(&text, &drawn);
        units += drawn ? glyph_units(glyph) : 0.0f;
    }
    return units * size / LINE_UNITS;
}

// ---- drawing --------------------------------------------------------------------------------------------------------

struct pen {
    struct drawer *d;
    float x, y, scale_x, scale, width;
};

// A piece of a stroke, a little longer than it is, so that pieces meet without a notch.
static void piece(const struct pen *pen, struct draw_point a, struct draw_point b, bool round)
{
    float dx = b.x - a.x, dy = b.y - a.y, length = sqrtf(dx * dx + dy * dy);
    if (!round && length > 0.0f) {
        float more = pen->width * 0.3f / length;
        a = (struct draw_point){a.x - dx * more, a.y - dy * more};
        b = (struct draw_point){b.x + dx * more, b.y + dy * more};
    }
    draw_add_line(pen->d, a, b, pen->width, round);
}

static struct draw_point curve_at(const struct draw_point *p, float t)
{
    float a = ((-0.5f * t + 1.0f) * t - 0.5f) * t, b = (1.5f * t - 2.5f) * t * t + 1.0f;
    float c = ((-1.5f * t + 2.0f) * t + 0.5f) * t, e = (0.5f * t - 0.5f) * t * t;
    return (struct draw_point){a * p[0].x + b * p[1].x + c * p[2].x + e * p[3].x,
                               a * p[0].y + b * p[1].y + c * p[2].y + e * p[3].y};
}

static void curve(const struct pen *pen, const struct draw_point *points, int count, bool closed)
{
    int steps = pen->scale > 2.0f ? 10 : (pen->scale > 1.0f ? 6 : 3);
    int last = closed ? count : count - 1;
    for (int i = 0; i < last; i++) {
        struct draw_point p[4];
        for (int k = 0; k < 4; k++) {
            int at = i + k - 1;
            at = closed ? (at + count) % count : (at < 0 ? 0 : (at >= count ? count - 1 : at));
            p[k] = points[at];
        }
        struct draw_point from = p[1];
        for (int s = 1; s <= steps; s++) {
            struct draw_point to = curve_at(p, (float)s / (float)steps);
            piece(pen, from, to, false);
            from = to;
        }
    }
}

static void stroke(const struct pen *pen, const struct draw_point *points, int count, char kind)
{
    if (kind != ' ') {
        curve(pen, points, count, kind == '@');
        return;
    }
    for (int i = 0; i + 1 < count; i++) {
        piece(pen, points[i], points[i + 1], pen->width > 2.5f);
    }
}

static void draw_glyph(const struct pen *pen, const char *glyph)
{
    const char *p = glyph;
    while (*p != '\0') {
        char kind = *p == '~' || *p == '@' ? *p++ : ' ';
        struct draw_point points[POINTS_MAX];
        int count = 0;
        for (; *p != ' ' && *p != '\0'; p += 2) {
            if (count < POINTS_MAX) {
                points[count++] =
                    (struct draw_point){pen->x + (float)unit_of(p[0]) * pen->scale_x,
                                        pen->y + ((float)(p[1] - 'a') + TOP_UNITS) * pen->scale};
            }
        }
        stroke(pen, points, count, kind);
        p += *p == ' ';
    }
}

float draw_text(struct drawer *d, const char *text, float x, float y, float size, float aspect,
                struct image_rgba color)
{
    float scale = size / LINE_UNITS, width = STROKE_UNITS * scale;
    struct pen pen = {d, x, y, scale * aspect, scale, width < 1.1f ? 1.1f : width};
    pen.x += GAP_UNITS / 2.0f * pen.scale_x;
    while (*text != '\0') {
        bool drawn;
        const char *glyph = next_glyph(&text, &drawn);
        if (drawn && glyph != NULL) {
            draw_glyph(&pen, glyph);
            draw_fill(d, color);
        }
        pen.x += drawn ? glyph_units(glyph) * pen.scale_x : 0.0f;
    }
    return pen.x - GAP_UNITS / 2.0f * pen.scale_x;
}
