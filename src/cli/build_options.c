// SPDX-License-Identifier: Apache-2.0
// One table of options; a row is a name, its argument, its help and the function that takes it. What trtexec does beside building
// (measuring, loading) is refused by name. Shapes: "name:1x3x224x224,other:8", names may be in single quotes.
#include "cli/build_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

enum { RANGES_MAX = 64 };

// Shapes as they come in, by profile; min, opt and max of an input may come in any order.
struct reading {
    struct build_options *o;
    uint32_t profile;
    struct trt_shape_range ranges[BUILD_PROFILES_MAX][RANGES_MAX];
    uint32_t range_counts[BUILD_PROFILES_MAX];
};

struct row {
    const char *name;
    const char *argument; // NULL: none
    const char *help;
    struct nrd_status *(*take)(struct reading *r, const struct row *row, const char *argument);
    uint32_t bit; // of trt_switch, or a number for `take`
};

// ---- what each does -------------------------------------------------------------------------------------------------

static struct nrd_status *take_model(struct reading *r, const struct row *row, const char *argument)
{
    (void)row;
    if (r->o->model != NULL) {
        return status_new(NRD_INVALID_ARG, "two models are named: '%s' and '%s'", r->o->model,
                          argument);
    }
    r->o->model = argument;
    return NULL;
}

static struct nrd_status *take_plan(struct reading *r, const struct row *row, const char *argument)
{
    (void)row;
    r->o->plan = argument;
    return NULL;
}

static struct nrd_status *take_switch(struct reading *r, const struct row *row,
                                      const char *argument)
{
    (void)argument;
    r->o->build.switches |= row->bit;
    return NULL;
}

// What trtexec has and a build does without: taken, and nothing changes.
static struct nrd_status *take_nothing(struct reading *r, const struct row *row,
                                       const char *argument)
{
    (void)r;
    (void)row;
    (void)argument;
    return NULL;
}

static struct nrd_status *take_choice(struct reading *r, const struct row *row,
                                      const char *argument)
{
    static const struct {
        const char *name;
        const char *value;
        uint32_t bits;
    } choices[] = {
        {"sparsity", "disable", 0},
        {"sparsity", "enable", TRT_SPARSE},
        {"precisionConstraints", "none", 0},
        {"precisionConstraints", "prefer", TRT_PREFER_PRECISIONS},
        {"precisionConstraints", "obey", TRT_OBEY_PRECISIONS},
        {"profilingVerbosity", "layer_names_only", 0},
        {"profilingVerbosity", "none", 0},
        {"profilingVerbosity", "detailed", TRT_DETAILED},
        {"hardwareCompatibilityLevel", "none", 0},
        {"hardwareCompatibilityLevel", "ampere+", TRT_HARDWARE_AMPERE_PLUS},
    };
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        if (strcmp(choices[i].name, row->name) == 0 && strcmp(choices[i].value, argument) == 0) {
            r->o->build.switches |= choices[i].bits;
            return NULL;
        }
    }
    return status_new(NRD_INVALID_ARG, "--%s wants %s, not '%s'", row->name, row->argument,
                      argument);
}

static struct nrd_status *take_text(struct reading *r, const struct row *row, const char *argument)
{
    struct build_options *o = r->o;
    const char **members[] = {
        &o->timing_cache,         &o->calibration,         &o->tensorrt,
        &o->build.tactic_sources, &o->build.input_formats, &o->build.output_formats};
    *members[row->bit] = argument;
    return NULL;
}
enum {
    TEXT_TIMING_CACHE,
    TEXT_CALIBRATION,
    TEXT_TENSORRT,
    TEXT_TACTICS,
    TEXT_INPUTS,
    TEXT_OUTPUTS
};

static struct nrd_status *take_plugin(struct reading *r, const struct row *row,
                                      const char *argument)
{
    if (r->o->plugin_count == BUILD_PLUGINS_MAX) {
        return status_new(NRD_INVALID_ARG, "--%s: at most %d plugins", row->name,
                          BUILD_PLUGINS_MAX);
    }
    r->o->plugins[r->o->plugin_count++] = argument;
    return NULL;
}

