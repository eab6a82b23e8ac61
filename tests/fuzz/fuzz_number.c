// SPDX-License-Identifier: Apache-2.0
// Numbers: our reader accepts what it describes and rounds as the C library's strtod does.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[2048];
    double own;
    if (size >= sizeof(text) || !number_read_f64(slice_make(data, size), &own)) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    char *end;
    double reference = strtod(text, &end);
    if (end != text + size ||
        (!(isnan(own) && isnan(reference)) && memcmp(&own, &reference, sizeof(own)) != 0)) {
        abort();
    }
    if (isfinite(own)) {
        char written[NUMBER_F64_MAX];
        double back;
        size_t length = number_write_f64(written, own);
        if (length > NUMBER_F64_MAX || !number_read_f64(slice_make(written, length), &back) ||
            memcmp(&own, &back, sizeof(own)) != 0) {
            abort();
        }
    }
    return 0;
}
