// SPDX-License-Identifier: Apache-2.0
// Three threads meet here, each pair at one lock that is held for a swap or a copy and never across a call to somebody else:
//
//   publisher ──frame_lock──▶ encoder ──picture_lock──▶ loop ──▶ viewers
//
// The encoder sleeps until there is a new picture and somebody who wants it. The loop sends the newest encoded picture to each viewer that has
// taken the one before; the others get a later one.
#include "page/page.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/thread.h"
#include "image/encode.h"
#include "net/http1.h"
#include "page/asset.h"

#define POOL_MAX_IDLE (1024 * 1024)
#define MAX_BODY 4096
#define DESTROY_WAIT_MS 5000
#define BACKLOG_MAX 32768 // bytes that a viewer may be behind and still get the next picture
#define VIEWERS_MAX 64
#define BOUNDARY "nereid-frame"

enum viewer_kind { VIEWER_STREAM, VIEWER_JPEG, VIEWER_PNG };
struct viewer {
    struct list_node node;
    struct page *page;
    struct http1_request *request;
    enum viewer_kind kind;
    uint64_t after; // wants a picture newer than this number
};

struct page {
    struct http1_server *net;
    struct buffer_pool *pool;
    struct page_options options;
    struct thread thread;
    struct parking parking;
    _Atomic bool stopping;
    _Atomic unsigned viewers;    // streams
    _Atomic unsigned wanted;     // viewers of any kind
    _Atomic unsigned png_wanted; // those that wait for a PNG

    pthread_mutex_t frame_lock; // guards what follows
    struct image frame;
    void (*release)(void *arg);
    void *release_arg;
    uint64_t frame_number; // 0: none yet
    struct str stats;

    pthread_mutex_t picture_lock; // guards what follows
    struct str jpeg, png;
    uint64_t jpeg_number, png_number; // of the frames that they were made of
    bool posted;
    struct loop *loop; // set by the first viewer

    struct loop_task task;
    struct list_node list; // struct viewer; the loop's
};

// ---- encoding -------------------------------------------------------------------------------------------------------

// What the encoder has made last, and room for the next.
struct encoded {
    struct str jpeg, png;
    uint64_t jpeg_number, png_number;
};

// Borrows the newest frame: a publisher that comes by meanwhile finds nothing to release. False: there is none that is newer than what
// was made of it.
static bool take_frame(struct page *p, const struct encoded *e, bool png, struct image *frame,
                       uint64_t *number, void (**release)(void *), void **arg)
{
    pthread_mutex_lock(&p->frame_lock);
    *number = p->frame_number;
    *frame = p->frame;
    *release = p->release;
    *arg = p->release_arg;
    bool fresh = *number > e->jpeg_number || (png && *number > e->png_number);
    if (fresh) {
        p->release = NULL;
    }
    pthread_mutex_unlock(&p->frame_lock);
    return fresh;
}

// It may be asked for again, unless there is a newer one by now.
static void give_frame_back(struct page *p, uint64_t number, void (*release)(void *), void *arg)
{
    pthread_mutex_lock(&p->frame_lock);
    bool newest = p->frame_number == number;
    if (newest) {
        p->release = release;
    }
    pthread_mutex_unlock(&p->frame_lock);
    if (!newest && release != NULL) {
        release(arg);
    }
}

static void swap(struct str *a, struct str *b)
{
    struct str t = *a;
    *a = *b;
    *b = t;
}

// Hands what was made to the loop.
static void hand_over(struct page *p, struct encoded *e, bool png)
{
    pthread_mutex_lock(&p->picture_lock);
    swap(&p->jpeg, &e->jpeg);
    p->jpeg_number = e->jpeg_number;
    if (png) {
        swap(&p->png, &e->png);
        p->png_number = e->png_number;
    }
    struct loop *loop = p->loop;
    bool post = !p->posted && loop != NULL;
    p->posted = p->posted || post;
    pthread_mutex_unlock(&p->picture_lock);
    if (post) {
        loop_post(loop, &p->task);
    }
}

