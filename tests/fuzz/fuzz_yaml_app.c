// SPDX-License-Identifier: Apache-2.0
// Applications: whatever the file says, loading it ends in an application that can be destroyed, compiled or not, or in findings
// that each name a place. Nothing is run, and no library is opened.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"
#include "nereid/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The file that is read: kept for all runs.
static int file = -1;
static char path[64];

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

static void write_file(const uint8_t *data, size_t size)
{
    if (file < 0) {
        file = memfd_create("app.yaml", 0);
        require(file >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        nrd_log_set_level(-1);
    }
    require(ftruncate(file, 0) == 0);
    require(pwrite(file, data, size, 0) == (ssize_t)size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nrd_app *app = NULL;
    if (memmem(data, size, "extensions", 10) != NULL || memmem(data, size, "include", 7) != NULL) {
        return 0;
    }
    write_file(data, size);
    require(nrd_app_create("fuzz", &app) == NULL);
    struct nrd_status *status = nrd_app_load_yaml(app, path, NULL);
    if (status != NULL) {
        require(status_text(status)[0] != '\0');
    } else {
        status = nrd_app_compile(app);
    }
    status_free(status);
    nrd_app_destroy(app);
    return 0;
}
