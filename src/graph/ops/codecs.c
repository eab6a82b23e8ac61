// SPDX-License-Identifier: Apache-2.0
// Libraries of codecs, found as extensions are. An open library is never closed: its table may be in use by any graph.
#include "graph/ops/codecs.h"

#include <dlfcn.h>

#include "graph/registry.h"

static struct nrd_status *open_table(const char *library, const char *symbol, const char *made_from,
                                     const void **table)
{
    void *handle = NULL;
    struct nrd_status *status = registry_library(library, &handle);
    if (status != NULL) {
        status =
            status_wrap(status, "this needs %s, which is built where %s is: ", library, made_from);
        return status;
    }
    *table = dlsym(handle, symbol);
    return *table == NULL ? status_new(NRD_UNAVAILABLE, "%s has no table '%s'", library, symbol)
                          : NULL;
}

static struct nrd_status *check_abi(const char *library, uint32_t has, uint32_t wants)
{
    return has == wants ? NULL
                        : status_new(NRD_UNAVAILABLE, "%s is of another version: ABI %u, not %u",
                                     library, has, wants);
}

struct nrd_status *codecs_video(const struct video_codec **codec)
{
    const void *table = NULL;
    NRD_TRY(open_table("libnereid_video.so", VIDEO_CODEC_SYMBOL, "libavformat", &table));
    NRD_TRY(
        check_abi("libnereid_video.so", ((const struct video_codec *)table)->abi, VIDEO_CODEC_ABI));
    *codec = table;
    return NULL;
}
