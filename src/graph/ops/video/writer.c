// SPDX-License-Identifier: Apache-2.0
// Writes video files: convert, encode, multiplex.
//
// The container is that of the path's ending, the codec the first that is there of those that suit it. A lossless codec gets the
// nearest of its formats to what is given (ffv1: exact), a lossy one 4:2:0, which every player takes; there an odd width or height
// grows by one column or row that repeats the last.
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

#include "base/mem.h"
#include "graph/ops/video/video.h"

struct video_writer {
    char *path;
    struct video_writer_options options;
    AVFormatContext *format;
    AVCodecContext *encoder;
    AVStream *stream;
    AVPacket *packet;
    AVFrame *frame; // what the encoder gets
    struct SwsContext *scaler;
    uint64_t count;
    int64_t last_stamp;
    bool begun; // the head is written
};

static struct nrd_status *fail(const struct video_writer *w, enum nrd_code code, const char *what,
                               int error)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(error, text, sizeof(text));
    return nrd_status_new(code, "'%s': %s: %s", w->path, what, text);
}

static struct nrd_status *fail_frame(const struct video_writer *w, const char *what, int error)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(error, text, sizeof(text));
    return nrd_status_new(NRD_UNAVAILABLE, "'%s': frame %llu %s: %s", w->path,
                          (unsigned long long)w->count, what, text);
}

static struct nrd_status *no_memory(void)
{
    return nrd_status_new(NRD_UNAVAILABLE, "out of memory");
}

// ---- create ----------------------------------------------------------------------------------------------------------

static const AVCodec *choose_encoder(const AVOutputFormat *container)
{
    static const char *const wanted[] = {"libx264", "libopenh264", "mpeg4", "ffv1", "mjpeg"};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        const AVCodec *codec = avcodec_find_encoder_by_name(wanted[i]);
        if (codec != NULL &&
            avformat_query_codec(container, codec->id, FF_COMPLIANCE_NORMAL) == 1) {
            return codec;
        }
    }
    return avcodec_find_encoder(container->video_codec);
}

static enum AVPixelFormat choose_format(const AVCodec *codec, enum AVPixelFormat from)
{
    const AVCodecDescriptor *d = avcodec_descriptor_get(codec->id);
    bool lossy = d == NULL || (d->props & AV_CODEC_PROP_LOSSY) != 0;
    if (codec->pix_fmts == NULL) {
        return lossy ? AV_PIX_FMT_YUV420P : from;
    }
    for (const enum AVPixelFormat *f = codec->pix_fmts; lossy && *f != AV_PIX_FMT_NONE; f++) {
        if (*f == AV_PIX_FMT_YUV420P || *f == AV_PIX_FMT_YUVJ420P) {
            return *f;
        }
    }
    return avcodec_find_best_pix_fmt_of_list(codec->pix_fmts, from, 1, NULL);
}

static struct nrd_status *open_encoder(struct video_writer *w, const AVCodec *codec)
{
    AVCodecContext *c = avcodec_alloc_context3(codec);
    if (c == NULL) {
        return no_memory();
    }
    w->encoder = c;
    c->pix_fmt = choose_format(codec, video_format(w->options.pixels));
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(c->pix_fmt);
    bool rgb = (d->flags & AV_PIX_FMT_FLAG_RGB) != 0;
    bool full = c->pix_fmt == AV_PIX_FMT_YUVJ420P || d->nb_components == 1;
    uint32_t halves_x = d->log2_chroma_w != 0, halves_y = d->log2_chroma_h != 0;
    c->width = (int)(w->options.width + (w->options.width & halves_x));
    c->height = (int)(w->options.height + (w->options.height & halves_y));
    c->time_base = (AVRational){1, 1000};
    if (w->options.rate > 0) {
        c->framerate = av_d2q(w->options.rate, 60000);
        c->time_base = av_inv_q(c->framerate);
    }
    c->bit_rate = w->options.bit_rate;
    c->thread_count = video_threads();
    if (!rgb) {
        c->colorspace = AVCOL_SPC_SMPTE170M;
        c->color_range = full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    }
    if ((w->format->oformat->flags & AVFMT_GLOBALHEADER) != 0) {
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    }
    if (strcmp(w->format->oformat->name, "avi") == 0) {
        c->max_b_frames = 0; // the container has no times to put frames in order by
    }
    if (w->options.bit_rate == 0 && codec->id == AV_CODEC_ID_MPEG4) {
        c->flags |= AV_CODEC_FLAG_QSCALE;
        c->global_quality = 4 * FF_QP2LAMBDA;
    }
    // Private options: an encoder that has no such one says so, and nothing happens.
    av_opt_set(c->priv_data, "preset", "veryfast", 0); // libx264
    if (codec->id == AV_CODEC_ID_FFV1) {
        // Version 3 has sums, by which damage is found, but (in libavcodec 59) loses pictures of fewer rows than its slices need.
        c->level = c->height > 4 ? 3 : 1;
        av_opt_set_int(c->priv_data, "slicecrc", c->level == 3, 0);
    }
    int error = avcodec_open2(c, codec, NULL);
    return error < 0 ? fail(w, NRD_UNSUPPORTED, codec->name, error) : NULL;
}

