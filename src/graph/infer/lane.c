// SPDX-License-Identifier: Apache-2.0
// Lane: slots in a ring; see lane.h. A slot's calls are answered on any thread; the last answer tells the lane's condition, and all
// else happens on the operator's thread.
#include "graph/infer/lane.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "graph/compute.h"
#include "graph/message_private.h"
#include "graph/metadata.h"
#include "graph/value.h"

struct lane_slot {
    struct lane *lane;
    struct infer_call *calls[LANE_MODELS_MAX];
    bool asked[LANE_MODELS_MAX];
    struct nrd_message *messages[LANE_MESSAGES_MAX]; // what was received, for its metadata; shared
    uint32_t message_count;
    uint64_t number;           // of the message, from 0
    uint32_t next_model;       // with models one after the other: the one to ask now
    struct nrd_status *failed; // why it could not be asked
    _Atomic uint32_t awaited;  // answers to come, and one for taking in
    struct parking parking;    // of lane_stop()
};

// ---- condition ------------------------------------------------------------------------------------------------------

static struct lane_slot *head(const struct lane *lane)
{
    return lane->sent == lane->taken ? NULL : &lane->slots[lane->sent % lane->depth];
}

static bool is_done(const struct lane_slot *slot)
{
    // Acquire: what the answers wrote.
    return atomic_load_explicit(&slot->awaited, memory_order_acquire) == 0;
}

static bool has_input(const struct lane *lane)
{
    size_t flows = nrd_operator_input_flows(lane->op, 0);
    for (size_t i = 0; i < flows; i++) {
        if (nrd_operator_queued(lane->op, 0, i) == 0) {
            return false;
        }
    }
    return flows > 0;
}

static enum nrd_condition_state check(void *self, int64_t now_ns, int64_t *target_ns)
{
    const struct lane *lane = self;
    (void)now_ns;
    (void)target_ns;
    const struct lane_slot *first = head(lane);
    if (first != NULL && is_done(first)) {
        return NRD_CONDITION_READY;
    }
    if (lane->taken - lane->sent < lane->depth && has_input(lane)) {
        return NRD_CONDITION_READY;
    }
    return first != NULL ? NRD_CONDITION_WAIT_EVENT : NRD_CONDITION_WAIT;
}

static const struct nrd_condition_class condition_class = {.name = "answers", .check = check};

struct nrd_status *lane_setup(struct lane *lane, struct nrd_operator *op)
{
    lane->op = op;
    return nrd_add_condition_class(op, &condition_class, lane, &lane->condition);
}

// ---- asking ---------------------------------------------------------------------------------------------------------

static void one_less(struct lane_slot *slot)
{
    struct lane *lane = slot->lane;
    // Relaxed: lane_stop() looks after it has seen the answer that follows.
    atomic_fetch_add_explicit(&lane->answering, 1, memory_order_relaxed);
    // Release: the answer is written. Acquire: for whoever is last.
    if (atomic_fetch_sub_explicit(&slot->awaited, 1, memory_order_acq_rel) == 1) {
        parking_wake(&slot->parking);
        nrd_condition_notify(lane->condition);
    }
    // Release: nothing is touched after this.
    atomic_fetch_sub_explicit(&lane->answering, 1, memory_order_release);
}

static void on_answer(struct infer_call *call, void *arg)
{
    (void)call;
    one_less(arg);
}

static struct nrd_status *find_tensor(const struct lane_slot *slot, const char *name,
                                      struct nrd_tensor **tensor)
{
    struct nrd_status *status = NULL;
    for (uint32_t i = 0; i < slot->message_count; i++) {
        status_free(status);
        status = nrd_message_find_tensor(slot->messages[i], name, tensor);
        if (status == NULL) {
            return NULL;
        }
    }
    return status;
}

static struct nrd_status *set_inputs(struct lane_slot *slot, uint32_t index)
{
    struct lane *lane = slot->lane;
    const struct lane_model *m = &lane->models[index];
    for (uint32_t i = 0; i < m->model->input_count; i++) {
        struct nrd_tensor *tensor = NULL;
        NRD_TRY(
            status_wrap(find_tensor(slot, m->inputs[i], &tensor), "model '%s': ", m->model->name));
        nrd_tensor_ref(tensor);
        if (lane->prepare != NULL) {
            NRD_TRY(lane->prepare(lane->op, &m->model->inputs[i], tensor, &tensor));
        }
        NRD_TRY(infer_call_set_input(slot->calls[index], i, tensor, lane->reshape));
    }
    return NULL;
}

