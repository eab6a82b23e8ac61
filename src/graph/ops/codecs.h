// SPDX-License-Identifier: Apache-2.0
// Libraries of codecs: lib/nereid/operators/libnereid_<name>.so, each a table of functions, opened by the first operator that needs
// it. The operators themselves are in libnereid.so: they can be listed, described and checked where a codec's library is not.
#ifndef NEREID_GRAPH_OPS_CODECS_H
#define NEREID_GRAPH_OPS_CODECS_H

#include "base/status.h"
#include "graph/ops/video_codec.h"

// The one table of the process, which stays. NRD_UNAVAILABLE says which library is missing and what it is built from.
// Thread: any.
NRD_MUST_USE struct nrd_status *codecs_video(const struct video_codec **codec);

#endif