// An mp4 (mov) in fragments of a second: what was written before a crash or a full disk can be played. Others can do without.
static void want_fragments(struct video_writer *w, AVDictionary **options)
{
    if (strcmp(w->format->oformat->name, "mp4") == 0 ||
        strcmp(w->format->oformat->name, "mov") == 0) {
        // With B-frames the head waits for the first fragment, since it says by how much the first picture is late.
        av_dict_set(options, "movflags",
                    w->encoder->has_b_frames > 0 ? "frag_keyframe+default_base_moof+delay_moov"
                                                 : "frag_keyframe+default_base_moof+empty_moov",
                    0);
        av_dict_set(options, "frag_duration", "1000000", 0);
    }
    w->format->flags |= AVFMT_FLAG_FLUSH_PACKETS;
}

static struct nrd_status *begin_file(struct video_writer *w)
{
    w->stream = avformat_new_stream(w->format, NULL);
    if (w->stream == NULL) {
        return no_memory();
    }
    int error = avcodec_parameters_from_context(w->stream->codecpar, w->encoder);
    w->stream->time_base = w->encoder->time_base;
    w->stream->avg_frame_rate = w->encoder->framerate;
    if (error >= 0 && (w->format->oformat->flags & AVFMT_NOFILE) == 0) {
        error = avio_open(&w->format->pb, w->path, AVIO_FLAG_WRITE);
    }
    if (error < 0) {
        return fail(w, NRD_UNAVAILABLE, "cannot be made", error);
    }
    AVDictionary *options = NULL;
    want_fragments(w, &options);
    error = avformat_write_header(w->format, &options);
    av_dict_free(&options);
    if (error < 0) {
        return fail(w, NRD_UNAVAILABLE, "its head cannot be written", error);
    }
    w->begun = true;
    return NULL;
}

static struct nrd_status *set_up(struct video_writer *w)
{
    int error = avformat_alloc_output_context2(&w->format, NULL, NULL, w->path);
    if (error < 0) {
        return nrd_status_new(NRD_UNSUPPORTED,
                              "'%s': its ending names no video container (mp4, mkv, avi, mov ...)",
                              w->path);
    }
    const char *name = w->options.codec;
    const AVCodec *codec = strcmp(name, "auto") == 0 ? choose_encoder(w->format->oformat)
                                                     : avcodec_find_encoder_by_name(name);
    if (codec == NULL || codec->type != AVMEDIA_TYPE_VIDEO) {
        return nrd_status_new(NRD_UNSUPPORTED, "'%s': there is no encoder '%s' in this libavcodec",
                              w->path, name);
    }
    NRD_TRY(open_encoder(w, codec));
    NRD_TRY(begin_file(w));
    w->frame->format = w->encoder->pix_fmt;
    w->frame->width = w->encoder->width;
    w->frame->height = w->encoder->height;
    if (av_frame_get_buffer(w->frame, 64) < 0) {
        return no_memory();
    }
    int width = (int)w->options.width, height = (int)w->options.height;
    w->scaler =
        sws_getContext(width, height, video_format(w->options.pixels), width, height,
                       w->encoder->pix_fmt, SWS_BILINEAR | SWS_ACCURATE_RND, NULL, NULL, NULL);
    if (w->scaler == NULL) {
        return nrd_status_new(NRD_UNSUPPORTED, "'%s': frames cannot be converted to '%s'", w->path,
                              av_get_pix_fmt_name(w->encoder->pix_fmt));
    }
    sws_setColorspaceDetails(w->scaler, sws_getCoefficients(SWS_CS_DEFAULT), 1,
                             sws_getCoefficients(SWS_CS_DEFAULT),
                             w->encoder->color_range == AVCOL_RANGE_JPEG, 0, 1 << 16, 1 << 16);
    return NULL;
}

