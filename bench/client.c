// SPDX-License-Identifier: Apache-2.0
// What the C client costs: keeps CONCURRENCY inferences under way for SECONDS and counts answers and its own CPU time. With a
// concurrency of 0, one caller that waits. bench/load.c with the same model is the floor: prepared bytes, nothing read.
//
//   client URL MODEL CONCURRENCY SECONDS FLOATS
// Prints one line of JSON: requests, errors, seconds, cpu_us (of a request), p50_us, p99_us.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "nereid/client.h"

enum { SAMPLES = 1 << 20 };

static struct nrd_client *client;
static struct nrd_client_request request;
static uint64_t deadline;
static uint64_t requests, errors;
static uint32_t samples[SAMPLES]; // latencies in 0.1 us
static _Atomic unsigned under_way;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t none_left = PTHREAD_COND_INITIALIZER;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void count(uint64_t start, struct nrd_status *status, struct nrd_client_response *response)
{
    uint64_t ns = now_ns() - start;
    samples[requests++ % SAMPLES] = (uint32_t)(ns / 100);
    if (status != NULL && errors++ == 0) {
        fprintf(stderr, "client: %s\n", nrd_status_text(status));
    }
    nrd_status_free(status);
    nrd_client_response_free(response);
}

struct slot {
    uint64_t start;
};

static void begin(struct slot *slot);

static void done(void *user, struct nrd_status *status, struct nrd_client_response *response)
{
    struct slot *slot = user;
    bool bad = status != NULL;
    count(slot->start, status, response);
    if (!bad && now_ns() < deadline) {
        begin(slot);
    } else if (atomic_fetch_sub(&under_way, 1) == 1) {
        pthread_mutex_lock(&lock);
        pthread_cond_signal(&none_left);
        pthread_mutex_unlock(&lock);
    }
}

static void begin(struct slot *slot)
{
    slot->start = now_ns();
    struct nrd_status *status = nrd_client_infer_async(client, &request, done, slot, NULL);
    if (status != NULL) {
        fprintf(stderr, "client: %s\n", nrd_status_text(status));
        exit(1);
    }
}

static void run_crowd(unsigned concurrency)
{
    struct slot *slots = calloc(concurrency, sizeof(*slots));
    if (slots == NULL) {
        exit(1);
    }
    atomic_store(&under_way, concurrency);
    for (unsigned i = 0; i < concurrency; i++) {
        begin(&slots[i]);
    }
    pthread_mutex_lock(&lock);
    while (atomic_load(&under_way) > 0) {
        pthread_cond_wait(&none_left, &lock);
    }
    pthread_mutex_unlock(&lock);
    free(slots);
}

static void run_waiting(void)
{
    while (now_ns() < deadline && errors == 0) {
        uint64_t start = now_ns();
        struct nrd_client_response *response = NULL;
        struct nrd_status *status = nrd_client_infer(client, &request, &response);
        count(start, status, response);
    }
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: client URL MODEL CONCURRENCY SECONDS FLOATS\n");
        return 2;
    }
    unsigned concurrency = (unsigned)strtoul(argv[3], NULL, 10);
    double seconds = strtod(argv[4], NULL);
    const int64_t shape[1] = {strtoll(argv[5], NULL, 10)};
    float *values = calloc((size_t)shape[0], sizeof(float));
    const struct nrd_client_input input = {
        .name = "INPUT0",
        .dtype = NRD_DTYPE_F32,
        .shape = shape,
        .rank = 1,
        .data = values,
        .size = (size_t)shape[0] * sizeof(float),
    };
    request = (struct nrd_client_request){.model = argv[2], .inputs = &input, .input_count = 1};
    struct nrd_status *status = nrd_client_create(argv[1], NULL, &client);
    if (status != NULL) {
        fprintf(stderr, "client: %s\n", nrd_status_text(status));
        return 1;
    }
    double cpu = cpu_seconds();
    uint64_t start = now_ns();
    deadline = start + (uint64_t)(seconds * 1e9);
    concurrency > 0 ? run_crowd(concurrency) : run_waiting();
    double took = (double)(now_ns() - start) / 1e9;
    cpu = cpu_seconds() - cpu;
    size_t kept = requests < SAMPLES ? (size_t)requests : SAMPLES;
    qsort(samples, kept, sizeof(samples[0]), ascending);
    printf("{\"requests\":%llu,\"errors\":%llu,\"seconds\":%.3f,\"cpu_us\":%.2f,\"p50_us\":%.1f,"
           "\"p99_us\":%.1f}\n",
           (unsigned long long)requests, (unsigned long long)errors, took,
           cpu * 1e6 / (double)(requests > 0 ? requests : 1), samples[kept / 2] / 10.0,
           samples[kept * 99 / 100] / 10.0);
    nrd_client_destroy(client);
    free(values);
    return errors > 0;
}
