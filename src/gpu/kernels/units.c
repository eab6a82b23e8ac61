// SPDX-License-Identifier: Apache-2.0
// Units: the assembler puts the files into the program as they are (.incbin), so no tool and no generated C is needed.
// GPU_KERNEL_DIR is this folder, GPU_KERNEL_BINARIES the folder of the fatbins, if there are any; the Makefile says both.
#include "gpu/kernels/units.h"

#define EMBED(symbol, path)                                                                        \
    __asm__(".section .rodata\n"                                                                   \
            ".balign 16\n"                                                                         \
            ".local " #symbol "\n" #symbol ":\n"                                                   \
            ".incbin \"" path "\"\n"                                                               \
            ".byte 0\n"                                                                            \
            ".previous\n");                                                                        \
    extern const char symbol[] __attribute__((visibility("hidden")))

EMBED(kernel_text_params, GPU_KERNEL_DIR "/params.h");
EMBED(kernel_text_common, GPU_KERNEL_DIR "/common.cuh");
EMBED(kernel_text_convert, GPU_KERNEL_DIR "/convert.cu");
EMBED(kernel_text_yuv, GPU_KERNEL_DIR "/yuv.cu");
EMBED(kernel_text_demosaic, GPU_KERNEL_DIR "/demosaic.cu");
EMBED(kernel_text_classes, GPU_KERNEL_DIR "/classes.cu");
EMBED(kernel_text_blend, GPU_KERNEL_DIR "/blend.cu");

#ifdef GPU_KERNEL_BINARIES
#define EMBED_UNIT(name) EMBED(kernel_binary_##name, GPU_KERNEL_BINARIES "/" #name ".fatbin");
GPU_KERNEL_UNITS(EMBED_UNIT)
#endif

const char *gpu_unit_name(enum gpu_kernel_unit unit)
{
    static const char *const names[GPU_UNIT_COUNT] = {
#define UNIT_NAME(name) #name,
        GPU_KERNEL_UNITS(UNIT_NAME)
#undef UNIT_NAME
    };
    return names[unit];
}

const char *gpu_unit_text(enum gpu_kernel_unit unit)
{
    switch (unit) {
    case GPU_UNIT_yuv:
        return kernel_text_yuv;
    case GPU_UNIT_demosaic:
        return kernel_text_demosaic;
    case GPU_UNIT_classes:
        return kernel_text_classes;
    case GPU_UNIT_blend:
        return kernel_text_blend;
    case GPU_UNIT_convert_u8_u8:
    case GPU_UNIT_convert_u8_f32:
    case GPU_UNIT_convert_f32_u8:
    case GPU_UNIT_convert_f32_f32:
    case GPU_UNIT_convert_u16_u8:
    case GPU_UNIT_convert_u16_u16:
    case GPU_UNIT_convert_u16_f32:
    case GPU_UNIT_COUNT:
        break;
    }
    return kernel_text_convert;
}

const char *gpu_unit_common_text(void)
{
    return kernel_text_common;
}

const char *gpu_unit_params_text(void)
{
    return kernel_text_params;
}

const void *gpu_unit_binary(enum gpu_kernel_unit unit)
{
#ifdef GPU_KERNEL_BINARIES
    static const char *const binaries[GPU_UNIT_COUNT] = {
#define UNIT_BINARY(name) kernel_binary_##name,
        GPU_KERNEL_UNITS(UNIT_BINARY)
#undef UNIT_BINARY
    };
    return binaries[unit];
#else
    (void)unit;
    return NULL;
#endif
}
