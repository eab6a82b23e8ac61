// SPDX-License-Identifier: Apache-2.0
// An ONNX Runtime with a CUDA execution provider, for machines without a GPU: in front of the real library (FAKE_ORT_REAL) it
// gives all that concerns GPUs itself and passes the rest on. Runs are the real ones, on the processor: at a run the bytes of
// device tensors are fetched by the session's stream, and the results are put where outputs were bound. Devices are those of the
// driver in this process, which tests/support/fake_cuda pretends.
//
// What it is strict about, as a GPU would be: tensors of the processor and of a GPU are not mixed up, work is in the user's stream,
// and a captured run (gpu_graph_id) reads and writes the places of the first one ever after. Inputs and outputs whose names begin with
// "CPU" are those that a session has on the processor. Start at OrtGetApiBase() and run_with_binding().
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "backends/onnxruntime/ort_abi.h"
#include "base/mem.h"
#include "gpu/driver_abi.h"

#define ORT_PLACE(place, type, name, args) P_##name = place,
enum {
    ORT_FUNCTIONS(ORT_PLACE) ORT_NEWER_FUNCTIONS(ORT_PLACE) P_create_status = 0,
    P_allocator_alloc = 75,
    PLACES = 400
};
enum { GPUS = 8, BOUND = 32, SLOTS = 256, GRAPHS = 128 };

static struct ort_functions real;
static const void *const *real_table;
static const struct ort_base *real_base;
static const void *table[PLACES];
static struct ort_base base;
static struct ort_memory_info *real_cpu;
static char gpu_infos[GPUS]; // their addresses are the "Cuda" memory infos
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct {
    int (*memcpy_d2h)(void *to, uint64_t from, size_t size, void *stream);
    int (*memcpy_h2d)(uint64_t to, const void *from, size_t size, void *stream);
    int (*stream_sync)(void *stream);
    int (*mem_alloc)(uint64_t *pointer, size_t size);
    int (*mem_free)(uint64_t pointer);
    int (*retain)(void **context, int device);
    int (*push)(void *context);
    int (*pop)(void **context);
} cuda;

static struct ort_status *fail(const char *text)
{
    struct ort_status *(*create)(int code, const char *message) = NULL;
    memcpy(&create, &real_table[P_create_status], sizeof(create));
    return create(1, text);
}

// ---- what the real library does not know ----

// A tensor on a GPU. `host` is a real tensor of the same shape over `bytes`, or the run's own result.
struct shadow {
    struct shadow *next;
    int references;
    int gpu;
    void *device;
    bool own_device;
    size_t size;
    struct ort_value *host;
    void *bytes;
};
static struct shadow *shadows;

struct ort_cuda_options {
    int gpu;
    void *stream;
    bool graphs;
};
// A captured run: where it reads and writes.
struct captured {
    bool done;
    void *inputs[BOUND];
    void *outputs[BOUND];
};
struct session {
    void *options; // while it is not yet made
    struct ort_session *handle;
    struct ort_cuda_options cuda;
    struct captured graphs[GRAPHS];
};
static struct session sessions[SLOTS];
static struct {
    const struct ort_run_options *options;
    long graph;
} run_entries[4 * SLOTS];

struct bound {
    char name[64];
    struct ort_value *value; // not owned; outputs: shared if it is a shadow
    int gpu;                 // outputs without a value: where the result goes
};
struct ort_binding {
    struct session *session;
    struct bound inputs[BOUND];
    struct bound outputs[BOUND];
    struct ort_value *results[BOUND]; // owned
    size_t input_count;
    size_t output_count;
};

static struct shadow *find_shadow(const struct ort_value *value)
{
    const void *wanted = value;
    pthread_mutex_lock(&mutex);
    struct shadow *s = shadows;
    while (s != NULL && (const void *)s != wanted) {
        s = s->next;
    }
    pthread_mutex_unlock(&mutex);
    return s;
}

static int gpu_of(const struct ort_memory_info *info)
{
    const char *at = (const char *)info;
    return at >= gpu_infos && at < gpu_infos + GPUS ? (int)(at - gpu_infos) : -1;
}

