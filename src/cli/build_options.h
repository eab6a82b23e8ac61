// SPDX-License-Identifier: Apache-2.0
// The command line of `nereid build`, which takes trtexec's names too (--onnx=, --saveEngine=, and a single dash as it has).
#ifndef NEREID_CLI_BUILD_OPTIONS_H
#define NEREID_CLI_BUILD_OPTIONS_H

#include "backends/tensorrt/trt_shim.h"
#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

enum { BUILD_PROFILES_MAX = 16, BUILD_PLUGINS_MAX = 32 };

struct build_options {
    struct arena arena; // owns what is not borrowed from argv
    const char *model;
    const char *plan;
    const char *timing_cache; // file; NULL: none
    const char *calibration;  // file; NULL: none
    const char *tensorrt;     // --tensorrt; NULL: wherever it is
    const char *plugins[BUILD_PLUGINS_MAX];
    uint32_t plugin_count;
    uint32_t device;
    bool verbose;
    bool quiet;
    bool help;
    // What the shim gets; the files are still to be read.
    struct trt_build build;
    struct trt_profile profiles[BUILD_PROFILES_MAX];
};

// Reads the arguments from argv[1] on; texts are borrowed from argv. NRD_INVALID_ARG names the argument. `options` is to be given
// to build_options_fini() in any case.
NRD_MUST_USE struct nrd_status *build_options_read(int argc, char **argv,
                                                   struct build_options *options);
void build_options_fini(struct build_options *options);
void build_options_usage(const char *program, struct str *out);

#endif
