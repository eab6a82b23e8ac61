// SPDX-License-Identifier: Apache-2.0
// NUMA: files of /sys, and sets of processors. See numa.h.
//
// A thread that is pinned to the processors of a node gets its memory there without being told: the kernel's default is to
// take a page from the node of the processor that first touches it. So nothing else is set.
#include "gpu/numa.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"

void gpu_sysfs_read(const char *path, char *text, size_t size)
{
    const char *root = getenv("NEREID_SYSFS");
    struct str full = STR_INIT;
    struct str content = STR_INIT;
    str_printf(&full, "%s/%s", root == NULL ? "/sys" : root, path);
    struct nrd_status *status = file_read(str_cstr(&full), 4096, &content);
    text[0] = '\0';
    if (status == NULL) {
        struct slice rest = str_slice(&content);
        struct slice line;
        if (slice_cut(&rest, '\n', &line) && line.len < size) {
            snprintf(text, size, "%.*s", (int)line.len, line.ptr);
        }
    }
    status_free(status);
    str_fini(&full);
    str_fini(&content);
}

void gpu_numa_read(struct gpu_numa *numa)
{
    char list[4096];
    char path[64];
    cpu_set_t nodes; // the lists of nodes and of processors look alike
    cpu_set_t cpus;
    *numa = (struct gpu_numa){.nodes = 0};
    for (int i = 0; i < GPU_NUMA_CPUS; i++) {
        numa->node_of[i] = -1;
    }
    gpu_sysfs_read("devices/system/node/online", list, sizeof(list));
    bool known = list[0] != '\0' && thread_read_cpus(slice_of(list), &nodes);
    for (int node = 0; known && node < GPU_NUMA_NODES; node++) {
        if (!CPU_ISSET((size_t)node, &nodes)) {
            continue;
        }
        numa->nodes++;
        snprintf(path, sizeof(path), "devices/system/node/node%d/cpulist", node);
        gpu_sysfs_read(path, list, sizeof(list));
        // A node of memory alone has an empty list.
        if (list[0] == '\0' || !thread_read_cpus(slice_of(list), &cpus)) {
            continue;
        }
        for (int cpu = 0; cpu < GPU_NUMA_CPUS; cpu++) {
            if (CPU_ISSET((size_t)cpu, &cpus)) {
                numa->node_of[cpu] = (int16_t)node;
            }
        }
    }
    if (numa->nodes == 0) {
        numa->nodes = 1;
    }
}

int gpu_numa_here(const struct gpu_numa *numa)
{
    int cpu = numa->nodes < 2 ? -1 : sched_getcpu();
    return cpu < 0 || cpu >= GPU_NUMA_CPUS ? -1 : numa->node_of[cpu];
}

// "0-3,8"; false when it does not fit.
static bool print_cpus(const cpu_set_t *set, char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        size_t end = i;
        while (end < CPU_SETSIZE && CPU_ISSET(end, set)) {
            end++;
        }
        if (end == i) {
            continue;
        }
        int more = snprintf(text + used, size - used, end - i > 1 ? "%s%zu-%zu" : "%s%zu",
                            used == 0 ? "" : ",", i, end - 1);
        if (more < 0 || (size_t)more >= size - used) {
            return false;
        }
        used += (size_t)more;
        i = end;
    }
    return used > 0;
}

bool gpu_numa_cpus(const struct gpu_numa *numa, const struct gpu_device_info *gpu, char *text,
                   size_t size)
{
    cpu_set_t near;
    cpu_set_t allowed;
    if (numa->nodes < 2 || gpu->numa_node < 0 || gpu->cpus[0] == '\0' ||
        !thread_read_cpus(slice_of(gpu->cpus), &near) ||
        sched_getaffinity(getpid(), sizeof(allowed), &allowed) != 0) {
        return false;
    }
    CPU_AND(&near, &near, &allowed);
    return print_cpus(&near, text, size);
}
