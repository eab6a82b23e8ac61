// SPDX-License-Identifier: Apache-2.0
// Pools.
//
// Objects: each thread has a small cache; when it runs empty it takes half a cache from the shared list under one lock,
// when it runs over it gives half back. So an object that is made in one thread and released in another costs a lock in
// every sixteenth call. Idle objects are linked through their own first word. Caches hang on a pthread key, so that a
// thread's end gives them back, and on a list, so that the pool's end frees those of threads that live on.
// Buffers: one lock and two lists for each size class, of page-locked ones and of others; a header of one cache line before the bytes says
// which. One that is being locked or unlocked belongs to the thread that does it, and is in no list.
// Under AddressSanitizer what is idle is poisoned: a use after the return shows like a use after free.
#include "base/pool.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOL_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_POISONS 1
#endif
#endif
#if defined(POOL_POISONS)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum { CACHE_MAX = 32, CACHE_MOVE = CACHE_MAX / 2, CACHE_LINE = 64 };

struct idle_object {
    struct idle_object *next;
};

struct object_cache {
    struct list_node link; // in the pool's `caches`, under its lock
    struct object_pool *pool;
    struct idle_object *first;
    unsigned count;
};

struct object_pool {
    pthread_mutex_t lock;
    size_t object_size;
    size_t max_idle;
    struct idle_object *first;
    size_t count;
    struct list_node caches;
    pthread_key_t key;
    bool has_key; // without one (the process ran out of keys) there are no caches
};

static void object_free(struct object_pool *p, struct idle_object *object)
{
    ASAN_UNPOISON_MEMORY_REGION(object, p->object_size);
    mem_free(object);
}

// Frees a chain. The lock is not needed.
static void free_chain(struct object_pool *p, struct idle_object *object)
{
    while (object != NULL) {
        struct idle_object *next = object->next;
        object_free(p, object);
        object = next;
    }
}

// Moves a chain into the shared list; returns what is too much for it. Under the lock.
static struct idle_object *give_back(struct object_pool *p, struct idle_object *chain)
{
    while (chain != NULL && p->count < p->max_idle) {
        struct idle_object *next = chain->next;
        chain->next = p->first;
        p->first = chain;
        p->count++;
        chain = next;
    }
    return chain;
}

static void cache_retire(void *arg)
{
    struct object_cache *cache = arg;
    struct object_pool *p = cache->pool;
    pthread_mutex_lock(&p->lock);
    list_remove(&cache->link);
    struct idle_object *surplus = give_back(p, cache->first);
    pthread_mutex_unlock(&p->lock);
    free_chain(p, surplus);
    mem_free(cache);
}

struct object_pool *object_pool_create(size_t object_size, size_t max_idle)
{
    struct object_pool *p = mem_calloc(1, sizeof(*p));
    if (p == NULL) {
        return NULL;
    }
    size_t least = sizeof(struct idle_object);
    p->object_size = object_size < least ? least : object_size;
    p->max_idle = max_idle;
    list_init(&p->caches);
    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        mem_free(p);
        return NULL;
    }
    p->has_key = pthread_key_create(&p->key, cache_retire) == 0;
    return p;
}

void object_pool_destroy(struct object_pool *p)
{
    if (p == NULL) {
        return;
    }
    if (p->has_key) {
        pthread_key_delete(p->key);
    }
    struct list_node *node;
    while ((node = list_pop_front(&p->caches)) != NULL) {
        struct object_cache *cache = CONTAINER_OF(node, struct object_cache, link);
        free_chain(p, cache->first);
        mem_free(cache);
    }
    free_chain(p, p->first);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

// The calling thread's cache, made at the first use; NULL when there is none.
static struct object_cache *own_cache(struct object_pool *p)
{
    if (!p->has_key) {
        return NULL;
    }
    struct object_cache *cache = pthread_getspecific(p->key);
    if (cache != NULL) {
        return cache;
    }
    cache = mem_calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return NULL;
    }
    cache->pool = p;
    if (pthread_setspecific(p->key, cache) != 0) {
        mem_free(cache);
        return NULL;
    }
    pthread_mutex_lock(&p->lock);
    list_push_back(&p->caches, &cache->link);
    pthread_mutex_unlock(&p->lock);
    return cache;
}

// Takes up to `wanted` from the shared list.
static struct idle_object *take_some(struct object_pool *p, unsigned wanted, unsigned *got)
{
    struct idle_object *chain = NULL;
    *got = 0;
    pthread_mutex_lock(&p->lock);
    while (*got < wanted && p->first != NULL) {
        struct idle_object *object = p->first;
        p->first = object->next;
        object->next = chain;
        chain = object;
        (*got)++;
    }
    p->count -= *got;
    pthread_mutex_unlock(&p->lock);
    return chain;
}

