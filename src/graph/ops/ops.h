// SPDX-License-Identifier: Apache-2.0
// The operators of the library. One file each (ping.c has both ends of a pair); registry.c has the list.
#ifndef NEREID_GRAPH_OPS_OPS_H
#define NEREID_GRAPH_OPS_OPS_H

#include "nereid/operator.h"

extern const struct nrd_operator_class inference_op;
extern const struct nrd_operator_class triton_inference_op;
extern const struct nrd_operator_class ping_tx_op;
extern const struct nrd_operator_class ping_rx_op;
extern const struct nrd_operator_class report_sink_op;
extern const struct nrd_operator_class ping_tensor_tx_op;
extern const struct nrd_operator_class ping_tensor_rx_op;
extern const struct nrd_operator_class async_ping_tx_op;
extern const struct nrd_operator_class async_ping_rx_op;
extern const struct nrd_operator_class video_stream_replayer_op;
extern const struct nrd_operator_class video_stream_recorder_op;
extern const struct nrd_operator_class v4l2_video_capture_op;
extern const struct nrd_operator_class picture_source_op;
extern const struct nrd_operator_class picture_sink_op;
extern const struct nrd_operator_class pattern_source_op;
extern const struct nrd_operator_class join_op;
extern const struct nrd_operator_class split_op;
extern const struct nrd_operator_class gate_op;
extern const struct nrd_operator_class throttle_op;
extern const struct nrd_operator_class frame_tap_op;

#endif