static struct nrd_status *take_number(struct reading *r, const struct row *row,
                                      const char *argument)
{
    struct trt_build *b = &r->o->build;
    int32_t *members[] = {&b->dla_core, &b->level, &b->aux_streams, &b->min_timing, &b->avg_timing};
    int64_t value = 0;
    if (!slice_to_i64(slice_of(argument), &value) || value < 0 || value > 100000) {
        return status_new(NRD_INVALID_ARG, "--%s wants a number, not '%s'", row->name, argument);
    }
    *members[row->bit] = (int32_t)value;
    return NULL;
}
enum { NUMBER_DLA, NUMBER_LEVEL, NUMBER_STREAMS, NUMBER_MIN_TIMING, NUMBER_AVG_TIMING };

static struct nrd_status *take_device(struct reading *r, const struct row *row,
                                      const char *argument)
{
    uint64_t value = 0;
    if (!slice_to_u64(slice_of(argument), &value) || value > 1024) {
        return status_new(NRD_INVALID_ARG, "--%s wants the number of a GPU, not '%s'", row->name,
                          argument);
    }
    r->o->device = (uint32_t)value;
    return NULL;
}

static struct nrd_status *take_profile(struct reading *r, const struct row *row,
                                       const char *argument)
{
    uint64_t value = 0;
    if (!slice_to_u64(slice_of(argument), &value) || value >= BUILD_PROFILES_MAX) {
        return status_new(NRD_INVALID_ARG, "--%s wants a number below %d, not '%s'", row->name,
                          BUILD_PROFILES_MAX, argument);
    }
    r->profile = (uint32_t)value;
    return NULL;
}

static struct nrd_status *take_flag(struct reading *r, const struct row *row, const char *argument)
{
    (void)argument;
    bool *members[] = {&r->o->verbose, &r->o->quiet, &r->o->help};
    *members[row->bit] = true;
    return NULL;
}
enum { FLAG_VERBOSE, FLAG_QUIET, FLAG_HELP };

static struct nrd_status *take_refused(struct reading *r, const struct row *row,
                                       const char *argument)
{
    (void)r;
    (void)argument;
    return status_new(NRD_UNSUPPORTED, "--%s: %s", row->name, row->help);
}

// ---- sizes ----------------------------------------------------------------------------------------------------------

// A number with B, K, M or G after it; MiB where there is none, as trtexec has it.
static bool read_size(struct slice text, int64_t *bytes)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"G", 1 << 30},
                 {"M", 1 << 20},   {"K", 1 << 10},   {"B", 1},         {"", 1 << 20}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        double number = 0;
        struct slice unit = slice_of(units[i].unit);
        if (slice_ends(text, unit) &&
            slice_to_f64(slice_make(text.ptr, text.len - unit.len), &number) && number >= 0 &&
            number * units[i].factor < 1e15) {
            *bytes = (int64_t)(number * units[i].factor);
            return true;
        }
    }
    return false;
}

static struct nrd_status *take_workspace(struct reading *r, const struct row *row,
                                         const char *argument)
{
    if (!read_size(slice_of(argument), &r->o->build.pools[TRT_POOL_WORKSPACE])) {
        return status_new(NRD_INVALID_ARG, "--%s wants %s, not '%s'", row->name, row->argument,
                          argument);
    }
    return NULL;
}

static struct nrd_status *take_pools(struct reading *r, const struct row *row, const char *argument)
{
    static const char *const names[TRT_POOLS] = {"workspace", "dlaSRAM", "dlaLocalDRAM",
                                                 "dlaGlobalDRAM"};
    struct slice rest = slice_of(argument);
    struct slice item;
    while (slice_cut(&rest, ',', &item)) {
        struct slice name;
        bool taken = false;
        struct slice value = item;
        if (slice_cut(&value, ':', &name)) {
            for (int i = 0; i < TRT_POOLS && !taken; i++) {
                taken = slice_is(name, names[i]) && read_size(value, &r->o->build.pools[i]);
            }
        }
        if (!taken) {
            return status_new(NRD_INVALID_ARG,
                              "--%s: '%.*s' is no pool and its size (workspace:2048M, dlaSRAM, "
                              "dlaLocalDRAM, dlaGlobalDRAM)",
                              row->name, (int)item.len, item.ptr);
        }
    }
    return NULL;
}

