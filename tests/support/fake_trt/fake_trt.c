// SPDX-License-Identifier: Apache-2.0
// Fake TensorRT: one library that is libnvinfer.so.8, its ONNX parser and the shim for release 8.5 at once, for tests of what is
// built on the shim. Its plans are text; it "computes" by copies of the CUDA driver that the process has (the pretended one), in
// the stream that it is given, and checks what TensorRT would: that shapes are in the profile, that all inputs are set.
//
//   profiles 2
//   input x FP32 -1,4                  input s INT32 2 shape
//   range x 0 1,4 2,4 8,4              range s 0 1,1 2,3 8,9       (profile, minimum, optimum, maximum)
//   output y FP32 -1,4 copy x          -1: as the input has it
//   output w FP32 -1,4 data x          its shape is known only after the run: all rows of x but the last
//   output r INT64 2 shape s           values on the host
//   slow MS                            a run holds its stream up so long
//   fail enqueue                       runs fail; also "fail context"
// FAKE_TRT_TRACE names a file that gets a line for each call that counts. A "build" gives a plan of `copy` tensors and the options
// as comments. Start at `table`.
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/tensorrt/trt_shim.h"

enum { TENSORS_MAX = 16, PROFILES_MAX = 4, VERSION = 8503 };

struct tensor {
    char name[32];
    enum trt_type type;
    bool input;
    bool shape;
    bool data;
    char source[32];
    struct trt_dims dims;
    struct trt_dims ranges[PROFILES_MAX][3];
};
struct trt_engine {
    struct tensor tensors[TENSORS_MAX];
    uint32_t count;
    int32_t profiles;
    long slow_ms;
    char failing[32];
    bool implicit;
};
struct trt_context {
    struct trt_engine *engine;
    int32_t profile;
    struct trt_dims dims[TENSORS_MAX];
    void *address[TENSORS_MAX];
    trt_allocate_fn allocate[TENSORS_MAX];
    trt_shape_fn shape[TENSORS_MAX];
    void *arg[TENSORS_MAX];
};
struct trt_runtime {
    trt_log_fn log;
    void *arg;
};
struct trt_built {
    char text[8192];
};

static const char *const type_names[] = {"FP32",  "FP16", "INT8", "INT32", "BOOL",
                                         "UINT8", "FP8",  "BF16", "INT64", "INT4"};
static const size_t type_bytes[] = {4, 2, 1, 4, 1, 1, 1, 2, 8, 1};

static bool fail(struct trt_why *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof(why->text), format, args);
    va_end(args);
    return false;
}

static void trace(const char *format, ...)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    const char *path = getenv("FAKE_TRT_TRACE");
    va_list args;
    if (path == NULL) {
        return;
    }
    pthread_mutex_lock(&mutex);
    FILE *file = fopen(path, "a");
    if (file != NULL) {
        va_start(args, format);
        (void)vfprintf(file, format, args);
        va_end(args);
        fclose(file);
    }
    pthread_mutex_unlock(&mutex);
}

static void print_dims(const struct trt_dims *dims, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int32_t i = 0; i < dims->count && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i == 0 ? "" : ",",
                                 (long long)dims->d[i]);
    }
}

// ---- plans ----------------------------------------------------------------------------------------------------------

static struct trt_dims read_dims(const char *text)
{
    struct trt_dims dims = {.count = 0};
    char *end = NULL;
    if (strcmp(text, "-") == 0) {
        return dims; // a scalar
    }
    for (const char *at = text; dims.count < TRT_DIMS_MAX; at = end + 1) {
        dims.d[dims.count++] = strtoll(at, &end, 10);
        if (*end != ',') {
            break;
        }
    }
    return dims;
}

