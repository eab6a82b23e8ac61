// SPDX-License-Identifier: Apache-2.0
// A model's version as clients write it. Thread: any.
#ifndef NEREID_PROTOCOL_MODEL_VERSION_H
#define NEREID_PROTOCOL_MODEL_VERSION_H

#include "base/slice.h"
#include "base/status.h"

// "" is -1, "the newest". INVALID_ARG with Triton's texts for what is no number, too large or negative.
NRD_MUST_USE struct nrd_status *model_version_parse(struct slice text, int64_t *version);

#endif
