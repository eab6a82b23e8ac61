// SPDX-License-Identifier: Apache-2.0
// What the two files of the shim share: the logger, and the ways in and out of TensorRT's types.
// Compiles against the headers of 8.5 to 11; where they differ, NV_TENSORRT_MAJOR decides here and
// at the place of the call. See trt_shim.h.
#ifndef NEREID_BACKENDS_TENSORRT_SHIM_SHIM_H
#define NEREID_BACKENDS_TENSORRT_SHIM_SHIM_H

#include <NvInfer.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>

#include "backends/tensorrt/trt_shim.h"

#if NV_TENSORRT_MAJOR * 100 + NV_TENSORRT_MINOR < 805
#error "TensorRT 8.5 or newer is needed: older ones have no tensors by name"
#endif
#define TRT_AT_LEAST(major, minor)                                                                 \
    (NV_TENSORRT_MAJOR * 100 + NV_TENSORRT_MINOR >= (major)*100 + (minor))

// The numbers of trt_type are TensorRT's.
static_assert(static_cast<int>(nvinfer1::DataType::kFLOAT) == TRT_FLOAT, "");
static_assert(static_cast<int>(nvinfer1::DataType::kHALF) == TRT_HALF, "");
static_assert(static_cast<int>(nvinfer1::DataType::kINT8) == TRT_INT8, "");
static_assert(static_cast<int>(nvinfer1::DataType::kINT32) == TRT_INT32, "");
static_assert(static_cast<int>(nvinfer1::DataType::kBOOL) == TRT_BOOL, "");
static_assert(static_cast<int>(nvinfer1::DataType::kUINT8) == TRT_UINT8, "");
#if NV_TENSORRT_MAJOR >= 10
static_assert(static_cast<int>(nvinfer1::DataType::kFP8) == TRT_FP8, "");
static_assert(static_cast<int>(nvinfer1::DataType::kBF16) == TRT_BF16, "");
static_assert(static_cast<int>(nvinfer1::DataType::kINT64) == TRT_INT64, "");
static_assert(static_cast<int>(nvinfer1::DataType::kINT4) == TRT_INT4, "");
#endif
static_assert(nvinfer1::Dims::MAX_DIMS == TRT_DIMS_MAX, "");

namespace nereid
{

// Hands TensorRT's lines on, and keeps this thread's last error for the reason of a failed call.
class Logger : public nvinfer1::ILogger
{
  public:
    Logger(trt_log_fn log, void *arg) : log_(log), arg_(arg)
    {
    }
    void log(Severity severity, char const *text) noexcept override;
    // The last error since forget(), or the first warning; "" if there was neither.
    static const char *last();
    static void forget();

  private:
    trt_log_fn log_;
    void *arg_;
};

// Always false, so that a failing call ends with it.
__attribute__((format(printf, 2, 3))) bool fail(trt_why *why, const char *format, ...);
// The same, with what TensorRT last logged as an error.
bool fail_logged(trt_why *why, const char *what);

trt_dims to_c(const nvinfer1::Dims &dims);
nvinfer1::Dims from_c(const trt_dims &dims);
const char *format_name(nvinfer1::TensorFormat format);

// The version to ask entry points for: that of the library where it is as new as the headers and
// of the same major release, whose interfaces only grow.
int interface_version(const trt_symbols *symbols);
// Registers the standard plugins, where their library is there.
void init_plugins(const trt_symbols *symbols, Logger *logger);

bool build(const trt_symbols *symbols, const trt_build *options, trt_log_fn log, void *log_arg,
           trt_built **built, trt_why *why);
void built_plan(const trt_built *built, trt_blob *plan);
void built_timing_cache(const trt_built *built, trt_blob *cache);
void built_destroy(trt_built *built);
uint32_t build_switches();

} // namespace nereid

#endif
