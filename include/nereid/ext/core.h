/* SPDX-License-Identifier: Apache-2.0 */
/* What Nereid's libtritonserver.so offers beyond Triton's interfaces. A front end finds each function by
   dlsym(RTLD_DEFAULT, name) and does without it where the core is another one. */
#ifndef NEREID_EXT_CORE_H
#define NEREID_EXT_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*nereid_flush_fn)(void *userp);

/* Puts off a wake-up so that a batch of responses costs one. Called from within a response callback; true
   promises that fn(userp) is called on this thread soon: when the executor has nothing more to do, before an
   Execute that may take long, and after a handful of short ones at the latest. The same pair is called once.
   False (the thread is not an executor's, or has too many already): the caller wakes at once. `userp` must stay
   valid until TRITONSERVER_ServerStop() has returned. Thread: data. */
__attribute__((visibility("default"))) bool nereid_defer(nereid_flush_fn fn, void *userp);
typedef bool (*nereid_defer_fn)(nereid_flush_fn fn, void *userp);

/* The other direction: requests that this thread gives to TRITONSERVER_ServerInferAsync() after nereid_cork() wake
   executors at nereid_uncork(), or after a handful of requests, instead of one by one. A loop corks when it gives
   the first request of a turn, and must uncork at the end of that turn. Both may be called twice. Thread: any. */
__attribute__((visibility("default"))) void nereid_cork(void);
__attribute__((visibility("default"))) void nereid_uncork(void);
typedef void (*nereid_cork_fn)(void);

/* Ends a cork like nereid_uncork(), but where a parked executor would be woken, this thread does its work: it runs the
   executor's batches until its queue is empty or a handful of them are done, and only then returns. A caller that would
   wait for the answer anyway saves two changes of thread. Executors of GPUs, those bound to processors or memory, and those
   that are busy are woken as ever. Callbacks of requests and responses may be called from within. Thread: any that may
   execute a model. */
__attribute__((visibility("default"))) void nereid_uncork_here(void);

/* Memory of a GPU that another process shares (CUDA shared memory of the protocol). `handle` is what cudaIpcGetMemHandle() made
   there. On success `*base` is where the allocation lies on GPU `device_id`, `*byte_size` how long it is, and `*region` is returned owned:
   nereid_cuda_ipc_close(). Returns an error as TRITONSERVER_* functions do, which the caller owns: UNSUPPORTED without GPUs, INVALID_ARG for
   a GPU that there is not, else what the driver said. Thread: any; takes some microseconds. */
struct TRITONSERVER_Server;
struct TRITONSERVER_Error;
__attribute__((visibility("default"))) struct TRITONSERVER_Error *
nereid_cuda_ipc_open(struct TRITONSERVER_Server *server, const void *handle, size_t handle_size,
                     int64_t device_id, void **base, uint64_t *byte_size, void **region);
__attribute__((visibility("default"))) void nereid_cuda_ipc_close(void *region);
typedef struct TRITONSERVER_Error *(*nereid_cuda_ipc_open_fn)(struct TRITONSERVER_Server *,
                                                              const void *, size_t, int64_t,
                                                              void **, uint64_t *, void **);
typedef void (*nereid_cuda_ipc_close_fn)(void *region);

/* Memory of the caller's that GPUs copy out of directly, for front ends whose large request bodies go to GPUs again and again: such input
   data may be given with TRITONSERVER_MEMORY_CPU_PINNED, and is in use until the request is released, as ever.
   nereid_request_is_staged(): whether host memory of this request's inputs is copied to a GPU: its model executes on one, and does not say
   optimization { input_pinned_memory { enable: false } }. Thread: any.
   nereid_host_lock() page-locks whole pages for all GPUs, within half of --pinned-memory-pool-byte-size, and returns what
   nereid_host_unlock() takes, before the server is deleted; NULL where that cannot be. Thread: any but a loop; takes milliseconds. */
struct TRITONSERVER_InferenceRequest;
__attribute__((visibility("default"))) bool
nereid_request_is_staged(struct TRITONSERVER_InferenceRequest *request);
__attribute__((visibility("default"))) void *nereid_host_lock(struct TRITONSERVER_Server *server,
                                                              void *at, size_t size);
__attribute__((visibility("default"))) void nereid_host_unlock(void *lock);
typedef bool (*nereid_request_is_staged_fn)(struct TRITONSERVER_InferenceRequest *);
typedef void *(*nereid_host_lock_fn)(struct TRITONSERVER_Server *, void *, size_t);
typedef void (*nereid_host_unlock_fn)(void *lock);

