// SPDX-License-Identifier: Apache-2.0
// What this library logs: its copy of base has a log of its own, which a program that links it can only reach from here.
#include "base/log.h"
#include "nereid/graph.h"

void nrd_log_set_level(int level)
{
    log_set_enabled(LOG_ERROR, level >= NRD_LOG_ERROR);
    log_set_enabled(LOG_WARNING, level >= NRD_LOG_WARNING);
    log_set_enabled(LOG_INFO, level >= NRD_LOG_INFO);
    log_set_verbose(level >= NRD_LOG_DEBUG ? 1 : 0);
}
