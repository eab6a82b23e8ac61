// SPDX-License-Identifier: Apache-2.0
// The operators that are part of the library itself: those that need nothing but it. One file each; registry.c has the list.
// Those that need a library of their own (video, pictures) are in modules, which registry.c names too.
#ifndef NEREID_GRAPH_OPS_OPS_H
#define NEREID_GRAPH_OPS_OPS_H

#include "nereid/operator.h"

extern const struct nrd_operator_class ping_tx_op;
extern const struct nrd_operator_class ping_rx_op;
extern const struct nrd_operator_class report_sink_op;

#endif
