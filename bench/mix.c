// SPDX-License-Identifier: Apache-2.0
// Load in a fixed mix: prepared HTTP requests are dealt out in turn over all connections, so that what is counted is the throughput
// of the whole mix: a model that cannot keep up holds the others back, as it would for clients that need all of them.
//
//   mix ADDRESS PORT CONNECTIONS SETTLE_SECONDS SECONDS REQUEST_FILE...
// The files are whole HTTP/1.1 requests; one that shall come twice as often is named twice. Prints one line of JSON: rounds (of all
// files once, a second), requests, errors, seconds, mean_ms (a list, in the order of the files).
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FILES_MAX = 64, CONNECTIONS_MAX = 256, HEAD_MAX = 65536 };

struct file {
    char *bytes;
    size_t size;
    _Atomic uint64_t answers;
    _Atomic uint64_t ns;
};

static struct file files[FILES_MAX];
static unsigned file_count;
static struct sockaddr_in server;
static _Atomic uint64_t next_request;
static _Atomic uint64_t errors;
static uint64_t counted_from, counted_to;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "mix: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void read_file(const char *path, struct file *file)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL || fseek(in, 0, SEEK_END) != 0) {
        die(path);
    }
    file->size = (size_t)ftell(in);
    rewind(in);
    file->bytes = malloc(file->size);
    if (file->bytes == NULL || fread(file->bytes, 1, file->size, in) != file->size) {
        die(path);
    }
    fclose(in);
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof(server)) != 0) {
        die("connect");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0) {
            die("send");
        }
        bytes += sent;
        size -= (size_t)sent;
    }
}

// Reads one answer; true if it is a good one. `head` has room for HEAD_MAX.
static bool read_answer(int fd, char *head)
{
    size_t have = 0;
    char *end = NULL;
    while (end == NULL) {
        ssize_t got = recv(fd, head + have, HEAD_MAX - 1 - have, 0);
        if (got <= 0) {
            die("the server hung up");
        }
        have += (size_t)got;
        head[have] = '\0';
        end = strstr(head, "\r\n\r\n");
    }
    const char *length = strcasestr(head, "content-length:");
    size_t left = length == NULL ? 0 : strtoull(length + 15, NULL, 10);
    size_t body = have - (size_t)(end + 4 - head);
    bool good = strncmp(head, "HTTP/1.1 200", 12) == 0;
    if (!good) {
        fprintf(stderr, "mix: %.*s\n", (int)(have < 600 ? have : 600), head);
    }
    left = body < left ? left - body : 0;
    while (left > 0) {
        ssize_t got = recv(fd, head, left < HEAD_MAX ? left : HEAD_MAX, 0);
        if (got <= 0) {
            die("the server hung up");
        }
        left -= (size_t)got;
    }
    return good;
}

static void *run(void *unused)
{
    (void)unused;
    char *head = malloc(HEAD_MAX);
    int fd = dial();
    if (head == NULL) {
        die("memory");
    }
    for (uint64_t start = now_ns(); start < counted_to; start = now_ns()) {
        uint64_t number = atomic_fetch_add(&next_request, 1);
        struct file *file = &files[number % file_count];
        send_all(fd, file->bytes, file->size);
        if (!read_answer(fd, head)) {
            if (atomic_fetch_add(&errors, 1) > 20) {
                exit(1);
            }
            continue;
        }
        uint64_t end = now_ns();
        if (end >= counted_from && end < counted_to) {
            atomic_fetch_add(&file->answers, 1);
            atomic_fetch_add(&file->ns, end - start);
        }
    }
    close(fd);
    free(head);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 7 || argc - 6 > FILES_MAX) {
        fprintf(stderr, "mix ADDRESS PORT CONNECTIONS SETTLE_SECONDS SECONDS REQUEST_FILE...\n");
        return 1;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    unsigned long connections = strtoul(argv[3], NULL, 10);
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 || connections == 0 ||
        connections > CONNECTIONS_MAX) {
        fprintf(stderr, "mix: bad address or number of connections\n");
        return 1;
    }
    for (int i = 6; i < argc; i++) {
        read_file(argv[i], &files[file_count++]);
    }
    counted_from = now_ns() + (uint64_t)(strtod(argv[4], NULL) * 1e9);
    counted_to = counted_from + (uint64_t)(strtod(argv[5], NULL) * 1e9);
    pthread_t threads[CONNECTIONS_MAX];
    for (unsigned long i = 0; i < connections; i++) {
        if (pthread_create(&threads[i], NULL, run, NULL) != 0) {
            die("thread");
        }
    }
    for (unsigned long i = 0; i < connections; i++) {
        pthread_join(threads[i], NULL);
    }
    double seconds = (double)(counted_to - counted_from) / 1e9;
    uint64_t requests = 0;
    for (unsigned i = 0; i < file_count; i++) {
        requests += files[i].answers;
    }
    printf("{\"rounds\": %.4f, \"requests\": %llu, \"errors\": %llu, \"seconds\": %.3f, "
           "\"mean_ms\": [",
           (double)requests / file_count / seconds, (unsigned long long)requests,
           (unsigned long long)errors, seconds);
    for (unsigned i = 0; i < file_count; i++) {
        uint64_t answers = files[i].answers;
        printf("%s%.3f", i == 0 ? "" : ", ",
               answers == 0 ? 0.0 : (double)files[i].ns / 1e6 / (double)answers);
    }
    printf("]}\n");
    return 0;
}
