// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gpu/gpu_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

#include "gpu/copy.h"

enum { SIZE = 100000 };

static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 7 + i / 251);
}

static void bytes_go_round_over_two_devices(void **state)
{
    (void)state;
    struct gpu_stream *stream = NULL;
    struct gpu_stream *other = NULL;
    struct tensor_buffer *host = buffer_create(SIZE);
    struct tensor_buffer *back = buffer_create(SIZE);
    struct tensor_buffer *here = NULL;
    struct tensor_buffer *there = NULL;
    unsigned char *bytes = host->data;
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = pattern(i);
    }
    memset(back->data, 0, SIZE);
    assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &stream));
    assert_ok(gpu_stream_create(gpu(2), GPU_PRIORITY_NORMAL, &other));
    assert_ok(gpu_direct_get(gpu(0), SIZE, &here));
    assert_ok(gpu_direct_get(gpu(2), SIZE, &there));
    assert_ok(gpu_device_enable_peer(gpu(2), gpu(0)));
    assert_ok(gpu_copy_buffer(stream, here, 0, host, 0, SIZE));
    // Another GPU's stream: it waits by the buffer's event, not by chance.
    assert_ok(gpu_copy_buffer(other, there, 0, here, 0, SIZE));
    assert_ok(gpu_copy_buffer(other, back, 10, there, 10, SIZE - 10));
    assert_ok(gpu_stream_sync(other, 0));
    bytes = back->data;
    for (size_t i = 0; i < SIZE; i++) {
        assert_int_equal(bytes[i], i < 10 ? 0 : pattern(i));
    }
    assert_int_equal(fake_cuda_copied_bytes(0), 2 * SIZE);
    assert_ok(gpu_stream_fill(stream, here->data, 0x5a, 3));
    assert_ok(gpu_copy(stream, (char *)here->data + 3, gpu(0), here->data, gpu(0), 3));
    assert_ok(gpu_stream_sync(stream, 0));
    const unsigned char *peek = fake_cuda_peek(here->data);
    assert_int_equal(peek[5], 0x5a);
    assert_int_equal(peek[6], pattern(6));
    assert_error(gpu_copy_buffer(stream, here, 1, host, 0, SIZE), NRD_INVALID_ARG,
                 "bytes 1 to 100001 are not in a buffer of 100000");
    assert_ok(gpu_copy(stream, NULL, NULL, NULL, NULL, 0));
    buffer_unref(here);
    buffer_unref(there);
    buffer_unref(host);
    buffer_unref(back);
    gpu_stream_destroy(stream);
    gpu_stream_destroy(other);
}

static void host_memory_is_locked_and_unlocked(void **state)
{
    (void)state;
    static char memory[4096];
    assert_ok(gpu_host_lock(gpu(0), memory, sizeof(memory)));
    assert_int_equal(fake_cuda_live(), 2); // and the context
    gpu_host_unlock(gpu(0), memory);
    assert_int_equal(fake_cuda_live(), 1);
}

// The child has a machine of its own and opens what the parent exported.
static int read_in_child(const struct cu_ipc_mem_handle *handle, uint64_t offset)
{
    struct tensor_buffer *buffer = NULL;
    struct fake_cuda_options options = {.count = 1};
    fake_cuda_stop();
    gpu_driver_replace(NULL);
    fake_cuda_start(&options);
    gpu_driver_replace(fake_cuda_driver());
    if (gpu_system_open(&machine) != NULL ||
        gpu_ipc_open(gpu(0), slice_make(handle, sizeof(*handle)), &buffer) != NULL) {
        return 1;
    }
    const unsigned char *bytes = fake_cuda_peek((char *)buffer->data + offset);
    if (bytes == NULL || bytes[0] != 0x77 || buffer->size != SIZE - SIZE % 512 + 512) {
        return 2;
    }
    buffer_unref(buffer);
    gpu_system_close(machine);
    return fake_cuda_stop() == 0 ? 0 : 3;
}

static void memory_is_opened_by_another_process(void **state)
{
    (void)state;
    struct gpu_stream *stream = NULL;
    struct tensor_buffer *first = NULL;
    struct tensor_buffer *buffer = NULL;
    struct cu_ipc_mem_handle handle;
    uint64_t offset = 0;
    assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &stream));
    assert_ok(gpu_direct_get(gpu(0), 1, &first));
    assert_ok(gpu_direct_get(gpu(0), SIZE, &buffer));
    assert_ok(gpu_stream_fill(stream, buffer->data, 0x77, SIZE));
    assert_ok(gpu_stream_sync(stream, 0));
    assert_ok(gpu_ipc_export(gpu(0), (char *)buffer->data + 1000, &handle, &offset));
    assert_int_equal(offset, 1000);
    pid_t child = fork();
    if (child == 0) {
        _exit(read_in_child(&handle, offset));
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    // What is not a handle, and what is our own, is refused.
    struct tensor_buffer *opened = NULL;
    assert_error(gpu_ipc_open(gpu(0), SLICE("short"), &opened), NRD_INVALID_ARG,
                 "a CUDA memory handle has 64 bytes, not 5");
    assert_error(gpu_ipc_open(gpu(0), slice_make(&handle, sizeof(handle)), &opened),
                 NRD_INVALID_ARG,
                 "GPU 0: cuIpcOpenMemHandle_v2: CUDA_ERROR_INVALID_VALUE (invalid argument)");
    buffer_unref(buffer);
    buffer_unref(first);
    gpu_stream_destroy(stream);
}

static void copy_after_free_is_found_by_the_fake(void **state)
{
    (void)state;
    struct gpu_stream *stream = NULL;
    struct tensor_buffer *buffer = NULL;
    static char host[16];
    assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &stream));
    assert_ok(gpu_direct_get(gpu(0), 16, &buffer));
    assert_ok(gpu_copy(stream, host, NULL, buffer->data, gpu(0), 16));
    buffer_unref(buffer); // without gpu_buffer_use(): a mistake
    fake_cuda_run();
    struct nrd_status *status = gpu_stream_sync(stream, 0);
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    status_free(status);
    assert_true(gpu_device_is_lost(gpu(0)));
    gpu_stream_destroy(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GPU_TEST(bytes_go_round_over_two_devices),
        GPU_TEST(host_memory_is_locked_and_unlocked),
        GPU_TEST(memory_is_opened_by_another_process),
        GPU_TEST(copy_after_free_is_found_by_the_fake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
