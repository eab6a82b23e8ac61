// SPDX-License-Identifier: Apache-2.0
// A model without a server or a library: the data half of the core with a backend that is a function of the test.
//
// The three functions of the control half that the data half calls are defined here, so that the linker leaves the
// server out. Start at fixture_start(). Shared by the unit tests of the data half and by bench/core_path.c.
#ifndef NEREID_TESTS_UNIT_CORE_HOT_FIXTURE_H
#define NEREID_TESTS_UNIT_CORE_HOT_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/instance.h"
#include "core/model.h"
#include "core/request.h"
#include "core/response.h"
#include "core/schedule/scheduler.h"
#include "core/server.h"
#include "core/stats.h"
#include "proto/model_config.pb-c.h"
#include "triton/core/tritonbackend.h"
#include "triton/core/tritonserver.h"

enum { FIXTURE_IO_MAX = 12, FIXTURE_DIMS_MAX = 4 };

typedef TRITONSERVER_Error *(*fixture_execute_fn)(TRITONBACKEND_ModelInstance *,
                                                  TRITONBACKEND_Request **, const uint32_t);

struct fixture {
    struct server server;
    struct backend backend;
    struct model model;
    Inference__ModelConfig config;
    Inference__ModelDynamicBatching dynamic;
    Inference__ModelQueuePolicy policy;
    Inference__ModelInput inputs[FIXTURE_IO_MAX];
    Inference__ModelOutput outputs[FIXTURE_IO_MAX];
    Inference__ModelInput *input_list[FIXTURE_IO_MAX];
    Inference__ModelOutput *output_list[FIXTURE_IO_MAX];
    int64_t dims[2 * FIXTURE_IO_MAX][FIXTURE_DIMS_MAX];
    struct instance *instances[16];
    char name[8];
    char empty[1];
};

// ---- what the control half does otherwise ---------------------------------------------------------

struct nrd_status *server_find_model(struct server *server, const char *name, int64_t version,
                                     struct model **model)
{
    struct fixture *fixture = (struct fixture *)(void *)server; // its first member
    (void)name;
    (void)version;
    *model = model_ref(&fixture->model);
    return NULL;
}

struct nrd_status *server_accepts(const struct server *server)
{
    (void)server;
    return NULL;
}

void model_unref(struct model *model)
{
    if (model != NULL) {
        atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel);
    }
}

// ---- setting up -----------------------------------------------------------------------------------

static inline void fixture_init(struct fixture *f, int max_batch_size)
{
    memset(f, 0, sizeof(*f));
    snprintf(f->name, sizeof(f->name), "m");
    inference__model_config__init(&f->config);
    inference__model_dynamic_batching__init(&f->dynamic);
    inference__model_queue_policy__init(&f->policy);
    f->config.name = f->name;
    f->config.max_batch_size = max_batch_size;
    f->config.input = f->input_list;
    f->config.output = f->output_list;
}

static inline void fixture_dynamic(struct fixture *f)
{
    f->config.scheduling_choice_case = INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_DYNAMIC_BATCHING;
    f->config.dynamic_batching = &f->dynamic;
    f->dynamic.default_queue_policy = &f->policy;
}

static inline Inference__ModelInput *fixture_input(struct fixture *f, const char *name,
                                                   TRITONSERVER_DataType type, size_t dim_count,
                                                   const int64_t *dims)
{
    size_t at = f->config.n_input++;
    Inference__ModelInput *input = &f->inputs[at];
    inference__model_input__init(input);
    input->name = (char *)(uintptr_t)name;
    input->data_type = (Inference__DataType)type;
    input->n_dims = dim_count;
    input->dims = f->dims[at];
    memcpy(f->dims[at], dims, dim_count * sizeof(*dims));
    f->input_list[at] = input;
    return input;
}

static inline Inference__ModelOutput *fixture_output(struct fixture *f, const char *name,
                                                     TRITONSERVER_DataType type, size_t dim_count,
                                                     const int64_t *dims)
{
    size_t at = f->config.n_output++;
    Inference__ModelOutput *output = &f->outputs[at];
    inference__model_output__init(output);
    output->name = (char *)(uintptr_t)name;
    output->data_type = (Inference__DataType)type;
    output->n_dims = dim_count;
    output->dims = f->dims[FIXTURE_IO_MAX + at];
    memcpy(output->dims, dims, dim_count * sizeof(*dims));
    f->output_list[at] = output;
    return output;
}

static inline void fixture_check(struct nrd_status *status)
{
    if (status != NULL) {
        fprintf(stderr, "fixture: %s\n", status_text(status));
        abort();
    }
}

// Compiles the model and makes its scheduler, without an instance: for tests that only check requests.
static inline void fixture_compile(struct fixture *f)
{
    f->model.server = &f->server;
    f->model.backend = &f->backend;
    f->model.name = f->name;
    f->model.version = 1;
    f->model.directory = f->empty;
    f->model.config = &f->config;
    f->model.instances = f->instances;
    atomic_init(&f->model.refs, 1);
    map_init(&f->model.input_by_name);
    map_init(&f->model.output_by_name);
    fixture_check(model_compile_io(&f->model));
    f->model.stats = stats_create(&f->model);
    fixture_check(scheduler_create(&f->model, &f->model.scheduler));
}

// One more instance, on that device.
static inline void fixture_instance(struct fixture *f, TRITONSERVER_InstanceGroupKind kind,
                                    int32_t device_id)
{
    unsigned i = f->model.instance_count;
    struct instance_spec spec = {.name = "m_0", .kind = kind, .device_id = device_id};
    fixture_check(instance_create(&f->model, &spec, f->instances, i, &f->instances[i]));
    f->model.instance_count++;
}

static inline void fixture_start(struct fixture *f, fixture_execute_fn execute, unsigned instances)
{
    f->backend.instance_execute = execute;
    fixture_compile(f);
    for (unsigned i = 0; i < instances; i++) {
        fixture_instance(f, TRITONSERVER_INSTANCEGROUPKIND_CPU, 0);
    }
}

static inline void fixture_stop(struct fixture *f)
{
    scheduler_stop(f->model.scheduler);
    for (unsigned i = 0; i < f->model.instance_count; i++) {
        instance_destroy(f->instances[i]);
    }
    if (atomic_load(&f->model.refs) != 1 || atomic_load(&f->model.inflight) != 0) {
        fprintf(stderr, "fixture: %lld references, %lld in flight are left\n",
                (long long)atomic_load(&f->model.refs), (long long)atomic_load(&f->model.inflight));
        abort();
    }
    scheduler_destroy(f->model.scheduler);
    stats_destroy(f->model.stats);
    model_free_io(&f->model);
}

// A model of one input and one output of 16 floats.
static inline void fixture_floats(struct fixture *f, int max_batch_size)
{
    fixture_init(f, max_batch_size);
    int64_t dims[1] = {16};
    fixture_input(f, "INPUT0", TRITONSERVER_TYPE_FP32, 1, dims);
    fixture_output(f, "OUTPUT0", TRITONSERVER_TYPE_FP32, 1, dims);
}

#endif