// Makes the newest frame a picture. False: there was nothing new.
static bool encode(struct page *p, struct encoded *e)
{
    struct image frame;
    uint64_t number;
    void (*release)(void *);
    void *arg;
    bool png = atomic_load_explicit(&p->png_wanted, memory_order_acquire) > 0;
    if (!take_frame(p, e, png, &frame, &number, &release, &arg)) {
        return false;
    }
    str_clear(&e->jpeg);
    str_clear(&e->png);
    struct nrd_status *status = image_write_jpeg(&frame, p->options.quality, &e->jpeg);
    if (status == NULL && png) {
        status = image_write_png(&frame, 1, &e->png);
    }
    e->jpeg_number = number;
    e->png_number = png ? number : e->png_number;
    give_frame_back(p, number, release, arg);
    if (status == NULL) {
        hand_over(p, e, png);
    }
    status_free(status); // out of memory: this picture is left out
    return true;
}

static void encoder(void *arg)
{
    struct page *p = arg;
    struct encoded e = {0};
    uint64_t next_ns = 0;
    uint64_t pause = p->options.max_rate > 0.0 ? (uint64_t)(1e9 / p->options.max_rate) : 0;
    while (!atomic_load_explicit(&p->stopping, memory_order_acquire)) {
        uint64_t now = clock_now_ns();
        if (now < next_ns) {
            parking_wait(&p->parking, next_ns);
        } else if (atomic_load_explicit(&p->wanted, memory_order_acquire) == 0 || !encode(p, &e)) {
            parking_wait(&p->parking, 0);
        } else {
            next_ns = now + pause;
        }
    }
    str_fini(&e.jpeg);
    str_fini(&e.png);
}

// ---- viewers (on the loop) ------------------------------------------------------------------------------------------

static void viewer_end(struct viewer *v)
{
    list_remove(&v->node);
    atomic_fetch_sub_explicit(&v->page->wanted, 1, memory_order_acq_rel);
    if (v->kind == VIEWER_STREAM) {
        atomic_fetch_sub_explicit(&v->page->viewers, 1, memory_order_acq_rel);
    } else if (v->kind == VIEWER_PNG) {
        atomic_fetch_sub_explicit(&v->page->png_wanted, 1, memory_order_acq_rel);
    }
    mem_free(v);
}

static void viewer_cancelled(struct http1_request *request)
{
    struct viewer *v = request->user_data;
    bool stream = v->kind == VIEWER_STREAM;
    viewer_end(v);
    if (stream) {
        http1_reply_end(request);
    } else {
        http1_reply(request, 503, (struct slice){NULL, 0}, false, NULL);
    }
}

// With picture_lock. False: the stream is at its end.
static bool send_part(struct viewer *v, const struct str *jpeg)
{
    char head[128];
    int length = snprintf(
        head, sizeof(head),
        "--" BOUNDARY "\r\nContent-Type: image/jpeg\r\nContent-Length: %zu\r\n\r\n", jpeg->len);
    return http1_reply_part(v->request, slice_make(head, (size_t)length)) &&
           http1_reply_part(v->request, str_slice(jpeg)) &&
           http1_reply_part(v->request, SLICE("\r\n"));
}

// With picture_lock. Sends what the viewer waits for, if it is there; ends it when that was all.
static void serve_viewer(struct page *p, struct viewer *v)
{
    if (v->kind == VIEWER_STREAM) {
        if (p->jpeg_number > v->after && http1_reply_pending(v->request) < BACKLOG_MAX) {
            v->after = p->jpeg_number;
            struct http1_request *request = v->request;
            if (!send_part(v, &p->jpeg)) {
                viewer_end(v);
                http1_reply_end(request);
            }
        }
        return;
    }
    const struct str *bytes = v->kind == VIEWER_PNG ? &p->png : &p->jpeg;
    if ((v->kind == VIEWER_PNG ? p->png_number : p->jpeg_number) <= v->after) {
        return;
    }
    struct http1_request *request = v->request;
    str_append(http1_text(request), bytes->ptr, bytes->len);
    struct slice type = v->kind == VIEWER_PNG
                            ? SLICE("Content-Type: image/png\r\nCache-Control: no-store\r\n")
                            : SLICE("Content-Type: image/jpeg\r\nCache-Control: no-store\r\n");
    viewer_end(v);
    http1_reply(request, 200, type, true, NULL);
}

