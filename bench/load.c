// SPDX-License-Identifier: Apache-2.0
// A load generator that costs little: it sends the same prepared bytes again and again, keeps C requests under way, and
// counts replies and their latency. One thread, epoll; gRPC by nghttp2. The same program drives every server
// that is compared, so its own cost cancels out. Start at main().
//
//   load KIND ADDRESS PORT CONCURRENCY SECONDS REQUEST_FILE [PATH | REPLY_BYTES]
//     KIND http     REQUEST_FILE is a whole HTTP/1.1 request; one connection a request under way
//     KIND echo     raw bytes; the reply has REPLY_BYTES
//     KIND grpc     REQUEST_FILE is one framed gRPC message, PATH the method; six calls a connection, as
//                   Triton's client shares a channel
//     KIND stream   the same on long-lived bidirectional calls: a message, its answer, the next
// Prints one line of JSON: requests, errors, seconds, p50_us, p99_us, and its own processor time, cpu_seconds.
// Messages are written from where they lie: large tensors cost this program no more than the kernel's copy.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { KIND_HTTP, KIND_ECHO, KIND_GRPC, KIND_STREAM };
enum { CALLS_A_CONNECTION = 6, BUCKETS = 4096, READ_SIZE = 1 << 20 };

struct call { // one request under way on an HTTP/2 connection
    struct connection *connection;
    int32_t stream;
    size_t sent;        // of the message
    uint64_t start;     // ns
    uint8_t prefix[5];  // of the reply's message
    size_t prefix_size; // of it that is here
    size_t body_left;   // of the reply's message
    bool answered;
    int status; // grpc-status, -1 before it is known
};

struct connection {
    int fd;
    uint64_t start;
    size_t sent;
    size_t left;      // of the reply's body; SIZE_MAX while its head is not whole
    char head[65536]; // start of the reply
    size_t head_size;
    nghttp2_session *session;
    const uint8_t *pending; // what nghttp2 wants written and the socket did not take
    size_t pending_size;
    uint8_t frame[9];    // the head of the DATA frame that is being written,
    size_t frame_left;   // of its head
    size_t payload_left; // and of its payload, which goes out from `request` itself
    const char *payload;
    struct call calls[CALLS_A_CONNECTION];
    int call_count;
};

static enum kind kind;
static const char *path = "";
static char *request;
static size_t request_size, reply_size;
static uint64_t now, deadline, requests, errors;
static uint64_t buckets[BUCKETS]; // of latency, 64 steps a power of two, in 100 ns
static uint8_t *scratch;

static uint64_t read_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned bucket_of(uint64_t value)
{
    if (value < 64) {
        return (unsigned)value;
    }
    unsigned power = 63u - (unsigned)__builtin_clzll(value);
    return (power - 5) * 64 + (unsigned)((value >> (power - 6)) & 63);
}

static double bucket_us(unsigned bucket)
{
    if (bucket < 64) {
        return bucket / 10.0;
    }
    unsigned power = bucket / 64 + 5;
    return (double)((64u + bucket % 64) * (1ull << (power - 6))) / 10.0;
}

static double percentile(double share)
{
    uint64_t total = 0, sum = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        total += buckets[i];
    }
    for (unsigned i = 0; i < BUCKETS; i++) {
        sum += buckets[i];
        if ((double)sum >= share * (double)total) {
            return bucket_us(i);
        }
    }
    return 0;
}

static void count_reply(uint64_t start, bool good)
{
    now = read_clock();
    buckets[bucket_of((now - start) / 100)]++;
    requests++;
    errors += !good;
}

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static int connect_to(const char *address, int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, address, &at.sin_addr);
    int on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        die("load: cannot connect");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

// ---- HTTP/1.1 and raw bytes ---------------------------------------------------------------------------------------

static void plain_send(struct connection *c)
{
    while (c->sent < request_size) {
        ssize_t n =
            send(c->fd, request + c->sent, request_size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EAGAIN) {
                return;
            }
            die("load: send");
        }
        c->sent += (size_t)n;
    }
}

static void plain_start(struct connection *c)
{
    c->start = read_clock();
    c->sent = 0;
    c->head_size = 0;
    c->left = kind == KIND_ECHO ? reply_size : SIZE_MAX;
    plain_send(c);
}

// Takes the reply's head when it is whole: how much of the body is still to come.
static void take_head(struct connection *c)
{
    c->head[c->head_size] = '\0';
    char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL) {
        return;
    }
    char *length =
        strcasestr(c->head, "\r\ncontent-length:"); // not Inference-Header-Content-Length
    size_t body = length == NULL ? 0 : strtoul(length + 17, NULL, 10);
    c->left = body - (c->head_size - (size_t)(end + 4 - c->head));
}

