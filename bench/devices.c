// SPDX-License-Identifier: Apache-2.0
// Devices: what several devices are worth to one model, through the core's queue, executors and routing. Devices are pretended: an
// Execute sleeps for as long as its device takes (1 ms a batch times the device's factor; with batches, half of that by row). A
// client keeps so many requests in flight. Prints requests/s, mean and worst time of a request, and who did how many.
// Usage: devices [seconds a line]
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/core/hot_client.h"

enum { DEVICES_MAX = 8 };

static unsigned factors[DEVICES_MAX];
static _Atomic uint64_t done_by[DEVICES_MAX];
static uint64_t sent_ns[MAX_REQUESTS];

static TRITONSERVER_Error *work(TRITONBACKEND_ModelInstance *instance,
                                TRITONBACKEND_Request **requests, const uint32_t count)
{
    int32_t gpu;
    NO_ERROR(TRITONBACKEND_ModelInstanceDeviceId(instance, &gpu));
    bool batches = fixture.dynamic.max_queue_delay_microseconds == 0 &&
                   fixture.config.dynamic_batching != NULL;
    uint64_t ns = batches ? 500000 + count * 62500 : 1000000;
    struct timespec nap = {.tv_sec = 0, .tv_nsec = (long)(ns * factors[gpu])};
    nanosleep(&nap, NULL);
    atomic_fetch_add(&done_by[gpu], count);
    for (uint32_t i = 0; i < count; i++) {
        answer(requests[i]);
    }
    return NULL;
}

static void begin(unsigned i)
{
    calls[i].finals = 0;
    calls[i].releases = 0;
    sent_ns[i] = clock_now_ns();
    infer(i, 1);
}

// A call that is over; waits for one.
static unsigned next_done(unsigned concurrency)
{
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0;; i = (i + 1) % concurrency) {
        if (calls[i].finals > 0 && calls[i].releases > 0) {
            pthread_mutex_unlock(&mutex);
            return i;
        }
        if (i + 1 == concurrency) {
            pthread_cond_wait(&changed, &mutex);
        }
    }
}

static double run(unsigned count, bool batches, unsigned concurrency, double seconds)
{
    client_init();
    if (batches) {
        fixture_dynamic(&fixture);
    }
    fixture_start(&fixture, work, 0);
    for (unsigned i = 0; i < count; i++) {
        fixture_instance(&fixture, TRITONSERVER_INSTANCEGROUPKIND_GPU, (int32_t)i);
    }
    for (unsigned i = 0; i < concurrency; i++) {
        begin(i);
    }
    // The first half second is for getting to know the devices.
    uint64_t from = clock_now_ns() + 500000000;
    uint64_t until = from + (uint64_t)(seconds * 1e9);
    uint64_t requests = 0;
    uint64_t sum = 0;
    uint64_t worst = 0;
    uint64_t before[DEVICES_MAX] = {0};
    uint64_t now;
    do {
        unsigned i = next_done(concurrency);
        now = clock_now_ns();
        if (now < from) {
            for (unsigned k = 0; k < count; k++) {
                before[k] = atomic_load(&done_by[k]);
            }
        } else {
            uint64_t took = now - sent_ns[i];
            requests++;
            sum += took;
            worst = took > worst ? took : worst;
        }
        if (now < until) {
            begin(i);
        }
    } while (now < until);
    double rate = (double)requests * 1e9 / (double)(now - from);
    printf("  c=%-3u %8.0f requests/s  mean %6.2f ms  worst %6.2f ms  by device:", concurrency,
           rate, (double)sum / (double)requests / 1e6, (double)worst / 1e6);
    for (unsigned k = 0; k < count; k++) {
        printf(" %llu", (unsigned long long)(atomic_load(&done_by[k]) - before[k]));
        atomic_store(&done_by[k], 0);
    }
    // All but the last one, which was not sent again.
    await(concurrency);
    client_fini();
    for (unsigned k = 0; k < count; k++) {
        atomic_store(&done_by[k], 0);
    }
    return rate;
}

int main(int argc, char **argv)
{
    static const struct {
        unsigned count;
        unsigned factors[DEVICES_MAX];
    } machines[] = {{1, {1}},    {2, {1, 1}},  {4, {1, 1, 1, 1}},
                    {2, {4, 1}}, {2, {10, 1}}, {4, {8, 4, 2, 1}}};
    static const unsigned concurrency[] = {1, 4, 16, 64};
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
    double alone[2][4];
    for (unsigned m = 0; m < sizeof(machines) / sizeof(machines[0]); m++) {
        for (int batches = 0; batches < 2; batches++) {
            printf("%s, devices that take", batches ? "batches of up to 8" : "one by one");
            double worth = 0;
            for (unsigned i = 0; i < machines[m].count; i++) {
                factors[i] = machines[m].factors[i];
                worth += 1.0 / factors[i];
                printf("%s%u", i == 0 ? " " : ":", factors[i]);
            }
            printf(" (together %.2f of the first machine)\n", worth);
            for (unsigned c = 0; c < 4; c++) {
                double rate = run(machines[m].count, batches == 1, concurrency[c], seconds);
                alone[batches][c] = m == 0 ? rate : alone[batches][c];
                printf("  ratio %.2f\n", rate / alone[batches][c]);
            }
        }
    }
    return 0;
}
