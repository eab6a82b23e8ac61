// SPDX-License-Identifier: Apache-2.0
// VideoStreamRecorderOp: writes what it receives, as Holoscan's recordings or as a video file.
//
// A recording is whole after every frame, whatever happens next. A video file is whole after stop(), which also runs when the run
// fails or is stopped: there the encoder is emptied and the end of the file written.
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "graph/ops/codecs.h"
#include "graph/ops/entity_file.h"
#include "graph/ops/ops.h"

struct recorder {
    const char *directory, *basename, *path, *codec_name, *in_tensor_name;
    bool flush_on_tick;
    double frame_rate;
    int64_t bit_rate;
    int pixel_format;
    const struct nrd_value *entity_serializer, *receiver;

    struct entity_writer *entities;
    const struct video_codec *codec;
    struct video_writer *video;
    int64_t dims[3]; // of the video's frames
    uint64_t count;
    int64_t start_ns;  // of the first frame, on the graph's clock
    uint64_t epoch_ns; // the same, since the epoch
};

enum { ORDER_RGB, ORDER_BGR };
static const char *const orders[] = {[ORDER_RGB] = "rgb", [ORDER_BGR] = "bgr", NULL};

#define FIELD(name) offsetof(struct recorder, name)
static const struct nrd_param params[] = {
    {.name = "directory",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(directory),
     .fallback = "\"\"",
     .help = "Folder of the recording; made when it is not there."},
    {.name = "basename",
     .type = NRD_PARAM_STRING,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(basename),
     .help = "Name of the recording: BASENAME.gxf_index and BASENAME.gxf_entities; the input's "
             "name when absent."},
    {.name = "path",
     .type = NRD_PARAM_STRING,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(path),
     .help = "A video file (its ending says which: mp4, mkv, avi ...) instead of a recording."},
    {.name = "flush_on_tick",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(flush_on_tick),
     .fallback = "false",
     .help = "Each frame of a recording is on the disk before the next is taken; without it the "
             "system decides when."},
    {.name = "in_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(in_tensor_name),
     .fallback = "\"\"",
     .help =
         "The tensor that becomes the video's frame; empty: the only one. A recording takes all."},
    {.name = "frame_rate",
     .type = NRD_PARAM_REAL,
     .offset = FIELD(frame_rate),
     .fallback = "30",
     .min = 0,
     .max = 1000,
     .unit = "frames/s",
     .help = "Of a video file; 0: each frame has the time at which it came."},
    {.name = "bit_rate",
     .type = NRD_PARAM_INT,
     .offset = FIELD(bit_rate),
     .fallback = "0",
     .min = 0,
     .max = 1e10,
     .unit = "bits/s",
     .help = "Of a video file; 0: the encoder's default quality."},
    {.name = "codec",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(codec_name),
     .fallback = "auto",
     .help = "libavcodec's encoder for a video file (libx264, mpeg4, ffv1 ...); auto: H.264 where "
             "there is one, else MPEG-4."},
    {.name = "pixel_format",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(pixel_format),
     .fallback = "rgb",
     .choices = orders,
     .help = "Order of the colours in three channels; one channel is gray, four are RGBA."},
    {.name = "entity_serializer",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(entity_serializer),
     .help = "Holoscan's; has no effect."},
    {.name = "receiver",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(receiver),
     .help = "Holoscan's; has no effect."},
    {.name = NULL},
};

static const struct nrd_port inputs[] = {
    {.name = "input",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .help = "A frame: a recording takes all its tensors, a video file one of 8 bits, [height, "
             "width, channels]."},
    {.name = NULL},
};

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    (void)op;
    struct recorder *r = self;
    return r->path == NULL || r->basename == NULL
               ? NULL
               : status_new(NRD_INVALID_ARG, "path '%s' and basename '%s' exclude each other",
                            r->path, r->basename);
}

static struct nrd_status *make_parent(const char *path)
{
    const char *name = path_base(path);
    if (name == path || name == path + 1) {
        return NULL;
    }
    char *parent = mem_strndup(path, (size_t)(name - path - 1));
    if (parent == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = file_make_dirs(parent);
    mem_free(parent);
    return status;
}

static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    (void)op;
    struct recorder *r = self;
    r->count = 0;
    if (r->path == NULL) {
        return entity_writer_create(r->directory, r->basename == NULL ? "input" : r->basename,
                                    &r->entities);
    }
    NRD_TRY(make_parent(r->path));
    return codecs_video(
        &r->codec); // the file is made with the first frame, which says how large it is
}

// ---- recordings ------------------------------------------------------------------------------------------------------

static struct nrd_status *record_entity(struct recorder *r, const struct nrd_message *message,
                                        int64_t now_ns)
{
    struct entity_part parts[ENTITY_TENSORS_MAX];
    size_t count = nrd_message_tensor_count(message);
    for (size_t i = 0; i < count && i < ENTITY_TENSORS_MAX; i++) {
        parts[i].tensor = nrd_message_tensor_at(message, i, &parts[i].name);
    }
    return entity_writer_add(r->entities, parts, count,
                             r->epoch_ns + (uint64_t)(now_ns - r->start_ns),
                             nrd_message_acquired(message), r->flush_on_tick);
}