static void plain_read(struct connection *c)
{
    for (;;) {
        bool head = c->left == SIZE_MAX;
        void *to = head ? (void *)(c->head + c->head_size) : scratch;
        size_t room = head ? sizeof c->head - 1 - c->head_size : READ_SIZE;
        ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            die("load: the server closed a connection");
        }
        if (head) {
            c->head_size += (size_t)n;
            take_head(c);
        } else {
            c->left -= (size_t)n;
        }
        if (c->left == 0) {
            count_reply(c->start, kind == KIND_ECHO || strncmp(c->head, "HTTP/1.1 200", 12) == 0);
            if (now < deadline) {
                plain_start(c);
            }
            return;
        }
    }
}

// ---- gRPC ---------------------------------------------------------------------------------------------------------

static void call_start(struct call *call);

static ssize_t give_message(nghttp2_session *session, int32_t stream, uint8_t *to, size_t room,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session, (void)stream, (void)to, (void)user;
    struct call *call = source->ptr;
    size_t n = request_size - call->sent < room ? request_size - call->sent : room;
    if (n == 0) {
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (call->sent + n == request_size && kind == KIND_GRPC) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

// Writes what is left of the DATA frame under way. False: the socket is full.
static bool write_frame(struct connection *c)
{
    while (c->frame_left + c->payload_left > 0) {
        struct iovec parts[2] = {{c->frame + sizeof c->frame - c->frame_left, c->frame_left},
                                 {(void *)(uintptr_t)c->payload, c->payload_left}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EAGAIN) {
                return false;
            }
            die("load: send");
        }
        size_t head = (size_t)n < c->frame_left ? (size_t)n : c->frame_left;
        c->frame_left -= head;
        c->payload += (size_t)n - head;
        c->payload_left -= (size_t)n - head;
    }
    return true;
}

static int send_frame(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                      size_t length, nghttp2_data_source *source, void *user)
{
    (void)session, (void)frame;
    struct connection *c = user;
    struct call *call = source->ptr;
    if (!write_frame(c)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    memcpy(c->frame, head, sizeof c->frame);
    c->frame_left = sizeof c->frame;
    c->payload = request + call->sent;
    c->payload_left = length;
    call->sent += length;
    (void)write_frame(c);
    return 0;
}

// As large as the server takes them, as gRPC's own clients send; nghttp2 alone would cut at 16 KiB.
static ssize_t frame_length(nghttp2_session *session, uint8_t type, int32_t stream,
                            int32_t session_window, int32_t stream_window, uint32_t frame_max,
                            void *user)
{
    (void)type, (void)user;
    const struct call *call = nghttp2_session_get_stream_user_data(session, stream);
    size_t length = request_size > call->sent ? request_size - call->sent : 1;
    size_t window = (size_t)(session_window < stream_window ? session_window : stream_window);
    length = length < window ? length : window;
    return (ssize_t)(length < frame_max ? length : frame_max);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)flags, (void)user;
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call != NULL && name_size == 11 && memcmp(name, "grpc-status", 11) == 0) {
        call->status = value_size == 1 ? value[0] - '0' : 99;
    }
    return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                    size_t size, void *user)
{
    (void)flags, (void)user;
    struct call *call = nghttp2_session_get_stream_user_data(session, stream);
    while (call != NULL && size > 0) {
        if (call->prefix_size < 5) {
            call->prefix[call->prefix_size++] = *data++;
            size--;
            if (call->prefix_size == 5) {
                call->body_left = (size_t)call->prefix[1] << 24 | (size_t)call->prefix[2] << 16 |
                                  (size_t)call->prefix[3] << 8 | call->prefix[4];
            }
        } else {
            size_t n = size < call->body_left ? size : call->body_left;
            call->body_left -= n;
            data += n;
            size -= n;
        }
        if (call->prefix_size == 5 && call->body_left == 0) {
            call->prefix_size = 0;
            call->answered = true;
            if (kind == KIND_STREAM) {
                count_reply(call->start, true);
                if (now < deadline) {
                    call->start = now;
                    call->sent = 0;
                    nghttp2_session_resume_data(session, stream);
                }
            }
        }
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user)
{
    (void)user;
    struct call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call == NULL) {
        return 0;
    }
    if (kind == KIND_STREAM) {
        errors++;
        return 0;
    }
    count_reply(call->start, code == 0 && call->answered && call->status == 0);
    if (now < deadline) {
        call_start(call);
    }
    return 0;
}

#define NV(n, v)                                                                                   \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v),                \
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                           \
    }

static void call_start(struct call *call)
{
    nghttp2_nv headers[] = {NV(":method", "POST"),     NV(":scheme", "http"),
                            NV(":path", path),         NV(":authority", "localhost"),
                            NV("te", "trailers"),      NV("content-type", "application/grpc"),
                            NV("user-agent", "load/1")};
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = give_message};
    call->sent = 0;
    call->prefix_size = 0;
    call->answered = false;
    call->status = -1;
    call->start = read_clock();
    call->stream = nghttp2_submit_request(call->connection->session, NULL, headers, 7, &body, call);
    if (call->stream < 0) {
        fprintf(stderr, "load: %s\n", nghttp2_strerror(call->stream));
        exit(1);
    }
}

