// SPDX-License-Identifier: Apache-2.0
// VideoStreamReplayerOp: frames out of a recording or a video file, at their own pace, at another, or as fast as they are wanted.
//
// One frame is always read ahead: so the time of the next one is known (the pacer waits for it, not compute), and the last frame is
// known to be the last when it is sent. A file that is repeated goes on in time: a pass begins one frame after the end of the one before.
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "graph/ops/ops.h"
#include "graph/ops/pacer.h"
#include "graph/ops/replay_source.h"

struct replayer {
    const char *directory, *basename, *path, *out_tensor_name;
    int64_t batch_size, count;
    bool ignore_corrupted_entities, realtime, repeat;
    double frame_rate;
    int pixel_format;
    struct nrd_resource *allocator;
    const struct nrd_value *entity_serializer, *boolean_scheduling_term, *cuda_stream_pool;

    struct pacer pacer;
    struct replay_options options;
    struct replay_source *source;
    struct replay_frame frame; // the next to be sent, when has_frame
    bool has_frame;
    uint64_t read, sent;
    uint64_t pass_read;                   // of this pass over the file
    int64_t first_time;                   // of the pass, in the recording
    int64_t last_time;                    // likewise
    int64_t pass_start_ns;                // of the pass, since the first frame was sent
    int64_t start_ns;                     // when the first frame was sent, on the graph's clock
    char *path_directory, *path_basename; // of a path that is a recording's
    char *found;                          // folder or file under HOLOSCAN_INPUT_PATH
};

static const char *const pixel_formats[] = {
    [VIDEO_RGB] = "rgb", [VIDEO_RGBA] = "rgba", [VIDEO_BGR] = "bgr", [VIDEO_GRAY] = "gray", NULL};
static const char *const allocator_kind[] = {"allocator", NULL};

#define FIELD(name) offsetof(struct replayer, name)
static const struct nrd_param params[] = {
    {.name = "directory",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(directory),
     .fallback = "\"\"",
     .help =
         "Folder of the recording; when it is relative and not there, under HOLOSCAN_INPUT_PATH."},
    {.name = "basename",
     .type = NRD_PARAM_STRING,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(basename),
     .help = "Name of the recording: BASENAME.gxf_index and BASENAME.gxf_entities; the operator's "
             "own name when absent."},
    {.name = "path",
     .type = NRD_PARAM_STRING,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(path),
     .help = "A video file (mp4, mkv, avi ...), or one of the two files of a recording, instead of "
             "directory and basename."},
    {.name = "batch_size",
     .type = NRD_PARAM_INT,
     .offset = FIELD(batch_size),
     .fallback = "1",
     .min = 1,
     .max = 1024,
     .unit = "frames",
     .help = "Frames that are sent in one execution, each a message; the receiving queue needs as "
             "much capacity."},
    {.name = "frame_rate",
     .type = NRD_PARAM_REAL,
     .offset = FIELD(frame_rate),
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .unit = "frames/s",
     .help = "Pace of a replay in real time; 0: the recording's own times."},
    {.name = "realtime",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(realtime),
     .fallback = "true",
     .help = "Send each frame when it is due; false: as soon as there is room for it."},
    {.name = "repeat",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(repeat),
     .fallback = "false",
     .help = "Begin again after the last frame."},
    {.name = "count",
     .type = NRD_PARAM_INT,
     .offset = FIELD(count),
     .fallback = "0",
     .min = 0,
     .max = 9007199254740992.0,
     .unit = "frames",
     .help = "Frames after which the replay ends; 0: no limit."},
    {.name = "ignore_corrupted_entities",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(ignore_corrupted_entities),
     .fallback = "true",
     .help = "Leave damaged frames out (the first is logged, all are counted); false: they end the "
             "run."},
    {.name = "pixel_format",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(pixel_format),
     .fallback = "rgb",
     .choices = pixel_formats,
     .help = "Pixels of a video file's frames: 8-bit, [height, width, channels]."},
    {.name = "out_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(out_tensor_name),
     .fallback = "\"\"",
     .help = "Name of the tensor that a video file's frames are sent as; a recording has its own."},
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(allocator),
     .choices = allocator_kind,
     .help = "Where frames are allocated; the fragment's default when absent."},
    {.name = "entity_serializer",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(entity_serializer),
     .help = "Holoscan's; has no effect."},
    {.name = "boolean_scheduling_term",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(boolean_scheduling_term),
     .help = "Holoscan's; has no effect."},
    {.name = "cuda_stream_pool",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(cuda_stream_pool),
     .help = "Holoscan's; has no effect."},
    {.name = NULL},
};