static int find(const struct trt_engine *e, const char *name)
{
    for (uint32_t i = 0; i < e->count; i++) {
        if (strcmp(e->tensors[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool read_tensor(struct trt_engine *e, const char *line)
{
    char kind[16], type[16], dims[64], how[16] = "", source[32] = "";
    struct tensor *t = &e->tensors[e->count];
    int fields =
        sscanf(line, "%15s %31s %15s %63s %15s %31s", kind, t->name, type, dims, how, source);
    if (fields < 4 || e->count == TENSORS_MAX) {
        return false;
    }
    for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++) {
        t->type = strcmp(type_names[i], type) == 0 ? (enum trt_type)i : t->type;
    }
    t->input = strcmp(kind, "input") == 0;
    t->shape = strcmp(how, "shape") == 0;
    t->data = strcmp(how, "data") == 0;
    t->dims = read_dims(dims);
    (void)snprintf(t->source, sizeof(t->source), "%s", source);
    for (int p = 0; p < PROFILES_MAX; p++) {
        for (int s = 0; s < 3; s++) {
            t->ranges[p][s].count = -1;
        }
    }
    e->count++;
    return true;
}

static bool read_range(struct trt_engine *e, const char *line)
{
    char name[32], least[64], best[64], most[64];
    unsigned profile = 0;
    if (sscanf(line, "range %31s %u %63s %63s %63s", name, &profile, least, best, most) != 5 ||
        find(e, name) < 0 || profile >= PROFILES_MAX) {
        return false;
    }
    struct trt_dims *range = e->tensors[find(e, name)].ranges[profile];
    range[TRT_MIN] = read_dims(least);
    range[TRT_OPT] = read_dims(best);
    range[TRT_MAX] = read_dims(most);
    return true;
}

static bool read_line(struct trt_engine *e, const char *line)
{
    if (line[0] == '\0' || line[0] == '#') {
        return true;
    }
    if (strncmp(line, "input ", 6) == 0 || strncmp(line, "output ", 7) == 0) {
        return read_tensor(e, line);
    }
    if (strncmp(line, "range ", 6) == 0) {
        return read_range(e, line);
    }
    e->implicit = e->implicit || strcmp(line, "implicit") == 0;
    return sscanf(line, "profiles %d", &e->profiles) == 1 ||
           sscanf(line, "slow %ld", &e->slow_ms) == 1 ||
           sscanf(line, "fail %31s", e->failing) == 1 || e->implicit;
}

static bool engine_load(struct trt_runtime *runtime, const void *data, size_t size, int32_t dla,
                        struct trt_engine **engine, struct trt_why *why)
{
    struct trt_engine *e = calloc(1, sizeof(*e));
    (void)dla;
    e->profiles = 1;
    for (const char *at = data, *end = at + size; at < end;) {
        char line[256] = "";
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop == NULL ? end : stop) - at);
        memcpy(line, at, length < sizeof(line) - 1 ? length : sizeof(line) - 1);
        if (!read_line(e, line)) {
            free(e);
            runtime->log(runtime->arg, TRT_LOG_ERROR, "the fake does not know this plan");
            return fail(why, "TensorRT cannot read the plan: '%s'", line);
        }
        at += length + 1;
    }
    trace("load\n");
    *engine = e;
    return true;
}

static void engine_destroy(struct trt_engine *engine)
{
    trace("unload\n");
    free(engine);
}

static void engine_info(const struct trt_engine *e, struct trt_engine_info *info)
{
    *info = (struct trt_engine_info){
        .tensors = e->count, .profiles = e->profiles, .implicit_batch = e->implicit};
}

static void engine_tensor(const struct trt_engine *e, uint32_t index, struct trt_tensor *tensor)
{
    const struct tensor *t = &e->tensors[index];
    *tensor = (struct trt_tensor){
        .name = t->name,
        .type = t->type,
        .input = t->input,
        .shape_tensor = t->shape,
        .on_host = t->shape,
        .linear = strstr(t->name, "padded") == NULL,
        .format = strstr(t->name, "padded") == NULL ? "LINEAR" : "CHW4",
        .dims = t->dims,
    };
}

static bool engine_profile_shape(const struct trt_engine *e, const char *name, int32_t profile,
                                 enum trt_select select, struct trt_dims *dims)
{
    *dims = e->tensors[find(e, name)].ranges[profile][select];
    return dims->count >= 0;
}

static bool engine_profile_values(const struct trt_engine *e, const char *name, int32_t profile,
                                  enum trt_select select, int64_t *values, uint32_t count)
{
    const struct trt_dims *range = &e->tensors[find(e, name)].ranges[profile][select];
    for (uint32_t i = 0; i < count && range->count >= 0; i++) {
        values[i] = range->d[i];
    }
    return range->count >= 0;
}

// ---- contexts -------------------------------------------------------------------------------------------------------

static bool context_create(struct trt_engine *engine, bool on_profile_change,
                           struct trt_context **context, struct trt_why *why)
{
    if (on_profile_change) {
        return fail(why, "execution_context_allocation_strategy ON_PROFILE_CHANGE needs TensorRT "
                         "10, this is 8.5");
    }
    if (strcmp(engine->failing, "context") == 0) {
        return fail(why, "made to fail: context");
    }
    struct trt_context *c = calloc(1, sizeof(*c));
    c->engine = engine;
    for (uint32_t i = 0; i < engine->count; i++) {
        c->dims[i].count = -1;
    }
    *context = c;
    return true;
}

static void context_destroy(struct trt_context *context)
{
    free(context);
}

static bool context_profile(struct trt_context *c, int32_t profile, void *stream,
                            struct trt_why *why)
{
    (void)stream;
    c->profile = profile;
    return profile < c->engine->profiles || fail(why, "there is no profile %d", profile);
}

static bool in_range(const struct trt_dims *range, const int64_t *values, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        if (values[i] < range[TRT_MIN].d[i] || values[i] > range[TRT_MAX].d[i]) {
            return false;
        }
    }
    return range[TRT_MIN].count == count;
}

static bool context_shape(struct trt_context *c, const char *name, const struct trt_dims *dims,
                          struct trt_why *why)
{
    int i = find(c->engine, name);
    if (!in_range(c->engine->tensors[i].ranges[c->profile], dims->d, dims->count)) {
        return fail(why, "'%s' is out of profile %d", name, c->profile);
    }
    c->dims[i] = *dims;
    return true;
}

static bool context_address(struct trt_context *c, const char *name, void *address,
                            struct trt_why *why)
{
    int i = find(c->engine, name);
    if (((uintptr_t)address & 255) != 0 && !c->engine->tensors[i].shape) {
        return fail(why, "'%s' is not aligned", name);
    }
    c->address[i] = address;
    c->allocate[i] = NULL;
    return true;
}

static bool context_allocator(struct trt_context *c, const char *name, trt_allocate_fn allocate,
                              trt_shape_fn shape, void *arg, struct trt_why *why)
{
    int i = find(c->engine, name);
    (void)why;
    c->allocate[i] = allocate;
    c->shape[i] = shape;
    c->arg[i] = arg;
    return true;
}

static bool is_open(const struct trt_dims *dims)
{
    for (int32_t i = 0; i < dims->count; i++) {
        if (dims->d[i] < 0) {
            return true;
        }
    }
    return false;
}

static bool context_infer(struct trt_context *c, struct trt_why *why)
{
    for (uint32_t i = 0; i < c->engine->count; i++) {
        const struct tensor *t = &c->engine->tensors[i];
        if (t->input && !t->shape && is_open(&t->dims) && c->dims[i].count < 0) {
            return fail(why, "inputs without a shape or values: %s", t->name);
        }
    }
    return true;
}

// The shape of a tensor; open dimensions of an output are its source's.
static struct trt_dims dims_of(const struct trt_context *c, int i)
{
    const struct tensor *t = &c->engine->tensors[i];
    struct trt_dims dims = t->dims;
    if (t->input) {
        return is_open(&t->dims) ? c->dims[i] : t->dims;
    }
    struct trt_dims from = t->shape ? t->dims : dims_of(c, find(c->engine, t->source));
    for (int32_t k = 0; k < dims.count; k++) {
        dims.d[k] = dims.d[k] < 0 && k < from.count ? from.d[k] : dims.d[k];
    }
    return dims;
}

static bool context_dims(struct trt_context *c, const char *name, struct trt_dims *dims)
{
    int i = find(c->engine, name);
    *dims = dims_of(c, i);
    if (c->engine->tensors[i].data) {
        dims->d[0] = -1;
    }
    return true;
}

static bool context_consumed(struct trt_context *c, void *event, struct trt_why *why)
{
    (void)c;
    (void)event;
    (void)why;
    return true;
}

static size_t bytes_of(const struct tensor *t, const struct trt_dims *dims)
{
    size_t bytes = type_bytes[t->type];
    for (int32_t i = 0; i < dims->count; i++) {
        bytes *= (size_t)dims->d[i];
    }
    return bytes;
}

// ---- the run --------------------------------------------------------------------------------------------------------

static void *driver(const char *name)
{
    static void *handle;
    handle = handle == NULL ? dlopen("libcuda.so.1", RTLD_NOW) : handle;
    return dlsym(handle, name);
}

static void hold_up(void *arg)
{
    long ms = (long)(intptr_t)arg;
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
    trace("done\n");
}

static bool run_output(struct trt_context *c, int i, void *stream, struct trt_why *why)
{
    int (*copy)(uint64_t, uint64_t, size_t, void *) = NULL;
    const struct tensor *t = &c->engine->tensors[i];
    int from = find(c->engine, t->source);
    struct trt_dims dims = dims_of(c, i);
    void *symbol = driver("cuMemcpyDtoDAsync_v2");
    memcpy(&copy, &symbol, sizeof(copy));
    if (t->shape) { // its values, widened
        for (int64_t k = 0; k < t->dims.d[0]; k++) {
            ((int64_t *)c->address[i])[k] = ((const int32_t *)c->address[from])[k];
        }
        return true;
    }
    if (t->data) {
        dims.d[0] -= 1;
        c->address[i] = c->allocate[i](c->arg[i], t->name, bytes_of(t, &dims) + 1, 256);
        c->shape[i](c->arg[i], t->name, &dims);
    }
    struct trt_dims source = dims_of(c, from);
    size_t bytes = bytes_of(t, &dims);
    size_t most = bytes_of(&c->engine->tensors[from], &source);
    bytes = bytes < most ? bytes : most;
    if (c->address[i] == NULL || c->address[from] == NULL) {
        return fail(why, "tensor '%s' has no address", t->name);
    }
    int result = bytes == 0 ? 0
                            : copy((uint64_t)(uintptr_t)c->address[i],
                                   (uint64_t)(uintptr_t)c->address[from], bytes, stream);
    return result == 0 || fail(why, "cuMemcpyDtoDAsync: %d", result);
}

static bool context_enqueue(struct trt_context *c, void *stream, struct trt_why *why)
{
    if (strcmp(c->engine->failing, "enqueue") == 0) {
        return fail(why, "made to fail: enqueue");
    }
    for (uint32_t i = 0; i < c->engine->count; i++) {
        const struct tensor *t = &c->engine->tensors[i];
        struct trt_dims dims = dims_of(c, (int)i);
        char text[64];
        print_dims(&dims, text, sizeof(text));
        if (t->input && t->shape) {
            trace("values %s %d,%d\n", t->name, ((const int32_t *)c->address[i])[0],
                  ((const int32_t *)c->address[i])[1]);
            continue;
        }
        if (t->input || !t->data) {
            trace("tensor %s %s %p\n", t->name, text, c->address[i]);
        }
        if (!t->input && !run_output(c, (int)i, stream, why)) {
            return false;
        }
    }
    trace("enqueue profile %d\n", c->profile);
    if (c->engine->slow_ms > 0) {
        int (*call)(void *, void (*)(void *), void *) = NULL;
        void *symbol = driver("cuLaunchHostFunc");
        memcpy(&call, &symbol, sizeof(call));
        return call(stream, hold_up, (void *)(intptr_t)c->engine->slow_ms) == 0;
    }
    return true;
}

// ---- building -------------------------------------------------------------------------------------------------------

static void add(struct trt_built *b, const char *format, ...)
{
    size_t used = strlen(b->text);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(b->text + used, sizeof(b->text) - used, format, args);
    va_end(args);
}

static void add_ranges(struct trt_built *b, const struct trt_build *o)
{
    for (uint32_t p = 0; p < o->profile_count; p++) {
        for (uint32_t i = 0; i < o->profiles[p].count; i++) {
            const struct trt_shape_range *range = &o->profiles[p].ranges[i];
            char texts[3][64];
            for (int s = 0; s < 3; s++) {
                print_dims(&range->dims[s], texts[s], sizeof(texts[s]));
            }
            add(b, "range %s %u %s %s %s\n", range->name, p, texts[0], texts[1], texts[2]);
        }
    }
}

static bool build(const struct trt_symbols *symbols, const struct trt_build *o, trt_log_fn log,
                  void *log_arg, struct trt_built **built, struct trt_why *why)
{
    struct trt_tensor tensors[2] = {
        {.name = "x", .input = true, .linear = true, .dims = {2, {-1, 4}}},
        {.name = "y", .linear = true, .dims = {2, {-1, 4}}}};
    if (symbols->create_builder == NULL || symbols->create_parser == NULL) {
        return fail(why, "no builder or parser");
    }
    if (o->model.size < 4 || memcmp(o->model.data, "onnx", 4) != 0) {
        return fail(why, "the ONNX parser refuses the model: node 3: it is fake");
    }
    o->parsed(o->arg, 7, tensors, 2);
    log(log_arg, TRT_LOG_VERBOSE, "building");
    struct trt_built *b = calloc(1, sizeof(*b));
    add(b, "profiles %u\ninput x FP32 -1,4\noutput y FP32 -1,4 copy x\n",
        o->profile_count == 0 ? 1 : o->profile_count);
    add_ranges(b, o);
    add(b, "# switches %#x\n# pools %lld %lld %lld %lld\n", o->switches, (long long)o->pools[0],
        (long long)o->pools[1], (long long)o->pools[2], (long long)o->pools[3]);
    add(b, "# tactics %s\n# level %d dla %d timing %d %d streams %d\n",
        o->tactic_sources == NULL ? "none" : o->tactic_sources, o->level, o->dla_core,
        o->min_timing, o->avg_timing, o->aux_streams);
    add(b, "# formats %s %s\n# timing cache %zu calibration %zu\n",
        o->input_formats == NULL ? "none" : o->input_formats,
        o->output_formats == NULL ? "none" : o->output_formats, o->timing_cache.size,
        o->calibration.size);
    *built = b;
    return true;
}

static void built_plan(const struct trt_built *b, struct trt_blob *plan)
{
    *plan = (struct trt_blob){b->text, strlen(b->text)};
}

static void built_timing_cache(const struct trt_built *b, struct trt_blob *cache)
{
    (void)b;
    *cache = (struct trt_blob){"timings", 7};
}

static void built_destroy(struct trt_built *b)
{
    free(b);
}

// ---- what is exported -----------------------------------------------------------------------------------------------

static bool runtime_create(const struct trt_symbols *symbols, trt_log_fn log, void *arg,
                           struct trt_runtime **runtime, struct trt_why *why)
{
    if (symbols->create_runtime == NULL || symbols->lib_version() != VERSION) {
        return fail(why, "TensorRT made no runtime");
    }
    struct trt_runtime *r = calloc(1, sizeof(*r));
    *r = (struct trt_runtime){log, arg};
    *runtime = r;
    return true;
}

static void runtime_destroy(struct trt_runtime *runtime)
{
    free(runtime);
}

static bool runtime_allow_host_code(struct trt_runtime *runtime)
{
    (void)runtime;
    return false; // as 8.5
}

static const struct trt_shim table = {
    .abi = TRT_SHIM_ABI,
    .size = sizeof(struct trt_shim),
    .header_version = VERSION,
    .runtime_create = runtime_create,
    .runtime_destroy = runtime_destroy,
    .runtime_allow_host_code = runtime_allow_host_code,
    .engine_load = engine_load,
    .engine_destroy = engine_destroy,
    .engine_info = engine_info,
    .engine_tensor = engine_tensor,
    .engine_profile_shape = engine_profile_shape,
    .engine_profile_values = engine_profile_values,
    .context_create = context_create,
    .context_destroy = context_destroy,
    .context_profile = context_profile,
    .context_shape = context_shape,
    .context_address = context_address,
    .context_allocator = context_allocator,
    .context_infer = context_infer,
    .context_dims = context_dims,
    .context_consumed = context_consumed,
    .context_enqueue = context_enqueue,
    .build = build,
    .built_plan = built_plan,
    .built_timing_cache = built_timing_cache,
    .built_destroy = built_destroy,
};

#define EXPORT __attribute__((visibility("default")))
EXPORT const struct trt_shim *nereid_trt_shim(void);
EXPORT void *createInferRuntime_INTERNAL(void *logger, int version);
EXPORT void *createInferBuilder_INTERNAL(void *logger, int version);
EXPORT void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version);
EXPORT int32_t getInferLibVersion(void);

const struct trt_shim *nereid_trt_shim(void)
{
    return &table;
}
void *createInferRuntime_INTERNAL(void *logger, int version)
{
    (void)version;
    return logger;
}
void *createInferBuilder_INTERNAL(void *logger, int version)
{
    (void)version;
    return logger;
}
void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version)
{
    (void)logger;
    (void)version;
    return network;
}
int32_t getInferLibVersion(void)
{
    return VERSION;
}
