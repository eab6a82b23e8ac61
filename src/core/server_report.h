// SPDX-License-Identifier: Apache-2.0
// Server report: what a server says about itself and its models, as JSON and as the tables of the start.
#ifndef NEREID_CORE_SERVER_REPORT_H
#define NEREID_CORE_SERVER_REPORT_H

#include "base/status.h"
#include "core/message.h"

struct server;

// {"name":..,"version":..,"extensions":[..]}. All messages are returned owned. Thread: any.
NRD_MUST_USE struct nrd_status *server_metadata(const struct server *server,
                                                struct message **message);
// {"name":..,"versions":[..],"platform":..,"inputs":[..],"outputs":[..]}; version -1 lists all ready versions.
NRD_MUST_USE struct nrd_status *server_model_metadata(struct server *server, const char *name,
                                                      int64_t version, struct message **message);
// {"model_stats":[..]} of the ready versions of `name` ("" is all models). INVALID_ARG if there are none.
NRD_MUST_USE struct nrd_status *server_model_statistics(struct server *server, const char *name,
                                                        int64_t version, struct message **message);

// Log tables: repository agents, backends, models; then the options.
void server_print_summary(struct server *server);
void server_print_options(const struct server *server);

#endif
