// SPDX-License-Identifier: Apache-2.0
// backends/common/gpu_io and gpu_batch: bytes between requests and the memory of GPUs, on a pretended
// driver, in a host made of plain structs.
#include "tests/unit/backends/host.h"

#include "backends/common/gpu_batch.h"
#include "gpu/memory.h"
#include "gpu/module.h"
#include "nereid/ext/core.h"
#include "tests/support/fake_cuda/fake_cuda.h"

static struct TRITONBACKEND_Backend backend;
static struct TRITONBACKEND_Model model = {.backend = &backend};
static struct TRITONBACKEND_ModelInstance instance;
static struct TRITONBACKEND_Request requests[3];
static struct TRITONBACKEND_Request *pointers[3] = {&requests[0], &requests[1], &requests[2]};
static struct gpu_system *gpus; // the test's own view of the machine
static struct tensor_buffer *buffers[64];

static void *take(int64_t gpu, size_t size)
{
    struct tensor_buffer *buffer = NULL;
    assert_null(gpu_direct_get(gpu_system_device(gpus, (int)gpu), size, &buffer));
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        if (buffers[i] == NULL) {
            buffers[i] = buffer;
            return buffer->data;
        }
    }
    fail_msg("too many buffers");
    return NULL;
}

static void give(int64_t gpu, void *data)
{
    (void)gpu;
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        if (buffers[i] != NULL && buffers[i]->data == data) {
            buffer_unref(buffers[i]);
            buffers[i] = NULL;
            return;
        }
    }
    fail_msg("this memory was not given out");
}

// ---- Nereid's part of a host, for batches that go out with an event ----

static bool takes_events;
static void *last_event;
static unsigned departed;
static struct {
    atomic_uint count;
    bool success;
    uint64_t infer_ns;
    uint64_t end_ns;
} landed;

void *nereid_input_event(struct TRITONBACKEND_Input *input)
{
    (void)input;
    return NULL;
}

bool nereid_request_takes_event(struct TRITONBACKEND_Request *request)
{
    (void)request;
    return takes_events;
}

void nereid_response_set_event(struct TRITONBACKEND_Response *response, void *event)
{
    (void)response;
    last_event = event;
}

void *nereid_batch_depart(struct TRITONBACKEND_ModelInstance *of,
                          struct TRITONBACKEND_Request *const *given, uint32_t count,
                          uint64_t exec_start_ns)
{
    (void)exec_start_ns;
    assert_ptr_equal(of, &instance);
    assert_ptr_equal(given[0], &requests[departed]);
    assert_int_equal(count, 1);
    departed++;
    return &departed;
}

void nereid_batch_land(void *batch, bool success, uint64_t exec_start_ns, uint64_t compute_start_ns,
                       uint64_t compute_end_ns, uint64_t exec_end_ns)
{
    assert_ptr_equal(batch, &departed);
    assert_true(exec_start_ns <= compute_start_ns && compute_start_ns <= compute_end_ns);
    landed.success = success;
    landed.infer_ns += compute_end_ns - compute_start_ns;
    landed.end_ns = exec_end_ns;
    atomic_fetch_add(&landed.count, 1);
}