void *object_pool_get(struct object_pool *p)
{
    struct object_cache *cache = own_cache(p);
    struct idle_object *object;
    unsigned got;
    if (cache == NULL) {
        object = take_some(p, 1, &got);
    } else {
        if (cache->first == NULL) {
            cache->first = take_some(p, CACHE_MOVE, &cache->count);
        }
        object = cache->first;
        if (object != NULL) {
            cache->first = object->next;
            cache->count--;
        }
    }
    if (object == NULL) {
        return mem_alloc(p->object_size);
    }
    ASAN_UNPOISON_MEMORY_REGION(object, p->object_size);
    return object;
}

// Cuts the newest `CACHE_MOVE` objects off a full cache and gives them to the shared list.
static void spill(struct object_pool *p, struct object_cache *cache)
{
    struct idle_object *chain = cache->first;
    struct idle_object *last = chain;
    for (unsigned i = 1; i < CACHE_MOVE; i++) {
        last = last->next;
    }
    cache->first = last->next;
    cache->count -= CACHE_MOVE;
    last->next = NULL;
    pthread_mutex_lock(&p->lock);
    struct idle_object *surplus = give_back(p, chain);
    pthread_mutex_unlock(&p->lock);
    free_chain(p, surplus);
}

void object_pool_put(struct object_pool *p, void *object)
{
    struct object_cache *cache = own_cache(p);
    struct idle_object *idle = object;
    ASAN_POISON_MEMORY_REGION((char *)object + sizeof(*idle), p->object_size - sizeof(*idle));
    if (cache == NULL) {
        idle->next = NULL;
        pthread_mutex_lock(&p->lock);
        struct idle_object *surplus = give_back(p, idle);
        pthread_mutex_unlock(&p->lock);
        free_chain(p, surplus);
        return;
    }
    idle->next = cache->first;
    cache->first = idle;
    if (++cache->count > CACHE_MAX) {
        spill(p, cache);
    }
}

// ---- buffers ----

// Classes: CLASS_MIN .. STEPS_FROM are powers of two, above each doubling has four.
enum {
    CLASS_MIN = 8,
    STEPS_FROM = 20,
    CLASS_MAX = 30,
    STEP_BITS = 2,
    POWER_CLASSES = STEPS_FROM - CLASS_MIN + 1,
    CLASS_COUNT = POWER_CLASSES + ((CLASS_MAX - STEPS_FROM) << STEP_BITS),
    CLASS_NONE = 255,
    MAPPED_MIN = 4 << 20, // from here on a buffer has pages of its own
};

// Before the bytes of a buffer, in a cache line of its own so that the bytes are aligned to one.
struct buffer_head {
    _Alignas(CACHE_LINE) struct buffer_head *next;
    size_t bytes; // behind the head
    unsigned size_class;
    int to_device; // how often its bytes went there, from the negative after a refusal; counts while it is not locked
    struct buffer_pool *pool;
    void *lock;  // of the locker; NULL: not page-locked
    bool mapped; // pages of its own
};
_Static_assert(sizeof(struct buffer_head) == CACHE_LINE, "a buffer begins on a cache line");

struct buffer_class {
    _Alignas(CACHE_LINE) pthread_mutex_t lock; // its own line: classes do not disturb each other
    struct buffer_head *first[2];              // page-locked: [true]
};

struct buffer_pool {
    struct buffer_class classes[CLASS_COUNT];
    size_t max_idle_bytes;
    _Atomic size_t idle_bytes;
    struct buffer_locker locker; // without functions where there is none
};

static size_t class_bytes(unsigned size_class)
{
    if (size_class < POWER_CLASSES) {
        return (size_t)1 << (CLASS_MIN + size_class);
    }
    unsigned above = size_class - POWER_CLASSES;
    unsigned doubling = STEPS_FROM + (above >> STEP_BITS);
    size_t quarter = (size_t)1 << (doubling - STEP_BITS);
    return ((size_t)1 << doubling) + ((above & ((1u << STEP_BITS) - 1)) + 1) * quarter;
}

static unsigned class_of(size_t size)
{
    if (size <= (size_t)1 << CLASS_MIN) {
        return 0;
    }
    unsigned bits = 64 - (unsigned)__builtin_clzll((unsigned long long)size - 1);
    if (bits <= STEPS_FROM) {
        return bits - CLASS_MIN;
    }
    if (bits > CLASS_MAX) {
        return CLASS_NONE;
    }
    // Of the two bits behind the first: which quarter the last byte is in.
    unsigned quarter = (unsigned)((size - 1) >> (bits - 1 - STEP_BITS)) & ((1u << STEP_BITS) - 1);
    return POWER_CLASSES + ((bits - 1 - STEPS_FROM) << STEP_BITS) + quarter;
}

