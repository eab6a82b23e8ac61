// SPDX-License-Identifier: Apache-2.0
// libnereid_video.so: video files by FFmpeg's libav. Exports one table, graph/ops/video_codec.h.
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/log.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "graph/ops/video/video.h"

NRD_API extern const struct video_codec nereid_video_codec;
const struct video_codec nereid_video_codec = {
    .abi = VIDEO_CODEC_ABI,
    .open = video_reader_open,
    .describe = video_reader_describe,
    .next = video_reader_next,
    .convert = video_reader_convert,
    .rewind = video_reader_rewind,
    .damaged = video_reader_damaged,
    .close = video_reader_close,
    .create = video_writer_create,
    .write = video_writer_write,
    .finish = video_writer_finish,
};

int video_threads(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : online > VIDEO_THREADS_MAX ? VIDEO_THREADS_MAX : (int)online;
}

// libav says on its log what it hides from its caller. The log is the process's: once this library is open, nothing of it is printed,
// and errors go to the reader whose decoder or demultiplexer they are of. Called on libav's threads too.
NRD_PRINTF(3, 0) static void listen(void *object, int level, const char *format, va_list args)
{
    const AVClass *const *class = object;
    if (level > AV_LOG_ERROR || class == NULL || *class == NULL) {
        return;
    }
    struct video_notes *notes = NULL;
    if (strcmp((*class)->class_name, "AVCodecContext") == 0) {
        notes = ((AVCodecContext *)object)->opaque;
    } else if (strcmp((*class)->class_name, "AVFormatContext") == 0) {
        notes = ((AVFormatContext *)object)->opaque;
    }
    if (notes == NULL) {
        return;
    }
    pthread_mutex_lock(&notes->lock);
    if (!notes->any) { // the first says most
        notes->any = true;
        vsnprintf(notes->text, sizeof(notes->text), format, args);
        notes->text[strcspn(notes->text, "\r\n")] = '\0';
    }
    pthread_mutex_unlock(&notes->lock);
}

__attribute__((constructor)) static void begin_listening(void)
{
    av_log_set_callback(listen);
}
