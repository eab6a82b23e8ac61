// SPDX-License-Identifier: Apache-2.0
// BlockMemoryPool: `num_blocks` blocks of `block_size` bytes, all there from the start, one for each tensor.
// Blocks of the host lie in one stretch with a stack of the free ones; blocks of a GPU and pinned ones are a slab pool that
// holds exactly that many, and whose places come back when the last users' streams have come by.
#include "base/mem.h"
#include "gpu/memory.h"
#include "gpu/suballoc.h"
#include "graph/devices.h"
#include "graph/resources/classes.h"
#include "graph/resources/lender.h"

enum { HOST_ALIGN = 64 };

struct blocks {
    struct lender lender;
    struct devices *devices; // shared; NULL: system memory
    struct gpu_pool *pool;   // NULL: system memory
    uint64_t place_bytes;    // of a block in the pool
    char *stretch;
    pthread_mutex_t lock; // of the stack
    uint32_t *free_blocks;
    uint32_t free_count;
    uint32_t count;
};
struct block_memory_pool {
    int storage_type; // enum nrd_memory, by holoscan's numbers
    uint64_t block_size;
    int64_t num_blocks;
    int64_t dev_id;
    enum nrd_memory memory; // what it really is
    struct blocks *blocks;
};

static const char *const STORAGE[] = {"host", "device", "system", NULL};
static const struct nrd_param PARAMS[] = {
    {"storage_type", NRD_PARAM_CHOICE, 0, offsetof(struct block_memory_pool, storage_type), "0",
     STORAGE, .help = "Where: 0 host (pinned), 1 device, 2 system."},
    {"block_size", NRD_PARAM_BYTES, 0, offsetof(struct block_memory_pool, block_size),
     .unit = "bytes", .help = "Bytes of a block; a tensor takes one, however small it is."},
    {"num_blocks", NRD_PARAM_INT, 0, offsetof(struct block_memory_pool, num_blocks), .min = 1,
     .max = 1 << 24, .help = "How many there are."},
    {"dev_id", NRD_PARAM_INT, 0, offsetof(struct block_memory_pool, dev_id), "0", .min = 0,
     .max = 63, .help = "The GPU."},
    {0},
};

static void give_back(struct lender *l, void *block)
{
    struct blocks *b = (struct blocks *)l;
    pthread_mutex_lock(&b->lock);
    b->free_blocks[b->free_count++] =
        (uint32_t)((uint64_t)((char *)block - b->stretch) / b->place_bytes);
    pthread_mutex_unlock(&b->lock);
}

static void destroy_blocks(struct lender *l)
{
    struct blocks *b = (struct blocks *)l;
    lender_fini(l);
    gpu_pool_destroy(b->pool);
    devices_unref(b->devices);
    mem_free(b->stretch);
    mem_free(b->free_blocks);
    pthread_mutex_destroy(&b->lock);
    mem_free(b);
}

static const struct lender_class LENDER = {.give_back = give_back, .destroy = destroy_blocks};

static struct nrd_status *make_stretch(struct blocks *b)
{
    b->stretch = mem_aligned(HOST_ALIGN, b->place_bytes * b->count);
    b->free_blocks = mem_alloc(b->count * sizeof(*b->free_blocks));
    if (b->stretch == NULL || b->free_blocks == NULL) {
        return status_new(NRD_UNAVAILABLE, "%u blocks of %llu bytes: out of memory", b->count,
                          (unsigned long long)b->place_bytes);
    }
    for (uint32_t i = 0; i < b->count; i++) {
        b->free_blocks[i] = b->count - 1 - i; // the first one is on top
    }
    b->free_count = b->count;
    return NULL;
}

static struct nrd_status *make_pool(struct blocks *b, enum nrd_memory memory,
                                    struct gpu_device *device)
{
    struct gpu_pool_options options = {
        .kind = memory,
        .device = device,
        .limit_bytes = b->place_bytes * b->count,
        .initial_bytes = b->place_bytes * b->count,
        .chunk_bytes = b->place_bytes * b->count,
        .numa_node = memory == NRD_MEMORY_PINNED ? gpu_device_info(device)->numa_node : -1,
    };
    return gpu_pool_create(&options, &b->pool);
}

// Decides where the blocks are: pinned memory without a GPU is the system's, device memory without it is refused.
static struct nrd_status *place(struct nrd_resource *resource, struct block_memory_pool *state,
                                struct gpu_device **device)
{
    static const enum nrd_memory KINDS[] = {NRD_MEMORY_PINNED, NRD_MEMORY_GPU, NRD_MEMORY_CPU};
    state->memory = KINDS[state->storage_type];
    *device = NULL;
    if (state->memory == NRD_MEMORY_GPU) {
        struct nrd_status *status =
            devices_get(app_devices(resource->fragment->app), state->dev_id, device);
        return status_wrap(status, "storage_type 1 (device): ");
    }
    if (state->memory == NRD_MEMORY_PINNED) {
        *device = devices_any(app_devices(resource->fragment->app));
        if (*device == NULL) {
            pinned_fell_back(resource);
            state->memory = NRD_MEMORY_CPU;
        }
    }
    return NULL;
}