static struct buffer_head *buffer_new(struct buffer_pool *p, size_t bytes, unsigned size_class,
                                      bool mapped)
{
    if (bytes > SIZE_MAX - sizeof(struct buffer_head)) {
        return NULL;
    }
    size_t all = sizeof(struct buffer_head) + bytes;
    struct buffer_head *head = mapped ? mem_map(all) : mem_aligned(CACHE_LINE, all);
    if (head != NULL) {
        *head = (struct buffer_head){
            .bytes = bytes, .size_class = size_class, .pool = p, .mapped = mapped};
    }
    return head;
}

static void buffer_free(struct buffer_head *head)
{
    if (head->lock != NULL) {
        const struct buffer_locker *locker = &head->pool->locker;
        locker->unlock(locker->user, head->lock);
    }
    ASAN_UNPOISON_MEMORY_REGION(head + 1, head->bytes);
    if (head->mapped) {
        mem_unmap(head, sizeof(*head) + head->bytes);
    } else {
        mem_free(head);
    }
}

static void free_posted(void *arg)
{
    buffer_free(arg);
}

// Frees a buffer from a thread that may not block.
static void buffer_drop(struct buffer_head *head)
{
    const struct buffer_locker *locker = &head->pool->locker;
    if (head->lock == NULL || !locker->post(locker->user, free_posted, head)) {
        buffer_free(head);
    }
}

size_t buffer_pool_body_limit(void)
{
    const size_t least = (size_t)64 << 20;
    const size_t most = (size_t)1 << 30;
    long pages = sysconf(_SC_PHYS_PAGES);
    long page = sysconf(_SC_PAGESIZE);
    size_t share = pages > 0 && page > 0 ? (size_t)pages / 16 * (size_t)page : 0;
    return share < least ? least : share < most ? share : most;
}

struct buffer_pool *buffer_pool_create(size_t max_idle_bytes)
{
    struct buffer_pool *p = mem_aligned(CACHE_LINE, sizeof(*p));
    if (p == NULL) {
        return NULL;
    }
    p->max_idle_bytes = max_idle_bytes;
    p->locker = (struct buffer_locker){0};
    atomic_init(&p->idle_bytes, 0);
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        pthread_mutex_init(&p->classes[i].lock, NULL);
        p->classes[i].first[false] = p->classes[i].first[true] = NULL;
    }
    return p;
}

void buffer_pool_destroy(struct buffer_pool *p)
{
    if (p == NULL) {
        return;
    }
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        for (int locked = 0; locked <= 1; locked++) {
            struct buffer_head *head = p->classes[i].first[locked];
            while (head != NULL) {
                struct buffer_head *next = head->next;
                buffer_free(head);
                head = next;
            }
        }
        pthread_mutex_destroy(&p->classes[i].lock);
    }
    mem_free(p);
}

// Takes an idle buffer out of its class; `locked` ones first, or last. With the class's mutex held.
static struct buffer_head *class_pop(struct buffer_class *own, bool locked)
{
    bool list = own->first[locked] != NULL ? locked : !locked;
    struct buffer_head *head = own->first[list];
    if (head != NULL) {
        own->first[list] = head->next;
    }
    return head;
}

static void *get(struct buffer_pool *p, size_t size, size_t *capacity, bool locked)
{
    unsigned size_class = class_of(size);
    struct buffer_head *head = NULL;
    size_t bytes = size_class == CLASS_NONE ? size : class_bytes(size_class);
    if (size_class != CLASS_NONE) {
        struct buffer_class *own = &p->classes[size_class];
        pthread_mutex_lock(&own->lock);
        head = class_pop(own, locked);
        pthread_mutex_unlock(&own->lock);
    }
    if (head != NULL) {
        atomic_fetch_sub_explicit(&p->idle_bytes, bytes, memory_order_relaxed);
        ASAN_UNPOISON_MEMORY_REGION(head + 1, bytes);
    } else {
        head = buffer_new(p, bytes, size_class, bytes >= MAPPED_MIN);
        if (head == NULL) {
            return NULL;
        }
    }
    if (capacity != NULL) {
        *capacity = bytes;
    }
    return head + 1;
}

void *buffer_pool_get(struct buffer_pool *p, size_t size, size_t *capacity)
{
    return get(p, size, capacity, false);
}

void *buffer_pool_get_locked(struct buffer_pool *p, size_t size, size_t *capacity)
{
    return get(p, size, capacity, true);
}

