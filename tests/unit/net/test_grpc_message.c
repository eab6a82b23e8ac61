// SPDX-License-Identifier: Apache-2.0
#include "net_unit.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/grpc_message.h"

// Gives an inbox the five bytes before a message of `size` bytes; how much room there is then at once.
static size_t begin(struct grpc_inbox *inbox, size_t size)
{
    char prefix[GRPC_PREFIX];
    grpc_prefix(prefix, size);
    struct slice in = slice_make(prefix, sizeof(prefix));
    struct grpc_message message;
    assert_int_equal(grpc_inbox_take(inbox, &in, &message), 0);
    size_t room = 0;
    assert_non_null(grpc_inbox_room(inbox, &room));
    return room;
}

static void message_of_a_large_tensor_gets_its_whole_buffer_at_once(void **state)
{
    (void)state;
    enum { BYTES = 100 << 20 };
    struct buffer_pool *buffers = buffer_pool_create(0);
    struct grpc_inbox inbox;
    grpc_inbox_init(&inbox, buffers, 0, "SERVER");
    assert_int_equal(begin(&inbox, BYTES), BYTES);
    grpc_inbox_fini(&inbox);
    buffer_pool_destroy(buffers);
}

static void message_beyond_what_is_believed_begins_with_a_part(void **state)
{
    (void)state;
    struct buffer_pool *buffers = buffer_pool_create(0);
    struct grpc_inbox inbox;
    grpc_inbox_init(&inbox, buffers, 0, "SERVER");
    size_t room = begin(&inbox, (size_t)1 << 30);
    assert_true(room >= (size_t)256 << 20 && room < (size_t)1 << 29);
    grpc_inbox_fini(&inbox);
    buffer_pool_destroy(buffers);
}

// A peer can claim much and send little: what it claims must not become resident.
static void claimed_length_takes_no_memory_before_its_bytes_come(void **state)
{
    (void)state;
    enum { BYTES = 64 << 20, SENT = 4096 };
    struct buffer_pool *buffers = buffer_pool_create(0);
    struct grpc_inbox inbox;
    grpc_inbox_init(&inbox, buffers, 0, "SERVER");
    (void)begin(&inbox, BYTES);
    static char bytes[SENT];
    struct slice in = slice_make(bytes, sizeof(bytes));
    struct grpc_message message;
    assert_int_equal(grpc_inbox_take(&inbox, &in, &message), 0);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t pages = BYTES / page;
    unsigned char *resident = mem_alloc(pages);
    assert_non_null(resident);
    char *start = inbox.incoming.bytes - (uintptr_t)inbox.incoming.bytes % page;
    assert_int_equal(mincore(start, BYTES, resident), 0);
    size_t count = 0;
    for (size_t i = 0; i < pages; i++) {
        count += resident[i] & 1;
    }
    mem_free(resident);
    assert_true(count <= SENT / page + 2);
    grpc_inbox_fini(&inbox);
    buffer_pool_destroy(buffers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_of_a_large_tensor_gets_its_whole_buffer_at_once),
        cmocka_unit_test(message_beyond_what_is_believed_begins_with_a_part),
        cmocka_unit_test(claimed_length_takes_no_memory_before_its_bytes_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
