// SPDX-License-Identifier: Apache-2.0
// What the kernels of this folder are given: one struct each, by value. Read by the C compiler and by CUDA's (also NVRTC, which
// has no standard headers), so it uses plain types: unsigned is 32 bits, unsigned long long 64. Pointers are device pointers.
// Callers use kernels.h, which checks and fills these.
#ifndef NEREID_GPU_KERNELS_PARAMS_H
#define NEREID_GPU_KERNELS_PARAMS_H

// Rows of packed pixels; `stride` bytes apart.
struct kernel_image {
    unsigned char *data;
    unsigned long long stride;
    unsigned width;
    unsigned height;
    unsigned channels;
};

enum kernel_sampling { KERNEL_SAME_SIZE, KERNEL_NEAREST, KERNEL_LINEAR };

// to[c] = from[order[c]] * factor + offset, or `alpha` where order[c] is negative.
struct kernel_convert {
    struct kernel_image from;
    struct kernel_image to;
    unsigned long long plane_bytes; // not 0: `to` is planes so far apart, with rows of to.stride
    int order[4];
    int sampling; // enum kernel_sampling
    int keeps;    // the values stay what they are (of one type), rounded if sampled
    float factor;
    float offset;
    float alpha;
};

struct kernel_yuv_matrix { // 14 bits of fraction; names as in BT.601: r_v is red's share of V
    int y_offset, y_scale, r_v, g_u, g_v, b_u;
    int y_r, y_g, y_b, u_r, u_g, u_b, v_r, v_g, v_b;
};
enum kernel_yuv_layout { KERNEL_YUYV, KERNEL_UYVY, KERNEL_NV12, KERNEL_YUV420 };
struct kernel_yuv {
    struct kernel_image rgb; // 3 or 4 channels
    unsigned char *planes[3];
    unsigned long long strides[3];
    struct kernel_yuv_matrix matrix;
    int layout;
    int order
        [4]; // to RGB: which of R, G, B comes where; negative: alpha. From RGB: order[0] is where red is (0 or 2)
    unsigned alpha;
};

struct kernel_demosaic {
    struct kernel_image from;
    struct kernel_image to;
    unsigned red_x; // where red is in each 2x2
    unsigned red_y;
    unsigned alpha;
};

struct kernel_classes {
    const float *scores;
    float *floats;             // softmax, sigmoid: may be `scores`
    unsigned char *to;         // argmax, threshold
    unsigned long long pixels; // sigmoid: numbers
    unsigned channels;
    unsigned pixel_step; // numbers from one pixel to the next
    unsigned long long channel_step;
    float threshold;
};

struct kernel_blend {
    struct kernel_image canvas; // RGBA
    struct kernel_image over;   // a picture of the canvas's size, or a map of any
    const unsigned *lut;        // colours of a map, R in the lowest byte; NULL: `over` is a picture
    unsigned lut_count;
    unsigned map_bytes; // of one number of a map
    unsigned opacity;   // 0 to 256
};

#endif
