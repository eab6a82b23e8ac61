// SPDX-License-Identifier: Apache-2.0
// Video files, as operators see them: a table of functions that the library libnereid_video.so (src/graph/ops/video/, on libav)
// exports under VIDEO_CODEC_SYMBOL, opened when the first video file is. Operators stay free of libav, and are there without it.
//
// A reader: open -> describe, (next -> convert)*, rewind, close. A writer: create -> write* -> finish. One thread at a time uses one.
#ifndef NEREID_GRAPH_OPS_VIDEO_CODEC_H
#define NEREID_GRAPH_OPS_VIDEO_CODEC_H

#include "nereid/types.h"

#define VIDEO_CODEC_SYMBOL "nereid_video_codec"
#define VIDEO_CODEC_ABI 1

enum video_pixels {
    VIDEO_RGB,
    VIDEO_RGBA,
    VIDEO_BGR,
    VIDEO_GRAY
}; // u8, interleaved, rows without gaps
static inline uint32_t video_channels(enum video_pixels pixels)
{
    return pixels == VIDEO_RGBA ? 4 : pixels == VIDEO_GRAY ? 1 : 3;
}

struct video_description {
    uint32_t width, height;
    double rate;    // frames a second; 0: not known
    uint64_t count; // frames, as the container says; 0: not known
    char codec[32];
};
struct video_frame {
    uint32_t width, height;
    int64_t time_ns; // from the start of the stream
};
struct video_writer_options {
    uint32_t width, height;
    enum video_pixels pixels;
    double rate;      // frames a second; 0: each frame has its own time
    int64_t bit_rate; // 0: the encoder's default quality
    const char *
        codec; // an encoder's name; "auto": the first that is there of those that suit the container
};

struct video_reader;
struct video_writer;

struct video_codec {
    uint32_t abi;
    // `skip_damaged`: damaged frames are left out and counted; else they are errors. Errors name the file. Returns owned.
    struct nrd_status *(*open)(const char *path, bool skip_damaged, struct video_reader **reader);
    void (*describe)(const struct video_reader *r, struct video_description *description);
    // Decodes the next frame; `*end` instead of one when there are no more. Errors name the file and the frame.
    struct nrd_status *(*next)(struct video_reader *r, struct video_frame *frame, bool *end);
    // Writes the frame that next() decoded: width * height * channels bytes.
    struct nrd_status *(*convert)(struct video_reader *r, enum video_pixels pixels, void *to);
    struct nrd_status *(*rewind)(struct video_reader *r);
    uint64_t (*damaged)(const struct video_reader *r); // frames that were left out so far
    void (*close)(struct video_reader *r);             // NULL is fine

    // The container is that of the path's ending. The file is begun. Returns owned.
    struct nrd_status *(*create)(const char *path, const struct video_writer_options *options,
                                 struct video_writer **writer);
    // `time_ns` from the first frame; looked at only when the writer has no rate.
    struct nrd_status *(*write)(struct video_writer *w, const void *pixels, int64_t time_ns);
    // Writes what the encoder still holds and the end of the file; frees `w` also on failure.
    struct nrd_status *(*finish)(struct video_writer *w);
};

#endif
