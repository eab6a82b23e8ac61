/* SPDX-License-Identifier: Apache-2.0 */
/* A client of KServe v2 servers with Triton's extensions (Nereid, Triton), over HTTP/1.1 and gRPC.
   One handle per server; any number of threads may use it. Each handle has one thread of its own (the loop), on
   which callbacks run; a call without a callback parks its caller until the answer is here. Tensor bytes are sent from
   where they lie, and answers are views of what was received. Every error names the server, what was asked and why it
   failed. Structs that callers fill begin zeroed: all zero is the default.
   Start at nrd_client_create() and nrd_client_infer(). Link with -lnereid. */
#ifndef NEREID_CLIENT_H
#define NEREID_CLIENT_H

#include "nereid/types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct nrd_client;
struct nrd_client_call;
struct nrd_client_response;
struct nrd_client_stream;
struct nrd_shm;

/* ---- the handle ------------------------------------------------------------------------------------------------ */

struct nrd_client_header {
    const char *name; /* lower case for gRPC; other cases are lowered there */
    const char *value;
};

enum nrd_client_compression {
    NRD_CLIENT_COMPRESSION_NONE,
    NRD_CLIENT_COMPRESSION_DEFLATE,
    NRD_CLIENT_COMPRESSION_GZIP,
};

struct nrd_client_options {
    uint32_t connect_timeout_ms; /* of one attempt to connect; 0: 10 000 */
    uint32_t timeout_ms;         /* of a whole call that names none itself; 0: no limit */
    uint32_t
        retries; /* further attempts when no connection can be made; 0: the first failure counts */
    uint32_t
        backoff_ms; /* before the first further attempt, doubled for each next one up to 10 s; 0: 100 */
    uint32_t
        max_connections;   /* HTTP: requests under way at once, more wait; 0: 64. gRPC: connections
                                 over which calls are spread; 0: 1 */
    uint64_t max_response; /* bytes of one answer; 0 or above: 2 GiB - 1 */
    /* Sent with every call: authorization, keys of restricted interfaces. Copied. */
    const struct nrd_client_header *headers;
    size_t header_count;
    enum nrd_client_compression request_compression;  /* of the bodies of inference requests */
    enum nrd_client_compression response_compression; /* what is asked for; HTTP only */
    /* https and grpcs. Files in PEM form, read at nrd_client_create(). */
    const char *tls_ca;          /* authorities that sign the server; NULL: the system's */
    const char *tls_certificate; /* the client's own chain, for mutual TLS; NULL: none */
    const char *tls_key;         /* its key */
    const char
        *tls_name;     /* the name that the server's certificate must have; NULL: the URL's host */
    bool tls_insecure; /* the server's certificate is not checked */
};

/* Makes a client of `url`: http://HOST:PORT, https://..., grpc://..., grpcs://..., or HOST:PORT and HOST, which mean http://.
   Ports left out are 8000 (http, https) and 8001 (grpc, grpcs); an IPv6 address stands in brackets. A path after the
   port is put before every HTTP path (a gateway's prefix); gRPC takes none. No connection is made yet.
   `options` (NULL: the defaults) is copied. NRD_INVALID_ARG names what is wrong with the URL or a file. Returns owned.
   Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_create(const char *url,
                                                          const struct nrd_client_options *options,
                                                          struct nrd_client **out);
/* Ends calls and streams under way (their callbacks run, with NRD_CANCELLED), closes connections, joins the loop, frees. Responses and call
   handles that are still held stay valid. No other thread may be using the client. NULL is fine. Thread: any but the loop. */
NRD_API void nrd_client_destroy(struct nrd_client *client);
/* The URL in full: "http://localhost:8000". Borrowed from the client. Thread: any. */
NRD_API const char *nrd_client_url(const struct nrd_client *client);
/* Whether calls go over gRPC (and nrd_client_stream_open() works). Thread: any. */
NRD_API bool nrd_client_is_grpc(const struct nrd_client *client);
/* Whether the server's address is one of this machine, so that shared memory may work; it does not if the server lives
   in another container: nrd_shm_create() tells. May wait for a name server. Thread: any but the loop. */
NRD_API bool nrd_client_is_local(const struct nrd_client *client);

/* ---- inference ------------------------------------------------------------------------------------------------- */

enum nrd_client_parameter_kind {
    NRD_CLIENT_PARAMETER_STRING,
    NRD_CLIENT_PARAMETER_BOOL,
    NRD_CLIENT_PARAMETER_INT,
    NRD_CLIENT_PARAMETER_DOUBLE,
};
struct nrd_client_parameter {
    const char *name;
    enum nrd_client_parameter_kind kind;
    union {
        const char *s;
        bool b;
        int64_t i;
        double d;
    } as;
};

