// SPDX-License-Identifier: Apache-2.0
#include "graph/ops/processes.h"

#include <math.h>
#include <string.h>

void process_max_per_channel(const struct nrd_tensor *in, float *out)
{
    int64_t rows = in->dims[1], columns = in->dims[2], channels = in->dims[3];
    const float *v = in->data;
    for (int64_t c = 0; c < channels; c++) {
        float most = -1999.0f; // what Holoscan starts from
        int64_t row = 0, column = 0;
        for (int64_t i = 0; c > 0 && i < rows * columns; i++) {
            if (v[i * channels + c] > most) {
                most = v[i * channels + c];
                row = i / columns;
                column = i % columns;
            }
        }
        out[2 * c] = (float)row / (float)rows;
        out[2 * c + 1] = (float)column / (float)columns;
    }
}

// A value's step of 0 to 255 between the least and the greatest.
static uint32_t step_of(float v, float min, float range)
{
    float step = range > 0.0f ? 255.0f * ((v - min) / range) : 0.0f;
    return step > 0.0f ? (step < 255.0f ? (uint32_t)step : 255u) : 0u;
}

void process_scale_intensity(const struct nrd_tensor *in, uint8_t *out)
{
    const float *v = in->data;
    size_t count = (size_t)nrd_tensor_elements(in);
    float min = 100000.0f, max = 0.0f; // where Holoscan starts
    for (size_t i = 0; i < count; i++) {
        max = v[i] > max ? v[i] : max;
        min = v[i] < min ? v[i] : min;
    }
    uint64_t sums[256] = {0};
    for (size_t i = 0; i < count; i++) {
        sums[step_of(v[i], min, max - min)]++;
    }
    for (int i = 1; i < 256; i++) {
        sums[i] += sums[i - 1];
    }
    uint64_t least = sums[0]; // sums only grow
    uint8_t levels[256];
    for (int i = 0; i < 256; i++) {
        levels[i] = count > least
                        ? (uint8_t)(255.0 * (double)(sums[i] - least) / (double)(count - least))
                        : 0;
    }
    for (size_t i = 0; i < count; i++) {
        memset(out + 3 * i, levels[step_of(v[i], min, max - min)], 3);
    }
}

void process_print(const struct nrd_tensor *in, struct str *out)
{
    size_t count = (size_t)nrd_tensor_elements(in);
    for (size_t i = 0; i < count; i++) {
        str_append_cstr(out, i == 0 ? "" : ", ");
        if (in->dtype == NRD_DTYPE_I32) {
            str_append_i64(out, ((const int32_t *)in->data)[i]);
        } else {
            str_printf(out, "%g", (double)((const float *)in->data)[i]);
        }
    }
    str_append_char(out, '\n');
}

bool process_binary(const struct nrd_tensor *in, int *which, double *confidence)
{
    if (in->dtype != NRD_DTYPE_F32 || nrd_tensor_elements(in) != 2) {
        return false;
    }
    const float *v = in->data;
    double first = 1.0 / (1.0 + exp(-(double)v[0])), second = 1.0 / (1.0 + exp(-(double)v[1]));
    *which = first > second ? 0 : 1;
    *confidence = first > second ? first : second;
    return true;
}

bool process_print_binary(const struct nrd_tensor *in, const char *first, const char *second,
                          struct str *out)
{
    int which;
    double confidence;
    if (!process_binary(in, &which, &confidence)) {
        return false;
    }
    str_printf(out, "%s. Confidence: %g\n", which == 0 ? first : second, confidence);
    return true;
}
