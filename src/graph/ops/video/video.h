// SPDX-License-Identifier: Apache-2.0
// What the files of libnereid_video.so share. Its contract is graph/ops/video_codec.h.
#ifndef NEREID_GRAPH_OPS_VIDEO_VIDEO_H
#define NEREID_GRAPH_OPS_VIDEO_VIDEO_H

#include <libavutil/pixfmt.h>
#include <pthread.h>

#include "graph/ops/video_codec.h"

// Threads that one decoder or encoder may use.
#define VIDEO_THREADS_MAX 4

static inline enum AVPixelFormat video_format(enum video_pixels pixels)
{
    static const enum AVPixelFormat formats[] = {
        [VIDEO_RGB] = AV_PIX_FMT_RGB24,
        [VIDEO_RGBA] = AV_PIX_FMT_RGBA,
        [VIDEO_BGR] = AV_PIX_FMT_BGR24,
        [VIDEO_GRAY] = AV_PIX_FMT_GRAY8,
    };
    return formats[pixels];
}

int video_threads(void);

// The first error that libav has logged about one reader's file, since it was last looked at.
struct video_notes {
    pthread_mutex_t lock;
    bool any;
    char text[160];
};

struct nrd_status *video_reader_open(const char *path, bool skip_damaged,
                                     struct video_reader **reader);
void video_reader_describe(const struct video_reader *r, struct video_description *description);
struct nrd_status *video_reader_next(struct video_reader *r, struct video_frame *frame, bool *end);
struct nrd_status *video_reader_convert(struct video_reader *r, enum video_pixels pixels, void *to);
struct nrd_status *video_reader_rewind(struct video_reader *r);
uint64_t video_reader_damaged(const struct video_reader *r);
void video_reader_close(struct video_reader *r);

struct nrd_status *video_writer_create(const char *path, const struct video_writer_options *options,
                                       struct video_writer **writer);
struct nrd_status *video_writer_write(struct video_writer *w, const void *pixels, int64_t time_ns);
struct nrd_status *video_writer_finish(struct video_writer *w);

#endif