static void enter(int gpu)
{
    void *context = NULL;
    (void)cuda.retain(&context, gpu); // the fake's context stays for as long as the process
    (void)cuda.push(context);
}
static void leave(void)
{
    void *context = NULL;
    (void)cuda.pop(&context);
}

static struct ort_value *shadow_value(struct shadow *s)
{
    return (struct ort_value *)(void *)s;
}

static struct shadow *add_shadow(int gpu, void *device, size_t size)
{
    struct shadow *s = mem_calloc(1, sizeof(*s));
    *s = (struct shadow){.references = 1, .gpu = gpu, .device = device, .size = size};
    pthread_mutex_lock(&mutex);
    s->next = shadows;
    shadows = s;
    pthread_mutex_unlock(&mutex);
    return s;
}

static void release_value(struct ort_value *value)
{
    struct shadow *s = find_shadow(value);
    if (s == NULL) {
        real.release_value(value);
        return;
    }
    pthread_mutex_lock(&mutex);
    bool last = --s->references == 0;
    for (struct shadow **at = &shadows; last && *at != NULL; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    pthread_mutex_unlock(&mutex);
    if (last) {
        if (s->own_device) {
            enter(s->gpu);
            (void)cuda.mem_free((uint64_t)(uintptr_t)s->device);
            leave();
        }
        real.release_value(s->host);
        mem_free(s->bytes);
        mem_free(s);
    }
}

// ---- the functions in place of the real ones: memory and values ----

static struct ort_status *create_memory_info(const char *name, int allocator, int device, int kind,
                                             struct ort_memory_info **info)
{
    if (strcmp(name, "Cuda") != 0) {
        return real.create_memory_info(name, allocator, device, kind, info);
    }
    *info = (struct ort_memory_info *)(void *)&gpu_infos[device];
    return NULL;
}
static void release_memory_info(struct ort_memory_info *info)
{
    if (gpu_of(info) < 0) {
        real.release_memory_info(info);
    }
}
static void memory_device(const struct ort_memory_info *info, int *device)
{
    *device = gpu_of(info) >= 0 ? ORT_MEMORY_OF_GPU : ORT_MEMORY_OF_CPU;
}

static struct ort_status *wrap_tensor(const struct ort_memory_info *info, void *data, size_t size,
                                      const int64_t *dims, size_t count, int element,
                                      struct ort_value **value)
{
    int gpu = gpu_of(info);
    if (gpu < 0) {
        return real.wrap_tensor(info, data, size, dims, count, element, value);
    }
    void *bytes = mem_calloc(1, size + 1);
    struct ort_value *host = NULL;
    struct ort_status *status =
        real.wrap_tensor(real_cpu, bytes, size, dims, count, element, &host);
    if (status != NULL) {
        mem_free(bytes);
        return status;
    }
    struct shadow *s = add_shadow(gpu, data, size);
    s->host = host;
    s->bytes = bytes;
    *value = shadow_value(s);
    return NULL;
}

static struct ort_status *tensor_data(struct ort_value *value, void **data)
{
    struct shadow *s = find_shadow(value);
    if (s == NULL) {
        return real.tensor_data(value, data);
    }
    *data = s->device;
    return NULL;
}

static struct ort_status *value_shape(const struct ort_value *value, struct ort_shape_info **shape)
{
    struct shadow *s = find_shadow(value);
    return real.value_shape(s == NULL ? value : s->host, shape);
}

// ---- providers and sessions ----

static char cuda_name[] = "CUDAExecutionProvider", cpu_name[] = "CPUExecutionProvider";
static char *providers[] = {cuda_name, cpu_name};

static struct ort_status *available_providers(char ***names, int *count)
{
    *names = providers;
    *count = 2;
    return NULL;
}
static struct ort_status *release_providers(char **names, int count)
{
    (void)names;
    (void)count;
    return NULL;
}

static struct ort_status *create_cuda_options(struct ort_cuda_options **options)
{
    *options = mem_calloc(1, sizeof(**options));
    return NULL;
}
static void release_cuda_options(struct ort_cuda_options *options)
{
    mem_free(options);
}

static struct ort_status *update_cuda_options(struct ort_cuda_options *options,
                                              const char *const *keys, const char *const *values,
                                              size_t count)
{
    static const char *const known[] = {"device_id",
                                        "gpu_mem_limit",
                                        "arena_extend_strategy",
                                        "cudnn_conv_algo_search",
                                        "do_copy_in_default_stream",
                                        "enable_cuda_graph",
                                        "use_tf32",
                                        "prefer_nhwc",
                                        NULL};
    const char *missing = getenv("FAKE_ORT_CANNOT_LOAD");
    if (missing != NULL) {
        return fail(missing);
    }
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (known[k] != NULL && strcmp(known[k], keys[i]) != 0) {
            k++;
        }
        if (known[k] == NULL) {
            return fail("Unknown provider option");
        }
        if (k == 0) {
            options->gpu = (int)strtol(values[i], NULL, 10);
        }
        options->graphs =
            options->graphs || (strcmp(keys[i], "enable_cuda_graph") == 0 && values[i][0] == '1');
    }
    return NULL;
}
static struct ort_status *update_cuda_value(struct ort_cuda_options *options, const char *key,
                                            void *value)
{
    if (strcmp(key, "user_compute_stream") != 0) {
        return fail("not a pointer option");
    }
    options->stream = value;
    return NULL;
}

