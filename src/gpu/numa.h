// SPDX-License-Identifier: Apache-2.0
// NUMA: which part of the machine a GPU hangs on. A thread that feeds a GPU had best run on a processor of the GPU's node, and
// take its memory there; on a machine of one node none of this says anything.
//
// Read from /sys, or from a folder that stands for it in the variable NEREID_SYSFS (tests).
#ifndef NEREID_GPU_NUMA_H
#define NEREID_GPU_NUMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpu/device.h"

enum { GPU_NUMA_CPUS = 1024, GPU_NUMA_NODES = 64 };

struct gpu_numa {
    int nodes;                      // of this machine; 1 where the system does not say
    int16_t node_of[GPU_NUMA_CPUS]; // of each processor; -1: not known
};

// One line of a file under /sys ("bus/pci/devices/..."), without its end; "" when there is none. Thread: any.
void gpu_sysfs_read(const char *path, char *text, size_t size);
// Reads files. Thread: any.
void gpu_numa_read(struct gpu_numa *numa);
// The node of the processor that the caller runs on; -1 on a machine of one node, or when not known. Thread: any.
int gpu_numa_here(const struct gpu_numa *numa);
// The processors near the GPU that this process may use, as thread_pin_self() takes them, into `text`. False, and nothing is to be
// done: on a machine of one node, where the GPU's place is not known, and where none of its processors may be used.
// Thread: any.
bool gpu_numa_cpus(const struct gpu_numa *numa, const struct gpu_device_info *gpu, char *text,
                   size_t size);

#endif