// ---- shapes ---------------------------------------------------------------------------------------------------------

// "1x3x224x224", "scalar" or nothing at all.
static bool read_dims(struct slice text, struct trt_dims *dims)
{
    *dims = (struct trt_dims){.count = 0};
    if (text.len == 0 || slice_is(text, "scalar")) {
        return true;
    }
    struct slice part;
    while (slice_cut(&text, 'x', &part)) {
        if (dims->count == TRT_DIMS_MAX || !slice_to_i64(part, &dims->d[dims->count]) ||
            dims->d[dims->count] < 0) {
            return false;
        }
        dims->count++;
    }
    return true;
}

// The range of an input in the profile at hand, made where it is new.
static struct nrd_status *find_range(struct reading *r, struct slice name,
                                     struct trt_shape_range **range)
{
    struct trt_shape_range *ranges = r->ranges[r->profile];
    uint32_t *count = &r->range_counts[r->profile];
    for (uint32_t i = 0; i < *count; i++) {
        if (slice_is(name, ranges[i].name)) {
            *range = &ranges[i];
            return NULL;
        }
    }
    if (*count == RANGES_MAX) {
        return status_new(NRD_INVALID_ARG, "shapes for more than %d inputs", RANGES_MAX);
    }
    const char *copy = arena_strdup(&r->o->arena, name);
    if (copy == NULL) {
        return status_no_memory();
    }
    ranges[*count] = (struct trt_shape_range){
        .name = copy, .dims = {{.count = -1}, {.count = -1}, {.count = -1}}};
    *range = &ranges[(*count)++];
    return NULL;
}

// One "name:1x3". The name ends at the last colon, or where its quotes do.
static struct nrd_status *read_shape(struct reading *r, const struct row *row, struct slice item)
{
    struct slice name = item;
    while (name.len > 0 && name.ptr[name.len - 1] != ':') {
        name.len--;
    }
    struct trt_dims dims;
    struct slice text = slice_make(item.ptr + name.len, item.len - name.len);
    name.len -= name.len > 0 ? 1 : 0;
    if (name.len >= 2 && name.ptr[0] == '\'' && name.ptr[name.len - 1] == '\'') {
        name = slice_make(name.ptr + 1, name.len - 2);
    }
    if (name.len == 0 || !read_dims(text, &dims)) {
        return status_new(NRD_INVALID_ARG, "--%s: '%.*s' is no NAME:1x3x224x224", row->name,
                          (int)item.len, item.ptr);
    }
    struct trt_shape_range *range = NULL;
    NRD_TRY(find_range(r, name, &range));
    for (uint32_t i = TRT_MIN; i <= TRT_MAX; i++) {
        if ((row->bit & 1u << i) != 0) {
            range->dims[i] = dims;
        }
    }
    return NULL;
}

static struct nrd_status *take_shapes(struct reading *r, const struct row *row,
                                      const char *argument)
{
    struct slice rest = slice_of(argument);
    struct slice item;
    while (slice_cut(&rest, ',', &item)) {
        NRD_TRY(read_shape(r, row, item));
    }
    return NULL;
}

// Of minimum, optimum and maximum those that were not given follow the others, as trtexec has it.
static void complete_range(struct trt_shape_range *range)
{
    struct trt_dims *d = range->dims;
    static const enum trt_select others[3][2] = {
        {TRT_OPT, TRT_MAX}, {TRT_MAX, TRT_MIN}, {TRT_OPT, TRT_MIN}};
    bool given[3] = {d[0].count >= 0, d[1].count >= 0, d[2].count >= 0};
    for (int i = 0; i < 3; i++) {
        if (!given[i]) {
            d[i] = d[given[others[i][0]] ? others[i][0] : others[i][1]];
        }
    }
}

