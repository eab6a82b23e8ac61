// SPDX-License-Identifier: Apache-2.0
// Inference: models that operators ask, wherever they are.
//
// An infer_model is one model of one place: of the core in this process (core_model.c), or of a server (remote_model.c). An
// infer_call is one question on its way; an operator makes as many as it wants in flight and uses them again and again, which
// in steady state allocates nothing but the outputs, and those come from the operator's allocator.
//
//   infer_model_open -> infer_call_create -> infer_call_send -> done -> outputs taken -> infer_call_send ...
//
// Start at struct infer_options, infer_model_open(), infer_call_send().
#ifndef NEREID_GRAPH_INFER_INFER_H
#define NEREID_GRAPH_INFER_INFER_H

#include "nereid/operator.h"

#define INFER_TENSORS_MAX 32u

// One input or output as the model states it; the batch dimension, where the model batches, is the first (-1).
struct infer_spec {
    char *name;
    enum nrd_dtype dtype;
    uint32_t rank;
    int64_t dims[NRD_RANK_MAX];
    char *label_file;         // an output's, within the model's directory; NULL: none
    struct nrd_value *labels; // a list of its classes' names; NULL: not known
};

struct infer_options {
    const char *url;        // "inprocess", or a server: "localhost:8000", "grpc://host:8001", ...
    const char *repository; // in process: where the model lies
    const char *model;
    const char *version;      // "" or NULL: the highest that is ready
    int64_t timeout_ns;       // of a call to a server; 0: none
    uint32_t retries;         // of a call that found no server
    int64_t retry_delay_ns;   // before the first retry; doubles each time
    bool shared_memory;       // use it where the server is local
    const char *gpu_fallback; // in process: "cpu" or "none"
    bool no_batching; // in process: a model whose configuration says nothing of batches has none
};

struct infer_model;
struct infer_call;

// What differs between places. Each function has the contract of the infer_* function of its name.
struct infer_table {
    void (*close)(struct infer_model *model);
    struct nrd_status *(*call_init)(struct infer_call *call);
    void (*call_fini)(struct infer_call *call);
    struct nrd_status *(*send)(struct infer_call *call, bool here);
    void (*cancel)(struct infer_call *call);
};

struct infer_model {
    const struct infer_table *table;
    char *name;
    char *place;     // for texts: "in process", or the server's URL
    char *devices;   // where its instances are: "GPU 1", "GPU 0, GPU 1", "CPU"; NULL: not told
    int64_t version; // -1: the highest that is ready
    bool ordered;    // takes GPU tensors with their events, and waits for nothing
    bool batches;    // the first dimension of every tensor counts rows
    struct infer_spec *inputs;
    uint32_t input_count;
    struct infer_spec *outputs;
    uint32_t output_count;
};

typedef void (*infer_done_fn)(struct infer_call *call, void *arg);

struct infer_call {
    struct infer_model *model;
    struct nrd_operator *op;        // whose allocator makes the outputs
    struct nrd_resource *allocator; // NULL: the fragment's default
    infer_done_fn done;
    void *arg;
    // Set by the caller before a send: one for each input of the model, in its order; shared until done.
    struct nrd_tensor *inputs[INFER_TENSORS_MAX];
    // Set at done: owned by the caller from then on, who takes them out (NULL where the model gave none).
    struct nrd_tensor *outputs[INFER_TENSORS_MAX];
    struct nrd_status *status; // at done: NULL, or what went wrong; the caller's
    // At done: outputs on a GPU are there once this CUevent is reached, and until then inputs are in use; NULL: now.
    void *event;
    int32_t event_device;
    void *state; // the place's own
};

// Finds the model, loads it where that is ours to do, and reads what it takes and gives. Errors name place and model.
// Returns owned: infer_model_close(). Blocks. Thread: any.
NRD_MUST_USE struct nrd_status *infer_model_open(const struct infer_options *options,
                                                 struct infer_model **model);
// All calls must have been destroyed. NULL is fine. Blocks.
void infer_model_close(struct infer_model *model);
// The index of the input (output) of that name; -1 when there is none. With `name` NULL or "", the only one.
int infer_find_input(const struct infer_model *model, const char *name);
int infer_find_output(const struct infer_model *model, const char *name);

// A call of `op`, which outlives it. `done` runs on any thread, once for each send that succeeded, with no lock held; it may
// run before the send returns. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *infer_call_create(struct infer_model *model,
                                                  struct nrd_operator *op,
                                                  struct nrd_resource *allocator,
                                                  infer_done_fn done, void *arg,
                                                  struct infer_call **call);
// Not in flight. NULL is fine.
void infer_call_destroy(struct infer_call *call);
// Puts a tensor in as an input: takes it, on success and on failure. A tensor without the batch dimension of a model that batches
// gets one of 1; with `reshape`, one of as many elements gets the model's shape (its open dimensions 1, or what is left).
// NRD_INVALID_ARG: type or shape is not the model's, with both. Thread: owner.
NRD_MUST_USE struct nrd_status *infer_call_set_input(struct infer_call *call, uint32_t index,
                                                     struct nrd_tensor *tensor, bool reshape);
// Asks. All inputs must be set; they are given up when the answer is there. `here`: the caller has nothing else to do, so the
// model may run on its thread. On an error nothing is in flight, and inputs are given up too. Allocates nothing in steady
// state. Thread: owner.
NRD_MUST_USE struct nrd_status *infer_call_send(struct infer_call *call, bool here);
// Asks to give up a call that is in flight, where its place can: done still comes, perhaps with NRD_CANCELLED. Thread: any.
void infer_call_cancel(struct infer_call *call);
// Of a call that is done, in the compute that sends its outputs: they, and the inputs that are still in use, come into the order of the
// operator's stream. Nothing where there is no event. Thread: the operator's.
NRD_MUST_USE struct nrd_status *infer_call_settle(struct infer_call *call, struct nrd_compute *ctx);
// Gives inputs and outputs up (waiting for the GPU where the call was not settled), and frees the status. Thread: owner, not in flight.
void infer_call_clear(struct infer_call *call);

// ---- for places ---------------------------------------------------------------------------------------------------

NRD_MUST_USE struct nrd_status *core_model_open(const struct infer_options *options,
                                                struct infer_model **model);
NRD_MUST_USE struct nrd_status *remote_model_open(const struct infer_options *options,
                                                  struct infer_model **model);
// Frees what all models have; for close, after the place's own is gone.
void infer_model_free(struct infer_model *model);
// Reads inputs and outputs from the protocol's metadata document (KServe v2). Errors name model and place.
NRD_MUST_USE struct nrd_status *infer_read_metadata(struct infer_model *model, const char *json,
                                                    size_t length);
// Reads from the model's configuration document whether it batches, its devices, and outputs' label files; NRD_UNSUPPORTED: a decoupled model.
NRD_MUST_USE struct nrd_status *infer_read_config(struct infer_model *model, const char *json,
                                                  size_t length);
// Gives the call's inputs up and calls done with `status` (taken). Thread: any.
void infer_call_finish(struct infer_call *call, struct nrd_status *status);

#endif
