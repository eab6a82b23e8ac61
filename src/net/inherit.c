// SPDX-License-Identifier: Apache-2.0
// Inherit: see the header. What is passed on is a list of descriptors in the environment variable NEREID_LISTEN_FDS ("17,18,19");
// their addresses are asked of the sockets.
#include "net/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"

#define VARIABLE "NEREID_LISTEN_FDS"
#define SOCKETS_MAX 16
#define FD_LEAST 100 // where they are out of the way of what a program opens first

static struct {
    pthread_mutex_t mutex;
    int open[SOCKETS_MAX]; // of listeners
    unsigned open_count;
    int kept[SOCKETS_MAX];
    unsigned kept_count;
    int left[SOCKETS_MAX]; // by the program before, not yet taken
    unsigned left_count;
    bool looked;
} sockets = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void inherit_add(int fd)
{
    pthread_mutex_lock(&sockets.mutex);
    if (sockets.open_count < SOCKETS_MAX) {
        sockets.open[sockets.open_count++] = fd;
    }
    pthread_mutex_unlock(&sockets.mutex);
}

void inherit_remove(int fd)
{
    pthread_mutex_lock(&sockets.mutex);
    for (unsigned i = 0; i < sockets.open_count; i++) {
        if (sockets.open[i] == fd) {
            sockets.open[i] = sockets.open[--sockets.open_count];
            break;
        }
    }
    pthread_mutex_unlock(&sockets.mutex);
}

struct nrd_status *inherit_keep(void)
{
    struct nrd_status *status = NULL;
    pthread_mutex_lock(&sockets.mutex);
    for (unsigned i = 0; i < sockets.open_count && status == NULL; i++) {
        int fd = fcntl(sockets.open[i], F_DUPFD_CLOEXEC, FD_LEAST);
        if (fd < 0) {
            status =
                status_new(NRD_UNAVAILABLE, "cannot keep a listening socket: %s", strerror(errno));
        } else {
            sockets.kept[sockets.kept_count++] = fd;
        }
    }
    while (status != NULL && sockets.kept_count > 0) {
        close(sockets.kept[--sockets.kept_count]);
    }
    pthread_mutex_unlock(&sockets.mutex);
    return status;
}

struct nrd_status *inherit_pass(void)
{
    struct str list = STR_INIT;
    // Whatever frameworks and drivers have open without close-on-exec ends here.
    if (syscall(SYS_close_range, 3u, UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0) {
        return status_new(NRD_UNSUPPORTED, "close_range: %s", strerror(errno));
    }
    struct nrd_status *status = NULL;
    for (unsigned i = 0; i < sockets.kept_count && status == NULL; i++) {
        str_printf(&list, "%s%d", i > 0 ? "," : "", sockets.kept[i]);
        if (fcntl(sockets.kept[i], F_SETFD, 0) != 0) {
            status = status_new(NRD_INTERNAL, "fcntl: %s", strerror(errno));
        }
    }
    status = status == NULL ? str_status(&list) : status;
    if (status == NULL && setenv(VARIABLE, str_cstr(&list), 1) != 0) {
        status = status_no_memory();
    }
    str_fini(&list);
    return status;
}

static bool is_listening(int fd)
{
    int listening = 0;
    socklen_t size = sizeof(listening);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0;
}

// With the mutex held. What is no listening socket is none of ours, and left alone.
static void look(void)
{
    const char *text = sockets.looked ? NULL : getenv(VARIABLE);
    sockets.looked = true;
    while (text != NULL && *text != '\0' && sockets.left_count < SOCKETS_MAX) {
        char *end;
        long fd = strtol(text, &end, 10);
        if (end == text || fd < 3 || fd > INT_MAX) {
            break;
        }
        if (is_listening((int)fd) && fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0) {
            sockets.left[sockets.left_count++] = (int)fd;
        }
        text = *end == ',' ? end + 1 : end;
    }
    unsetenv(VARIABLE);
}

int inherit_take(const struct sockaddr *address, socklen_t size)
{
    int found = -1;
    pthread_mutex_lock(&sockets.mutex);
    look();
    for (unsigned i = 0; i < sockets.left_count && found < 0; i++) {
        struct sockaddr_storage bound = {0};
        socklen_t bound_size = sizeof(bound);
        if (getsockname(sockets.left[i], (struct sockaddr *)&bound, &bound_size) == 0 &&
            bound_size == size && memcmp(&bound, address, size) == 0) {
            found = sockets.left[i];
            sockets.left[i] = sockets.left[--sockets.left_count];
        }
    }
    pthread_mutex_unlock(&sockets.mutex);
    return found;
}
