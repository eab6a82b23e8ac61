// SPDX-License-Identifier: Apache-2.0
// The JSON of a load override or of a backend's ModelSetConfig: whatever the text, reading ends;
// what was read, written and read again is the same; and merging it into a configuration leaves one
// that can be written.
#include <stdint.h>
#include <stdlib.h>

#include "config/model_config.h"
#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

static void merge(struct slice json)
{
    Inference__ModelConfig *config = NULL;
    require(config_from_json(SLICE("{\"name\":\"m\",\"backend\":\"b\",\"max_batch_size\":2}"), 1,
                             &config) == NULL);
    status_free(config_merge_backend(config, json, 1));
    struct str out = STR_INIT;
    require(config_to_json(config, 1, &out) == NULL);
    str_fini(&out);
    config_destroy(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice json = slice_make(data, size);
    Inference__ModelConfig *config = NULL;
    struct nrd_status *status = config_from_json(json, 1, &config);
    if (status == NULL) {
        struct str once = STR_INIT;
        struct str twice = STR_INIT;
        require(config_to_json(config, 1, &once) == NULL);
        if (once.len > 0) {
            Inference__ModelConfig *again = NULL;
            require(config_from_json(str_slice(&once), 1, &again) == NULL);
            require(config_to_json(again, 1, &twice) == NULL);
            require(slice_equal(str_slice(&once), str_slice(&twice)));
            config_destroy(again);
        }
        str_fini(&once);
        str_fini(&twice);
        merge(json);
    }
    status_free(status);
    config_destroy(config);
    return 0;
}