// ---- video files -----------------------------------------------------------------------------------------------------

// The shape of a frame; gray ones may lack the last dimension.
static struct nrd_status *frame_shape(const struct nrd_tensor *t, int64_t dims[3])
{
    dims[0] = t->rank > 0 ? t->dims[0] : 0;
    dims[1] = t->rank > 1 ? t->dims[1] : 0;
    dims[2] = t->rank > 2 ? t->dims[2] : 1;
    if (t->memory == NRD_MEMORY_GPU) {
        return status_new(
            NRD_UNSUPPORTED,
            "frames are in the memory of GPU %d: copy them to the host before they are recorded",
            t->device);
    }
    if (t->dtype != NRD_DTYPE_U8 || t->rank < 2 || t->rank > 3 || dims[0] < 1 || dims[1] < 1 ||
        dims[0] > 32768 || dims[1] > 32768 || (dims[2] != 1 && dims[2] != 3 && dims[2] != 4)) {
        return status_new(NRD_INVALID_ARG,
                          "a video's frame is UINT8 [height, width, 1, 3 or 4], not %s of rank %u "
                          "[%lld, %lld, %lld]",
                          nrd_dtype_name(t->dtype), t->rank, (long long)dims[0], (long long)dims[1],
                          (long long)dims[2]);
    }
    return NULL;
}

static struct nrd_status *begin_video(struct recorder *r, const int64_t dims[3])
{
    const struct video_writer_options options = {
        .width = (uint32_t)dims[1],
        .height = (uint32_t)dims[0],
        .pixels = dims[2] == 1                   ? VIDEO_GRAY
                  : dims[2] == 4                 ? VIDEO_RGBA
                  : r->pixel_format == ORDER_BGR ? VIDEO_BGR
                                                 : VIDEO_RGB,
        .rate = r->frame_rate,
        .bit_rate = r->bit_rate,
        .codec = r->codec_name,
    };
    memcpy(r->dims, dims, sizeof(r->dims));
    return r->codec->create(r->path, &options, &r->video);
}

static struct nrd_status *record_frame(struct recorder *r, const struct nrd_message *message,
                                       int64_t now_ns)
{
    struct nrd_tensor *tensor = NULL;
    int64_t dims[3];
    NRD_TRY(nrd_message_find_tensor(message, r->in_tensor_name, &tensor));
    NRD_TRY(frame_shape(tensor, dims));
    if (r->video == NULL) {
        NRD_TRY(begin_video(r, dims));
    }
    if (memcmp(dims, r->dims, sizeof(r->dims)) != 0) {
        return status_new(
            NRD_INVALID_ARG,
            "'%s': frame %llu is [%lld, %lld, %lld], and the first was [%lld, %lld, %lld]", r->path,
            (unsigned long long)r->count, (long long)dims[0], (long long)dims[1],
            (long long)dims[2], (long long)r->dims[0], (long long)r->dims[1],
            (long long)r->dims[2]);
    }
    return r->codec->write(r->video, tensor->data, now_ns - r->start_ns);
}

// ---- both ------------------------------------------------------------------------------------------------------------

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct recorder *r = self;
    int64_t now = nrd_compute_now(ctx);
    struct nrd_message *message = nrd_receive(ctx, 0);
    if (message == NULL) {
        return NULL;
    }
    if (r->count == 0) {
        r->start_ns = now;
        r->epoch_ns = clock_wall_ns();
    }
    struct nrd_status *status =
        r->path == NULL ? record_entity(r, message, now) : record_frame(r, message, now);
    nrd_message_unref(message);
    r->count += status == NULL;
    return status;
}

static struct nrd_status *close_files(struct recorder *r)
{
    struct nrd_status *status = entity_writer_close(r->entities);
    r->entities = NULL;
    if (r->video != NULL) {
        struct nrd_status *ended = r->codec->finish(r->video);
        r->video = NULL;
        status_free(status); // there is only one of both
        status = ended;
    }
    return status;
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    struct recorder *r = self;
    if (r->path != NULL && r->video == NULL) {
        nrd_operator_log(op, NRD_LOG_WARNING, "'%s' was not made: no frame came", r->path);
    }
    return close_files(r);
}

static void destroy(struct nrd_operator *op, void *self)
{
    (void)op;
    status_free(close_files(self)); // of a start that failed: nothing is in them
}

const struct nrd_operator_class video_stream_recorder_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "VideoStreamRecorderOp",
    .summary = "Records frames as Holoscan does (.gxf_entities) or into a video file.",
    .state_size = sizeof(struct recorder),
    .params = params,
    .inputs = inputs,
    .setup = setup,
    .start = start,
    .compute = compute,
    .stop = stop,
    .destroy = destroy,
};
