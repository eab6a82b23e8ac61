// SPDX-License-Identifier: Apache-2.0
// Log: a message is put together in one string and leaves by one write(2).
//
// The sink (descriptor, path, format) is under a mutex that is held over the write: a file may be replaced while
// others log. Whether a level is on is read without it. Start at log_write().
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

_Atomic uint32_t log_enabled_bits = (1u << LOG_ERROR) | (1u << LOG_WARNING) | (1u << LOG_INFO);
_Atomic uint32_t log_verbose_level_value;

static struct {
    pthread_mutex_t mutex;
    _Atomic int format;
    int fd; // -1: standard error
    char *path;
} sink = {.mutex = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

void log_set_enabled(enum log_level level, bool enabled)
{
    uint32_t bit = 1u << level;
    if (enabled) {
        atomic_fetch_or_explicit(&log_enabled_bits, bit, memory_order_relaxed);
    } else {
        atomic_fetch_and_explicit(&log_enabled_bits, ~bit, memory_order_relaxed);
    }
}

bool log_get_enabled(enum log_level level)
{
    return LOG_ON(level) != 0;
}

void log_set_verbose(uint32_t level)
{
    atomic_store_explicit(&log_verbose_level_value, level, memory_order_relaxed);
}

uint32_t log_get_verbose(void)
{
    return atomic_load_explicit(&log_verbose_level_value, memory_order_relaxed);
}

void log_set_format(enum log_format format)
{
    atomic_store_explicit(&sink.format, (int)format, memory_order_relaxed);
}

enum log_format log_get_format(void)
{
    return (enum log_format)atomic_load_explicit(&sink.format, memory_order_relaxed);
}

struct nrd_status *log_set_file(const char *path)
{
    int fd = -1;
    char *copy = NULL;
    if (path[0] != '\0') {
        copy = mem_strdup(path);
        if (copy == NULL) {
            return status_no_memory();
        }
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) {
            int error = errno;
            mem_free(copy);
            return status_new(NRD_INTERNAL, "failed to open log file '%s': %s", path,
                              strerror(error));
        }
    }
    pthread_mutex_lock(&sink.mutex);
    int old_fd = sink.fd;
    char *old_path = sink.path;
    sink.fd = fd;
    sink.path = copy;
    pthread_mutex_unlock(&sink.mutex);
    if (old_fd >= 0) {
        close(old_fd);
    }
    mem_free(old_path);
    return NULL;
}

const char *log_get_file(void)
{
    return sink.path == NULL ? "" : sink.path;
}

static bool escapes(void)
{
    static _Atomic int known; // 0: not asked yet, 1: yes, 2: no
    int state = atomic_load_explicit(&known, memory_order_relaxed);
    if (state == 0) {
        const char *value = getenv("TRITON_SERVER_ESCAPE_LOG_MESSAGES");
        state = value != NULL && strcmp(value, "0") == 0 ? 2 : 1;
        atomic_store_explicit(&known, state, memory_order_relaxed);
    }
    return state == 1;
}

static void put_preamble(struct str *line, enum log_level level, const char *file, int number)
{
    static const char letters[] = {
        [LOG_ERROR] = 'E', [LOG_WARNING] = 'W', [LOG_INFO] = 'I', [LOG_VERBOSE] = 'I'};
    const char *slash = strrchr(file, '/');
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    const char *base = slash == NULL ? file : slash + 1;
    if (log_get_format() == LOG_FORMAT_ISO8601) {
        str_printf(line, "%04d-%02d-%02dT%02d:%02d:%02dZ %c %d %s:%d] ", utc.tm_year + 1900,
                   utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, letters[level],
                   (int)getpid(), base, number);
    } else {
        str_printf(line, "%c%02d%02d %02d:%02d:%02d.%06ld %d %s:%d] ", letters[level],
                   utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                   now.tv_nsec / 1000, (int)getpid(), base, number);
    }
}

static void put_out(const struct str *line)
{
    struct slice rest = str_slice(line);
    pthread_mutex_lock(&sink.mutex);
    int fd = sink.fd >= 0 ? sink.fd : STDERR_FILENO;
    while (rest.len > 0) {
        ssize_t wrote = write(fd, rest.ptr, rest.len);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            break; // a log that cannot be written is nobody's failure
        }
        rest.ptr += wrote;
        rest.len -= (size_t)wrote;
    }
    pthread_mutex_unlock(&sink.mutex);
}

void log_write(enum log_level level, const char *file, int line, struct slice text)
{
    struct str out = STR_INIT;
    put_preamble(&out, level, file, line);
    if (escapes()) {
        json_escape(&out, text);
    } else {
        str_append_slice(&out, text);
    }
    str_append_char(&out, '\n');
    put_out(&out);
    str_fini(&out);
}

void log_printf(enum log_level level, const char *file, int line, const char *format, ...)
{
    char small[512];
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(small, sizeof(small), format, args);
    if (length >= (int)sizeof(small)) {
        char *big = mem_alloc((size_t)length + 1);
        if (big != NULL) {
            vsnprintf(big, (size_t)length + 1, format, again);
            log_write(level, file, line, slice_make(big, (size_t)length));
            mem_free(big);
        } else {
            log_write(level, file, line, slice_make(small, sizeof(small) - 1));
        }
    } else if (length >= 0) {
        log_write(level, file, line, slice_make(small, (size_t)length));
    }
    va_end(again);
    va_end(args);
}

void log_table(enum log_level level, const char *file, int line, struct slice table)
{
    struct str out = STR_INIT;
    put_preamble(&out, level, file, line);
    str_append_char(&out, '\n');
    str_append_slice(&out, table);
    str_append_char(&out, '\n');
    put_out(&out);
    str_fini(&out);
}
