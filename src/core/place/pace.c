// SPDX-License-Identifier: Apache-2.0
// Pace: a closed loop of requests on one model. One thread gives them; callbacks put what is done into a list and wake it.
#include "core/place/pace.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "config/model_config.h"
#include "core/request.h"
#include "core/response.h"
#include "tensor/dtype.h"

#define OPEN_DIMENSION 224
// Two turns whose paces differ by less are alike.
#define STEADY 1.15

// Buffers of answers are kept from one request to the next, as a client would.
struct buffer {
    struct buffer *next;
    size_t size;
};

struct place {
    struct loop *loop;
    struct request *request;
    _Atomic uint32_t open; // release and final response to come
    struct place *next;    // among those that are done
};

struct loop {
    struct model *model;
    struct arena arena; // inputs
    struct place *places;
    uint32_t place_count;
    uint32_t given; // and not yet back; the loop's thread
    pthread_mutex_t mutex;
    struct place *done;
    struct buffer *buffers;
    struct nrd_status *failed; // the first that did
    struct parking parking;
};

// ---- callbacks ----------------------------------------------------------------------------------------------------

static TRITONSERVER_Error *allocate(TRITONSERVER_ResponseAllocator *allocator,
                                    const char *tensor_name, size_t byte_size,
                                    TRITONSERVER_MemoryType memory_type, int64_t memory_type_id,
                                    void *userp, void **buffer, void **buffer_userp,
                                    TRITONSERVER_MemoryType *actual_type, int64_t *actual_id)
{
    (void)allocator;
    (void)tensor_name;
    (void)memory_type;
    (void)memory_type_id;
    struct loop *loop = userp;
    *buffer_userp = loop;
    *actual_type = TRITONSERVER_MEMORY_CPU;
    *actual_id = 0;
    *buffer = NULL;
    pthread_mutex_lock(&loop->mutex);
    struct buffer **at = &loop->buffers;
    while (*at != NULL && (*at)->size < byte_size) {
        at = &(*at)->next;
    }
    struct buffer *found = *at;
    if (found != NULL) {
        *at = found->next;
    }
    pthread_mutex_unlock(&loop->mutex);
    if (found == NULL) {
        found = mem_alloc(sizeof(*found) + byte_size);
        if (found == NULL) {
            return (TRITONSERVER_Error *)status_no_memory();
        }
        found->size = byte_size;
    }
    *buffer = found + 1;
    return NULL;
}

static TRITONSERVER_Error *give_back(TRITONSERVER_ResponseAllocator *allocator, void *memory,
                                     void *buffer_userp, size_t byte_size,
                                     TRITONSERVER_MemoryType memory_type, int64_t memory_type_id)
{
    (void)allocator;
    (void)byte_size;
    (void)memory_type;
    (void)memory_type_id;
    struct loop *loop = buffer_userp;
    if (memory != NULL) {
        struct buffer *buffer = (struct buffer *)memory - 1;
        pthread_mutex_lock(&loop->mutex);
        buffer->next = loop->buffers;
        loop->buffers = buffer;
        pthread_mutex_unlock(&loop->mutex);
    }
    return NULL;
}

static const struct response_allocator loop_allocator = {.alloc = allocate, .release = give_back};

static void one_less(struct place *place)
{
    // Acquire and release: the loop's thread sees all that both callbacks' threads did.
    if (atomic_fetch_sub_explicit(&place->open, 1, memory_order_acq_rel) != 1) {
        return;
    }
    struct loop *loop = place->loop;
    pthread_mutex_lock(&loop->mutex);
    place->next = loop->done;
    loop->done = place;
    parking_wake(&loop->parking); // under the mutex: afterwards the loop may be gone
    pthread_mutex_unlock(&loop->mutex);
}

static void on_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp)
{
    struct place *place = userp;
    struct response *own = (struct response *)response;
    if (own != NULL && own->status != NULL) {
        pthread_mutex_lock(&place->loop->mutex);
        if (place->loop->failed == NULL) {
            place->loop->failed = status_copy(own->status);
        }
        pthread_mutex_unlock(&place->loop->mutex);
    }
    response_destroy(own);
    if ((flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL) != 0) {
        one_less(place);
    }
}

static void on_release(TRITONSERVER_InferenceRequest *request, const uint32_t flags, void *userp)
{
    (void)request;
    (void)flags;
    one_less(userp);
}

// ---- inputs -------------------------------------------------------------------------------------------------------

struct nrd_status *pace_check(const struct model *model)
{
    const char *why = NULL;
    for (uint32_t i = 0; i < model->input_count; i++) {
        why = model->inputs[i].non_linear ? "an input has a form of its own" : why;
    }
    if ((model->flags & MODEL_FLAG_DECOUPLED) != 0) {
        why = "it answers as often as it likes";
    } else if (model->config->scheduling_choice_case ==
               INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_SEQUENCE_BATCHING) {
        why = "its requests belong to sequences";
    }
    return why == NULL ? NULL : status_new(NRD_UNSUPPORTED, "%s", why);
}

