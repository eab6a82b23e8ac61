// SPDX-License-Identifier: Apache-2.0
// Memory: the only place that calls malloc.
//
// Thin, so that allocation failure can be injected (mem_fail_after) and counted (mem_count) in tests.
// All return NULL when memory is out; none aborts. mem_free(NULL) is fine. Thread: any.
#ifndef NEREID_BASE_MEM_H
#define NEREID_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t size) __attribute__((malloc, alloc_size(1), warn_unused_result));
// Zeroed; NULL too when count * size overflows.
void *mem_calloc(size_t count, size_t size)
    __attribute__((malloc, alloc_size(1, 2), warn_unused_result));
void *mem_realloc(void *ptr, size_t size) __attribute__((alloc_size(2), warn_unused_result));
// `alignment` is a power of two of at least 8. Freed by mem_free.
void *mem_aligned(size_t alignment, size_t size) __attribute__((malloc, warn_unused_result));
char *mem_strdup(const char *text) __attribute__((malloc, warn_unused_result));
char *mem_strndup(const char *text, size_t length) __attribute__((malloc, warn_unused_result));
void mem_free(void *ptr);
// Pages from the system, zeroed, for what is large and is kept: they cost nothing until they are touched. Beyond the first 2 MiB they
// may be huge pages, which makes touching them several times cheaper; the first are not, so that what is reserved and hardly used
// stays small. Given back by mem_unmap with the same size.
void *mem_map(size_t size) __attribute__((warn_unused_result));
void mem_unmap(void *ptr, size_t size); // NULL is fine

// Tests only: the n-th allocation from now on (1 = the next) of this process fails once; 0 turns it off.
void mem_fail_after(uint64_t n);
// Allocations made so far by this copy of base (for "steady state allocates nothing" tests).
uint64_t mem_count(void);

#endif