void replay_frame_clear(struct replay_frame *frame)
{
    for (size_t i = 0; i < frame->count; i++) {
        nrd_tensor_unref(frame->tensors[i]);
    }
    frame->count = 0;
}

// "in/x.gxf_entities" is the recording x in the folder in.
static struct nrd_status *split_recording_path(struct replayer *r)
{
    static const struct slice endings[] = {{".gxf_entities", 13}, {".gxf_index", 10}};
    for (size_t i = 0; r->path != NULL && i < 2; i++) {
        if (!slice_ends(slice_of(r->path), endings[i])) {
            continue;
        }
        const char *name = path_base(r->path);
        r->path_basename = mem_strndup(name, strlen(name) - endings[i].len);
        r->path_directory = mem_strndup(r->path, (size_t)(name - r->path));
        if (r->path_basename == NULL || r->path_directory == NULL) {
            return status_no_memory();
        }
        r->basename = r->path_basename;
        r->directory = r->path_directory;
        r->path = NULL;
    }
    return NULL;
}

// A batch needs room for all of it, where one frame needs room for one.
static struct nrd_status *wait_for_room(struct nrd_operator *op, int64_t frames)
{
    struct nrd_value *map = nrd_value_map();
    struct nrd_condition *condition = NULL;
    if (map == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = nrd_value_set(map, "transmitter", nrd_value_string("output"));
    if (status == NULL) {
        status = nrd_value_set(map, "min_size", nrd_value_int(frames));
    }
    if (status == NULL) {
        status =
            nrd_add_condition(op, "DownstreamMessageAffordableCondition", NULL, map, &condition);
    }
    nrd_value_free(map);
    return status;
}

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    struct replayer *r = self;
    size_t index;
    const struct nrd_port output = {.name = "output",
                                    .type = "tensors",
                                    .capacity = (uint32_t)r->batch_size,
                                    .policy = NRD_QUEUE_FAULT,
                                    .help = "A frame."};
    if (r->path != NULL && r->basename != NULL) {
        return status_new(NRD_INVALID_ARG, "path '%s' and basename '%s' exclude each other",
                          r->path, r->basename);
    }
    NRD_TRY(split_recording_path(r));
    NRD_TRY(nrd_operator_add_output(op, &output, &index));
    if (r->batch_size > 1) {
        NRD_TRY(wait_for_room(op, r->batch_size));
    }
    return pacer_add(op, &r->pacer);
}

// The end of a pass: starts the next one, whose first frame comes one frame after the last of this one.
static struct nrd_status *begin_pass(struct replayer *r)
{
    int64_t length = r->last_time - r->first_time;
    int64_t step = r->pass_read > 1      ? length / (int64_t)(r->pass_read - 1)
                   : r->source->rate > 0 ? (int64_t)(1e9 / r->source->rate)
                                         : 33333333;
    r->pass_start_ns += length + step;
    r->pass_read = 0;
    return r->source->class->rewind(r->source);
}

// Reads the next frame ahead; without one has_frame stays false.
static struct nrd_status *read_ahead(struct nrd_operator *op, struct replayer *r)
{
    bool end = false;
    r->has_frame = false;
    if (r->count > 0 && r->read == (uint64_t)r->count) {
        return NULL;
    }
    NRD_TRY(r->source->class->next(r->source, op, &r->frame, &end));
    if (end && r->repeat && r->pass_read > 0) {
        end = false;
        NRD_TRY(begin_pass(r));
        NRD_TRY(r->source->class->next(r->source, op, &r->frame, &end));
    }
    if (end) {
        return NULL;
    }
    if (r->pass_read++ == 0) {
        r->first_time = r->frame.time_ns;
    }
    r->last_time = r->frame.time_ns;
    r->read++;
    r->has_frame = true;
    return NULL;
}

// What is not where a relative name says may be under HOLOSCAN_INPUT_PATH, where Holoscan's applications keep their data.
static struct nrd_status *look_elsewhere(struct replayer *r)
{
    struct replay_options *o = &r->options;
    const char *elsewhere = getenv("HOLOSCAN_INPUT_PATH");
    const char *name = o->path == NULL ? o->directory : o->path;
    if (elsewhere == NULL || elsewhere[0] == '\0' || name[0] == '/') {
        return NULL;
    }
    struct str file = STR_INIT;
    str_printf(&file, "%s%s%s%s", name[0] == '\0' ? "." : name, o->path == NULL ? "/" : "",
               o->path == NULL ? o->basename : "", o->path == NULL ? ".gxf_index" : "");
    struct nrd_status *status = str_status(&file);
    if (status == NULL && !file_exists(str_cstr(&file))) {
        mem_free(r->found);
        r->found = path_join(elsewhere, name);
        *(o->path == NULL ? &o->directory : &o->path) = r->found;
        status = r->found == NULL ? status_no_memory() : NULL;
    }
    str_fini(&file);
    return status;
}

