// SPDX-License-Identifier: Apache-2.0
// Data loggers: watchers that turn messages into lines. What the two built-in ones have in common: their parameters, which
// ports they look at (decided once a run, so that a hop looks at one byte), and the text of a message. Start at logger_open().
#ifndef NEREID_GRAPH_LOGGER_H
#define NEREID_GRAPH_LOGGER_H

#include <regex.h>

#include "base/str.h"
#include "graph/watch.h"

struct logger_options {
    bool log_inputs, log_outputs, log_metadata, log_tensor_data_content;
    struct nrd_string_list allow, deny;
    int64_t max_elements, max_metadata_items;
    bool use_scheduler_clock;
    struct nrd_resource *clock;
    // Of the asynchronous one.
    int64_t max_queue_size, large_data_max_queue_size;
    int64_t worker_sleep_time, large_data_worker_sleep_time;
    int queue_policy, large_data_queue_policy; // enum logger_policy
    bool enable_large_data_queue;
    int64_t shutdown_wait_period_ms;
};
enum logger_policy { LOGGER_REJECT, LOGGER_RAISE };

struct logger {
    const char *name; // "BasicConsoleLogger"
    struct param_store store;
    struct logger_options options;
    regex_t allow, deny;
    bool has_allow, has_deny;
    const char *
        *ids; // "op.port" of each flow of the plan, then of each output port; NULL: not logged
    size_t flow_count, output_count;
    size_t *first_output; // of each record of the plan, in `ids`
    struct arena arena;   // of one plan
};

// Reads the parameters (`params` as in nrd_add_data_logger) and compiles the patterns. On failure nothing is left.
NRD_MUST_USE struct nrd_status *logger_init(struct logger *l, struct nrd_fragment *f,
                                            const char *name, const struct nrd_param *table,
                                            const struct nrd_value *params);
void logger_fini(struct logger *l);
extern const struct nrd_param logger_basic_params[];
extern const struct nrd_param logger_async_params[];

// Decides for each port of the plan whether it is logged.
NRD_MUST_USE struct nrd_status *logger_prepare(struct logger *l, const struct plan *plan);
// "op.port", or NULL: not logged. Borrowed from the logger until the next run. Thread: any.
const char *logger_input_id(const struct logger *l, const struct nrd_compute *ctx,
                            const struct plan_flow *flow);
const char *logger_output_id(const struct logger *l, const struct nrd_compute *ctx,
                             uint32_t output);

// Appends the line for a message: Holoscan's, with our names of types and devices. `content`: elements of tensors too.
struct logger_line {
    const char *id;
    const struct nrd_message *message;
    bool emitted;
    bool content;
    int64_t now_ns;
};
void logger_print(const struct logger *l, const struct logger_line *line, struct str *out);
// Time for the line: `now` of the graph, or the logger's own clock.
int64_t logger_time(const struct logger *l, int64_t now);
// Whether any of its tensors has elements that could be printed.
bool logger_has_content(const struct nrd_message *message);

// The classes that nrd_add_data_logger() knows.
NRD_MUST_USE struct nrd_status *logger_console_create(struct nrd_fragment *f,
                                                      const struct nrd_value *params);
NRD_MUST_USE struct nrd_status *logger_async_create(struct nrd_fragment *f,
                                                    const struct nrd_value *params);

#endif