/* A backend whose Execute may return before the work is done says here, from within TRITONBACKEND_ModelInstanceInitialize,
   how many batches it can have at once: 2 to stage one (gather its inputs on a copy stream, say) while another computes. A batch counts
   until the last of its requests is released, on whatever thread. The core then gives the instance the next batch when it has
   fewer, and never one more, so that batches are still made late; without this call the return of Execute is what makes room,
   as in Triton. 0 is that again. Always NULL. Thread: that of Initialize. */
struct TRITONBACKEND_ModelInstance;
__attribute__((visibility("default"))) struct TRITONSERVER_Error *
nereid_instance_stage(struct TRITONBACKEND_ModelInstance *instance, uint32_t batches);
typedef struct TRITONSERVER_Error *(*nereid_instance_stage_fn)(struct TRITONBACKEND_ModelInstance *,
                                                               uint32_t);

/* A backend has lost a device of the instance, which is a TRITONBACKEND_ModelInstance: nothing that it does there works any more. The core
   finds this out by itself where the backend uses the device's primary context, as the runtime API and all frameworks do; one with
   contexts of its own says so. `device_id` -1 is the instance's own GPU, `code` a CUresult (0: not known; then the driver is asked),
   `text` goes to the log. Said before the requests are answered with the error, they are executed on another device instead.
   Thread: any; takes some microseconds. */
__attribute__((visibility("default"))) void
nereid_device_lost(struct TRITONBACKEND_ModelInstance *instance, int64_t device_id, int code,
                   const char *text);
typedef void (*nereid_device_lost_fn)(struct TRITONBACKEND_ModelInstance *, int64_t, int,
                                      const char *);

/* A kernel's fault ends CUDA for the process that it happens in, on all its GPUs; only another process can use them again. Whoever runs the
   server says here whom to tell when that has come: `fn` is called once, on a thread of the core, and does not wait. Requests are
   answered with errors by then, and models that may have gone to the processor. NULL: nobody any more; one call may still be running.
   Always NULL. Thread: any. */
typedef void (*nereid_gpus_poisoned_fn)(void *arg);
__attribute__((visibility("default"))) struct TRITONSERVER_Error *
nereid_on_gpus_poisoned(struct TRITONSERVER_Server *server, nereid_gpus_poisoned_fn fn, void *arg);
typedef struct TRITONSERVER_Error *(*nereid_on_gpus_poisoned_fn)(struct TRITONSERVER_Server *,
                                                                 nereid_gpus_poisoned_fn, void *);

/* What placement by measurement would do with all models of the server's repositories (nereid place): the JSON document of docs/placement.md.
   Models are measured, which takes seconds for each that is not in the cache, and nothing stays loaded. `message` is returned owned. Errors:
   UNAVAILABLE without a GPU. Thread: any but a loop. */
struct TRITONSERVER_Message;
__attribute__((visibility("default"))) struct TRITONSERVER_Error *
nereid_place(struct TRITONSERVER_Server *server, struct TRITONSERVER_Message **message);
typedef struct TRITONSERVER_Error *(*nereid_place_fn)(struct TRITONSERVER_Server *,
                                                      struct TRITONSERVER_Message **);

/* ---- tensors of GPUs in the order of streams ----
   By Triton's interfaces a tensor's bytes are there when it is handed over, so whoever made them waits on the host. With these, an event
   (a CUevent) goes along instead, and the reader's stream waits for it. Each side may know them or not: what is not asked for is
   waited for as ever.

   Client, before TRITONSERVER_ServerInferAsync(): the data of this input, on one GPU, may be read once `event` is reached. Holds
   until the data is removed; the event stays the caller's until the request is released. A backend that does not ask for it finds
   the host waiting in TRITONBACKEND_InputBuffer() and its like. Thread: owner. */
struct TRITONSERVER_InferenceResponse;
struct TRITONBACKEND_Request;
struct TRITONBACKEND_Input;
struct TRITONBACKEND_Response;
__attribute__((visibility("default"))) struct TRITONSERVER_Error *
nereid_request_input_after(struct TRITONSERVER_InferenceRequest *request, const char *input,
                           void *event);
typedef struct TRITONSERVER_Error *(*nereid_request_input_after_fn)(
    struct TRITONSERVER_InferenceRequest *, const char *, void *);
/* Client: this request's response may come before its outputs on GPUs are there, if it says after which event they are. Inputs on GPUs
   are in use until that event too. False takes it back. Thread: owner. */
__attribute__((visibility("default"))) void
nereid_request_take_event(struct TRITONSERVER_InferenceRequest *request, bool take);
typedef void (*nereid_request_take_event_fn)(struct TRITONSERVER_InferenceRequest *, bool);
/* Client, in the callback of a response: that event; NULL: everything is there. It lives as long as the model is loaded; a wait that is
   queued later may be for a later point of the same stream. Thread: data. */
