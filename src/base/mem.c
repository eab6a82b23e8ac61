// SPDX-License-Identifier: Apache-2.0
// Memory: malloc behind a counter and an injected failure.
//
// Both are process-wide atomics with relaxed order: they order nothing, and steady state does not come
// here (pools and arenas do). The failure counter is looked at only while it is armed.
#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

static _Atomic uint64_t allocation_count;
static _Atomic uint64_t fail_countdown; // 0: off

void mem_fail_after(uint64_t n)
{
    atomic_store_explicit(&fail_countdown, n, memory_order_relaxed);
}

uint64_t mem_count(void)
{
    return atomic_load_explicit(&allocation_count, memory_order_relaxed);
}

// Counts an allocation; true when it is the one that has to fail.
static bool count_and_fail(void)
{
    atomic_fetch_add_explicit(&allocation_count, 1, memory_order_relaxed);
    uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    while (left != 0) {
        if (atomic_compare_exchange_weak_explicit(&fail_countdown, &left, left - 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return left == 1;
        }
    }
    return false;
}

// More than an object can have; the C library would refuse it too, a sanitizer would end the process.
static bool is_absurd(size_t size)
{
    return size > PTRDIFF_MAX;
}

void *mem_alloc(size_t size)
{
    return is_absurd(size) || count_and_fail() ? NULL : malloc(size == 0 ? 1 : size);
}

void *mem_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (count == 0 || size == 0) {
        count = 1;
        size = 1;
    }
    if (__builtin_mul_overflow(count, size, &bytes) || is_absurd(bytes)) {
        return NULL;
    }
    return count_and_fail() ? NULL : calloc(count, size);
}

void *mem_realloc(void *ptr, size_t size)
{
    return is_absurd(size) || count_and_fail() ? NULL : realloc(ptr, size == 0 ? 1 : size);
}

void *mem_aligned(size_t alignment, size_t size)
{
    void *ptr = NULL;
    if (is_absurd(size) || count_and_fail() ||
        posix_memalign(&ptr, alignment, size == 0 ? 1 : size) != 0) {
        return NULL;
    }
    return ptr;
}

char *mem_strdup(const char *text)
{
    return mem_strndup(text, strlen(text));
}

char *mem_strndup(const char *text, size_t length)
{
    if (length == SIZE_MAX) {
        return NULL;
    }
    char *copy = mem_alloc(length + 1);
    if (copy != NULL) {
        if (length != 0) {
            memcpy(copy, text, length);
        }
        copy[length] = '\0';
    }
    return copy;
}

void mem_free(void *ptr)
{
    free(ptr);
}

void *mem_map(size_t size)
{
    if (size == 0 || is_absurd(size) || count_and_fail()) {
        return NULL;
    }
    void *ptr = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ptr == MAP_FAILED) {
        return NULL;
    }
    if (size > 2 * (size_t)HUGE_PAGE) {
        // A wish; small pages do too.
        (void)madvise((char *)ptr + HUGE_PAGE, size - HUGE_PAGE, MADV_HUGEPAGE);
    }
    return ptr;
}

void mem_unmap(void *ptr, size_t size)
{
    if (ptr != NULL) {
        (void)munmap(ptr, size);
    }
}