static struct nrd_status *finish_profiles(struct reading *r)
{
    struct build_options *o = r->o;
    uint32_t profiles = 0;
    for (uint32_t p = 0; p < BUILD_PROFILES_MAX; p++) {
        uint32_t count = r->range_counts[p];
        if (count == 0) {
            continue;
        }
        if (p != profiles) {
            return status_new(NRD_INVALID_ARG, "profile %u has shapes, profile %u has none", p,
                              profiles);
        }
        for (uint32_t i = 0; i < count; i++) {
            complete_range(&r->ranges[p][i]);
        }
        struct trt_shape_range *copy = arena_calloc(&o->arena, count, sizeof(*copy));
        if (copy == NULL) {
            return status_no_memory();
        }
        memcpy(copy, r->ranges[p], count * sizeof(*copy));
        o->profiles[profiles++] = (struct trt_profile){copy, count};
    }
    o->build.profiles = o->profiles;
    o->build.profile_count = profiles;
    return NULL;
}

// ---- the table ------------------------------------------------------------------------------------------------------

static const struct row rows[] = {
    {"onnx", "FILE", "The model; also as the only argument without a name.", take_model, 0},
    {"saveEngine", "FILE", "Where the plan goes; also -o FILE.", take_plan, 0},
    {"output", "FILE", "The same.", take_plan, 0},
    {"fp16", NULL, "Layers may run in half precision.", take_switch, TRT_FP16},
    {"bf16", NULL, "Layers may run in bfloat16.", take_switch, TRT_BF16_ON},
    {"int8", NULL,
     "Layers may run in 8 bits. Needs scales: --calib, or a model with QuantizeLinear.",
     take_switch, TRT_INT8_ON},
    {"fp8", NULL, "Layers may run in 8-bit floating point.", take_switch, TRT_FP8_ON},
    {"best", NULL, "Any precision that is fast: --fp16, --bf16 and, with scales, --int8.",
     take_switch, TRT_BEST},
    {"noTF32", NULL, "Float layers do not use TF32.", take_switch, TRT_NO_TF32},
    {"stronglyTyped", NULL, "Types are the model's.", take_switch, TRT_STRONGLY_TYPED},
    {"minShapes", "NAME:1x3x224x224[,...]", "The smallest shapes of open inputs.", take_shapes,
     1u << TRT_MIN},
    {"optShapes", "NAME:8x3x224x224[,...]", "The shapes to tune for.", take_shapes, 1u << TRT_OPT},
    {"maxShapes", "NAME:32x3x224x224[,...]", "The largest shapes.", take_shapes, 1u << TRT_MAX},
    {"shapes", "NAME:1x3x224x224[,...]", "All three.", take_shapes,
     1u << TRT_MIN | 1u << TRT_OPT | 1u << TRT_MAX},
    {"profile", "N", "Shapes from here on are those of optimization profile N.", take_profile, 0},
    {"inputIOFormats", "TYPE:FORMAT[,...]",
     "Types and layouts of inputs, in order: fp16:chw, int8:chw4+chw32.", take_text, TEXT_INPUTS},
    {"outputIOFormats", "TYPE:FORMAT[,...]", "The same of outputs.", take_text, TEXT_OUTPUTS},
    {"memPoolSize", "POOL:SIZE[,...]", "workspace:2048M, dlaSRAM, dlaLocalDRAM, dlaGlobalDRAM.",
     take_pools, 0},
    {"workspace", "SIZE", "Of --memPoolSize the workspace; MiB where no unit is given.",
     take_workspace, 0},
    {"timingCacheFile", "FILE", "Timings of earlier builds: read, and written anew.", take_text,
     TEXT_TIMING_CACHE},
    {"errorOnTimingCacheMiss", NULL, "Fail where the timing cache lacks one.", take_switch,
     TRT_ERROR_ON_TIMING_CACHE_MISS},
    {"noCompilationCache", NULL, "Do not put compiled code into the timing cache.", take_switch,
     TRT_NO_COMPILATION_CACHE},
    {"calib", "FILE", "A calibration cache, for --int8.", take_text, TEXT_CALIBRATION},
    {"tacticSources", "[+-]NAME[,...]",
     "Libraries of kernels: -CUBLAS,-CUBLAS_LT,-CUDNN,+EDGE_MASK_CONVOLUTIONS,+JIT_CONVOLUTIONS.",
     take_text, TEXT_TACTICS},
    {"builderOptimizationLevel", "N", "0 to 5: how long to look for fast kernels.", take_number,
     NUMBER_LEVEL},
    {"maxAuxStreams", "N", "Further streams that a run may use.", take_number, NUMBER_STREAMS},
    {"minTiming", "N", "At least so many runs of each kernel.", take_number, NUMBER_MIN_TIMING},
    {"avgTiming", "N", "So many runs are averaged.", take_number, NUMBER_AVG_TIMING},
    {"heuristic", NULL, "Guess fast kernels instead of timing all.", take_switch, TRT_HEURISTIC},
    {"sparsity", "disable|enable", "Use sparse kernels where weights allow.", take_choice, 0},
    {"precisionConstraints", "none|prefer|obey", "What the model's own precisions count.",
     take_choice, 0},
    {"directIO", NULL, "No reformatting at inputs and outputs.", take_switch, TRT_DIRECT_IO},
    {"refit", NULL, "Weights can be changed later.", take_switch, TRT_REFIT},
    {"stripWeights", NULL, "A plan without weights.", take_switch, TRT_STRIP_WEIGHTS},
    {"versionCompatible", NULL, "A plan that later releases run too.", take_switch,
     TRT_VERSION_COMPATIBLE},
    {"vc", NULL, "The same.", take_switch, TRT_VERSION_COMPATIBLE},
    {"excludeLeanRuntime", NULL, "Such a plan without its own run time.", take_switch,
     TRT_EXCLUDE_LEAN_RUNTIME},
    {"hardwareCompatibilityLevel", "none|ampere+", "GPUs that the plan runs on.", take_choice, 0},
    {"profilingVerbosity", "layer_names_only|detailed|none", "What the plan tells of its layers.",
     take_choice, 0},
    {"useDLACore", "N", "Build for a DLA.", take_number, NUMBER_DLA},
    {"allowGPUFallback", NULL, "What a DLA cannot do runs on the GPU.", take_switch,
     TRT_GPU_FALLBACK},
    {"plugins", "FILE", "A library of plugins; may be given again.", take_plugin, 0},
    {"dynamicPlugins", "FILE", "The same.", take_plugin, 0},
    {"staticPlugins", "FILE", "The same.", take_plugin, 0},
    {"device", "N", "The GPU to build on and for; 0 when not given.", take_device, 0},
    {"tensorrt", "PATH", "TensorRT's library, or the folder that has it.", take_text,
     TEXT_TENSORRT},
    {"verbose", NULL, "All that TensorRT says.", take_flag, FLAG_VERBOSE},
    {"quiet", NULL, "Errors only.", take_flag, FLAG_QUIET},
    {"help", NULL, "Print this.", take_flag, FLAG_HELP},
    {"buildOnly", NULL, NULL, take_nothing, 0},
    {"skipInference", NULL, NULL, take_nothing, 0},
    {"explicitBatch", NULL, NULL, take_nothing, 0},
};
// What is no part of a build.
static const struct row refused[] = {
    {"loadEngine", "FILE", "a plan is run by `nereid serve` or a graph", take_refused, 0},
    {"layerPrecisions", "SPEC", "precisions of single layers are not built", take_refused, 0},
    {"layerOutputTypes", "SPEC", "types of single layers are not built", take_refused, 0},
    {"uff", "FILE", "only ONNX models are read", take_refused, 0},
    {"deploy", "FILE", "only ONNX models are read", take_refused, 0},
    {"model", "FILE", "only ONNX models are read", take_refused, 0},
    {"safe", NULL, "restricted safety plans are not built", take_refused, 0},
    {"iterations", "N", "this command builds and does not measure", take_refused, 0},
    {"duration", "N", "this command builds and does not measure", take_refused, 0},
    {"warmUp", "N", "this command builds and does not measure", take_refused, 0},
    {"useCudaGraph", NULL,
     "this command builds and does not measure; a server's model has "
     "optimization.cuda.graphs",
     take_refused, 0},
};

