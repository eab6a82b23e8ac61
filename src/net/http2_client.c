// SPDX-License-Identifier: Apache-2.0
// HTTP/2, client side: what differs from serving. The bytes move in http2.c.
#include "net/http2_private.h"

bool http2_client_session(struct http2_connection *c)
{
    const struct http2_options *o = &c->home->options;
    if (nghttp2_session_client_new2(&c->session, c->home->callbacks, c, c->home->option) != 0) {
        return false;
    }
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->stream_window},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, o->max_frame_size},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, o->header_list_bytes},
    };
    return nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                                   sizeof(settings) / sizeof(settings[0])) == 0 &&
           nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                 (int32_t)o->connection_window) == 0;
}

bool http2_client_open(const struct http2_connection *c)
{
    return !c->ending && !c->gone && !stream_is_closing(&c->stream) &&
           nghttp2_session_check_request_allowed(c->session) != 0;
}

// A request that could not be begun: the server said goodbye before its turn came, or it was reset while it waited.
int http2_client_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error,
                          void *user)
{
    (void)error;
    struct http2_connection *c = user;
    if (!c->client || frame->hd.type != NGHTTP2_HEADERS ||
        frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    LIST_FOR(node, &c->streams)
    {
        struct http2_stream *s = CONTAINER_OF(node, struct http2_stream, node);
        if (s->id == frame->hd.stream_id) {
            // If nghttp2 knows the stream already, its close is not to be told again.
            (void)nghttp2_session_set_stream_user_data(session, s->id, NULL);
            s->refused = true;
            http2_stream_over(s, false);
            break;
        }
    }
    return 0;
}

bool http2_request(struct http2_connection *c, struct http2_stream *s,
                   const struct http2_field *fields, unsigned count)
{
    if (!http2_client_open(c)) {
        return false;
    }
    nghttp2_nv nv[HTTP2_MAX_FIELDS];
    count = http2_make_nv(fields, count, true, nv);
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = http2_read_payload};
    int32_t id = nghttp2_submit_request(c->session, NULL, nv, count, &provider, s);
    if (id < 0) {
        return false;
    }
    http2_stream_enter(c, s, id);
    s->responded = true;
    http2_want_flush(c);
    return true;
}