static void http2_send(struct connection *c)
{
    // nghttp2 goes on to other frames while a DATA frame is not out: what it gives then waits in `pending`.
    while (write_frame(c)) {
        if (c->pending_size == 0) {
            ssize_t n = nghttp2_session_mem_send(c->session, &c->pending);
            c->pending_size = n > 0 ? (size_t)n : 0;
            if (n <= 0 && c->frame_left + c->payload_left == 0) {
                return;
            }
            continue;
        }
        ssize_t n = send(c->fd, c->pending, c->pending_size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EAGAIN) {
                return;
            }
            die("load: send");
        }
        c->pending += n;
        c->pending_size -= (size_t)n;
    }
}

static void http2_read(struct connection *c)
{
    ssize_t n = 0;
    while ((n = recv(c->fd, scratch, READ_SIZE, MSG_DONTWAIT)) > 0) {
        ssize_t used = nghttp2_session_mem_recv(c->session, scratch, (size_t)n);
        if (used < 0) {
            fprintf(stderr, "load: %s\n", nghttp2_strerror((int)used));
            exit(1);
        }
        if (n < READ_SIZE) {
            break;
        }
    }
    if (n == 0) {
        die("load: the server closed a connection");
    }
    http2_send(c);
}

static void http2_open(struct connection *c)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, frame_length);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_frame);
    nghttp2_session_client_new(&c->session, callbacks, c);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 64 << 20},
                                         {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 4 << 20},
                                         {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_submit_settings(c->session, 0, settings, 3);
    nghttp2_session_set_local_window_size(c->session, 0, 0, 1 << 30);
    for (int i = 0; i < c->call_count; i++) {
        c->calls[i].connection = c;
        call_start(&c->calls[i]);
    }
    http2_send(c);
}

// ---- ----------------------------------------------------------------------------------------------------------

static void read_request(const char *file)
{
    FILE *f = fopen(file, "rb");
    if (f == NULL) {
        die(file);
    }
    fseek(f, 0, SEEK_END);
    request_size = (size_t)ftell(f);
    rewind(f);
    request = malloc(request_size + 1);
    if (request == NULL || fread(request, 1, request_size, f) != request_size) {
        die(file);
    }
    fclose(f);
}

static enum kind kind_of(const char *name)
{
    static const char *const names[] = {"http", "echo", "grpc", "stream"};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) == 0) {
            return (enum kind)i;
        }
    }
    fprintf(stderr, "load: unknown kind %s\n", name);
    exit(2);
}

static void run(struct connection *all, int count)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    bool framed = kind == KIND_GRPC || kind == KIND_STREAM;
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &all[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event);
        framed ? http2_open(&all[i]) : plain_start(&all[i]);
    }
    while ((now = read_clock()) < deadline) {
        struct epoll_event ready[128];
        int n = epoll_wait(epoll, ready, 128, 100);
        for (int i = 0; i < n; i++) {
            struct connection *c = ready[i].data.ptr;
            if (framed) {
                http2_send(c);
                http2_read(c);
            } else {
                plain_send(c);
                plain_read(c);
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr, "usage: load KIND ADDRESS PORT CONCURRENCY SECONDS REQUEST_FILE [PATH | "
                        "REPLY_BYTES]\n");
        return 2;
    }
    kind = kind_of(argv[1]);
    int concurrency = (int)strtol(argv[4], NULL, 10);
    double seconds = strtod(argv[5], NULL);
    read_request(argv[6]);
    if (argc > 7) {
        path = argv[7];
        reply_size = strtoul(argv[7], NULL, 10);
    }
    bool framed = kind == KIND_GRPC || kind == KIND_STREAM;
    int each = framed ? CALLS_A_CONNECTION : 1;
    int count = (concurrency + each - 1) / each;
    struct connection *all = calloc((size_t)count, sizeof *all);
    scratch = malloc(READ_SIZE);
    if (all == NULL || scratch == NULL) {
        die("load");
    }
    for (int i = 0; i < count; i++) {
        all[i].fd = connect_to(argv[2], (int)strtol(argv[3], NULL, 10));
        all[i].call_count = concurrency - i * each < each ? concurrency - i * each : each;
    }
    uint64_t start = read_clock();
    deadline = start + (uint64_t)(seconds * 1e9);
    run(all, count);
    double took = (double)(read_clock() - start) / 1e9;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"requests\":%llu,\"errors\":%llu,\"seconds\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"cpu_seconds\":%.3f}\n",
           (unsigned long long)requests, (unsigned long long)errors, took, percentile(0.5),
           percentile(0.99), cpu);
    return 0;
}