// ---- reading --------------------------------------------------------------------------------------------------------

static const struct row *find_in(const struct row *table, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_is(name, table[i].name)) {
            return &table[i];
        }
    }
    return NULL;
}

// One option; `*i` goes on to its argument.
static struct nrd_status *read_option(struct reading *r, int argc, char **argv, int *i)
{
    const char *text = argv[*i] + (argv[*i][1] == '-' ? 2 : 1);
    text = strcmp(text, "h") == 0 ? "help" : strcmp(text, "o") == 0 ? "saveEngine" : text;
    const char *equals = strchr(text, '=');
    struct slice name = slice_make(text, equals == NULL ? strlen(text) : (size_t)(equals - text));
    const struct row *row = find_in(rows, sizeof rows / sizeof rows[0], name);
    if (row == NULL) {
        row = find_in(refused, sizeof refused / sizeof refused[0], name);
        return row != NULL ? row->take(r, row, NULL)
                           : status_new(NRD_INVALID_ARG, "there is no option '%s'", argv[*i]);
    }
    const char *argument = equals == NULL ? NULL : equals + 1;
    if (row->argument == NULL && argument != NULL) {
        return status_new(NRD_INVALID_ARG, "--%s takes no argument", row->name);
    }
    if (row->argument != NULL && argument == NULL) {
        if (*i + 1 >= argc) {
            return status_new(NRD_INVALID_ARG, "--%s wants %s", row->name, row->argument);
        }
        argument = argv[++*i];
    }
    return row->take(r, row, argument);
}

