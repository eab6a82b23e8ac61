// SPDX-License-Identifier: Apache-2.0
// Text: lettering of our own, drawn as strokes, so it is smooth at any size and needs no file.
// Printable ASCII; of UTF-8 every other character is drawn as a box, control characters are left out.
#ifndef NEREID_IMAGE_TEXT_H
#define NEREID_IMAGE_TEXT_H

#include "image/draw.h"

// `size` is the height of a line in pixels, from above the capitals to below the descenders. Returns the width. Thread: any.
float text_width(const char *text, float size);
// (x, y) is the upper left corner of the line. Returns the x after the last character. `aspect` stretches along x (1: none).
float draw_text(struct drawer *d, const char *text, float x, float y, float size, float aspect,
                struct image_rgba color);

#endif