// What a warm-up sample says of the input, if there is one.
static const Inference__ModelWarmup__Input *sample_of(const struct model *model, const char *name)
{
    const Inference__ModelConfig *config = model->config;
    for (size_t s = 0; s < config->n_model_warmup; s++) {
        const Inference__ModelWarmup *sample = config->model_warmup[s];
        for (size_t i = 0; i < sample->n_inputs; i++) {
            if (strcmp(sample->inputs[i]->key, name) == 0) {
                return sample->inputs[i]->value;
            }
        }
    }
    return NULL;
}

// Fills `shape` (room for one more than the input's dimensions), the batch first where there is one. Returns the dimensions.
static uint32_t make_shape(const struct model *model, const struct model_io *input, uint32_t rows,
                           int64_t *shape)
{
    const Inference__ModelWarmup__Input *sample = sample_of(model, input->name);
    uint32_t count = 0;
    if (model->max_batch_size > 0 && !input->shape_tensor) {
        shape[count++] = rows;
    }
    for (uint32_t d = 0; d < input->dim_count; d++) {
        int64_t size = input->dims[d];
        if (size < 0 && sample != NULL && sample->n_dims == input->dim_count) {
            size = sample->dims[d];
        }
        if (size < 0) {
            size = input->dim_count == 1 ? 1 : OPEN_DIMENSION;
        }
        shape[count++] = size;
    }
    return count;
}

// Numbers between a half and one: neither all alike nor anything that is no number. Whole numbers are zero, a valid index anywhere.
static void fill(TRITONSERVER_DataType type, size_t elements, char *data)
{
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < elements; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if (type == TRITONSERVER_TYPE_FP32) {
            ((float *)(void *)data)[i] = 0.5f + (float)(state >> 40) / 33554432.0f;
        } else if (type == TRITONSERVER_TYPE_FP64) {
            ((double *)(void *)data)[i] = 0.5 + (double)(state >> 40) / 33554432.0;
        } else if (type == TRITONSERVER_TYPE_FP16) {
            ((uint16_t *)(void *)data)[i] = (uint16_t)(0x3800 | (state >> 54));
        } else if (type == TRITONSERVER_TYPE_BF16) {
            ((uint16_t *)(void *)data)[i] = (uint16_t)(0x3f00 | (state >> 57));
        } else {
            return; // zeros already
        }
    }
}

static struct nrd_status *add_input(struct loop *loop, const struct model_io *input, uint32_t rows,
                                    const void **data, struct request *request)
{
    int64_t shape[64];
    if (input->dim_count >= sizeof(shape) / sizeof(shape[0])) {
        return status_new(NRD_UNSUPPORTED, "input '%s' has too many dimensions", input->name);
    }
    uint32_t dims = make_shape(loop->model, input, rows, shape);
    uint64_t elements = 1;
    for (uint32_t d = 0; d < dims; d++) {
        if (__builtin_mul_overflow(elements, (uint64_t)shape[d], &elements)) {
            return status_new(NRD_INVALID_ARG, "input '%s' is too large", input->name);
        }
    }
    // A text of no bytes is its length, zero.
    uint64_t size = 0;
    uint32_t width = input->element_size == 0 ? sizeof(uint32_t) : input->element_size;
    if (__builtin_mul_overflow(elements, width, &size) || size > SIZE_MAX / 2) {
        return status_new(NRD_INVALID_ARG, "input '%s' is too large", input->name);
    }
    if (*data == NULL) {
        char *made = arena_calloc(&loop->arena, 1, size + 1);
        if (made == NULL) {
            return status_no_memory();
        }
        fill(input->datatype, elements, made);
        *data = made;
    }
    NRD_TRY(request_add_input(request, input->name, input->datatype, shape, dims));
    struct buffer_attributes attributes = {.byte_size = size};
    return request_append(request, request_find_input(request, input->name), NULL, *data,
                          &attributes);
}

static struct nrd_status *make_request(struct loop *loop, struct place *place, uint32_t rows,
                                       const void **data)
{
    struct model *model = loop->model;
    struct request *request = request_create(model_ref(model), model->version);
    if (request == NULL) {
        model_unref(model);
        return status_no_memory();
    }
    place->loop = loop;
    place->request = request;
    request->release_fn = on_release;
    request->release_userp = place;
    request->allocator = &loop_allocator;
    request->allocator_userp = loop;
    request->response_fn = on_response;
    request->response_userp = place;
    for (uint32_t i = 0; i < model->input_count; i++) {
        if (!model->inputs[i].optional) {
            NRD_TRY(add_input(loop, &model->inputs[i], rows, &data[i], request));
        }
    }
    return NULL;
}

// ---- the loop -----------------------------------------------------------------------------------------------------

static struct nrd_status *give(struct loop *loop, struct place *place)
{
    atomic_store_explicit(&place->open, 2, memory_order_relaxed);
    struct nrd_status *status = infer_enqueue(place->request, NULL);
    loop->given += status == NULL;
    return status;
}

