// SPDX-License-Identifier: Apache-2.0
// Reads video files: demultiplex, decode, convert to interleaved 8-bit pixels.
//
// libav hides damage where it can. Here it shows: a packet that the decoder refuses, a frame that it marks as damaged, anything that it
// logs as an error and a file that ends before the count in its head are errors. When the caller wants damage skipped, frames that were
// refused or marked are left out and counted, and what the decoder could conceal is taken as it is. Threads work on slices of one
// frame, not on several frames: so what is logged is of the frame at hand, and frames come out as soon as they are in.
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>

#include "base/mem.h"
#include "graph/ops/video/video.h"

struct video_reader {
    struct video_notes notes; // libav finds it by the contexts' `opaque`
    char *path;
    bool skip_damaged;
    bool draining;
    AVFormatContext *format;
    AVCodecContext *decoder;
    AVPacket *packet;
    AVFrame *frame;
    AVFrame *padded; // where a conversion goes whose rows are not multiples of 16 pixels
    struct SwsContext *scaler;
    enum AVPixelFormat scaled_from, scaled_to;
    int scaled_width, scaled_height, scaled_space, scaled_range;
    int stream;
    uint64_t position; // of the next frame, from the last rewind
    uint64_t damaged;
    int64_t first_time_ns; // of the first frame in the file: the zero of the others
    int64_t last_time_ns;
};

static bool has_note(struct video_reader *r)
{
    pthread_mutex_lock(&r->notes.lock);
    bool any = r->notes.any;
    pthread_mutex_unlock(&r->notes.lock);
    return any;
}

// What was logged since the last look, into `text`; false: nothing.
static bool take_note(struct video_reader *r, char text[sizeof(r->notes.text)])
{
    pthread_mutex_lock(&r->notes.lock);
    bool any = r->notes.any;
    memcpy(text, r->notes.text, sizeof(r->notes.text));
    r->notes.any = false;
    pthread_mutex_unlock(&r->notes.lock);
    return any;
}

static struct nrd_status *fail(struct video_reader *r, enum nrd_code code, const char *what,
                               int error)
{
    char text[sizeof(r->notes.text)];
    if (!take_note(r, text)) {
        av_strerror(error, text, sizeof(text));
    }
    return nrd_status_new(code, "'%s': %s: %s", r->path, what, text);
}

static struct nrd_status *fail_frame(struct video_reader *r, const char *what)
{
    char text[sizeof(r->notes.text)];
    bool noted = take_note(r, text);
    long long at = r->format->pb == NULL ? -1 : (long long)avio_tell(r->format->pb);
    return nrd_status_new(NRD_INVALID_ARG, "'%s': frame %llu (before byte %lld): %s%s%s", r->path,
                          (unsigned long long)r->position, at, what, noted ? ": " : "",
                          noted ? text : "");
}

static struct nrd_status *no_memory(void)
{
    return nrd_status_new(NRD_UNAVAILABLE, "out of memory");
}