// Asks one model. The slot counts it before, so that an answer that is quicker than this is counted right.
static struct nrd_status *ask(struct lane_slot *slot, uint32_t index, bool here)
{
    NRD_TRY(set_inputs(slot, index));
    atomic_fetch_add_explicit(&slot->awaited, 1, memory_order_relaxed);
    struct nrd_status *status = infer_call_send(slot->calls[index], here);
    if (status != NULL) {
        atomic_fetch_sub_explicit(&slot->awaited, 1, memory_order_relaxed);
        return status;
    }
    slot->asked[index] = true;
    return NULL;
}

static bool is_due(const struct lane_slot *slot, const struct lane_model *m)
{
    bool has_answer = false;
    for (uint32_t i = 0; i < m->model->output_count; i++) {
        has_answer = has_answer || m->last[i] != NULL;
    }
    // Where there is nothing to send again, the model is asked.
    return !has_answer || (!m->idle && (m->period < 2 || slot->number % m->period == 0));
}

// With models one after the other: asks the next that is due. False when there is none left.
static bool ask_next(struct lane_slot *slot, struct nrd_status **status)
{
    struct lane *lane = slot->lane;
    while (slot->next_model < lane->model_count) {
        uint32_t index = slot->next_model++;
        if (is_due(slot, &lane->models[index])) {
            *status = ask(slot, index, lane->depth == 1);
            return true;
        }
    }
    return false;
}

static struct nrd_status *ask_all(struct lane_slot *slot)
{
    struct lane *lane = slot->lane;
    int last = -1;
    for (uint32_t i = 0; i < lane->model_count; i++) {
        last = is_due(slot, &lane->models[i]) ? (int)i : last;
    }
    for (int i = 0; i <= last; i++) {
        if (is_due(slot, &lane->models[i])) {
            // The others work while the last one runs here.
            NRD_TRY(ask(slot, (uint32_t)i, i == last && lane->depth == 1));
        }
    }
    slot->next_model = lane->model_count;
    return NULL;
}

static void empty(struct lane_slot *slot)
{
    for (uint32_t i = 0; i < slot->lane->model_count; i++) {
        infer_call_clear(slot->calls[i]);
        slot->asked[i] = false;
    }
    for (uint32_t i = 0; i < slot->message_count; i++) {
        nrd_message_unref(slot->messages[i]);
    }
    slot->message_count = 0;
    status_free(slot->failed);
    slot->failed = NULL;
}

// Whether this execution sees a message in each flow: one that came after its start is the next one's.
static bool may_take(const struct lane *lane, struct nrd_compute *ctx, size_t input)
{
    size_t flows = nrd_operator_input_flows(lane->op, input);
    for (size_t i = 0; i < flows; i++) {
        if (nrd_available_from(ctx, input, i) == 0) {
            return false;
        }
    }
    return flows > 0;
}

// What cannot be asked fails when its turn has come (advance).
static void take_in(struct lane *lane, struct nrd_compute *ctx, size_t input)
{
    struct lane_slot *slot = &lane->slots[lane->taken % lane->depth];
    size_t flows = nrd_operator_input_flows(lane->op, input);
    for (size_t i = 0; i < flows && slot->message_count < LANE_MESSAGES_MAX; i++) {
        struct nrd_message *message = nrd_receive_from(ctx, input, i);
        if (message != NULL) {
            slot->messages[slot->message_count++] = message;
        }
    }
    // What came with them goes out with their own answer, not with what this execution sends.
    nrd_metadata_clear(ctx);
    slot->number = lane->taken;
    slot->next_model = 0;
    // Relaxed: nobody else knows of the slot yet.
    atomic_store_explicit(&slot->awaited, 1, memory_order_relaxed);
    if (lane->in_parallel) {
        slot->failed = ask_all(slot);
    } else {
        ask_next(slot, &slot->failed);
    }
    lane->taken++;
    atomic_fetch_sub_explicit(&slot->awaited, 1, memory_order_acq_rel);
}

// ---- sending --------------------------------------------------------------------------------------------------------

// The first error; the slot keeps the others.
static struct nrd_status *take_error(struct lane_slot *slot)
{
    if (slot->failed != NULL) {
        struct nrd_status *status = slot->failed;
        slot->failed = NULL;
        return status;
    }
    for (uint32_t i = 0; i < slot->lane->model_count; i++) {
        if (slot->asked[i] && slot->calls[i]->status != NULL) {
            struct nrd_status *status = slot->calls[i]->status;
            slot->calls[i]->status = NULL;
            return status;
        }
    }
    return NULL;
}

