// SPDX-License-Identifier: Apache-2.0
// NVRTC: CUDA C++ text to machine code, at run time, by NVIDIA's compiler library, opened at first use. What was compiled
// once is kept on disk: $NEREID_CACHE_DIR, or $XDG_CACHE_HOME/nereid, or ~/.cache/nereid; without any of these nothing is.
#ifndef NEREID_GPU_NVRTC_H
#define NEREID_GPU_NVRTC_H

#include "base/slice.h"
#include "base/status.h"
#include "base/str.h"
#include "gpu/nvrtc_abi.h"

struct gpu_nvrtc {
#define GPU_NVRTC_MEMBER(type, name, symbol, args) type(*name) args;
    GPU_NVRTC_FUNCTIONS(GPU_NVRTC_MEMBER)
#undef GPU_NVRTC_MEMBER
};

// Opens the library (libnvrtc.so.13, .12, .11.2 or libnvrtc.so), once a process. NRD_UNAVAILABLE with the reason. The calls
// below do it themselves. Thread: any.
NRD_MUST_USE struct nrd_status *nvrtc_open(void);
// Tests: from now on the table is `table` (borrowed); NULL goes back to not yet opened. Thread: owner.
void nvrtc_replace(const struct gpu_nvrtc *table);

struct nvrtc_source {
    const char *name; // for messages: "overlay.cu"
    const char *text; // terminated
    // What #include "name" finds; terminated texts.
    const char *const *header_names;
    const char *const *headers;
    size_t header_count;
    const char *const *options; // more of the compiler's options, such as "-DX=1"
    size_t option_count;
};
// Appends machine code for that compute capability; PTX of the newest that the library knows where it does not know this
// one. NRD_INVALID_ARG with the compiler's own lines when the text does not compile. Takes tenths of a second, or a
// millisecond from the disk: not on a loop. Thread: any.
NRD_MUST_USE struct nrd_status *nvrtc_compile(const struct nvrtc_source *source, int compute_major,
                                              int compute_minor, struct str *code);

#endif
