// SPDX-License-Identifier: Apache-2.0
// config.pbtxt: whatever the text, reading ends, and what was read can be written, read again,
// completed and checked.
#include <stdint.h>
#include <stdlib.h>

#include "config/model_config.h"
#include "proto/message.h"
#include "proto/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

static void check(Inference__ModelConfig *config)
{
    static const struct config_gpu gpus[] = {{0, 9.0}, {1, 5.0}};
    struct config_devices devices = {.gpus = gpus, .gpu_count = 2, .min_compute_capability = 6.0};
    status_free(config_normalize(config));
    status_free(config_validate(config));
    status_free(config_validate_io(config));
    // A list of groups as long as the input is fine; what their counts would make is not made here.
    status_free(config_normalize_instances(config, &devices, NULL, 0));
    status_free(config_validate_instances(config, &devices));
    struct str json = STR_INIT;
    status_free(config_to_json(config, 1, &json));
    str_fini(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Inference__ModelConfig *config = config_create();
    require(config != NULL);
    struct nrd_status *status = proto_text_read(slice_make(data, size), &config->base);
    if (status == NULL) {
        struct str once = STR_INIT;
        struct str twice = STR_INIT;
        Inference__ModelConfig *again = config_create();
        require(again != NULL);
        config_to_text(config, &once);
        require(proto_text_read(str_slice(&once), &again->base) == NULL);
        config_to_text(again, &twice);
        require(slice_equal(str_slice(&once), str_slice(&twice)));
        config_destroy(again);
        str_fini(&once);
        str_fini(&twice);
        check(config);
    }
    status_free(status);
    config_destroy(config);
    return 0;
}