static struct session *find_session(const void *options, const struct ort_session *handle)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (sessions[i].options == options && sessions[i].handle == handle) {
            return &sessions[i];
        }
    }
    return NULL;
}

static struct ort_status *append_cuda(struct ort_session_options *options,
                                      const struct ort_cuda_options *made)
{
    pthread_mutex_lock(&mutex);
    struct session *s = find_session(NULL, NULL);
    if (s != NULL) {
        s->options = options;
        s->cuda = *made;
    }
    pthread_mutex_unlock(&mutex);
    return s == NULL ? fail("too many sessions") : NULL;
}

static struct ort_status *create_session(const struct ort_env *env, const char *path,
                                         const struct ort_session_options *options,
                                         struct ort_session **handle)
{
    struct ort_status *status = real.create_session(env, path, options, handle);
    pthread_mutex_lock(&mutex);
    struct session *s = find_session(options, NULL);
    if (s != NULL) {
        s->options = NULL;
        s->handle = status == NULL ? *handle : NULL;
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

static void release_session(struct ort_session *handle)
{
    pthread_mutex_lock(&mutex);
    struct session *s = find_session(NULL, handle);
    if (s != NULL) {
        memset(s, 0, sizeof(*s));
    }
    pthread_mutex_unlock(&mutex);
    real.release_session(handle);
}

typedef struct ort_status *(*name_fn)(const struct ort_session *, size_t, struct ort_allocator *,
                                      char **);

static struct ort_status *find_places(const struct ort_session *session, size_t count,
                                      const struct ort_memory_info **infos, name_fn get_name)
{
    struct ort_allocator *allocator = NULL;
    pthread_mutex_lock(&mutex);
    const struct session *s = find_session(NULL, session);
    int gpu = s == NULL ? -1 : s->cuda.gpu;
    pthread_mutex_unlock(&mutex);
    struct ort_status *status = real.default_allocator(&allocator);
    for (size_t i = 0; i < count && status == NULL; i++) {
        char *name = NULL;
        status = get_name(session, i, allocator, &name);
        if (status == NULL) {
            bool host = gpu < 0 || strncmp(name, "CPU", 3) == 0;
            infos[i] = host ? real_cpu : (const struct ort_memory_info *)(void *)&gpu_infos[gpu];
            status = real.allocator_free(allocator, name);
        }
    }
    return status;
}
static struct ort_status *input_memory(const struct ort_session *session,
                                       const struct ort_memory_info **infos, size_t count)
{
    return find_places(session, count, infos, real.input_name);
}
static struct ort_status *output_memory(const struct ort_session *session,
                                        const struct ort_memory_info **infos, size_t count)
{
    return find_places(session, count, infos, real.output_name);
}

// ---- run options ----

static struct ort_status *set_run_entry(struct ort_run_options *options, const char *key,
                                        const char *value)
{
    if (strcmp(key, "gpu_graph_id") == 0) {
        pthread_mutex_lock(&mutex);
        for (size_t i = 0; i < sizeof(run_entries) / sizeof(run_entries[0]); i++) {
            if (run_entries[i].options == NULL || run_entries[i].options == options) {
                run_entries[i].options = options;
                run_entries[i].graph = strtol(value, NULL, 10);
                break;
            }
        }
        pthread_mutex_unlock(&mutex);
    }
    return real.set_run_entry(options, key, value);
}
static void release_run_options(struct ort_run_options *options)
{
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < sizeof(run_entries) / sizeof(run_entries[0]); i++) {
        if (run_entries[i].options == options) {
            run_entries[i].options = NULL;
        }
    }
    pthread_mutex_unlock(&mutex);
    real.release_run_options(options);
}
static long graph_of(const struct ort_run_options *options)
{
    long graph = -1;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < sizeof(run_entries) / sizeof(run_entries[0]); i++) {
        graph = run_entries[i].options == options ? run_entries[i].graph : graph;
    }
    pthread_mutex_unlock(&mutex);
    return graph;
}

