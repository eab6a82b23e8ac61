// SPDX-License-Identifier: Apache-2.0
// BasicConsoleLogger: writes a line for each message in the thread of its operator. It formats and writes on a hop: for looking
// at a graph, not for its steady state.
#include "base/log.h"
#include "base/mem.h"
#include "graph/logger.h"

static void write_line(const struct logger *l, const char *id, const struct nrd_message *message,
                       bool emitted, int64_t now)
{
    struct str text = STR_INIT;
    struct logger_line line = {.id = id,
                               .message = message,
                               .emitted = emitted,
                               .content = l->options.log_tensor_data_content,
                               .now_ns = logger_time(l, now)};
    logger_print(l, &line, &text);
    log_write(LOG_INFO, __FILE__, __LINE__, str_slice(&text));
    str_fini(&text);
}

static struct nrd_status *begin(void *self, struct plan *plan)
{
    return logger_prepare(self, plan);
}

static void received(void *self, struct nrd_compute *ctx, const struct plan_flow *flow,
                     const struct nrd_message *message, bool again, int64_t now)
{
    (void)again;
    const char *id = logger_input_id(self, ctx, flow);
    if (id != NULL) {
        write_line(self, id, message, false, now);
    }
}

static void emitted(void *self, struct nrd_compute *ctx, uint32_t output,
                    struct nrd_message *message, int64_t now)
{
    const char *id = logger_output_id(self, ctx, output);
    if (id != NULL) {
        write_line(self, id, message, true, now);
    }
}

static void destroy(void *self)
{
    logger_fini(self);
    mem_free(self);
}

static const struct watcher_class CONSOLE = {.hop_times = true,
                                             .begin = begin,
                                             .received = received,
                                             .emitted = emitted,
                                             .destroy = destroy};

struct nrd_status *logger_console_create(struct nrd_fragment *f, const struct nrd_value *params)
{
    struct logger *l = mem_calloc(1, sizeof(*l));
    if (l == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status =
        logger_init(l, f, "BasicConsoleLogger", logger_basic_params, params);
    if (status != NULL) {
        mem_free(l);
        return status;
    }
    status = app_add_watcher(f->app, f, &CONSOLE, l);
    if (status != NULL) {
        destroy(l);
    }
    return status;
}
