// SPDX-License-Identifier: Apache-2.0
// Log: one line a message, in Triton's formats, to standard error or a file; and printed tables.
//
// Default format: `I1122 15:29:19.622902 15733 model_lifecycle.cc:472] "text"` (UTC, microseconds, process id, the
// text JSON-escaped and quoted unless TRITON_SERVER_ESCAPE_LOG_MESSAGES=0). ISO8601: `2024-05-20T20:03:26Z I 3415
// file.cc:441] "text"`. One write(2) a message, so lines of several threads never mix. The sink is
// global (style.md 11 allows it). Thread: any.
#ifndef NEREID_BASE_LOG_H
#define NEREID_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_VERBOSE };
enum log_format { LOG_FORMAT_DEFAULT, LOG_FORMAT_ISO8601 };

// Read by the macros with relaxed order: bit (1 << level) set = on; verbose messages also need `level`.
extern _Atomic uint32_t log_enabled_bits;
extern _Atomic uint32_t log_verbose_level_value;

void log_set_enabled(enum log_level level, bool enabled); // ERROR, WARNING, INFO
bool log_get_enabled(enum log_level level);
void log_set_verbose(uint32_t level); // 0 = none
uint32_t log_get_verbose(void);
void log_set_format(enum log_format format);
enum log_format log_get_format(void);
// "" = standard error. A file is opened for appending. Error: names the path.
NRD_MUST_USE struct nrd_status *log_set_file(const char *path);
const char *log_get_file(void); // borrowed until the next log_set_file()

// Writes one message, whatever is enabled. `file` may hold directories; only its last part is printed.
void log_write(enum log_level level, const char *file, int line, struct slice text);
NRD_PRINTF(4, 5)
void log_printf(enum log_level level, const char *file, int line, const char *format, ...);
// Writes a line with an empty text and then `table` raw, as Triton prints its tables.
void log_table(enum log_level level, const char *file, int line, struct slice table);

#define LOG_ON(level)                                                                              \
    ((atomic_load_explicit(&log_enabled_bits, memory_order_relaxed) >> (level)) & 1u)
#define LOG_VERBOSE_ON(n)                                                                          \
    (atomic_load_explicit(&log_verbose_level_value, memory_order_relaxed) >= (uint32_t)(n))
#define LOG_AT_(level, ...)                                                                        \
    do {                                                                                           \
        if (LOG_ON(level)) {                                                                       \
            log_printf(level, __FILE__, __LINE__, __VA_ARGS__);                                    \
        }                                                                                          \
    } while (0)
#define LOG_ERR(...) LOG_AT_(LOG_ERROR, __VA_ARGS__)
#define LOG_WARN(...) LOG_AT_(LOG_WARNING, __VA_ARGS__)
#define LOG_NOTE(...) LOG_AT_(LOG_INFO, __VA_ARGS__)
#define LOG_DEBUG(n, ...)                                                                          \
    do {                                                                                           \
        if (LOG_VERBOSE_ON(n)) {                                                                   \
            log_printf(LOG_VERBOSE, __FILE__, __LINE__, __VA_ARGS__);                              \
        }                                                                                          \
    } while (0)

// A text table as Triton prints them (+----+ rules, a header row, left-aligned cells; a cell may hold newlines).
struct table;
struct table *table_create(unsigned columns); // NULL: no memory. Returns owned.
void table_destroy(struct table *t);
void table_add(struct table *t, struct slice cell); // row by row; the first row is the header
struct str;
void table_print(const struct table *t, struct str *out);

#endif
