// SPDX-License-Identifier: Apache-2.0
// `nereid COMMAND`, and the names under which users already call it: `tritonserver` is `nereid serve`,
// `holoscan` is `nereid` itself. Start at `commands`.
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"

struct command {
    const char *name;
    const char *help;
    int (*run)(int argc, char **argv); // NULL: known, not built
};

static const struct command commands[] = {
    {"serve", "serve model repositories over HTTP and gRPC", cli_serve},
    {"run", "run a streaming graph", cli_run},
    {"build", "compile an ONNX model into a TensorRT plan", cli_build},
    {"place", "measure models and show on which GPUs they would go", cli_place},
    {"bench", "measure a server", NULL},
    {"top", "watch a server", NULL},
};

static int usage(FILE *to, int status)
{
    fprintf(to, "Usage: nereid COMMAND [options]\n\nCommands:\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        fprintf(to, "  %-8s %s%s\n", commands[i].name, commands[i].help,
                commands[i].run == NULL ? " (not built yet)" : "");
    }
    fprintf(to,
            "  %-8s print the version\n\n`nereid serve --help`, `nereid run --help` and `nereid "
            "build --help` "
            "list their options.\n",
            "version");
    return status;
}

int main(int argc, char **argv)
{
    const char *called = path_base(argc > 0 ? argv[0] : "nereid");
    if (strcmp(called, "tritonserver") == 0) {
        return cli_serve(argc, argv);
    }
    if (argc < 2) {
        return usage(stderr, 1);
    }
    const char *name = argv[1];
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) {
        printf("nereid %s\n", NEREID_VERSION);
        return 0;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0) {
        return usage(stdout, 0);
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(name, commands[i].name) != 0) {
            continue;
        }
        if (commands[i].run == NULL) {
            fprintf(stderr, "%s: '%s' is not built yet\n", called, name);
            return 1;
        }
        return commands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "%s: there is no command '%s'\n", called, name);
    return usage(stderr, 1);
}
