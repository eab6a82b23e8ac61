// SPDX-License-Identifier: Apache-2.0
// Prints a model's configuration as a server would answer it, without a server: for
// tests/conformance/test_config_vs_peer.py.
//
//   config_print [--strict] [--text] [--override JSON] [--name CONFIG_NAME] MODEL_DIR...
//
// A line for each model: "ok JSON", "poll CODE: TEXT" (refused when the repository is read) or
// "load CODE: TEXT" (refused when the model is made, as if its backend completed nothing). There
// are no GPUs.
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/model_config.h"

struct options {
    bool strict; // --disable-auto-complete-config
    bool text;
    const char *override;
    const char *name;
};

static struct nrd_status *poll(const struct options *o, const char *dir,
                               Inference__ModelConfig **config, bool *provided)
{
    if (o->override != NULL) {
        *provided = true;
        struct nrd_status *status = config_from_json(slice_of(o->override), 1, config);
        if (status != NULL) {
            return status_wrap(status, "Invalid config override: ");
        }
    } else {
        NRD_TRY(config_load(dir, o->name, !o->strict, config, provided));
    }
    NRD_TRY(config_complete(*config, path_base(dir), dir));
    NRD_TRY(config_validate(*config));
    if (o->strict) {
        NRD_TRY(config_validate_io(*config));
    }
    return config_check_directory(*config, path_base(dir));
}

static struct nrd_status *load(Inference__ModelConfig *config, bool provided)
{
    static const struct config_devices none = {.min_compute_capability = 6.0};
    NRD_TRY(config_normalize_instances(config, &none, NULL, 0));
    NRD_TRY(config_validate_instances(config, &none));
    if (!provided) {
        return status_new(NRD_NOT_FOUND, "model configuration is not provided for model '%s'",
                          config->name);
    }
    NRD_TRY(config_validate(config));
    return config_validate_io(config);
}

static void print(const struct options *o, const char *dir)
{
    Inference__ModelConfig *config = NULL;
    bool provided = false;
    const char *phase = "poll";
    struct nrd_status *status = poll(o, dir, &config, &provided);
    if (status == NULL) {
        phase = "load";
        status = load(config, provided);
    }
    struct str out = STR_INIT;
    if (status == NULL && o->text) {
        config_to_text(config, &out);
    } else if (status == NULL) {
        status = config_to_json(config, 1, &out);
    }
    if (status == NULL) {
        printf("ok %s\n", str_cstr(&out));
    } else {
        printf("%s %s: %s\n", phase, code_name(status_code(status)), status_text(status));
    }
    str_fini(&out);
    status_free(status);
    config_destroy(config);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--strict") == 0) {
            o.strict = true;
        } else if (strcmp(argv[i], "--text") == 0) {
            o.text = true;
        } else if (strcmp(argv[i], "--override") == 0 && i + 1 < argc) {
            o.override = argv[++i];
        } else if (strcmp(argv[i], "--name") == 0 && i + 1 < argc) {
            o.name = argv[++i];
        } else {
            print(&o, argv[i]);
        }
    }
    return 0;
}
