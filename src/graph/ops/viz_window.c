// SPDX-License-Identifier: Apache-2.0
// A window by X11, which is opened when a window is first asked for: the program does not link it, and a machine without it is fine.
// Only functions whose types are plain are used; the two structs below are part of X11's frozen binary interface (Xlib.h).
#include <dlfcn.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "graph/ops/viz.h"

// The first part of XEvent, and of the one event that is looked at.
struct x_client_message {
    int type;
    unsigned long serial;
    int send_event;
    void *display;
    unsigned long window;
    unsigned long message_type;
    int format;
    union {
        char b[20];
        long l[5];
    } data;
};
union x_event {
    struct x_client_message client;
    long pad[24];
};
enum { X_CLIENT_MESSAGE = 33, X_Z_PIXMAP = 2 };

#define X_FUNCTIONS(F)                                                                             \
    F(XOpenDisplay, void *, (const char *))                                                        \
    F(XCloseDisplay, int, (void *))                                                                \
    F(XDefaultScreen, int, (void *))                                                               \
    F(XRootWindow, unsigned long, (void *, int))                                                   \
    F(XDefaultVisual, void *, (void *, int))                                                       \
    F(XDefaultDepth, int, (void *, int))                                                           \
    F(XDefaultGC, void *, (void *, int))                                                           \
    F(XCreateSimpleWindow, unsigned long,                                                          \
      (void *, unsigned long, int, int, unsigned, unsigned, unsigned, unsigned long,               \
       unsigned long))                                                                             \
    F(XStoreName, int, (void *, unsigned long, const char *))                                      \
    F(XInternAtom, unsigned long, (void *, const char *, int))                                     \
    F(XSetWMProtocols, int, (void *, unsigned long, unsigned long *, int))                         \
    F(XChangeProperty, int,                                                                        \
      (void *, unsigned long, unsigned long, unsigned long, int, int, const unsigned char *, int)) \
    F(XMapWindow, int, (void *, unsigned long))                                                    \
    F(XPending, int, (void *))                                                                     \
    F(XNextEvent, int, (void *, union x_event *))                                                  \
    F(XCreateImage, void *,                                                                        \
      (void *, void *, unsigned, int, int, char *, unsigned, unsigned, int, int))                  \
    F(XPutImage, int,                                                                              \
      (void *, unsigned long, void *, void *, int, int, int, int, unsigned, unsigned))             \
    F(XFlush, int, (void *))                                                                       \
    F(XFree, int, (void *))

struct x_functions {
#define MEMBER(name, result, args) result(*name) args;
    X_FUNCTIONS(MEMBER)
#undef MEMBER
};

struct viz_window {
    void *library;
    struct x_functions x;
    void *display;
    unsigned long window, delete_message;
    int screen;
    uint32_t width, height;
    uint8_t *pixels; // as the display wants them: B G R x
    void *image;     // over `pixels`, which X11 does not own
};

static struct nrd_status *load(struct viz_window *w)
{
    w->library = dlopen("libX11.so.6", RTLD_NOW | RTLD_LOCAL);
    if (w->library == NULL) {
        return status_new(NRD_UNAVAILABLE, "no window: %s", dlerror());
    }
#define LOAD(name, result, args)                                                                   \
    *(void **)(void *)&w->x.name = dlsym(w->library, #name);                                       \
    if (w->x.name == NULL) {                                                                       \
        return status_new(NRD_UNAVAILABLE, "no window: libX11 has no %s", #name);                  \
    }
    X_FUNCTIONS(LOAD)
#undef LOAD
    return NULL;
}

static struct nrd_status *make(struct viz_window *w, const char *title, bool fullscreen)
{
    const struct x_functions *x = &w->x;
    w->display = x->XOpenDisplay(NULL);
    if (w->display == NULL) {
        return status_new(NRD_UNAVAILABLE, "no window: there is no display");
    }
    w->screen = x->XDefaultScreen(w->display);
    int depth = x->XDefaultDepth(w->display, w->screen);
    if (depth != 24 && depth != 32) {
        return status_new(NRD_UNAVAILABLE, "no window: the display has %d bits a pixel, not 24",
                          depth);
    }
    w->window = x->XCreateSimpleWindow(w->display, x->XRootWindow(w->display, w->screen), 0, 0,
                                       w->width, w->height, 0, 0, 0);
    x->XStoreName(w->display, w->window, title);
    w->delete_message = x->XInternAtom(w->display, "WM_DELETE_WINDOW", 0);
    x->XSetWMProtocols(w->display, w->window, &w->delete_message, 1);
    if (fullscreen) {
        unsigned long full = x->XInternAtom(w->display, "_NET_WM_STATE_FULLSCREEN", 0);
        x->XChangeProperty(w->display, w->window, x->XInternAtom(w->display, "_NET_WM_STATE", 0),
                           x->XInternAtom(w->display, "ATOM", 0), 32, 0,
                           (const unsigned char *)&full, 1);
    }
    x->XMapWindow(w->display, w->window);
    w->pixels = mem_calloc((size_t)w->width * w->height, 4);
    if (w->pixels == NULL) {
        return status_no_memory();
    }
    w->image = x->XCreateImage(w->display, x->XDefaultVisual(w->display, w->screen),
                               (unsigned)depth, X_Z_PIXMAP, 0, (char *)w->pixels, w->width,
                               w->height, 32, (int)w->width * 4);
    return w->image == NULL ? status_no_memory() : NULL;
}

struct nrd_status *viz_window_open(const char *title, uint32_t width, uint32_t height,
                                   bool fullscreen, struct viz_window **window)
{
    struct viz_window *w = mem_calloc(1, sizeof(*w));
    if (w == NULL) {
        return status_no_memory();
    }
    w->width = width;
    w->height = height;
    struct nrd_status *status = load(w);
    if (status == NULL) {
        status = make(w, title, fullscreen);
    }
    if (status != NULL) {
        viz_window_close(w);
        return status;
    }
    *window = w;
    return NULL;
}

bool viz_window_show(struct viz_window *w, const struct image *picture)
{
    const struct x_functions *x = &w->x;
    bool open = true;
    while (x->XPending(w->display) > 0) {
        union x_event event;
        memset(&event, 0, sizeof(event));
        x->XNextEvent(w->display, &event);
        if (event.client.type == X_CLIENT_MESSAGE &&
            (unsigned long)event.client.data.l[0] == w->delete_message) {
            open = false;
        }
    }
    struct image to = image_of(w->pixels, w->width, w->height, 4, NRD_DTYPE_U8);
    const struct image_conversion bgra = {.order = {2, 1, 0, 3}};
    image_convert(picture, &to, &bgra);
    x->XPutImage(w->display, w->window, x->XDefaultGC(w->display, w->screen), w->image, 0, 0, 0, 0,
                 w->width, w->height);
    x->XFlush(w->display);
    return open;
}

void viz_window_close(struct viz_window *w)
{
    if (w == NULL) {
        return;
    }
    if (w->image != NULL) {
        w->x.XFree(w->image); // the struct alone: the pixels are ours
    }
    if (w->display != NULL) {
        w->x.XCloseDisplay(w->display);
    }
    if (w->library != NULL) {
        dlclose(w->library);
    }
    mem_free(w->pixels);
    mem_free(w);
}