static int setup(void **state)
{
    (void)state;
    takes_events = false;
    departed = 0;
    memset(&landed, 0, sizeof(landed));
    const struct fake_cuda_options machine = {.count = 2, .poll_ns = 100000};
    fake_cuda_start(&machine);
    gpu_driver_replace(fake_cuda_driver());
    assert_null(gpu_driver_open());
    assert_null(gpu_system_open(&gpus));
    memset(&instance, 0, sizeof(instance));
    instance.model = &model;
    memset(&host, 0, sizeof(host));
    host.gpu_allocate = take;
    host.gpu_free = give;
    for (int i = 0; i < 3; i++) {
        host_request_init(&requests[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    host_fini();
    assert_int_equal(host.memory, 0);
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        buffer_unref(buffers[i]);
        buffers[i] = NULL;
    }
    gpu_system_close(gpus);
    unsigned left = fake_cuda_stop();
    gpu_driver_replace(NULL);
    assert_int_equal(left, 0);
    return 0;
}

// Floats first, first + 1, ... in new memory of a GPU.
static float *on_gpu(int gpu, float first, size_t count)
{
    float *data = take(gpu, count * sizeof(float));
    float *seen = fake_cuda_peek(data);
    for (size_t i = 0; i < count; i++) {
        seen[i] = first + (float)i;
    }
    return data;
}

static void bring(int request, int64_t rows, const void *data, TRITONSERVER_MemoryType type,
                  int gpu)
{
    struct TRITONBACKEND_Input *in =
        host_add_input(&requests[request], "IN", TRITONSERVER_TYPE_FP32, rows, 4);
    host_add_buffer(in, data, (uint64_t)rows * 4 * sizeof(float));
    in->buffers[0].type = type;
    in->buffers[0].id = gpu;
    host_want(&requests[request], "OUT");
}

static void begin(struct batch *b, int gpu, uint32_t count)
{
    batch_init(b, &instance);
    if (gpu != GPU_IO_HOST) {
        assert_host_ok(gpu_io_create(&instance, gpu, &b->gpu_io));
    }
    assert_host_ok(batch_begin(b, pointers, count, true));
}

static void end(struct batch *b)
{
    batch_end(b);
    if (!b->own_gpu_io) {
        gpu_io_destroy(b->gpu_io);
    }
    batch_fini(b);
}

static void assert_floats(const void *data, float first, size_t count)
{
    float values[64];
    memcpy(values, data, count * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        assert_true(values[i] == first + (float)i);
    }
}

static void gpu_gather_joins_what_lies_anywhere(void **state)
{
    (void)state;
    static const float plain[4] = {0, 1, 2, 3};
    struct batch b;
    struct batch_input first = {0};
    struct gpu_scratch scratch = {0};
    void *data = NULL;
    uint64_t size = 0;
    bring(0, 1, plain, TRITONSERVER_MEMORY_CPU, 0);
    bring(1, 2, on_gpu(1, 4, 8), TRITONSERVER_MEMORY_GPU, 1); // a peer's
    bring(2, 1, on_gpu(0, 12, 4), TRITONSERVER_MEMORY_GPU, 0);
    begin(&b, 0, 3);
    assert_host_ok(batch_input_at(&b, 0, 0, &first));
    assert_host_ok(gpu_gather(&b, &first, GPU_ALIGNMENT, &scratch, &data, &size));
    assert_int_equal(size, 16 * sizeof(float));
    assert_host_ok(gpu_io_wait(b.gpu_io));
    assert_floats(fake_cuda_peek(data), 0, 16);
    gpu_scratch_fini(b.gpu_io, &scratch);
    end(&b);
}

static void gpu_gather_uses_one_requests_memory_in_place(void **state)
{
    (void)state;
    struct batch b;
    struct batch_input first = {0};
    struct gpu_scratch scratch = {0};
    void *data = NULL;
    uint64_t size = 0;
    float *here = on_gpu(0, 0, 12);
    bring(0, 1, here, TRITONSERVER_MEMORY_GPU, 0);
    begin(&b, 0, 1);
    assert_host_ok(batch_input_at(&b, 0, 0, &first));
    uint64_t copied = fake_cuda_copied_bytes(0);
    assert_host_ok(gpu_gather(&b, &first, GPU_ALIGNMENT, &scratch, &data, &size));
    assert_ptr_equal(data, here);
    // Where a fixed place is wanted, and where the alignment is not enough, it is copied.
    assert_host_ok(gpu_gather(&b, &first, 0, &scratch, &data, &size));
    assert_ptr_not_equal(data, here);
    requests[0].inputs[0].buffers[0].ptr = here + 4;
    assert_host_ok(gpu_gather(&b, &first, GPU_ALIGNMENT, &scratch, &data, &size));
    assert_ptr_not_equal(data, here + 4);
    assert_host_ok(gpu_io_wait(b.gpu_io));
    assert_floats(fake_cuda_peek(data), 4, 4);
    assert_int_equal(fake_cuda_copied_bytes(0) - copied, 2 * 4 * sizeof(float));
    gpu_scratch_fini(b.gpu_io, &scratch);
    end(&b);
}

static void gpu_gather_stages_large_inputs_of_the_host(void **state)
{
    (void)state;
    enum { ROWS = 1 << 17 }; // 2 MiB, several pieces
    struct batch b;
    struct batch_input first = {0};
    struct gpu_scratch scratch = {0};
    void *data = NULL;
    uint64_t size = 0;
    float *large = mem_alloc(ROWS * 4 * sizeof(float));
    for (size_t i = 0; i < (size_t)ROWS * 4; i++) {
        large[i] = (float)i;
    }
    bring(0, ROWS, large, TRITONSERVER_MEMORY_CPU, 0);
    begin(&b, 1, 1);
    assert_host_ok(batch_input_at(&b, 0, 0, &first));
    assert_host_ok(gpu_gather(&b, &first, GPU_ALIGNMENT, &scratch, &data, &size));
    memset(large, 0, ROWS * sizeof(float)); // it may be used again at once
    mem_free(large);
    assert_host_ok(gpu_io_wait(b.gpu_io));
    const float *seen = fake_cuda_peek(data);
    for (size_t i = 0; i < (size_t)ROWS * 4; i++) {
        assert_true(seen[i] == (float)i);
    }
    gpu_scratch_fini(b.gpu_io, &scratch);
    end(&b);
}

// Of memory that is page-locked the GPU itself reads, when its stream has come there: nothing is staged, and until then the host's
// memory is in use, so that no answer goes before.
static void page_locked_input_is_read_by_the_gpu_itself(void **state)
{
    (void)state;
    enum { ROWS = 1 << 17, BYTES = ROWS * 4 * sizeof(float) }; // 2 MiB
    struct batch b;
    struct batch_input first = {0};
    struct gpu_scratch scratch = {0};
    void *data = NULL;
    uint64_t size = 0;
    float *large = mem_map(BYTES);
    bring(0, ROWS, large, TRITONSERVER_MEMORY_CPU_PINNED, 0);
    begin(&b, 1, 1);
    assert_null(gpu_host_lock(gpu_io_device(b.gpu_io), large, BYTES));
    uint64_t copies = fake_cuda_calls(GPU_FN_memcpy_h2d_async);
    assert_host_ok(batch_input_at(&b, 0, 0, &first));
    assert_host_ok(gpu_gather(&b, &first, GPU_ALIGNMENT, &scratch, &data, &size));
    large[ROWS - 1] = 7; // still seen
    assert_int_equal(fake_cuda_calls(GPU_FN_memcpy_h2d_async) - copies, 1);
    assert_int_equal(host.pinned_bytes, 0); // no staging
    assert_true(gpu_io_uses_host(b.gpu_io));
    assert_false(requests[0].released);
    assert_host_ok(gpu_io_wait(b.gpu_io));
    assert_true(((const float *)fake_cuda_peek(data))[ROWS - 1] == 7);
    assert_false(gpu_io_uses_host(b.gpu_io));
    gpu_host_unlock(gpu_io_device(b.gpu_io), large);
    gpu_scratch_fini(b.gpu_io, &scratch);
    end(&b);
    mem_unmap(large, BYTES);
}

static void gpu_scatter_reaches_host_and_gpus(void **state)
{
    (void)state;
    for (int where = -1; where < 2; where++) { // host, the same GPU, another
        struct batch b;
        int64_t dims[2] = {4, 4};
        float *result = on_gpu(0, 100, 16);
        host.outputs_on_gpu = where >= 0;
        host.output_gpu = where >= 0 ? where : 0;
        bring(0, 1, on_gpu(0, 0, 4), TRITONSERVER_MEMORY_GPU, 0);
        bring(1, 3, on_gpu(0, 0, 12), TRITONSERVER_MEMORY_GPU, 0);
        begin(&b, 0, 2);
        gpu_scatter(&b, "OUT", TRITONSERVER_TYPE_FP32, dims, 2, true, result, 16 * sizeof(float));
        end(&b);
        const void *one = host_output(&requests[0], "OUT")->data;
        const void *other = host_output(&requests[1], "OUT")->data;
        assert_floats(where < 0 ? one : fake_cuda_peek(one), 100, 4);
        assert_floats(where < 0 ? other : fake_cuda_peek(other), 104, 12);
        assert_int_equal(instance.failed, 0);
        host_fini();
        host_request_init(&requests[0]);
        host_request_init(&requests[1]);
    }
}

// Where the host has no pinned memory to spare, copies take longer and arrive all the same; and an instance whose
// batches need several blocks of staging goes on with one that has room for all.
static void staging_is_of_the_heap_where_nothing_is_pinned(void **state)
{
    (void)state;
    enum { BYTES = 3 << 20 };
    struct gpu_io *io = NULL;
    struct gpu_scratch scratch = {0};
    void *device = NULL;
    char *here = mem_alloc(BYTES);
    char *back = mem_alloc(BYTES);
    assert_host_ok(gpu_io_create(&instance, 1, &io));
    assert_host_ok(gpu_scratch_reserve(io, &scratch, BYTES, &device));
    for (int round = 0; round < 3; round++) {
        struct gpu_place place = gpu_place_of(device, TRITONSERVER_MEMORY_GPU, 1);
        struct gpu_place to = gpu_place_of(back, TRITONSERVER_MEMORY_CPU, 0);
        memset(here, round + 1, BYTES);
        memset(back, 0, BYTES);
        host_fail(round == 0 ? "MemoryManagerAllocate" : NULL, 0);
        assert_host_ok(
            gpu_io_copy(io, place, gpu_place_of(here, TRITONSERVER_MEMORY_CPU, 0), BYTES, 0));
        assert_host_ok(gpu_io_copy(io, to, place, BYTES, 0));
        assert_int_equal(back[0], 0); // not before the end
        assert_host_ok(gpu_io_end(io));
        assert_memory_equal(here, back, BYTES);
    }
    gpu_scratch_fini(io, &scratch);
    gpu_io_destroy(io);
    mem_free(here);
    mem_free(back);
}

// Once what was large comes page-locked, its staging is for others.
static void staging_shrinks_when_it_is_hardly_used(void **state)
{
    (void)state;
    enum { LARGE = 8 << 20, SMALL = 64 << 10, BATCHES = 600 };
    struct gpu_io *io = NULL;
    struct gpu_scratch scratch = {0};
    void *device = NULL;
    char *here = mem_calloc(1, LARGE);
    assert_host_ok(gpu_io_create(&instance, 1, &io));
    assert_host_ok(gpu_scratch_reserve(io, &scratch, LARGE, &device));
    struct gpu_place to = gpu_place_of(device, TRITONSERVER_MEMORY_GPU, 1);
    struct gpu_place from = gpu_place_of(here, TRITONSERVER_MEMORY_CPU, 0);
    for (int i = 0; i < BATCHES; i++) { // large ones now and then keep it
        assert_host_ok(gpu_io_copy(io, to, from, i % 100 == 0 ? LARGE : SMALL, 0));
        assert_host_ok(gpu_io_end(io));
    }
    assert_true(host.pinned_bytes >= LARGE);
    for (int i = 0; i < BATCHES; i++) {
        assert_host_ok(gpu_io_copy(io, to, from, SMALL, 0));
        assert_host_ok(gpu_io_end(io));
    }
    assert_in_range(host.pinned_bytes, SMALL, LARGE / 4);
    assert_int_equal(host.memory, 2); // that, and what the scratch has
    gpu_scratch_fini(io, &scratch);
    gpu_io_destroy(io);
    mem_free(here);
}

static void batch_on_the_cpu_reads_and_writes_memory_of_gpus(void **state)
{
    (void)state;
    struct batch b;
    float row[4] = {0};
    void *data = NULL;
    const int64_t dims[2] = {1, 4};
    host.outputs_on_gpu = true;
    host.output_gpu = 0;
    bring(0, 1, on_gpu(1, 7, 4), TRITONSERVER_MEMORY_GPU, 1);
    begin(&b, GPU_IO_HOST, 1);
    struct batch_input in = {0};
    const void *view = NULL;
    assert_host_ok(batch_input_at(&b, 0, 0, &in));
    assert_host_ok(batch_input_view(&in, 4, &view));
    assert_null(view);
    assert_host_ok(batch_output(&b, 0, "OUT", TRITONSERVER_TYPE_FP32, dims, 2, sizeof(row), &data));
    assert_host_ok(batch_input_copy(&in, row));
    assert_floats(row, 7, 4);
    memcpy(data, row, sizeof(row)); // the framework writes last
    end(&b);
    assert_floats(fake_cuda_peek(host_output(&requests[0], "OUT")->data), 7, 4);
    assert_int_equal(instance.succeeded, 1);
}

static void batch_that_meets_no_gpu_opens_none(void **state)
{
    (void)state;
    static const float plain[4] = {0, 1, 2, 3};
    struct batch b;
    float row[4];
    uint64_t calls = fake_cuda_calls(GPU_FN_primary_retain);
    bring(0, 1, plain, TRITONSERVER_MEMORY_CPU, 0);
    begin(&b, GPU_IO_HOST, 1);
    struct batch_input in = {0};
    assert_host_ok(batch_input_at(&b, 0, 0, &in));
    assert_host_ok(batch_input_copy(&in, row));
    assert_null(b.gpu_io);
    end(&b);
    assert_int_equal(fake_cuda_calls(GPU_FN_primary_retain), calls);
}

static void failed_request_gets_nothing_written(void **state)
{
    (void)state;
    struct batch b;
    void *data = NULL;
    const int64_t dims[2] = {1, 4};
    host.outputs_on_gpu = true;
    bring(0, 1, on_gpu(0, 0, 4), TRITONSERVER_MEMORY_GPU, 0);
    bring(1, 1, on_gpu(0, 4, 4), TRITONSERVER_MEMORY_GPU, 0);
    begin(&b, GPU_IO_HOST, 2);
    assert_host_ok(batch_output(&b, 0, "OUT", TRITONSERVER_TYPE_FP32, dims, 2, 16, &data));
    memset(data, 1, 16);
    assert_host_ok(batch_output(&b, 1, "OUT", TRITONSERVER_TYPE_FP32, dims, 2, 16, &data));
    memset(data, 2, 16);
    batch_fail(&b, 0, TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, "broken"));
    uint64_t copied = fake_cuda_copied_bytes(0);
    end(&b);
    assert_int_equal(fake_cuda_copied_bytes(0) - copied, 16);
    assert_string_equal(requests[0].error, "broken");
    assert_string_equal(requests[1].error, "");
    assert_int_equal(((const char *)fake_cuda_peek(host_output(&requests[1], "OUT")->data))[0], 2);
}

static void batch_on_a_lost_gpu_answers_with_the_reason(void **state)
{
    (void)state;
    struct batch b;
    int64_t dims[2] = {1, 4};
    float *result = on_gpu(0, 0, 4);
    bring(0, 1, on_gpu(0, 0, 4), TRITONSERVER_MEMORY_GPU, 0);
    begin(&b, 0, 1);
    gpu_scatter(&b, "OUT", TRITONSERVER_TYPE_FP32, dims, 2, true, result, 4 * sizeof(float));
    fake_cuda_lose(0, 700);
    end(&b);
    assert_true(requests[0].answered && requests[0].released);
    assert_non_null(strstr(requests[0].error, "GPU 0"));
    assert_int_equal(instance.failed, 1);
}

static void gpu_io_refuses_what_is_not_there(void **state)
{
    (void)state;
    struct gpu_io *io = NULL;
    assert_host_error(gpu_io_create(&instance, 7, &io), "there is no GPU 7");
}

// Three batches of `ns` each on GPU 0, none of them waited for.
static void depart_three(struct batch *b, struct gpu_scratch *scratch, uint64_t ns)
{
    struct gpu_module *module = NULL;
    struct cu_function *kernel = NULL;
    const struct gpu_grid grid = {.blocks = {1, 1, 1}, .threads = {1, 1, 1}};
    void *params[] = {&ns};
    assert_null(gpu_module_load(gpu_io_device(b->gpu_io), "fake_busy", &module));
    assert_null(gpu_module_function(module, "fake_busy", &kernel));
    for (unsigned i = 0; i < 3; i++) {
        int64_t dims[2] = {1, 4};
        void *data = NULL;
        assert_host_ok(gpu_scratch_reserve(b->gpu_io, scratch, 16, &data));
        if (i > 0) {
            bring((int)i, 1, data, TRITONSERVER_MEMORY_GPU, 0);
            assert_host_ok(batch_begin(b, pointers + i, 1, true));
        }
        batch_compute_begin(b);
        assert_null(gpu_launch(gpu_io_stream(b->gpu_io), kernel, &grid, params));
        gpu_scatter(b, "OUT", TRITONSERVER_TYPE_FP32, dims, 2, true, data, 16);
        last_event = NULL;
        batch_end(b);
        assert_int_equal(departed, i + 1);
        assert_non_null(last_event);
        assert_true(requests[i].released);
    }
    gpu_module_unload(module);
}

static void begin_departing(struct batch *b)
{
    takes_events = true;
    host.output_gpu = 0;
    host.outputs_on_gpu = true;
    bring(0, 1, on_gpu(0, 0, 4), TRITONSERVER_MEMORY_GPU, 0);
    begin(b, 0, 1);
}

static void departed_batches_land_with_the_time_of_their_gpu(void **state)
{
    (void)state;
    struct batch b;
    struct gpu_scratch scratch = {0};
    begin_departing(&b);
    depart_three(&b, &scratch, 2000000);
    struct gpu_io *io = b.gpu_io;
    batch_fini(&b); // waits until they have landed
    gpu_scratch_fini(io, &scratch);
    gpu_io_destroy(io);
    assert_int_equal(landed.count, 3);
    assert_true(landed.success);
    assert_in_range(landed.infer_ns, 6000000, 6100000);
    assert_int_equal(instance.executions, 0); // reported by landing, not by the batch
}

static void departed_batch_of_a_lost_gpu_lands_as_failed(void **state)
{
    (void)state;
    struct batch b;
    struct gpu_scratch scratch = {0};
    begin_departing(&b);
    depart_three(&b, &scratch, UINT64_C(3600000000000));
    fake_cuda_lose(0, CU_ILLEGAL_ADDRESS);
    struct gpu_io *io = b.gpu_io;
    batch_fini(&b);
    assert_int_equal(landed.count, 3);
    assert_false(landed.success);
    gpu_scratch_fini(io, &scratch);
    gpu_io_destroy(io);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(gpu_gather_joins_what_lies_anywhere),
        TEST(gpu_gather_uses_one_requests_memory_in_place),
        TEST(gpu_gather_stages_large_inputs_of_the_host),
        TEST(gpu_scatter_reaches_host_and_gpus),
        TEST(staging_is_of_the_heap_where_nothing_is_pinned),
        TEST(staging_shrinks_when_it_is_hardly_used),
        TEST(page_locked_input_is_read_by_the_gpu_itself),
        TEST(batch_on_the_cpu_reads_and_writes_memory_of_gpus),
        TEST(batch_that_meets_no_gpu_opens_none),
        TEST(failed_request_gets_nothing_written),
        TEST(batch_on_a_lost_gpu_answers_with_the_reason),
        TEST(gpu_io_refuses_what_is_not_there),
        TEST(departed_batches_land_with_the_time_of_their_gpu),
        TEST(departed_batch_of_a_lost_gpu_lands_as_failed),
    };
    return cmocka_run_group_tests_name("gpu_io", tests, NULL, NULL);
}