// ---- bindings ----

static struct ort_status *create_binding(struct ort_session *session, struct ort_binding **binding)
{
    pthread_mutex_lock(&mutex);
    struct session *s = find_session(NULL, session);
    pthread_mutex_unlock(&mutex);
    if (s == NULL) {
        return fail("a binding for a session without the CUDA provider");
    }
    *binding = mem_calloc(1, sizeof(**binding));
    (*binding)->session = s;
    return NULL;
}
static void clear_bound_inputs(struct ort_binding *b)
{
    b->input_count = 0;
}
static void clear_bound_outputs(struct ort_binding *b)
{
    for (size_t i = 0; i < b->output_count; i++) {
        if (b->results[i] != NULL) {
            release_value(b->results[i]);
            b->results[i] = NULL;
        }
    }
    b->output_count = 0;
}
static void release_binding(struct ort_binding *b)
{
    clear_bound_outputs(b);
    mem_free(b);
}

static void set_bound(struct bound *to, const char *name, const struct ort_value *value, int gpu)
{
    *to = (struct bound){.gpu = gpu};
    strncpy(to->name, name, sizeof(to->name) - 1);
    memcpy(&to->value, &value, sizeof(value));
}
static struct ort_status *bind_input(struct ort_binding *b, const char *name,
                                     const struct ort_value *value)
{
    set_bound(&b->inputs[b->input_count++], name, value, -1);
    return NULL;
}
static struct ort_status *bind_output(struct ort_binding *b, const char *name,
                                      const struct ort_value *value)
{
    struct shadow *s = find_shadow(value);
    if (s == NULL) {
        return fail("an output bound to memory of the processor");
    }
    pthread_mutex_lock(&mutex);
    s->references++;
    pthread_mutex_unlock(&mutex);
    b->results[b->output_count] = shadow_value(s);
    set_bound(&b->outputs[b->output_count++], name, value, -1);
    return NULL;
}
static struct ort_status *bind_output_to_device(struct ort_binding *b, const char *name,
                                                const struct ort_memory_info *info)
{
    set_bound(&b->outputs[b->output_count++], name, NULL, gpu_of(info));
    return NULL;
}

static struct ort_status *bound_values(const struct ort_binding *b, struct ort_allocator *allocator,
                                       struct ort_value ***values, size_t *count)
{
    struct ort_status *(*alloc)(struct ort_allocator *, size_t, void **) = NULL;
    void *list = NULL;
    struct ort_binding *mine = NULL;
    memcpy(&alloc, &real_table[P_allocator_alloc], sizeof(alloc));
    memcpy(&mine, &b, sizeof(mine));
    struct ort_status *status = alloc(allocator, (b->output_count + 1) * sizeof(void *), &list);
    if (status == NULL) {
        memcpy(list, b->results, b->output_count * sizeof(void *));
        memset(mine->results, 0, sizeof(mine->results)); // theirs now
        *values = list;
        *count = b->output_count;
    }
    return status;
}

// ---- the run ----

