// SPDX-License-Identifier: Apache-2.0
// Host kernels: what CUDA adds to the language, for one thread at a time, and then the kernels' own files.
#include "tests/support/host_kernels/host_kernels.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "src/gpu/kernels/params.h"

#define __device__ [[maybe_unused]]
#define __global__ __attribute__((visibility("hidden")))
#define __align__(n) alignas(n)

struct dim3 {
    unsigned x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
static thread_local dim3 blockIdx, blockDim, threadIdx;

// The compiler of tests does not fuse (it targets plain x86-64); the names say that the GPU's must not either.
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
static inline float __fmul_rn(float a, float b)
{
    return a * b;
}
static inline float __fdividef(float a, float b)
{
    return a / b;
}
#define __expf expf // the C library has one of that name, of its own
static inline float __int_as_float(int bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

// The types and helpers come once a namespace; the macros are the same each time.
#define PAIR(FROM, TO) namespace pair_##FROM##_##TO

#define NEREID_FROM u8
#define NEREID_TO u8
PAIR(u8, u8){
#include "src/gpu/kernels/convert.cu"
}
#undef NEREID_TO
#define NEREID_TO f32
PAIR(u8, f32){
#include "src/gpu/kernels/convert.cu"
}
#undef NEREID_FROM
#define NEREID_FROM f32
PAIR(f32, f32){
#include "src/gpu/kernels/convert.cu"
}
#undef NEREID_TO
#define NEREID_TO u8
PAIR(f32, u8){
#include "src/gpu/kernels/convert.cu"
}
#undef NEREID_FROM
#define NEREID_FROM u16
PAIR(u16, u8){
#include "src/gpu/kernels/convert.cu"
}
#undef NEREID_TO
#define NEREID_TO u16
PAIR(u16, u16){
#include "src/gpu/kernels/convert.cu"
}
#undef NEREID_TO
#define NEREID_TO f32
PAIR(u16, f32)
{
#include "src/gpu/kernels/convert.cu"
}
namespace yuv
{
#include "src/gpu/kernels/yuv.cu"
}
namespace demosaic
{
#include "src/gpu/kernels/demosaic.cu"
}
namespace classes
{
#include "src/gpu/kernels/classes.cu"
}
namespace blend_ // not `blend`, which is a function within
{
#include "src/gpu/kernels/blend.cu"
}

// ---- the fake's side ----------------------------------------------------------------------------------------------

// As in fake_cuda.h, which is C.
struct fake_launch {
    int ordinal;
    unsigned grid[3];
    unsigned block[3];
    const void *params;
};
struct fake_kernel {
    const char *name;
    size_t param_bytes;
    void (*run)(const struct fake_launch *launch);
    uint64_t (*cost)(const struct fake_launch *launch);
    uint64_t cost_ns;
};
extern "C" void fake_cuda_kernel(const struct fake_kernel *kernel);
extern "C" void *fake_cuda_peek(const void *pointer);

template <typename T> static void peek(T *&pointer)
{
    if (pointer != nullptr) {
        pointer = static_cast<T *>(fake_cuda_peek(pointer));
    }
}

// Device pointers of each kind of parameters, made the host's.
static void localize(kernel_convert &p)
{
    peek(p.from.data);
    peek(p.to.data);
}
static void localize(kernel_yuv &p)
{
    peek(p.rgb.data);
    for (int i = 0; i < 3; i++) {
        peek(p.planes[i]);
    }
}
static void localize(kernel_demosaic &p)
{
    peek(p.from.data);
    peek(p.to.data);
}
static void localize(kernel_classes &p)
{
    peek(p.scores);
    peek(p.floats);
    peek(p.to);
}
static void localize(kernel_blend &p)
{
    peek(p.canvas.data);
    peek(p.over.data);
    peek(p.lut);
}

template <typename P, void (*KERNEL)(P)> static void run(const struct fake_launch *launch)
{
    P params;
    memcpy(&params, launch->params, sizeof(params));
    localize(params);
    blockDim = {launch->block[0], launch->block[1], launch->block[2]};
    for (blockIdx.y = 0; blockIdx.y < launch->grid[1]; blockIdx.y++) {
        for (blockIdx.x = 0; blockIdx.x < launch->grid[0]; blockIdx.x++) {
            for (threadIdx.y = 0; threadIdx.y < blockDim.y; threadIdx.y++) {
                for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++) {
                    KERNEL(params);
                }
            }
        }
    }
}

template <typename P, void (*KERNEL)(P)> static void add(const char *name)
{
    struct fake_kernel kernel = {name, sizeof(P), run<P, KERNEL>, nullptr, 10000};
    fake_cuda_kernel(&kernel);
}

#define ADD_PAIR(FROM, TO)                                                                         \
    add<kernel_convert, pair_##FROM##_##TO::nereid_convert_##FROM##_##TO>("nereid_convert_" #FROM  \
                                                                          "_" #TO);                \
    add<kernel_convert, pair_##FROM##_##TO::nereid_flat_##FROM##_##TO>("nereid_flat_" #FROM        \
                                                                       "_" #TO);                   \
    add<kernel_convert, pair_##FROM##_##TO::nereid_resize_##FROM##_##TO>("nereid_resize_" #FROM    \
                                                                         "_" #TO)

extern "C" void host_kernels_register(void)
{
    ADD_PAIR(u8, u8);
    ADD_PAIR(u8, f32);
    ADD_PAIR(f32, u8);
    ADD_PAIR(f32, f32);
    ADD_PAIR(u16, u8);
    ADD_PAIR(u16, u16);
    ADD_PAIR(u16, f32);
    add<kernel_yuv, yuv::nereid_from_yuv>("nereid_from_yuv");
    add<kernel_yuv, yuv::nereid_to_yuv>("nereid_to_yuv");
    add<kernel_demosaic, demosaic::nereid_demosaic_u8>("nereid_demosaic_u8");
    add<kernel_demosaic, demosaic::nereid_demosaic_u16>("nereid_demosaic_u16");
    add<kernel_classes, classes::nereid_argmax>("nereid_argmax");
    add<kernel_classes, classes::nereid_threshold>("nereid_threshold");
    add<kernel_classes, classes::nereid_softmax>("nereid_softmax");
    add<kernel_classes, classes::nereid_sigmoid>("nereid_sigmoid");
    add<kernel_blend, blend_::nereid_blend>("nereid_blend");
}