// Opens what is replayed, and reads the first frame: what is wrong shows before the run has begun to flow.
static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    struct replayer *r = self;
    r->options = (struct replay_options){
        .directory = r->directory,
        .basename = r->basename == NULL ? nrd_operator_name(op) : r->basename,
        .path = r->path,
        .tensor_name = r->out_tensor_name,
        .pixels = (enum video_pixels)r->pixel_format,
        .ignore_damaged = r->ignore_corrupted_entities,
        .allocator = r->allocator,
    };
    r->read = r->sent = r->pass_read = 0;
    r->pass_start_ns = 0;
    NRD_TRY(look_elsewhere(r));
    NRD_TRY(r->path == NULL ? replay_open_entities(&r->options, &r->source)
                            : replay_open_video(&r->options, &r->source));
    NRD_TRY(read_ahead(op, r));
    if (!r->has_frame) {
        return r->path == NULL
                   ? status_new(NRD_INVALID_ARG, "no frame of '%s/%s.gxf_entities' can be read",
                                r->options.directory, r->options.basename)
                   : status_new(NRD_INVALID_ARG, "no frame of '%s' can be read", r->path);
    }
    pacer_begin(&r->pacer);
    return NULL;
}

static struct nrd_status *send_frame(struct nrd_compute *ctx, struct replayer *r)
{
    struct nrd_message *message = nrd_message_new(ctx);
    if (message == NULL) {
        return nrd_compute_fail(ctx, NRD_UNAVAILABLE, "out of memory");
    }
    for (size_t i = 0; i < r->frame.count; i++) {
        struct nrd_status *status =
            nrd_message_add_tensor(message, r->frame.names[i], r->frame.tensors[i]);
        if (status != NULL) {
            nrd_message_unref(message);
            return status;
        }
        r->frame.tensors[i] = NULL; // the message's now
    }
    r->frame.count = 0;
    // A recording has the time or has it not; a video file's frames are acquired now.
    nrd_message_set_acquired(message,
                             r->path == NULL ? r->frame.acquired_ns : nrd_compute_now(ctx));
    enum nrd_code code = nrd_emit(ctx, 0, message);
    if (code != NRD_OK) {
        return nrd_compute_fail(ctx, code, "a frame could not be sent");
    }
    r->sent++;
    return NULL;
}

// When the frame that was read ahead is due.
static int64_t due(const struct replayer *r)
{
    if (!r->realtime) {
        return 0;
    }
    return r->frame_rate > 0 ? pacer_time(r->start_ns, r->sent, r->frame_rate)
                             : r->start_ns + r->pass_start_ns + r->frame.time_ns - r->first_time;
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct replayer *r = self;
    if (r->sent == 0) {
        r->start_ns = nrd_compute_now(ctx);
    }
    for (int64_t i = 0; i < r->batch_size && r->has_frame; i++) {
        NRD_TRY(send_frame(ctx, r));
        NRD_TRY(read_ahead(nrd_compute_operator(ctx), r));
    }
    if (r->has_frame) {
        pacer_due(&r->pacer, due(r));
    } else {
        pacer_end(&r->pacer);
    }
    return NULL;
}

static void close_source(struct replayer *r)
{
    replay_frame_clear(&r->frame);
    r->has_frame = false;
    if (r->source != NULL) {
        r->source->class->close(r->source);
        r->source = NULL;
    }
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    struct replayer *r = self;
    uint64_t damaged = r->source == NULL ? 0 : r->source->class->damaged(r->source);
    if (damaged > 0) {
        nrd_operator_log(op, NRD_LOG_WARNING, "%llu damaged frames were left out, %llu were sent",
                         (unsigned long long)damaged, (unsigned long long)r->sent);
    }
    close_source(r);
    pacer_reset(&r->pacer);
    return NULL;
}

static void destroy(struct nrd_operator *op, void *self)
{
    (void)op;
    struct replayer *r = self;
    close_source(r); // of a start that failed
    mem_free(r->path_directory);
    mem_free(r->path_basename);
    mem_free(r->found);
}

const struct nrd_operator_class video_stream_replayer_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "VideoStreamReplayerOp",
    .summary = "Replays a recording of Holoscan's (.gxf_entities) or a video file.",
    .state_size = sizeof(struct replayer),
    .params = params,
    .setup = setup,
    .start = start,
    .compute = compute,
    .stop = stop,
    .destroy = destroy,
};