/* One input. The bytes at `data` are borrowed until the call is complete; all else is copied before the call returns. */
struct nrd_client_input {
    const char *name;
    enum nrd_dtype dtype;
    const int64_t *shape;
    size_t rank;
    const void *data; /* row-major; BYTES in the form of nrd_bytes_pack() */
    size_t size;      /* bytes */
    /* Instead of data: a registered shared-memory region, from `region_offset` on, `size` bytes. */
    const char *region;
    uint64_t region_offset;
};

/* One wanted output. */
struct nrd_client_output {
    const char *name;
    uint32_t classes; /* above 0: the so many best classes, as BYTES "VALUE:INDEX[:LABEL]" */
    /* Where the tensor goes, if not into the response: memory of the caller's, borrowed until the call is complete. An
       answer larger than `capacity` fails the call with NRD_INVALID_ARG. */
    void *data;
    size_t capacity;
    /* Or a registered shared-memory region, from `region_offset` on, at most `capacity` bytes. */
    const char *region;
    uint64_t region_offset;
};

struct nrd_client_request {
    const char *model;
    const char *version; /* NULL or "": the server chooses */
    const char *id;      /* NULL: none; comes back in the response */
    const struct nrd_client_input *inputs;
    size_t input_count;
    const struct nrd_client_output *outputs; /* none: all that the model has */
    size_t output_count;
    const struct nrd_client_parameter *parameters;
    size_t parameter_count;
    uint64_t sequence_id; /* 0: none, unless sequence_name is given */
    const char *sequence_name;
    bool sequence_start;
    bool sequence_end;
    uint64_t priority;   /* 0: the model's default; 1 is the most urgent */
    uint64_t timeout_us; /* told to the server's queue; 0: none */
    uint32_t
        timeout_ms; /* of the whole call, kept by the client (and told to gRPC servers); 0: the client's */
    bool empty_final_response; /* streams: ask for an empty last response of decoupled models */
};

/* An output, or a view of one: valid as long as its response, but for `data` that the caller gave. In a stream's response an
   output that went to shared memory has neither data nor region: only who asked knows where it is. */
struct nrd_client_tensor {
    const char *name;
    enum nrd_dtype dtype;
    size_t rank;
    const int64_t *shape;
    const void *data;   /* aligned for its type; NULL when it is in a region */
    size_t size;        /* bytes */
    const char *region; /* NULL, or the shared-memory region where it is */
    uint64_t region_offset;
};

/* Runs one inference and waits. `*response` (returned owned) is set on success only. Errors: what the server said, with its
   code; NRD_UNAVAILABLE when it cannot be reached or the time is over; NRD_INVALID_ARG for what cannot be sent.
   A request whose connection turns out to have been dead from the start is sent once more on a new one, unless it belongs
   to a sequence. Thread: any but the loop. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_infer(struct nrd_client *client,
                                                         const struct nrd_client_request *request,
                                                         struct nrd_client_response **response);

/* Takes `status` (NULL on success) and `response` (NULL on failure). Must not block: it runs on the loop, and other calls
   wait. It may begin further calls. */
typedef void (*nrd_client_infer_fn)(void *user, struct nrd_status *status,
                                    struct nrd_client_response *response);
/* Begins one inference. On success `done` is called exactly once, on the loop, when the inputs' bytes and the outputs' memory are the caller's
   again; on failure never. `*call` (may be NULL) is a handle, returned owned: nrd_client_call_release() it at any time.
   Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_client_infer_async(struct nrd_client *client, const struct nrd_client_request *request,
                       nrd_client_infer_fn done, void *user, struct nrd_client_call **call);
/* Asks that the call end soon; `done` follows, with NRD_CANCELLED unless it was complete. Thread: any. */
NRD_API void nrd_client_call_cancel(struct nrd_client_call *call);
/* Lets go of the handle; the call goes on. NULL is fine. Thread: any. */
NRD_API void nrd_client_call_release(struct nrd_client_call *call);

/* ---- responses: all borrowed from the response, which one thread at a time may use -------------------------------- */