// Answers that may be sent again are kept.
static void keep_answers(struct lane_slot *slot, uint32_t index)
{
    struct lane_model *m = &slot->lane->models[index];
    for (uint32_t i = 0; i < m->model->output_count && slot->asked[index]; i++) {
        nrd_tensor_unref(m->last[i]);
        m->last[i] = slot->calls[index]->outputs[i];
        slot->calls[index]->outputs[i] = NULL;
    }
}

static struct nrd_status *fill(struct lane_slot *slot, struct nrd_compute *ctx,
                               struct nrd_message *message)
{
    struct lane *lane = slot->lane;
    for (uint32_t m = 0; m < lane->model_count; m++) {
        struct lane_model *model = &lane->models[m];
        if (slot->asked[m]) {
            NRD_TRY(infer_call_settle(slot->calls[m], ctx));
        }
        keep_answers(slot, m);
        for (uint32_t i = 0; i < model->model->output_count; i++) {
            if (model->outputs[i] == NULL || model->last[i] == NULL) {
                continue;
            }
            struct nrd_tensor *tensor = nrd_tensor_ref(model->last[i]);
            struct nrd_status *status = nrd_message_add_tensor(message, model->outputs[i], tensor);
            if (status != NULL) {
                nrd_tensor_unref(tensor);
                return status;
            }
        }
        if (model->period < 2 && !model->idle) {
            for (uint32_t i = 0; i < model->model->output_count; i++) {
                nrd_tensor_unref(model->last[i]); // the message holds it
                model->last[i] = NULL;
            }
        }
    }
    return NULL;
}

// What travels with a message travels on, though it was received by an earlier compute.
static struct nrd_status *pass_metadata(const struct lane_slot *slot, struct nrd_message *message)
{
    int64_t acquired = -1;
    for (uint32_t i = 0; i < slot->message_count; i++) {
        const struct nrd_value *metadata = slot->messages[i]->metadata;
        for (size_t k = 0; k < nrd_value_count(metadata); k++) {
            struct nrd_value *shared = value_share(metadata->entries[k].value);
            NRD_TRY(nrd_message_set_metadata(message, metadata->entries[k].key, shared));
        }
        acquired = acquired < 0 ? nrd_message_acquired(slot->messages[i]) : acquired;
    }
    nrd_message_set_acquired(message, acquired);
    return NULL;
}

static struct nrd_status *send_out(struct lane_slot *slot, struct nrd_compute *ctx, size_t output)
{
    struct nrd_message *message = nrd_message_new(ctx);
    if (message == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = fill(slot, ctx, message);
    if (status == NULL) {
        status = pass_metadata(slot, message);
    }
    if (status == NULL && slot->lane->has_labels) {
        status = metadata_give_labels(ctx, message);
    }
    if (status != NULL) {
        nrd_message_unref(message);
        return status;
    }
    compute_answer(ctx, output, slot->messages, slot->message_count, message);
    enum nrd_code code = nrd_emit(ctx, output, message);
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "its output is full");
}

// The head is answered: asks its next model, or sends it out and frees the slot. `*again`: something moved.
static struct nrd_status *advance(struct lane *lane, struct nrd_compute *ctx, size_t output,
                                  bool *again)
{
    struct lane_slot *slot = head(lane);
    *again = false;
    if (slot == NULL || !is_done(slot)) {
        return NULL;
    }
    struct nrd_status *status = take_error(slot);
    if (status == NULL && ask_next(slot, &status) && status == NULL) {
        *again = is_done(slot);
        return NULL;
    }
    if (status == NULL) {
        if (!nrd_can_emit(ctx, output)) {
            return NULL; // compute runs again when there is room
        }
        status = send_out(slot, ctx, output);
    } else if (lane->on_error == LANE_DROP) {
        lane->dropped++;
        nrd_operator_log(lane->op, NRD_LOG_WARNING, "a message is dropped: %s",
                         status_text(status));
        status_free(status);
        status = NULL;
    }
    empty(slot);
    lane->sent++;
    *again = true;
    return status;
}

struct nrd_status *lane_compute(struct lane *lane, struct nrd_compute *ctx, size_t input,
                                size_t output)
{
    bool again = true;
    while (again) {
        NRD_TRY(advance(lane, ctx, output, &again));
    }
    if (lane->taken - lane->sent < lane->depth && may_take(lane, ctx, input)) {
        take_in(lane, ctx, input);
        NRD_TRY(advance(lane, ctx, output, &again));
    }
    return NULL;
}