static struct ort_status *fetch_inputs(const struct ort_binding *b, struct captured *graph,
                                       const struct ort_value **inputs)
{
    void *stream = b->session->cuda.stream;
    for (size_t i = 0; i < b->input_count; i++) {
        struct shadow *s = find_shadow(b->inputs[i].value);
        inputs[i] = s == NULL ? b->inputs[i].value : s->host;
        if (s == NULL) {
            continue;
        }
        if (s->gpu != b->session->cuda.gpu) {
            return fail("an input on another GPU");
        }
        if (graph != NULL && !graph->done) {
            graph->inputs[i] = s->device;
        }
        const void *from = graph != NULL ? graph->inputs[i] : s->device;
        if (s->size > 0 &&
            cuda.memcpy_d2h(s->bytes, (uint64_t)(uintptr_t)from, s->size, stream) != 0) {
            return fail("CUDA failure: an input cannot be read");
        }
    }
    return cuda.stream_sync(stream) == 0 ? NULL : fail("CUDA failure: the stream");
}

// Bytes of a real tensor, which `like` may know the size of.
static struct ort_status *size_of(const struct ort_value *value, size_t *size)
{
    static const size_t sizes[] = {
        [ORT_ELEMENT_FLOAT] = 4,   [ORT_ELEMENT_UINT8] = 1,  [ORT_ELEMENT_INT8] = 1,
        [ORT_ELEMENT_UINT16] = 2,  [ORT_ELEMENT_INT16] = 2,  [ORT_ELEMENT_INT32] = 4,
        [ORT_ELEMENT_INT64] = 8,   [ORT_ELEMENT_BOOL] = 1,   [ORT_ELEMENT_FLOAT16] = 2,
        [ORT_ELEMENT_DOUBLE] = 8,  [ORT_ELEMENT_UINT32] = 4, [ORT_ELEMENT_UINT64] = 8,
        [ORT_ELEMENT_BFLOAT16] = 2};
    struct ort_shape_info *shape = NULL;
    int64_t dims[16];
    size_t count = 0;
    int element = 0;
    struct ort_status *status = real.value_shape(value, &shape);
    if (status != NULL) {
        return status;
    }
    status = real.shape_dim_count(shape, &count);
    status = status == NULL ? real.shape_dims(shape, dims, count) : status;
    status = status == NULL ? real.shape_element(shape, &element) : status;
    real.release_shape_info(shape);
    *size = sizes[element];
    for (size_t i = 0; i < count; i++) {
        *size *= (size_t)dims[i];
    }
    return status;
}

static struct ort_status *put_output(struct ort_binding *b, size_t i, struct captured *graph,
                                     struct ort_value *result)
{
    struct shadow *s = b->results[i] == NULL ? NULL : find_shadow(b->results[i]);
    void *data = NULL;
    size_t size = 0;
    struct ort_status *status = real.tensor_data(result, &data);
    status = status == NULL ? size_of(result, &size) : status;
    if (status != NULL || (s == NULL && b->outputs[i].gpu < 0)) {
        b->results[i] = result; // of the processor
        return status;
    }
    if (s == NULL) {
        uint64_t pointer = 0;
        enter(b->outputs[i].gpu);
        (void)cuda.mem_alloc(&pointer, size + 1);
        leave();
        s = add_shadow(b->outputs[i].gpu, (void *)(uintptr_t)pointer, size);
        s->own_device = true;
        s->host = result;
        b->results[i] = shadow_value(s);
    } else if (size != s->size) {
        real.release_value(result);
        return fail("an output has another size than the memory that it was bound to");
    } else {
        memcpy(s->bytes, data, size);
        real.release_value(result);
        data = s->bytes;
    }
    if (graph != NULL && !graph->done) {
        graph->outputs[i] = s->device;
    }
    const void *to = graph != NULL ? graph->outputs[i] : s->device;
    return size == 0 || cuda.memcpy_h2d((uint64_t)(uintptr_t)to, data, size,
                                        b->session->cuda.stream) == 0
               ? NULL
               : fail("CUDA failure: an output cannot be written");
}