// Puts a buffer into the list of its class. False: that would be too much, the buffer is still the caller's.
static bool keep(struct buffer_pool *p, struct buffer_head *head)
{
    size_t bytes = head->bytes;
    // Counted before it is in the list, so that the sum never passes the limit.
    size_t idle = atomic_fetch_add_explicit(&p->idle_bytes, bytes, memory_order_relaxed);
    if (idle + bytes > p->max_idle_bytes) {
        atomic_fetch_sub_explicit(&p->idle_bytes, bytes, memory_order_relaxed);
        return false;
    }
    struct buffer_class *own = &p->classes[head->size_class];
    struct buffer_head **first = &own->first[head->lock != NULL];
    ASAN_POISON_MEMORY_REGION(head + 1, bytes);
    pthread_mutex_lock(&own->lock);
    head->next = *first;
    *first = head;
    pthread_mutex_unlock(&own->lock);
    return true;
}

static void lock_posted(void *arg);

void buffer_pool_put(struct buffer_pool *p, void *buffer)
{
    if (buffer == NULL) {
        return;
    }
    struct buffer_head *head = (struct buffer_head *)buffer - 1;
    if (head->size_class == CLASS_NONE) {
        buffer_free(head);
        return;
    }
    if (head->to_device >= BUFFER_LOCK_AFTER && head->lock == NULL && p->locker.lock != NULL &&
        p->locker.post(p->locker.user, lock_posted, head)) {
        return;
    }
    if (!keep(p, head)) {
        buffer_drop(head);
    }
}

void buffer_pool_trim(struct buffer_pool *p, size_t keep_bytes)
{
    bool freed = false;
    for (unsigned i = CLASS_COUNT; i-- > 0;) {
        struct buffer_class *own = &p->classes[i];
        while (buffer_pool_idle_bytes(p) > keep_bytes) {
            pthread_mutex_lock(&own->lock);
            struct buffer_head *head = class_pop(own, false);
            pthread_mutex_unlock(&own->lock);
            if (head == NULL) {
                break;
            }
            atomic_fetch_sub_explicit(&p->idle_bytes, class_bytes(i), memory_order_relaxed);
            buffer_drop(head);
            freed = true;
        }
    }
    if (freed) {
        malloc_trim(0);
    }
}

size_t buffer_pool_idle_bytes(const struct buffer_pool *p)
{
    return atomic_load_explicit(&p->idle_bytes, memory_order_relaxed);
}

// ---- page-locked buffers ----

void buffer_pool_lock_by(struct buffer_pool *p, const struct buffer_locker *locker)
{
    p->locker = *locker;
}

void buffer_pool_goes_to_device(void *buffer)
{
    struct buffer_head *head = (struct buffer_head *)buffer - 1;
    if (head->lock == NULL && head->bytes >= BUFFER_LOCK_MIN) {
        head->to_device++;
    }
}

bool buffer_pool_is_locked(const void *buffer)
{
    return ((const struct buffer_head *)buffer - 1)->lock != NULL;
}

// Frees the page-locked buffers of other classes that nobody uses, so that what is asked for now finds room under the locker's limit.
// Whether there were any.
static bool unlock_others(struct buffer_pool *p, unsigned but)
{
    bool freed = false;
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        struct buffer_class *own = &p->classes[i];
        if (i == but) {
            continue;
        }
        pthread_mutex_lock(&own->lock);
        struct buffer_head *head = own->first[true];
        own->first[true] = NULL;
        pthread_mutex_unlock(&own->lock);
        while (head != NULL) {
            struct buffer_head *next = head->next;
            atomic_fetch_sub_explicit(&p->idle_bytes, head->bytes, memory_order_relaxed);
            buffer_free(head);
            head = next;
            freed = true;
        }
    }
    return freed;
}

static void *lock_pages(struct buffer_pool *p, struct buffer_head *head)
{
    return p->locker.lock(p->locker.user, head, sizeof(*head) + head->bytes);
}

// Locks a buffer that has come back. One of the heap shares pages with others, so another takes its place.
static void lock_posted(void *arg)
{
    struct buffer_head *head = arg;
    struct buffer_pool *p = head->pool;
    struct buffer_head *pages =
        head->mapped ? head : buffer_new(p, head->bytes, head->size_class, true);
    if (pages != NULL) {
        pages->lock = lock_pages(p, pages);
        if (pages->lock == NULL && unlock_others(p, head->size_class)) {
            pages->lock = lock_pages(p, pages);
        }
    }
    struct buffer_head *spare = pages == head ? NULL : pages;
    if (spare != NULL && spare->lock != NULL) {
        spare = head;
        head = pages;
    }
    if (spare != NULL) {
        buffer_free(spare);
    }
    head->to_device = head->lock != NULL ? 0 : BUFFER_LOCK_AFTER - BUFFER_LOCK_AGAIN;
    if (!keep(p, head)) {
        buffer_free(head);
    }
}
