// SPDX-License-Identifier: Apache-2.0
// `nereid place`: a core that loads nothing, asked where its models would go. Options are those of `nereid serve`, of which most mean
// nothing here, and the few in `usage`. Start at cli_place().
#include "cli/place.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/serve_options.h"
#include "nereid/ext/core.h"
#include "protocol/error.h"

struct place {
    bool explain;
    bool json;
    bool write;
    bool help;
    char **serve_argv; // what `nereid serve` would be told
    char **made;       // those of them that are ours to free
    int serve_argc;
    int made_count;
};

static const char usage[] =
    "Usage: nereid place --model-repository=DIR [options]\n\n"
    "Measures each model once for each kind of GPU (or takes what was measured before) and shows "
    "on which GPUs its instances\n"
    "would go with `nereid serve --placement=measured`.\n\n"
    "  --explain              say why each model is where it is, and why nowhere else\n"
    "  --load MODEL=N[@ROWS]  expect N requests a second of ROWS rows each; may be given several "
    "times. Models that are not\n"
    "                         named get the mean of the others; without any, all are asked for "
    "alike\n"
    "  --json                 print the whole plan as JSON (docs/placement.md)\n"
    "  --write                append an instance group with its GPUs to the config.pbtxt of each "
    "model that has none\n"
    "  --help                 print this text\n\n"
    "Further options are those of `nereid serve` (--backend-directory, --backend-config, "
    "--log-info=true, ...).\n"
    "What was measured is kept in $NEREID_CACHE_DIR, $XDG_CACHE_HOME/nereid or ~/.cache/nereid.\n";

// ---- the command line ---------------------------------------------------------------------------------------------

static struct nrd_status *add_made(struct place *place, const char *option, const char *value)
{
    struct str text = STR_INIT;
    str_printf(&text, "%s=%s", option, value);
    char *made = str_take(&text);
    if (made == NULL) {
        return status_no_memory();
    }
    place->made[place->made_count++] = made;
    place->serve_argv[place->serve_argc++] = made;
    return NULL;
}

static struct nrd_status *read_arguments(struct place *place, int argc, char **argv)
{
    place->serve_argv = mem_calloc((size_t)argc + 4, sizeof(char *));
    place->made = mem_calloc((size_t)argc + 4, sizeof(char *));
    if (place->serve_argv == NULL || place->made == NULL) {
        return status_no_memory();
    }
    place->serve_argv[place->serve_argc++] = argv[0];
    // Nothing is to be loaded, and only what goes wrong is to be said.
    NRD_TRY(add_made(place, "--model-control-mode", "explicit"));
    NRD_TRY(add_made(place, "--log-info", "false"));
    for (int i = 1; i < argc; i++) {
        bool last = i + 1 == argc;
        if (strcmp(argv[i], "--explain") == 0) {
            place->explain = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            place->json = true;
        } else if (strcmp(argv[i], "--write") == 0) {
            place->write = true;
        } else if (strcmp(argv[i], "--help") == 0) {
            place->help = true;
        } else if (strncmp(argv[i], "--load=", 7) == 0) {
            NRD_TRY(add_made(place, "--placement-load", argv[i] + 7));
        } else if (strcmp(argv[i], "--load") == 0 && !last) {
            NRD_TRY(add_made(place, "--placement-load", argv[++i]));
        } else {
            place->serve_argv[place->serve_argc++] = argv[i];
        }
    }
    return NULL;
}

static void place_fini(struct place *place)
{
    for (int i = 0; i < place->made_count; i++) {
        mem_free(place->made[i]);
    }
    mem_free(place->made);
    mem_free(place->serve_argv);
}

// ---- asking the core ----------------------------------------------------------------------------------------------