// Waits for what is done, until `deadline_ns`; NULL when nothing is.
static struct place *take_done(struct loop *loop, uint64_t deadline_ns)
{
    for (;;) {
        pthread_mutex_lock(&loop->mutex);
        struct place *done = loop->done;
        loop->done = NULL;
        pthread_mutex_unlock(&loop->mutex);
        if (done != NULL || !parking_wait(&loop->parking, deadline_ns)) {
            return done;
        }
    }
}

static bool has_failed(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    bool failed = loop->failed != NULL;
    pthread_mutex_unlock(&loop->mutex);
    return failed;
}

// Keeps the places busy until `ns` have gone by and `count` answers came, or the limit; the answers and when the last one was seen.
static struct nrd_status *turn(struct loop *loop, uint64_t ns, uint64_t limit_ns, uint64_t count,
                               uint64_t *answers, uint64_t *last_ns)
{
    uint64_t start = clock_now_ns();
    uint64_t deadline = start + limit_ns;
    uint64_t now = start;
    *answers = 0;
    while ((now < start + ns || *answers < count) && now < deadline && !has_failed(loop)) {
        struct place *done = take_done(loop, deadline);
        now = clock_now_ns();
        while (done != NULL) {
            struct place *next = done->next;
            loop->given--;
            ++*answers;
            *last_ns = now;
            NRD_TRY(give(loop, done));
            done = next;
        }
    }
    return NULL;
}

// Until the pace is about that of the turn before: frameworks compile and tune for seconds, in the second request as well as in the
// first. `*begin` is when the last answer was seen.
static struct nrd_status *settle(struct loop *loop, const struct pace_options *options,
                                 uint64_t *answers, uint64_t *begin)
{
    uint64_t limit = clock_now_ns() + options->limit_ns;
    double before = 0;
    bool steady = false;
    while (!steady && !has_failed(loop) && clock_now_ns() < limit) {
        uint64_t start = *begin == 0 ? clock_now_ns() : *begin;
        NRD_TRY(turn(loop, options->settle_ns, options->limit_ns, 2 * (uint64_t)loop->place_count,
                     answers, begin));
        if (*answers == 0) {
            break;
        }
        double now = (double)(*begin - start) / (double)*answers;
        steady = before > 0 && now < STEADY * before && before < STEADY * now;
        before = now;
    }
    return NULL;
}

static struct nrd_status *run(struct loop *loop, const struct pace_options *options,
                              double *seconds)
{
    for (uint32_t i = 0; i < loop->place_count; i++) {
        NRD_TRY(give(loop, &loop->places[i]));
    }
    uint64_t answers = 0;
    uint64_t begin = 0;
    uint64_t end = 0;
    NRD_TRY(settle(loop, options, &answers, &begin));
    if (answers > 0 && !has_failed(loop)) {
        NRD_TRY(turn(loop, options->run_ns, options->limit_ns, 8, &answers, &end));
    }
    if (has_failed(loop)) {
        return NULL; // said by the caller
    }
    if (answers == 0) {
        return status_new(NRD_UNAVAILABLE, "model '%s' did not answer within %" PRIu64 " s",
                          loop->model->name, options->limit_ns / 1000000000u);
    }
    *seconds = (double)(end - begin) / 1e9 / (double)answers;
    return NULL;
}

// All requests have to come back before their memory may go.
static void drain(struct loop *loop)
{
    while (loop->given > 0) {
        for (struct place *done = take_done(loop, 0); done != NULL; done = done->next) {
            loop->given--;
        }
    }
}

static void loop_fini(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->place_count; i++) {
        request_destroy(loop->places[i].request);
    }
    while (loop->buffers != NULL) {
        struct buffer *next = loop->buffers->next;
        mem_free(loop->buffers);
        loop->buffers = next;
    }
    mem_free(loop->places);
    arena_fini(&loop->arena);
    pthread_mutex_destroy(&loop->mutex);
}

struct nrd_status *pace_measure(struct model *model, const struct pace_options *options,
                                double *seconds)
{
    NRD_TRY(pace_check(model));
    struct loop loop = {.model = model, .place_count = options->outstanding};
    arena_init(&loop.arena, 0);
    pthread_mutex_init(&loop.mutex, NULL);
    parking_init(&loop.parking);
    loop.places = mem_calloc(loop.place_count, sizeof(*loop.places));
    const void **data = mem_calloc(model->input_count + 1, sizeof(*data));
    struct nrd_status *status = NULL;
    if (loop.places == NULL || data == NULL) {
        loop.place_count = 0;
        status = status_no_memory();
    }
    for (uint32_t i = 0; i < loop.place_count && status == NULL; i++) {
        status = make_request(&loop, &loop.places[i], options->rows, data);
    }
    if (status == NULL) {
        status = run(&loop, options, seconds);
    }
    drain(&loop);
    if (status == NULL) {
        status = loop.failed;
    } else {
        status_free(loop.failed);
    }
    loop_fini(&loop);
    mem_free(data);
    return status;
}