// ---- life -----------------------------------------------------------------------------------------------------------

static struct nrd_status *add_labels(struct lane *lane)
{
    struct nrd_app *app = lane->op->fragment->app;
    for (uint32_t m = 0; m < lane->model_count; m++) {
        const struct lane_model *at = &lane->models[m];
        for (uint32_t i = 0; i < at->model->output_count; i++) {
            struct nrd_value *labels = at->model->outputs[i].labels;
            if (labels != NULL && at->outputs[i] != NULL) {
                NRD_TRY(metadata_add_labels(app, at->outputs[i], value_share(labels)));
                lane->has_labels = true;
            }
        }
    }
    return NULL;
}

// Says on which devices the models are.
static struct nrd_status *tell_place(struct lane *lane)
{
    struct str text = STR_INIT;
    for (uint32_t m = 0; m < lane->model_count; m++) {
        const struct infer_model *model = lane->models[m].model;
        const char *devices = model->devices != NULL ? model->devices : "an unnamed device";
        str_printf(&text, "%s%s on %s", m > 0 ? ", " : "", model->name, devices);
        if (strcmp(model->place, "in process") != 0) {
            str_printf(&text, " of %s", model->place);
        }
        if (lane->models[m].wanted_gpu >= 0) {
            char wanted[32];
            snprintf(wanted, sizeof(wanted), "GPU %d", lane->models[m].wanted_gpu);
            if (strcmp(devices, wanted) != 0) {
                str_printf(&text, " (%s was asked for)", wanted);
            }
        }
    }
    struct nrd_status *status = str_status(&text);
    if (status == NULL) {
        nrd_operator_log(lane->op, NRD_LOG_INFO, "%s", str_cstr(&text));
        status = nrd_operator_set_place(lane->op, str_cstr(&text));
    }
    str_fini(&text);
    return status;
}

struct nrd_status *lane_init(struct lane *lane, uint32_t depth)
{
    size_t flows = nrd_operator_input_flows(lane->op, 0);
    if (flows > LANE_MESSAGES_MAX) {
        return status_new(NRD_INVALID_ARG, "%zu flows come in, at most %u can", flows,
                          LANE_MESSAGES_MAX);
    }
    NRD_TRY(add_labels(lane));
    NRD_TRY(tell_place(lane));
    lane->depth = depth;
    lane->slots = mem_calloc(depth, sizeof(*lane->slots));
    if (lane->slots == NULL) {
        return status_no_memory();
    }
    for (uint32_t s = 0; s < depth; s++) {
        struct lane_slot *slot = &lane->slots[s];
        slot->lane = lane;
        parking_init(&slot->parking);
        for (uint32_t i = 0; i < lane->model_count; i++) {
            NRD_TRY(infer_call_create(lane->models[i].model, lane->op, lane->allocator, on_answer,
                                      slot, &slot->calls[i]));
        }
    }
    return NULL;
}

void lane_stop(struct lane *lane)
{
    for (; lane->slots != NULL && lane->sent != lane->taken; lane->sent++) {
        struct lane_slot *slot = head(lane);
        for (uint32_t i = 0; i < lane->model_count && !is_done(slot); i++) {
            if (slot->asked[i]) {
                infer_call_cancel(slot->calls[i]);
            }
        }
        while (!is_done(slot)) {
            parking_wait(&slot->parking, 0);
        }
        empty(slot);
    }
    // Acquire: what the callbacks did is over.
    while (atomic_load_explicit(&lane->answering, memory_order_acquire) != 0) {
        sched_yield();
    }
    for (uint32_t m = 0; m < lane->model_count; m++) {
        for (uint32_t i = 0; i < INFER_TENSORS_MAX; i++) {
            nrd_tensor_unref(lane->models[m].last[i]);
            lane->models[m].last[i] = NULL;
        }
    }
    lane->taken = 0;
    lane->sent = 0;
}

void lane_fini(struct lane *lane)
{
    for (uint32_t s = 0; s < lane->depth && lane->slots != NULL; s++) {
        for (uint32_t i = 0; i < lane->model_count; i++) {
            infer_call_destroy(lane->slots[s].calls[i]);
        }
    }
    mem_free(lane->slots);
    for (uint32_t i = 0; i < lane->model_count; i++) {
        infer_model_close(lane->models[i].model);
    }
    lane->slots = NULL;
    lane->model_count = 0;
}
