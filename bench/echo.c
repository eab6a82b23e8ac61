// SPDX-License-Identifier: Apache-2.0
// The least that a server can do: read so many bytes, write so many back, by epoll on one thread. What a request costs
// here is the kernel's share, and the measure that Nereid's own share is held against.
//
//   echo PORT REQUEST_BYTES REPLY_BYTES     (PORT 0: any; the port is printed)
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    int fd;
    size_t got;  // of the request
    size_t left; // of the reply
};

static size_t request_size, reply_size;
static char *buffer;

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 128) != 0) {
        perror("echo: cannot listen");
        exit(1);
    }
    socklen_t size = sizeof at;
    getsockname(fd, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

// Writes what is left of the reply. False: the connection is gone.
static bool send_reply(struct peer *peer)
{
    while (peer->left > 0) {
        ssize_t n = send(peer->fd, buffer, peer->left, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN;
        }
        peer->left -= (size_t)n;
    }
    return true;
}

static bool serve(struct peer *peer)
{
    if (peer->left > 0) {
        return send_reply(peer);
    }
    ssize_t n = recv(peer->fd, buffer, request_size - peer->got, 0);
    if (n <= 0) {
        return n < 0 && errno == EAGAIN;
    }
    peer->got += (size_t)n;
    if (peer->got < request_size) {
        return true;
    }
    peer->got = 0;
    peer->left = reply_size;
    return send_reply(peer);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: echo PORT REQUEST_BYTES REPLY_BYTES\n");
        return 2;
    }
    request_size = strtoul(argv[2], NULL, 10);
    reply_size = strtoul(argv[3], NULL, 10);
    buffer = calloc(1, (request_size > reply_size ? request_size : reply_size) + 1);
    int listener = listen_on((int)strtol(argv[1], NULL, 10));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct epoll_event ready[64];
        int count = epoll_wait(epoll, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            struct peer *peer = ready[i].data.ptr;
            if (peer == NULL) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                int on = 1;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                peer = calloc(1, sizeof *peer);
                peer->fd = fd;
                event =
                    (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = peer};
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
                continue;
            }
            bool alive = true;
            size_t before = 0;
            do { // edge-triggered: until it would block
                before = peer->got + peer->left;
                alive = serve(peer);
            } while (alive && peer->got + peer->left != before);
            if (!alive) {
                close(peer->fd);
                free(peer);
            }
        }
    }
}