static struct nrd_status *create(struct nrd_resource *resource, void *self)
{
    struct block_memory_pool *state = self;
    struct gpu_device *device;
    if (state->block_size == 0 ||
        state->block_size > (SIZE_MAX >> 1) / (uint64_t)state->num_blocks - SUBALLOC_ALIGN) {
        return status_new(NRD_INVALID_ARG, "%lld blocks of %llu bytes are no amount of memory",
                          (long long)state->num_blocks, (unsigned long long)state->block_size);
    }
    NRD_TRY(place(resource, state, &device));
    struct blocks *b = mem_calloc(1, sizeof(*b));
    if (b == NULL || !lender_init(&b->lender, &LENDER, resource)) {
        mem_free(b);
        return status_no_memory();
    }
    pthread_mutex_init(&b->lock, NULL);
    uint64_t align = device == NULL ? (uint64_t)HOST_ALIGN : (uint64_t)SUBALLOC_ALIGN;
    b->count = (uint32_t)state->num_blocks;
    b->place_bytes = (state->block_size + align - 1) / align * align;
    struct nrd_status *status = NULL;
    if (device == NULL) {
        status = make_stretch(b);
    } else {
        b->devices = devices_ref(app_devices(resource->fragment->app));
        status = make_pool(b, state->memory, device);
    }
    if (status != NULL) {
        destroy_blocks(&b->lender);
        return status;
    }
    state->blocks = b;
    return NULL;
}

static void destroy(struct nrd_resource *resource, void *self)
{
    (void)resource;
    lender_close(&((struct block_memory_pool *)self)->blocks->lender);
}

// How many blocks could be had now.
static uint64_t count_free(struct blocks *b)
{
    if (b->pool != NULL) {
        struct gpu_pool_usage usage;
        gpu_pool_usage(b->pool, &usage);
        return (usage.limit_bytes - usage.used_bytes) / b->place_bytes;
    }
    pthread_mutex_lock(&b->lock);
    uint64_t count = b->free_count;
    pthread_mutex_unlock(&b->lock);
    return count;
}

static struct nrd_status *used_up(const struct nrd_resource *resource,
                                  const struct block_memory_pool *state)
{
    return status_new(NRD_UNAVAILABLE,
                      "resource '%s' (BlockMemoryPool): all %lld blocks of %llu bytes are in use",
                      resource->name, (long long)state->num_blocks,
                      (unsigned long long)state->block_size);
}

static struct nrd_status *check_request(const struct nrd_resource *resource,
                                        const struct block_memory_pool *state, size_t size,
                                        enum nrd_memory memory, int32_t device)
{
    if (size > state->block_size) {
        return status_new(NRD_INVALID_ARG,
                          "resource '%s' (BlockMemoryPool): a tensor of %zu bytes does not fit a "
                          "block of %llu bytes",
                          resource->name, size, (unsigned long long)state->block_size);
    }
    bool of_gpu = state->memory == NRD_MEMORY_GPU;
    if (of_gpu != (memory == NRD_MEMORY_GPU) || (of_gpu && device != state->dev_id)) {
        return status_new(NRD_INVALID_ARG,
                          "resource '%s' (BlockMemoryPool): its blocks are %s memory of device "
                          "%lld, a tensor in %s memory of device %d was asked for",
                          resource->name, memory_name(state->memory), (long long)state->dev_id,
                          memory_name(memory), device);
    }
    return NULL;
}

static struct nrd_status *allocate(struct nrd_resource *resource, void *self, enum nrd_dtype dtype,
                                   const int64_t *dims, uint32_t rank, enum nrd_memory memory,
                                   int32_t device, struct nrd_tensor **tensor)
{
    struct block_memory_pool *state = self;
    struct blocks *b = state->blocks;
    struct lender_bytes bytes = {.memory = state->memory};
    NRD_TRY(tensor_check_shape(dtype, dims, rank, &bytes.size));
    NRD_TRY(check_request(resource, state, bytes.size, memory, device));
    if (b->pool != NULL) {
        struct nrd_status *status = gpu_pool_get(b->pool, state->block_size, &bytes.inner);
        if (status != NULL) {
            status_free(status);
            return used_up(resource, state);
        }
        bytes.data = bytes.inner->data;
        bytes.device = memory == NRD_MEMORY_GPU ? device : 0;
        return lender_lend(&b->lender, &bytes, dtype, dims, rank, tensor);
    }
    pthread_mutex_lock(&b->lock);
    bool any = b->free_count > 0;
    uint32_t index = any ? b->free_blocks[--b->free_count] : 0;
    pthread_mutex_unlock(&b->lock);
    if (!any) {
        return used_up(resource, state);
    }
    bytes.block = b->stretch + index * b->place_bytes;
    bytes.data = bytes.block;
    return lender_lend(&b->lender, &bytes, dtype, dims, rank, tensor);
}

static bool available(void *self, uint64_t bytes, uint64_t blocks)
{
    struct block_memory_pool *state = self;
    lender_watch(&state->blocks->lender);
    uint64_t wanted = blocks != 0 ? blocks : (bytes + state->block_size - 1) / state->block_size;
    return count_free(state->blocks) >= wanted;
}

static bool settling(void *self)
{
    const struct block_memory_pool *state = self;
    if (state->blocks->pool == NULL) {
        return false;
    }
    struct gpu_pool_usage usage;
    gpu_pool_usage(state->blocks->pool, &usage);
    return usage.pending_bytes != 0;
}

static const struct allocator_ops OPS = {
    .allocate = allocate, .available = available, .settling = settling};

const struct resource_class resource_block_memory_pool = {
    .type = "BlockMemoryPool",
    .kind = "allocator",
    .state_size = sizeof(struct block_memory_pool),
    .params = PARAMS,
    .create = create,
    .destroy = destroy,
    .ops = &OPS,
};
