// SPDX-License-Identifier: Apache-2.0
// Lane: messages on their way through one or more models, several at once, out in the order in which they came in.
//
// The inference operators are this and their parameters. A message takes a slot; its tensors go to the models (all at
// once, or one after the other), and when the last has answered, the slot is done. compute() takes in what there is room for
// and sends out what is done at the head; in between the operator waits for an event, not for a thread:
//
//   free --take in--> asking --all answered--> done --sent out, at the head--> free
//
// With one slot, the last model is asked on the caller's thread where it can run there. A model may be asked every n-th
// message only, or not at all for a while: its last answer is sent again. Start at lane_init(), lane_compute().
#ifndef NEREID_GRAPH_INFER_LANE_H
#define NEREID_GRAPH_INFER_LANE_H

#include <stdatomic.h>

#include "graph/infer/infer.h"
#include "nereid/graph.h"

#define LANE_MODELS_MAX 32u
#define LANE_MESSAGES_MAX 16u // received together: one a flow

// One model of a lane; names are borrowed for as long as the lane lives.
struct lane_model {
    struct infer_model *model; // the lane's: closed by lane_fini()
    const char
        *inputs[INFER_TENSORS_MAX]; // the tensor for each of the model's inputs; "": the only one
    const char
        *outputs[INFER_TENSORS_MAX]; // what each output is called in the message; NULL: not sent
    uint32_t period;                 // asked with every period-th message; 0 is 1
    bool idle;                       // not asked until further notice
    int wanted_gpu;                  // what the application named; -1: nothing, or the processor
    struct nrd_tensor *last[INFER_TENSORS_MAX]; // its last answer, where that may be sent again
};

enum lane_on_error {
    LANE_STOP, // an answer that is an error ends the run
    LANE_DROP, // it is logged, and the message goes no further
};

// May change a tensor before it is put into a model (scale a picture to its size): takes `tensor`, returns owned.
typedef struct nrd_status *(*lane_prepare_fn)(struct nrd_operator *op,
                                              const struct infer_spec *spec,
                                              struct nrd_tensor *tensor,
                                              struct nrd_tensor **prepared);

struct lane_slot;
struct lane {
    struct nrd_operator *op;
    struct nrd_resource *allocator;
    struct nrd_condition *condition;
    struct lane_model models[LANE_MODELS_MAX];
    uint32_t model_count;
    uint32_t depth;   // slots
    bool in_parallel; // a message's models are asked at once
    bool has_labels;  // some of what it sends has names of classes
    bool reshape;     // tensors of as many elements will do
    enum lane_on_error on_error;
    lane_prepare_fn prepare; // NULL: tensors go in as they are
    struct lane_slot *slots;
    uint64_t taken; // messages so far; slot taken % depth is the next
    uint64_t sent;  // slot sent % depth is the head
    uint64_t dropped;
    _Atomic uint32_t answering; // threads within an answer's callback
};

// Adds the lane's condition to `op`, whose inputs must have NRD_PORT_NO_CONDITION. `lane` has op, allocator and what follows
// in_parallel filled in. In setup. Thread: owner.
NRD_MUST_USE struct nrd_status *lane_setup(struct lane *lane, struct nrd_operator *op);
// Makes the slots. The models are in. In initialize. Thread: owner.
NRD_MUST_USE struct nrd_status *lane_init(struct lane *lane, uint32_t depth);
// Takes in, sends out on `output`. Thread: the operator's.
NRD_MUST_USE struct nrd_status *lane_compute(struct lane *lane, struct nrd_compute *ctx,
                                             size_t input, size_t output);
// Waits for what is in flight and gives it up, after a run that ended early too. In stop. Blocks.
void lane_stop(struct lane *lane);
// Frees; closes the models. After lane_stop(). Also of a zeroed lane.
void lane_fini(struct lane *lane);

#endif