static void serve_all(struct page *p)
{
    LIST_FOR_SAFE(node, &p->list)
    {
        serve_viewer(p, CONTAINER_OF(node, struct viewer, node));
    }
}

static void picture_posted(struct loop_task *task)
{
    struct page *p = CONTAINER_OF(task, struct page, task);
    pthread_mutex_lock(&p->picture_lock);
    p->posted = false;
    serve_all(p);
    pthread_mutex_unlock(&p->picture_lock);
}

static void reply_text(struct http1_request *request, int status, const char *text)
{
    str_append_cstr(http1_text(request), text);
    http1_reply(request, status, SLICE("Content-Type: text/plain\r\n"), true, NULL);
}

static void add_viewer(struct page *p, struct http1_request *request, enum viewer_kind kind)
{
    struct viewer *v = NULL;
    if (atomic_load_explicit(&p->wanted, memory_order_relaxed) < VIEWERS_MAX) {
        v = mem_calloc(1, sizeof(*v));
    }
    if (v == NULL) {
        reply_text(request, 503, "too many viewers\n");
        return;
    }
    v->page = p;
    v->request = request;
    v->kind = kind;
    request->user_data = v;
    request->cancelled = viewer_cancelled;
    list_push_back(&p->list, &v->node);
    if (kind == VIEWER_STREAM) {
        http1_reply_begin(request, 200,
                          SLICE("Content-Type: multipart/x-mixed-replace; boundary=" BOUNDARY
                                "\r\nCache-Control: no-store\r\n"),
                          true);
        atomic_fetch_add_explicit(&p->viewers, 1, memory_order_acq_rel);
    }
    atomic_fetch_add_explicit(&p->wanted, 1, memory_order_acq_rel);
    if (kind == VIEWER_PNG) {
        atomic_fetch_add_explicit(&p->png_wanted, 1, memory_order_acq_rel);
    }
    // A picture that is there already is sent at once, if it is of the newest frame.
    pthread_mutex_lock(&p->frame_lock);
    uint64_t newest = p->frame_number;
    pthread_mutex_unlock(&p->frame_lock);
    pthread_mutex_lock(&p->picture_lock);
    p->loop = request->loop;
    v->after = newest > 0 ? newest - 1 : 0;
    serve_viewer(p, v);
    pthread_mutex_unlock(&p->picture_lock);
    parking_wake(&p->parking);
}

static void handle(void *user, struct http1_request *request)
{
    struct page *p = user;
    struct slice path = request->head.path;
    if (request->head.method != HTTP1_GET && request->head.method != HTTP1_HEAD) {
        reply_text(request, 405, "only GET\n");
    } else if (slice_is(path, "/") || slice_is(path, "/index.html")) {
        str_append_slice(http1_text(request), page_asset_html());
        http1_reply(request, 200, SLICE("Content-Type: text/html; charset=utf-8\r\n"), true, NULL);
    } else if (slice_is(path, "/stats.json")) {
        pthread_mutex_lock(&p->frame_lock);
        str_append_cstr(http1_text(request), p->stats.len == 0 ? "{}" : str_cstr(&p->stats));
        pthread_mutex_unlock(&p->frame_lock);
        http1_reply(request, 200,
                    SLICE("Content-Type: application/json\r\nCache-Control: no-store\r\n"), true,
                    NULL);
    } else if (request->head.method == HTTP1_HEAD) {
        reply_text(request, 405, "only GET\n");
    } else if (slice_is(path, "/stream")) {
        add_viewer(p, request, VIEWER_STREAM);
    } else if (slice_is(path, "/frame.jpg")) {
        add_viewer(p, request, VIEWER_JPEG);
    } else if (slice_is(path, "/frame.png")) {
        add_viewer(p, request, VIEWER_PNG);
    } else {
        reply_text(request, 404, "no such page\n");
    }
}

// ---- life -----------------------------------------------------------------------------------------------------------