NRD_API void
nrd_client_response_free(struct nrd_client_response *response); /* takes; NULL is fine */
NRD_API const char *nrd_client_response_model(const struct nrd_client_response *response);
NRD_API const char *nrd_client_response_version(const struct nrd_client_response *response);
NRD_API const char *
nrd_client_response_id(const struct nrd_client_response *response); /* "": none */
NRD_API size_t nrd_client_response_count(const struct nrd_client_response *response);
/* By index (NULL beyond the last), or by name (NULL when there is none). */
NRD_API const struct nrd_client_tensor *
nrd_client_response_output(const struct nrd_client_response *response, size_t index);
NRD_API const struct nrd_client_tensor *
nrd_client_response_find(const struct nrd_client_response *response, const char *name);
NRD_API size_t nrd_client_response_parameter_count(const struct nrd_client_response *response);
NRD_API const struct nrd_client_parameter *
nrd_client_response_parameter(const struct nrd_client_response *response, size_t index);
/* The last response to its request: true for unary calls. In streams, what the server says. */
NRD_API bool nrd_client_response_is_final(const struct nrd_client_response *response);

/* ---- BYTES ------------------------------------------------------------------------------------------------------ */

struct nrd_bytes {
    const void *data;
    size_t size; /* below 4 GiB */
};
/* Bytes that nrd_bytes_pack() writes for these elements. Thread: any. */
NRD_API size_t nrd_bytes_packed_size(const struct nrd_bytes *items, size_t count);
/* Writes each element's length (32 bits, little-endian) and bytes. NRD_INVALID_ARG when `capacity` is too small. Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_bytes_pack(const struct nrd_bytes *items, size_t count,
                                                       void *out, size_t capacity, size_t *size);
/* Walks a packed tensor: `*at` begins at 0. False at the end, and where the tensor is cut off. Thread: any. */
NRD_API bool nrd_bytes_next(const void *data, size_t size, size_t *at, struct nrd_bytes *item);

/* ---- streams of gRPC (ModelStreamInfer): many requests, any number of responses, decoupled models ----------------- */

struct nrd_client_stream_options {
    /* A response, or the error of one request (`response` is then NULL, or holds its id alone). Takes both. Thread: loop. */
    void (*response)(void *user, struct nrd_status *status, struct nrd_client_response *response);
    /* The stream is over: NULL when the server ended it in good order. Takes `status`. The last call, exactly once. Thread: loop. */
    void (*closed)(void *user, struct nrd_status *status);
    void *user;
    /* Called once for each accepted nrd_client_stream_send(), when its inputs' bytes are the caller's again. NULL: they
       are copied by nrd_client_stream_send(). Thread: loop. */
    void (*sent)(void *user, void *request_user);
    uint32_t timeout_ms; /* of the whole stream; 0: no limit, whatever the client's */
};
/* Opens a stream; the connection is made in the background, and sends wait for it. NRD_UNSUPPORTED over HTTP. Returns owned: nrd_client_stream_release().
   Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_client_stream_open(struct nrd_client *client, const struct nrd_client_stream_options *options,
                       struct nrd_client_stream **out);
/* Queues a request; requests leave in the order of the calls. `request_user` is for `sent`. NRD_CANCELLED once the stream is over or half closed.
   timeout_ms of the request is not looked at. Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_client_stream_send(struct nrd_client_stream *stream, const struct nrd_client_request *request,
                       void *request_user);
/* No more requests follow; responses still come, then `closed`. Thread: any. */
NRD_API void nrd_client_stream_finish(struct nrd_client_stream *stream);
/* Ends now: `closed` follows, with NRD_CANCELLED. Thread: any. */
NRD_API void nrd_client_stream_cancel(struct nrd_client_stream *stream);
/* Lets go of the handle; a stream that is not over is cancelled. NULL is fine. Thread: any. */
NRD_API void nrd_client_stream_release(struct nrd_client_stream *stream);

/* ---- health, metadata, configuration, statistics ------------------------------------------------------------------
   All of these wait, at most timeout_ms of the client's options. Versions may be NULL: the server chooses. Texts are returned owned:
   nrd_client_text_free(). Thread: any but the loop. */

NRD_API void nrd_client_text_free(char *text); /* takes; NULL is fine */
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_server_live(struct nrd_client *client,
                                                               bool *live);
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_server_ready(struct nrd_client *client,
                                                                bool *ready);
/* A model that the server does not know is not ready. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_model_ready(struct nrd_client *client,
                                                               const char *model,
                                                               const char *version, bool *ready);

struct nrd_client_server_metadata {
    const char *name;
    const char *version;
    const char *const *extensions;
    size_t extension_count;
};
NRD_API NRD_MUST_USE struct nrd_status *
nrd_client_server_metadata(struct nrd_client *client, struct nrd_client_server_metadata **out);
NRD_API void nrd_client_server_metadata_free(struct nrd_client_server_metadata *metadata);

struct nrd_client_tensor_metadata {
    const char *name;
    enum nrd_dtype dtype;
    const int64_t *shape; /* -1: any size */
    size_t rank;
};
struct nrd_client_model_metadata {
    const char *name;
    const char *platform;
    const char *const *versions; /* that are ready */
    size_t version_count;
    const struct nrd_client_tensor_metadata *inputs;
    size_t input_count;
    const struct nrd_client_tensor_metadata *outputs;
    size_t output_count;
};
NRD_API NRD_MUST_USE struct nrd_status *
nrd_client_model_metadata(struct nrd_client *client, const char *model, const char *version,
                          struct nrd_client_model_metadata **out);
