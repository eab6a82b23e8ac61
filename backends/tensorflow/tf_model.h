// SPDX-License-Identifier: Apache-2.0
// A model of this backend: its parameters, its sessions, and what is known of its tensors.
//
// A session is a loaded graph with its variables on one device. Instances on a device share one up
// to MAX_SESSION_SHARE_COUNT, 1 by default: TensorFlow models may keep state in variables, so
// Triton gives each instance its own unless told otherwise.
//
//   tf_model.c     reads parameters, loads the first session
//   tf_session.c   loads and shares sessions
//   tf_complete.c  fills in a configuration from a SavedModel's signature
//   tf_check.c     compares the configuration with the model
//   tf_execute.c   runs a batch
#ifndef NEREID_BACKENDS_TENSORFLOW_TF_MODEL_H
#define NEREID_BACKENDS_TENSORFLOW_TF_MODEL_H

#include <pthread.h>

#include "backends/common/entry.h"
#include "backends/common/ragged.h"
#include "backends/tensorflow/tf_library.h"
#include "backends/tensorflow/tf_proto.h"

// Where a session computes: the number of a GPU, or one of these.
enum { TF_DEVICE_CPU = -1, TF_DEVICE_MODEL = -2 };

struct tf_session {
    struct tf_session *next;
    struct tf_raw_session *raw;
    struct tf_graph *graph;
    int device;
    int users; // instances
};

struct tf_model {
    struct tf_library *library;
    struct model_config config;
    bool graphdef;
    // Parameters.
    int share_count;
    int intra_op_threads;
    int inter_op_threads;
    bool per_session_threads;
    const char *tag;       // "serve" unless given
    const char *signature; // "" unless given
    const char *init_ops;  // path of the file; NULL without one
    int jit_level;
    bool auto_mixed_precision;
    // What the model declares; a GraphDef declares nothing.
    struct arena arena;
    struct tf_signature declared;
    struct ragged_input *ragged;
    uint32_t ragged_count;
    const struct model_tensor **responses; // outputs of the configuration, sorted by name
    const char **scatter_sources;          // parallel: batch_output's source, or NULL
    uint32_t response_count;
    pthread_mutex_t mutex; // guards sessions
    struct tf_session *sessions;
};

extern const struct model_table tf_models;

// A session on `device` that one more instance may use; loads one where there is none. Shared: give
// it back with tf_session_release. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *tf_session_acquire(struct tf_model *m, int device,
                                                    struct tf_session **session);
void tf_session_release(struct tf_model *m, struct tf_session *session);
// Loads the first one, for nobody yet: the next acquire on that device gets it. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *tf_session_prepare(struct tf_model *m, int device);
// Ends all. Thread: owner.
void tf_sessions_fini(struct tf_model *m);
// The tensor "operation" or "operation:index" of the graph; `operation` is NULL where there is
// none. Thread: any.
struct tf_output tf_session_find(const struct tf_model *m, const struct tf_session *session,
                                 const char *tensor);

// INTERNAL when a SavedModel declares a tensor of a type, or a kind, that cannot be served.
NRD_MUST_USE TRITONSERVER_Error *tf_check_declared(const struct tf_model *m);
// Completes the configuration of a SavedModel and hands it to the host.
NRD_MUST_USE TRITONSERVER_Error *tf_complete(struct tf_model *m, TRITONBACKEND_Model *handle);
// INVALID_ARG with Triton's text where the configuration and the model disagree; then fills in
// `ragged` and `responses`. A GraphDef is checked against the graph of its first session.
NRD_MUST_USE TRITONSERVER_Error *tf_check(struct tf_model *m);
// By name; NULL when absent. Thread: any.
const struct tf_io *tf_find_io(const struct tf_ios *ios, const char *name);
// Declared without dimensions, and known to have none.
bool tf_is_scalar(const struct tf_io *io);

// An instance: a batch and the memory that its executions use again and again.
extern const struct instance_table tf_instances;

#endif