static struct nrd_status *ask(TRITONSERVER_Server *core, struct str *json)
{
    nereid_place_fn place = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "nereid_place");
    memcpy(&place, &symbol, sizeof(place));
    if (place == NULL) {
        return status_new(NRD_UNSUPPORTED, "this libtritonserver.so cannot place models");
    }
    TRITONSERVER_Message *message = NULL;
    NRD_TRY(error_to_status(place(core, &message)));
    const char *text = NULL;
    size_t length = 0;
    struct nrd_status *status =
        error_to_status(TRITONSERVER_MessageSerializeToJson(message, &text, &length));
    if (status == NULL) {
        str_append(json, text, length);
        status = str_status(json);
    }
    status_free(error_to_status(TRITONSERVER_MessageDelete(message)));
    return status;
}

static struct nrd_status *make_plan(const struct serve_options *options, struct str *json)
{
    TRITONSERVER_ServerOptions *core_options = NULL;
    TRITONSERVER_Server *core = NULL;
    NRD_TRY(error_to_status(TRITONSERVER_ServerOptionsNew(&core_options)));
    struct nrd_status *status = serve_core_options(options, core_options);
    if (status == NULL) {
        status = error_to_status(TRITONSERVER_ServerNew(&core, core_options));
    }
    status_free(error_to_status(TRITONSERVER_ServerOptionsDelete(core_options)));
    if (status == NULL) {
        status = ask(core, json);
        status_free(error_to_status(TRITONSERVER_ServerStop(core)));
        status_free(error_to_status(TRITONSERVER_ServerDelete(core)));
    }
    return status;
}

static struct nrd_status *write_all(const struct json_node *plan, struct str *out)
{
    const struct json_node *models = json_get(plan, "models");
    const struct json_node *model = models == NULL ? NULL : json_first(models);
    for (uint32_t i = 0; models != NULL && i < models->count; i++, model = json_next(model)) {
        NRD_TRY(place_write(model, out));
    }
    return NULL;
}

// Prints what was asked for. `*unplaced` are the models without a place.
static struct nrd_status *show(const struct place *place, struct str *json, uint64_t *unplaced)
{
    struct arena arena;
    struct str out = STR_INIT;
    const struct json_node *plan = NULL;
    arena_init(&arena, 0);
    struct nrd_status *status =
        json_parse_status(&arena, str_slice(json), JSON_STRICT, "placement", &plan);
    if (status == NULL) {
        const struct json_node *count = json_get(plan, "unplaced");
        *unplaced = 0;
        if (count == NULL || !json_as_u64(count, unplaced)) {
            *unplaced = 1;
        }
        if (place->json) {
            str_append_slice(&out, str_slice(json));
            str_append_char(&out, '\n');
        } else {
            place_print(plan, place->explain, &out);
        }
        status = place->write ? write_all(plan, &out) : NULL;
    }
    if (status == NULL) {
        status = str_status(&out);
    }
    fputs(str_cstr(&out), stdout);
    str_fini(&out);
    arena_fini(&arena);
    return status;
}

int cli_place(int argc, char **argv)
{
    struct place place = {0};
    struct serve_options options;
    struct str json = STR_INIT;
    uint64_t unplaced = 0;
    memset(&options, 0, sizeof(options));
    struct nrd_status *status = read_arguments(&place, argc, argv);
    if (status == NULL && place.help) {
        fputs(usage, stdout);
        place_fini(&place);
        return 0;
    }
    if (status == NULL) {
        status = serve_options_parse(&options, place.serve_argc, place.serve_argv);
    }
    if (status == NULL && options.model_repositories.count == 0) {
        status = status_new(NRD_INVALID_ARG, "--model-repository must be specified");
    }
    if (status == NULL) {
        status = make_plan(&options, &json);
    }
    if (status == NULL) {
        status = show(&place, &json, &unplaced);
    }
    if (status != NULL) {
        fprintf(stderr, "nereid place: %s\n", status_text(status));
    }
    int result = status != NULL || unplaced > 0;
    status_free(status);
    str_fini(&json);
    serve_options_fini(&options);
    place_fini(&place);
    return result;
}