NRD_API void nrd_client_model_metadata_free(struct nrd_client_model_metadata *metadata);

/* The model's configuration as JSON. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_model_config(struct nrd_client *client,
                                                                const char *model,
                                                                const char *version, char **json);
/* {"model_stats":[...]} of a model, or of all with `model` NULL. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_model_statistics(struct nrd_client *client,
                                                                    const char *model,
                                                                    const char *version,
                                                                    char **json);

/* ---- repository --------------------------------------------------------------------------------------------------- */

struct nrd_client_index_entry {
    const char *name;
    const char *version; /* "": never loaded */
    const char *state;   /* "READY", "UNAVAILABLE", ...; "": never loaded */
    const char *reason;
};
struct nrd_client_index {
    const struct nrd_client_index_entry *entries;
    size_t count;
};
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_repository_index(struct nrd_client *client,
                                                                    bool ready_only,
                                                                    struct nrd_client_index **out);
NRD_API void nrd_client_index_free(struct nrd_client_index *index);

/* A file of a model that is loaded from the request: "1/model.onnx". */
struct nrd_client_file {
    const char *path;
    const void *data;
    size_t size;
};
/* Loads or reloads a model. `config` (JSON; may be NULL) replaces its configuration for this load, and must be given when files are. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_model_load(struct nrd_client *client,
                                                              const char *model, const char *config,
                                                              const struct nrd_client_file *files,
                                                              size_t file_count);
NRD_API NRD_MUST_USE struct nrd_status *
nrd_client_model_unload(struct nrd_client *client, const char *model, bool unload_dependents);

/* ---- shared memory -------------------------------------------------------------------------------------------------- */

NRD_API NRD_MUST_USE struct nrd_status *nrd_client_shm_register(struct nrd_client *client,
                                                                const char *name, const char *key,
                                                                uint64_t offset, uint64_t size);
/* `name` NULL: all. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_shm_unregister(struct nrd_client *client,
                                                                  const char *name);
/* [{"name":...,"key":...,"offset":...,"byte_size":...}] of one region, or of all with `name` NULL. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_shm_status(struct nrd_client *client,
                                                              const char *name, char **json);
/* `handle` is what cudaIpcGetMemHandle() made. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_client_cuda_shm_register(struct nrd_client *client, const char *name, const void *handle,
                             size_t handle_size, int64_t device_id, uint64_t size);
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_cuda_shm_unregister(struct nrd_client *client,
                                                                       const char *name);
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_cuda_shm_status(struct nrd_client *client,
                                                                   const char *name, char **json);

/* Makes a POSIX shared-memory region of `size` bytes (zeroed), maps it here and registers it with the server, under one
   new name. Fails where the server cannot open it or does not allow it (NRD_UNSUPPORTED); nothing is left behind then.
   Returns owned: nrd_shm_destroy() before nrd_client_destroy(). Thread: any but the loop. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_shm_create(struct nrd_client *client, size_t size,
                                                       struct nrd_shm **out);
/* For nrd_client_input.region and nrd_client_output.region. Borrowed. Thread: any. */
NRD_API const char *nrd_shm_name(const struct nrd_shm *shm);
NRD_API void *nrd_shm_data(const struct nrd_shm *shm);
NRD_API size_t nrd_shm_size(const struct nrd_shm *shm);
/* Unregisters (a server that is gone is no error), unmaps and removes. NULL is fine. Thread: any but the loop. */
NRD_API void nrd_shm_destroy(struct nrd_shm *shm);
/* The same without asking the server, which is known to be gone or to have forgotten the region. Waits for nothing. NULL is fine.
   Thread: any. */
NRD_API void nrd_shm_abandon(struct nrd_shm *shm);

/* ---- trace and log settings ------------------------------------------------------------------------------------------
   `settings` is a JSON object of what to change, {"trace_rate":"500"} or {"log_verbose_level":1}; NULL changes nothing. `*json` (may be
   NULL) gets all settings as they are then. `model` NULL: the server's own. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_trace_settings(struct nrd_client *client,
                                                                  const char *model,
                                                                  const char *settings,
                                                                  char **json);
NRD_API NRD_MUST_USE struct nrd_status *nrd_client_log_settings(struct nrd_client *client,
                                                                const char *settings, char **json);

#ifdef __cplusplus
}
#endif

#endif
