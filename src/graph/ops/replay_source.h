// SPDX-License-Identifier: Apache-2.0
// Where a replayer's frames come from: one interface before Holoscan's recordings (replay_entities.c) and video files
// (replay_video.c). A frame is one or more named tensors and its time in the recording.
#ifndef NEREID_GRAPH_OPS_REPLAY_SOURCE_H
#define NEREID_GRAPH_OPS_REPLAY_SOURCE_H

#include "graph/ops/entity_codec.h"
#include "graph/ops/video_codec.h"
#include "nereid/operator.h"

struct replay_frame {
    size_t count;
    struct nrd_tensor *tensors[ENTITY_TENSORS_MAX]; // owned
    char names[ENTITY_TENSORS_MAX][ENTITY_NAME_MAX + 1];
    int64_t time_ns;     // of the recording, from any zero
    int64_t acquired_ns; // -1: not recorded
};
void replay_frame_clear(struct replay_frame *frame);

struct replay_options {
    const char *directory, *basename; // a recording
    const char *path;                 // a video file; NULL: a recording
    const char *tensor_name;          // of a video file's frames
    enum video_pixels pixels;
    bool ignore_damaged;
    struct nrd_resource *allocator; // NULL: the default
};

struct replay_source;
struct replay_source_class {
    // The next frame into an empty `frame`; `*end` when there are no more. With ignore_damaged, damaged frames are left out.
    struct nrd_status *(*next)(struct replay_source *s, struct nrd_operator *op,
                               struct replay_frame *frame, bool *end);
    struct nrd_status *(*rewind)(struct replay_source *s);
    uint64_t (*damaged)(const struct replay_source *s);
    void (*close)(struct replay_source *s);
};
struct replay_source {
    const struct replay_source_class *class;
    double rate; // frames a second, as far as it is known; 0: not
};

// Both return owned: source->class->close(). The options are borrowed until then.
NRD_MUST_USE struct nrd_status *replay_open_entities(const struct replay_options *options,
                                                     struct replay_source **source);
NRD_MUST_USE struct nrd_status *replay_open_video(const struct replay_options *options,
                                                  struct replay_source **source);

#endif