struct nrd_status *page_parse_address(const char *text, char *address, int *port)
{
    struct slice rest = slice_of(text), host = SLICE("127.0.0.1");
    if (slice_starts(rest, SLICE("http://"))) {
        rest.ptr += 7;
        rest.len -= 7;
    }
    if (slice_ends(rest, SLICE("/"))) {
        rest.len--;
    }
    struct slice number = rest;
    for (size_t i = rest.len; i > 0; i--) {
        if (rest.ptr[i - 1] == ':') {
            host = (struct slice){rest.ptr, i - 1};
            number = (struct slice){rest.ptr + i, rest.len - i};
            break;
        }
    }
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = (struct slice){host.ptr + 1, host.len - 2};
    }
    uint64_t value;
    if (!slice_to_u64(number, &value) || value > 65535 || host.len >= PAGE_ADDRESS_MAX) {
        return status_new(NRD_INVALID_ARG,
                          "'%s' is no address of a page: \"127.0.0.1:8080\" or \"8080\"", text);
    }
    memcpy(address, host.ptr, host.len);
    address[host.len] = '\0';
    *port = (int)value;
    return NULL;
}

static struct nrd_status *page_init(struct page *p, const struct page_options *options)
{
    p->options = *options;
    parking_init(&p->parking);
    list_init(&p->list);
    p->task.run = picture_posted;
    pthread_mutex_init(&p->frame_lock, NULL);
    pthread_mutex_init(&p->picture_lock, NULL);
    p->pool = buffer_pool_create(POOL_MAX_IDLE);
    if (p->pool == NULL) {
        return status_no_memory();
    }
    struct http1_options net = {
        .address = options->address,
        .port = options->port,
        .threads = 1,
        .thread_name = "page",
        .max_body = MAX_BODY,
        .pool = p->pool,
        .handle = handle,
        .user = p,
    };
    NRD_TRY(http1_server_create(&net, &p->net));
    NRD_TRY(thread_start(&p->thread, "page-encoder", 0, encoder, p));
    return http1_server_start(p->net);
}

struct nrd_status *page_create(const struct page_options *options, struct page **page)
{
    struct page *p = mem_calloc(1, sizeof(*p));
    if (p == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = page_init(p, options);
    if (status != NULL) {
        page_destroy(p);
        return status;
    }
    *page = p;
    return NULL;
}

int page_port(const struct page *page)
{
    return http1_server_port(page->net);
}

unsigned page_viewers(const struct page *page)
{
    return atomic_load_explicit(&page->viewers, memory_order_acquire);
}

void page_destroy(struct page *p)
{
    if (p == NULL) {
        return;
    }
    // The encoder first: it posts to the loop.
    atomic_store_explicit(&p->stopping, true, memory_order_release);
    parking_wake(&p->parking);
    thread_join(&p->thread);
    if (!http1_server_destroy(p->net, DESTROY_WAIT_MS)) {
        return; // a viewer's reply is still owed; freeing what it uses would be worse than keeping it
    }
    if (p->release != NULL) {
        p->release(p->release_arg);
    }
    if (p->pool != NULL) {
        buffer_pool_destroy(p->pool);
    }
    str_fini(&p->stats);
    str_fini(&p->jpeg);
    str_fini(&p->png);
    pthread_mutex_destroy(&p->frame_lock);
    pthread_mutex_destroy(&p->picture_lock);
    mem_free(p);
}

void page_publish(struct page *p, const struct image *picture, void (*release)(void *arg),
                  void *arg)
{
    pthread_mutex_lock(&p->frame_lock);
    void (*old_release)(void *) = p->release;
    void *old_arg = p->release_arg;
    p->frame = *picture;
    p->release = release;
    p->release_arg = arg;
    p->frame_number++;
    pthread_mutex_unlock(&p->frame_lock);
    if (old_release != NULL) {
        old_release(old_arg);
    }
    if (atomic_load_explicit(&p->wanted, memory_order_acquire) > 0) {
        parking_wake(&p->parking);
    }
}

void page_set_stats(struct page *p, struct slice json)
{
    pthread_mutex_lock(&p->frame_lock);
    struct str old = p->stats;
    p->stats = STR_INIT;
    str_append_slice(&p->stats, json);
    if (p->stats.failed) {
        str_fini(&p->stats);
        p->stats = old;
        old = STR_INIT;
    }
    pthread_mutex_unlock(&p->frame_lock);
    str_fini(&old);
}