__attribute__((visibility("default"))) void *
nereid_response_event(struct TRITONSERVER_InferenceResponse *response);
typedef void *(*nereid_response_event_fn)(struct TRITONSERVER_InferenceResponse *);

/* Backend: the event after which this input may be read, NULL: now. Who asks promises to wait for it, by a stream. Thread: data. */
__attribute__((visibility("default"))) void *nereid_input_event(struct TRITONBACKEND_Input *input);
typedef void *(*nereid_input_event_fn)(struct TRITONBACKEND_Input *);
/* Backend: whether nereid_response_set_event() may be called for this request. Thread: data. */
__attribute__((visibility("default"))) bool
nereid_request_takes_event(struct TRITONBACKEND_Request *request);
typedef bool (*nereid_request_takes_event_fn)(struct TRITONBACKEND_Request *);
/* Backend, before TRITONBACKEND_ResponseSend(): all outputs of the response lie on GPUs, and are there once `event` is reached, as is all
   that reads the request's inputs. The event lives until TRITONBACKEND_ModelInstanceFinalize() and may be recorded again, on the same
   stream. Thread: data. */
__attribute__((visibility("default"))) void
nereid_response_set_event(struct TRITONBACKEND_Response *response, void *event);
typedef void (*nereid_response_set_event_fn)(struct TRITONBACKEND_Response *, void *);

/* Backend: a batch that goes out with an event is at work until that event, though its requests are released at once. Before it releases
   them it says so, in place of TRITONBACKEND_ModelInstanceReportStatistics() and ..ReportBatchStatistics(); and it reports the times
   when the event was reached, on whatever thread. `requests` are all of the batch; what is needed of them is copied. Returns NULL where memory
   is out: then the batch is waited for. Thread: data. */
struct TRITONBACKEND_ModelInstance;
__attribute__((visibility("default"))) void *
nereid_batch_depart(struct TRITONBACKEND_ModelInstance *instance,
                    struct TRITONBACKEND_Request *const *requests, uint32_t count,
                    uint64_t exec_start_ns);
typedef void *(*nereid_batch_depart_fn)(struct TRITONBACKEND_ModelInstance *,
                                        struct TRITONBACKEND_Request *const *, uint32_t, uint64_t);
/* Once for each, before TRITONBACKEND_ModelInstanceFinalize() returns; the times are those of ..ReportBatchStatistics(), on the same
   clock. An instance that stages (nereid_instance_stage) or shares its model with other devices is finalized only after all have landed, so this
   is never waited for on the executor's thread. False: the GPU failed. Thread: any. */
__attribute__((visibility("default"))) void
nereid_batch_land(void *batch, bool success, uint64_t exec_start_ns, uint64_t compute_start_ns,
                  uint64_t compute_end_ns, uint64_t exec_end_ns);
typedef void (*nereid_batch_land_fn)(void *, bool, uint64_t, uint64_t, uint64_t, uint64_t);

/* The other way round: a backend that has no use for GPUs exports a symbol nereid_backend_cpu_only (of any kind). Instance groups of KIND_AUTO
   then go to the processor also on a machine with GPUs, and with --gpu-fallback=cpu those of KIND_GPU too. */
#define NEREID_BACKEND_CPU_ONLY                                                                    \
    extern const bool nereid_backend_cpu_only;                                                     \
    __attribute__((visibility("default"))) const bool nereid_backend_cpu_only = true

/* Or it depends: on what a framework's library was built with, on whether that finds what it needs. Such a backend exports this instead.
   Called after TRITONBACKEND_Initialize, when a model of it could go to a GPU: NULL where it can; else one line that says what is missing, and
   the backend counts as one of the above. The text stays valid for as long as the backend. `backend` is its TRITONBACKEND_Backend.
   Thread: any. */
__attribute__((visibility("default"))) const char *nereid_backend_gpu_obstacle(void *backend);
typedef const char *(*nereid_backend_gpu_obstacle_fn)(void *backend);

/* A backend whose framework keeps memory of GPUs that nothing uses exports nereid_backend_trim(), which gives it back to the driver. It is
   called when such memory is about to be counted or needed; models may be executing meanwhile. Thread: any but a loop. */
#define NEREID_BACKEND_TRIM                                                                        \
    __attribute__((visibility("default"))) void nereid_backend_trim(void);                         \
    void nereid_backend_trim(void)

#ifdef __cplusplus
}
#endif

#endif