static struct nrd_status *check(const struct build_options *o)
{
    if (o->model == NULL) {
        return status_new(NRD_INVALID_ARG, "no model is named (build --help says how)");
    }
    if (o->plan == NULL) {
        return status_new(NRD_INVALID_ARG, "no plan is named: -o FILE says where it goes");
    }
    return NULL;
}

struct nrd_status *build_options_read(int argc, char **argv, struct build_options *options)
{
    *options = (struct build_options){
        .build = {.pools = {-1, -1, -1, -1},
                  .dla_core = -1,
                  .level = -1,
                  .aux_streams = -1,
                  .min_timing = -1,
                  .avg_timing = -1},
    };
    arena_init(&options->arena, 0);
    struct reading *r = arena_calloc(&options->arena, 1, sizeof(*r));
    if (r == NULL) {
        return status_no_memory();
    }
    r->o = options;
    for (int i = 1; i < argc; i++) {
        bool is_option = argv[i][0] == '-' && argv[i][1] != '\0';
        NRD_TRY(is_option ? read_option(r, argc, argv, &i) : take_model(r, NULL, argv[i]));
    }
    if (options->help) {
        return NULL;
    }
    NRD_TRY(check(options));
    return finish_profiles(r);
}

void build_options_fini(struct build_options *options)
{
    arena_fini(&options->arena);
}

void build_options_usage(const char *program, struct str *out)
{
    str_printf(out,
               "Usage: %s build MODEL.onnx -o PLAN [options]\n\nCompiles an ONNX model into a "
               "TensorRT plan for the GPU at hand, as docs/tensorrt.md has it; trtexec's options "
               "are taken.\n\nOptions:\n",
               program);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].help != NULL) {
            str_printf(out, "  --%s%s%s\n      %s\n", rows[i].name,
                       rows[i].argument == NULL ? "" : " ",
                       rows[i].argument == NULL ? "" : rows[i].argument, rows[i].help);
        }
    }
}