static struct ort_status *run_with_binding(struct ort_session *session,
                                           const struct ort_run_options *options,
                                           const struct ort_binding *binding)
{
    struct ort_binding *b = NULL;
    const char *input_names[BOUND], *output_names[BOUND];
    const struct ort_value *inputs[BOUND];
    struct ort_value *outputs[BOUND] = {0};
    memcpy(&b, &binding, sizeof(b));
    long id = b->session->cuda.graphs ? graph_of(options) : -1;
    struct captured *graph = id >= 0 && id < GRAPHS ? &b->session->graphs[id] : NULL;
    for (size_t i = 0; i < b->input_count; i++) {
        input_names[i] = b->inputs[i].name;
    }
    for (size_t i = 0; i < b->output_count; i++) {
        output_names[i] = b->outputs[i].name;
    }
    struct ort_status *status = fetch_inputs(b, graph, inputs);
    if (status == NULL) {
        status = real.run(session, NULL, input_names, inputs, b->input_count, output_names,
                          b->output_count, outputs);
    }
    for (size_t i = 0; i < b->output_count && status == NULL; i++) {
        status = put_output(b, i, graph, outputs[i]);
    }
    if (graph != NULL && status == NULL) {
        graph->done = true;
    }
    return status;
}

// ---- the table ----

static const void *const *get_table(uint32_t version)
{
    return version <= ORT_NEWER_TABLE_VERSION ? table : NULL;
}

static void set(int place, const void *function)
{
    memcpy(&table[place], function, sizeof(table[place]));
}
#define PUT(name)                                                                                  \
    do {                                                                                           \
        __typeof__(&name) function_ = name;                                                        \
        set(P_##name, &function_);                                                                 \
    } while (0)

static bool find_cuda(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
#define FIND(member, symbol)                                                                       \
    do {                                                                                           \
        void *found_ = driver == NULL ? NULL : dlsym(driver, symbol);                              \
        memcpy(&cuda.member, &found_, sizeof(found_));                                             \
        if (found_ == NULL) {                                                                      \
            return false;                                                                          \
        }                                                                                          \
    } while (0)
    FIND(memcpy_d2h, "cuMemcpyDtoHAsync_v2");
    FIND(memcpy_h2d, "cuMemcpyHtoDAsync_v2");
    FIND(stream_sync, "cuStreamSynchronize");
    FIND(mem_alloc, "cuMemAlloc_v2");
    FIND(mem_free, "cuMemFree_v2");
    FIND(retain, "cuDevicePrimaryCtxRetain");
    FIND(push, "cuCtxPushCurrent_v2");
    FIND(pop, "cuCtxPopCurrent_v2");
#undef FIND
    return true;
}

static void open_real(void)
{
    const char *path = getenv("FAKE_ORT_REAL");
    void *handle = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = handle == NULL ? NULL : dlsym(handle, "OrtGetApiBase");
    const struct ort_base *(*get_base)(void) = NULL;
    memcpy(&get_base, &symbol, sizeof(symbol));
    if (get_base == NULL) {
        return;
    }
    real_base = get_base();
    real_table = real_base->get_table(ORT_TABLE_VERSION);
#define ORT_READ(place, type, name, args)                                                          \
    memcpy(&real.name, &real_table[place], sizeof(real.name));                                     \
    table[place] = real_table[place];
    ORT_FUNCTIONS(ORT_READ)
#undef ORT_READ
    (void)real.create_cpu_memory_info(ORT_ALLOCATOR_ARENA, ORT_MEMORY_DEFAULT, &real_cpu);
    base = (struct ort_base){get_table, real_base->get_version};
    if (!find_cuda()) {
        return; // then it is the real library
    }
    PUT(create_memory_info);
    PUT(release_memory_info);
    PUT(memory_device);
    PUT(wrap_tensor);
    PUT(tensor_data);
    PUT(value_shape);
    PUT(release_value);
    PUT(available_providers);
    PUT(release_providers);
    PUT(create_cuda_options);
    PUT(release_cuda_options);
    PUT(update_cuda_options);
    PUT(update_cuda_value);
    PUT(append_cuda);
    PUT(create_session);
    PUT(release_session);
    PUT(input_memory);
    PUT(output_memory);
    PUT(set_run_entry);
    PUT(release_run_options);
    PUT(create_binding);
    PUT(release_binding);
    PUT(bind_input);
    PUT(bind_output);
    PUT(bind_output_to_device);
    PUT(clear_bound_inputs);
    PUT(clear_bound_outputs);
    PUT(bound_values);
    PUT(run_with_binding);
}

__attribute__((visibility("default"))) const struct ort_base *OrtGetApiBase(void);
const struct ort_base *OrtGetApiBase(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_real);
    return real_base == NULL ? NULL : &base;
}