static void destroy(struct video_writer *w)
{
    if (w->format != NULL && (w->format->oformat->flags & AVFMT_NOFILE) == 0) {
        avio_closep(&w->format->pb);
    }
    sws_freeContext(w->scaler);
    av_frame_free(&w->frame);
    av_packet_free(&w->packet);
    avcodec_free_context(&w->encoder);
    avformat_free_context(w->format);
    mem_free(w->path);
    mem_free(w);
}

struct nrd_status *video_writer_create(const char *path, const struct video_writer_options *options,
                                       struct video_writer **writer)
{
    struct video_writer *w = mem_calloc(1, sizeof(*w));
    if (w == NULL) {
        return no_memory();
    }
    w->options = *options;
    w->last_stamp = -1;
    w->path = mem_strdup(path);
    w->packet = av_packet_alloc();
    w->frame = av_frame_alloc();
    struct nrd_status *status =
        w->path == NULL || w->packet == NULL || w->frame == NULL ? no_memory() : set_up(w);
    if (status != NULL) {
        destroy(w);
        return status;
    }
    w->options.codec = NULL; // the caller's
    *writer = w;
    return NULL;
}

// ---- write -----------------------------------------------------------------------------------------------------------

// What the encoder has ready goes to the file.
static struct nrd_status *drain(struct video_writer *w)
{
    for (;;) {
        int error = avcodec_receive_packet(w->encoder, w->packet);
        if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) {
            return NULL;
        }
        if (error < 0) {
            return fail_frame(w, "cannot be encoded", error);
        }
        w->packet->stream_index = w->stream->index;
        if (w->packet->duration == 0 && w->options.rate > 0) {
            w->packet->duration = 1;
        }
        av_packet_rescale_ts(w->packet, w->encoder->time_base, w->stream->time_base);
        error = av_interleaved_write_frame(w->format, w->packet);
        if (error >= 0 && w->format->pb != NULL) {
            error = w->format->pb->error;
        }
        if (error < 0) {
            return fail_frame(w, "cannot be written", error);
        }
    }
}

// The last column and row of the first plane once more, where the encoder's frame is one larger.
static void repeat_edges(struct video_writer *w)
{
    uint8_t *plane = w->frame->data[0];
    int line = w->frame->linesize[0];
    int width = (int)w->options.width, height = (int)w->options.height;
    for (int y = 0; w->frame->width > width && y < height; y++) {
        plane[y * line + width] = plane[y * line + width - 1];
    }
    if (w->frame->height > height) {
        memcpy(plane + height * line, plane + (height - 1) * line, (size_t)w->frame->width);
    }
}

struct nrd_status *video_writer_write(struct video_writer *w, const void *pixels, int64_t time_ns)
{
    int error = av_frame_make_writable(w->frame);
    if (error < 0) {
        return no_memory();
    }
    const uint8_t *planes[4] = {pixels};
    const int rows[4] = {(int)(w->options.width * video_channels(w->options.pixels))};
    sws_scale(w->scaler, planes, rows, 0, (int)w->options.height, w->frame->data,
              w->frame->linesize);
    repeat_edges(w);
    int64_t stamp = w->options.rate > 0 ? (int64_t)w->count : time_ns / 1000000;
    w->last_stamp = stamp > w->last_stamp ? stamp : w->last_stamp + 1; // time only goes on
    w->frame->pts = w->last_stamp;
    w->frame->quality = w->encoder->global_quality;
    error = avcodec_send_frame(w->encoder, w->frame);
    if (error < 0) {
        return fail_frame(w, "cannot be encoded", error);
    }
    NRD_TRY(drain(w));
    w->count++;
    return NULL;
}

struct nrd_status *video_writer_finish(struct video_writer *w)
{
    int error = avcodec_send_frame(w->encoder, NULL);
    struct nrd_status *status =
        error < 0 && error != AVERROR_EOF ? fail_frame(w, "cannot be encoded", error) : drain(w);
    error = w->begun ? av_write_trailer(w->format)
                     : 0; // also after a failure: what is there can be played
    if (error >= 0 && (w->format->oformat->flags & AVFMT_NOFILE) == 0) {
        error = avio_closep(&w->format->pb);
    }
    if (error < 0 && status == NULL) {
        status = fail(w, NRD_UNAVAILABLE, "its end cannot be written", error);
    }
    destroy(w);
    return status;
}
