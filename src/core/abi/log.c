// SPDX-License-Identifier: Apache-2.0
// TRITONSERVER_Log*: what backends and front ends say in the server's log.
#include "core/abi/abi.h"

#include "base/log.h"

bool TRITONSERVER_LogIsEnabled(TRITONSERVER_LogLevel level)
{
    switch (level) {
    case TRITONSERVER_LOG_INFO:
        return LOG_ON(LOG_INFO);
    case TRITONSERVER_LOG_WARN:
        return LOG_ON(LOG_WARNING);
    case TRITONSERVER_LOG_ERROR:
        return LOG_ON(LOG_ERROR);
    case TRITONSERVER_LOG_VERBOSE:
        return LOG_VERBOSE_ON(1);
    }
    return false;
}

TRITONSERVER_Error *TRITONSERVER_LogMessage(TRITONSERVER_LogLevel level, const char *filename,
                                            const int line, const char *msg)
{
    static const enum log_level levels[] = {
        [TRITONSERVER_LOG_INFO] = LOG_INFO,
        [TRITONSERVER_LOG_WARN] = LOG_WARNING,
        [TRITONSERVER_LOG_ERROR] = LOG_ERROR,
        [TRITONSERVER_LOG_VERBOSE] = LOG_VERBOSE,
    };
    if ((unsigned)level >= sizeof(levels) / sizeof(levels[0])) {
        return abi_error(status_new(NRD_INVALID_ARG, "unknown logging level '%d'", (int)level));
    }
    if (TRITONSERVER_LogIsEnabled(level)) {
        log_write(levels[level], filename == NULL ? "" : filename, line, slice_of(msg));
    }
    return NULL;
}