static struct nrd_status *open_decoder(struct video_reader *r)
{
    const AVCodec *codec = NULL;
    int found = av_find_best_stream(r->format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    if (found < 0) {
        return fail(r, NRD_INVALID_ARG, "no video that can be decoded", found);
    }
    r->stream = found;
    for (unsigned i = 0; i < r->format->nb_streams; i++) {
        if ((int)i != found) {
            r->format->streams[i]->discard = AVDISCARD_ALL;
        }
    }
    const AVStream *stream = r->format->streams[found];
    r->decoder = avcodec_alloc_context3(codec);
    if (r->decoder == NULL) {
        return no_memory();
    }
    int error = avcodec_parameters_to_context(r->decoder, stream->codecpar);
    r->decoder->pkt_timebase = stream->time_base;
    r->decoder->opaque = &r->notes;
    r->decoder->thread_count = video_threads();
    r->decoder->thread_type = FF_THREAD_SLICE;
    if (!r->skip_damaged) {
        r->decoder->err_recognition |= AV_EF_CRCCHECK | AV_EF_EXPLODE;
    }
    if (error >= 0) {
        error = avcodec_open2(r->decoder, codec, NULL);
    }
    return error < 0 ? fail(r, NRD_UNSUPPORTED, "its video cannot be decoded", error) : NULL;
}

static struct nrd_status *open_input(struct video_reader *r)
{
    r->format = avformat_alloc_context();
    if (r->format == NULL) {
        return no_memory();
    }
    r->format->opaque = &r->notes;
    int error = avformat_open_input(&r->format, r->path, NULL, NULL);
    if (error < 0) {
        return fail(r, error == AVERROR(ENOENT) ? NRD_NOT_FOUND : NRD_INVALID_ARG,
                    "cannot be opened as a video file", error);
    }
    error = avformat_find_stream_info(r->format, NULL);
    if (error < 0) {
        return fail(r, NRD_INVALID_ARG, "cannot be read as a video file", error);
    }
    return open_decoder(r);
}

static void close_input(struct video_reader *r)
{
    avcodec_free_context(&r->decoder);
    avformat_close_input(&r->format);
}

struct nrd_status *video_reader_open(const char *path, bool skip_damaged,
                                     struct video_reader **reader)
{
    struct video_reader *r = mem_calloc(1, sizeof(*r));
    if (r == NULL) {
        return no_memory();
    }
    pthread_mutex_init(&r->notes.lock, NULL);
    r->skip_damaged = skip_damaged;
    r->path = mem_strdup(path);
    r->packet = av_packet_alloc();
    r->frame = av_frame_alloc();
    r->padded = av_frame_alloc();
    struct nrd_status *status =
        r->path == NULL || r->packet == NULL || r->frame == NULL || r->padded == NULL
            ? no_memory()
            : open_input(r);
    if (status != NULL) {
        video_reader_close(r);
        return status;
    }
    *reader = r;
    return NULL;
}

void video_reader_close(struct video_reader *r)
{
    if (r == NULL) {
        return;
    }
    close_input(r);
    sws_freeContext(r->scaler);
    av_frame_free(&r->padded);
    av_frame_free(&r->frame);
    av_packet_free(&r->packet);
    pthread_mutex_destroy(&r->notes.lock);
    mem_free(r->path);
    mem_free(r);
}

static double stream_rate(const struct video_reader *r)
{
    const AVStream *stream = r->format->streams[r->stream];
    AVRational rate =
        stream->avg_frame_rate.num > 0 ? stream->avg_frame_rate : stream->r_frame_rate;
    return rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
}

void video_reader_describe(const struct video_reader *r, struct video_description *description)
{
    const AVStream *stream = r->format->streams[r->stream];
    *description = (struct video_description){
        .width = (uint32_t)r->decoder->width,
        .height = (uint32_t)r->decoder->height,
        .rate = stream_rate(r),
        .count = stream->nb_frames > 0 ? (uint64_t)stream->nb_frames : 0,
    };
    av_strlcpy(description->codec, avcodec_get_name(r->decoder->codec_id),
               sizeof(description->codec));
}

uint64_t video_reader_damaged(const struct video_reader *r)
{
    return r->damaged;
}

// One packet of the video into the decoder, or the end of the file. `*refused`: the decoder does not take this one.
static struct nrd_status *feed(struct video_reader *r, bool *refused)
{
    int error;
    *refused = false;
    do {
        av_packet_unref(r->packet);
        error = av_read_frame(r->format, r->packet);
    } while (error >= 0 && r->packet->stream_index != r->stream);
    if (error == AVERROR_EOF || (error < 0 && r->skip_damaged)) {
        r->draining = true;
        error = avcodec_send_packet(r->decoder, NULL);
        return error < 0 && error != AVERROR_EOF
                   ? fail(r, NRD_INTERNAL, "cannot be decoded to its end", error)
                   : NULL;
    }
    if (error < 0) {
        return fail_frame(r, "the file cannot be read on");
    }
    error = avcodec_send_packet(r->decoder, r->packet);
    av_packet_unref(r->packet);
    if (error == AVERROR(ENOMEM)) {
        return no_memory();
    }
    *refused = error < 0 && error != AVERROR(EAGAIN);
    return NULL;
}

// What is left out, or the error that it is.
static struct nrd_status *damage(struct video_reader *r, const char *what)
{
    if (!r->skip_damaged) {
        return fail_frame(r, what);
    }
    char text[sizeof(r->notes.text)];
    take_note(r, text);
    r->damaged++;
    return NULL;
}

static int64_t frame_time(struct video_reader *r)
{
    const AVStream *stream = r->format->streams[r->stream];
    double rate = stream_rate(r);
    int64_t stamp = r->frame->best_effort_timestamp;
    if (stamp == AV_NOPTS_VALUE) {
        int64_t step = rate > 0 ? (int64_t)(1e9 / rate) : 40000000;
        return r->position == 0 ? 0 : r->last_time_ns + step;
    }
    int64_t ns = av_rescale_q(stamp, stream->time_base, (AVRational){1, 1000000000});
    if (r->position == 0) {
        r->first_time_ns = ns;
    }
    return ns - r->first_time_ns;
}

static bool is_damaged(struct video_reader *r)
{
    return (r->frame->flags & AV_FRAME_FLAG_CORRUPT) != 0 || r->frame->decode_error_flags != 0 ||
           (!r->skip_damaged && has_note(r));
}

static struct nrd_status *at_end(struct video_reader *r, bool *end)
{
    const AVStream *stream = r->format->streams[r->stream];
    *end = true;
    if (!r->skip_damaged && (has_note(r) || (uint64_t)stream->nb_frames > r->position)) {
        return fail_frame(r, "the file ends before its time");
    }
    return NULL;
}

struct nrd_status *video_reader_next(struct video_reader *r, struct video_frame *frame, bool *end)
{
    *end = false;
    for (;;) {
        int error = avcodec_receive_frame(r->decoder, r->frame);
        if (error == 0 && is_damaged(r)) {
            NRD_TRY(damage(r, "is damaged"));
            continue;
        }
        if (error == 0) {
            r->last_time_ns = frame_time(r);
            r->position++;
            *frame = (struct video_frame){(uint32_t)r->frame->width, (uint32_t)r->frame->height,
                                          r->last_time_ns};
            return NULL;
        }
        if (error == AVERROR_EOF || (error == AVERROR(EAGAIN) && r->draining)) {
            return at_end(r, end);
        }
        if (error == AVERROR(ENOMEM)) {
            return no_memory();
        }
        bool refused = error != AVERROR(EAGAIN);
        if (!refused) {
            NRD_TRY(feed(r, &refused));
        }
        if (refused) {
            NRD_TRY(damage(r, "cannot be decoded"));
        }
    }
}

static bool set_scaler(struct video_reader *r, enum AVPixelFormat to)
{
    const AVFrame *f = r->frame;
    enum AVPixelFormat from = (enum AVPixelFormat)f->format;
    int space = f->colorspace == AVCOL_SPC_UNSPECIFIED ? SWS_CS_DEFAULT : (int)f->colorspace;
    bool gray = from == AV_PIX_FMT_GRAY8 && f->color_range == AVCOL_RANGE_UNSPECIFIED;
    int range = f->color_range == AVCOL_RANGE_JPEG || gray || from == AV_PIX_FMT_YUVJ420P ||
                from == AV_PIX_FMT_YUVJ422P || from == AV_PIX_FMT_YUVJ444P;
    if (r->scaler != NULL && r->scaled_from == from && r->scaled_to == to &&
        r->scaled_width == f->width && r->scaled_height == f->height && r->scaled_space == space &&
        r->scaled_range == range) {
        return true;
    }
    sws_freeContext(r->scaler);
    r->scaler = sws_getContext(f->width, f->height, from, f->width, f->height, to, SWS_BILINEAR,
                               NULL, NULL, NULL);
    if (r->scaler == NULL) {
        return false;
    }
    sws_setColorspaceDetails(r->scaler, sws_getCoefficients(space), range,
                             sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    r->scaled_from = from;
    r->scaled_to = to;
    r->scaled_width = f->width;
    r->scaled_height = f->height;
    r->scaled_space = space;
    r->scaled_range = range;
    return true;
}

// The scaler's fast paths may write a little past a row whose width is odd to them: such frames go through one with padded rows.
static struct nrd_status *convert_padded(struct video_reader *r, enum AVPixelFormat format,
                                         uint8_t *to, int row)
{
    AVFrame *p = r->padded;
    if (p->width != r->frame->width || p->height != r->frame->height || p->format != format) {
        av_frame_unref(p);
        p->width = r->frame->width;
        p->height = r->frame->height;
        p->format = format;
        if (av_frame_get_buffer(p, 64) < 0) {
            av_frame_unref(p);
            return no_memory();
        }
    }
    sws_scale(r->scaler, (const uint8_t *const *)r->frame->data, r->frame->linesize, 0,
              r->frame->height, p->data, p->linesize);
    av_image_copy_plane(to, row, p->data[0], p->linesize[0], row, r->frame->height);
    return NULL;
}

struct nrd_status *video_reader_convert(struct video_reader *r, enum video_pixels pixels, void *to)
{
    enum AVPixelFormat format = video_format(pixels);
    int row = r->frame->width * (int)video_channels(pixels);
    if (!set_scaler(r, format)) {
        return nrd_status_new(NRD_UNSUPPORTED,
                              "'%s': frames of pixel format %d cannot be converted", r->path,
                              r->frame->format);
    }
    if (r->frame->width % 16 != 0) {
        return convert_padded(r, format, to, row);
    }
    uint8_t *planes[4] = {to};
    const int rows[4] = {row};
    sws_scale(r->scaler, (const uint8_t *const *)r->frame->data, r->frame->linesize, 0,
              r->frame->height, planes, rows);
    return NULL;
}

struct nrd_status *video_reader_rewind(struct video_reader *r)
{
    const AVStream *stream = r->format->streams[r->stream];
    int64_t start = stream->start_time == AV_NOPTS_VALUE ? 0 : stream->start_time;
    r->draining = false;
    r->position = 0;
    if (av_seek_frame(r->format, r->stream, start, AVSEEK_FLAG_BACKWARD) >= 0) {
        avcodec_flush_buffers(r->decoder);
        return NULL;
    }
    close_input(r); // a stream without an index starts anew
    return open_input(r);
}
