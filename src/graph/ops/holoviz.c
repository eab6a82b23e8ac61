// SPDX-License-Identifier: Apache-2.0
// HolovizOp: shows tensors as layers of one picture. Parameters and the keys of `tensors` are Holoscan's; drawing is ours, on the CPU, in two
// dimensions (cameras, depth buffers and 3D types are refused by name).
//
//   receivers ──▶ one frame, RGBA [height, width, 4] ──▶ render_buffer_output (recorders, files, other operators)
//                                                     ├─▶ a window, where there is a display and `headless` is false
//                                                     └─▶ a live page for the browser, with `http: 127.0.0.1:8080`
//
// With `tensors` each of them must be there in each execution, as in Holoscan, unless `optional_tensors`; without, every tensor is shown
// as what it looks like. The port input_specs takes messages whose metadata "input_specs" is a list like `tensors`, used from then on.
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/status.h"
#include "graph/ops/picture_ops.h"
#include "graph/ops/viz.h"
#include "page/page.h"

#define FLOWS_MAX 32
#define STATS_NS 250000000u // between two updates of the page's table

enum { IN_RECEIVERS, IN_SPECS };
enum aspect { ASPECT_STRETCH, ASPECT_KEEP };
static const char *const aspects[] = {"stretch", "keep", NULL};
static const char *const allocator_kind[] = {"allocator", NULL};
static const char *const stream_kind[] = {"cuda_stream_pool", NULL};

struct holoviz {
    const struct nrd_value *tensors, *color_lut, *labels, *background;
    const char *window_title, *display_name, *font_path, *http, *color_space;
    int64_t width, height, http_quality;
    double framerate, http_rate;
    int aspect;
    bool headless, fullscreen, exclusive, srgb, vsync, optional_tensors;
    bool render_input, render_output, depth_input, depth_output, pose_output;
    struct nrd_resource *allocator, *stream_pool;

    struct viz_specs specs;
    struct viz_lut lut;
    struct image_rgba ground;
    bool automatic; // no specs were given
    struct drawer drawer;
    struct page *page;
    struct viz_window *window;
    struct pixel_place place;
    uint64_t frames, rate_frames;
    int64_t stats_at, rate_at; // of the clock of the machine
    double rate, render_ms;
    struct str stats;
};

#define FIELD(name) offsetof(struct holoviz, name)
#define FLAG(NAME, FIELD_NAME, FALLBACK, HELP)                                                     \
    {                                                                                              \
        .name = NAME, .type = NRD_PARAM_BOOL, .offset = FIELD(FIELD_NAME), .fallback = FALLBACK,   \
        .help = HELP                                                                               \
    }
static const struct nrd_param params[] = {
    {.name = "tensors",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(tensors),
     .help = "Layers: [{name, type, opacity, priority, color, line_width, point_size, text, views, "
             "color_lut, labels ...}]."},
    {.name = "color_lut",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(color_lut),
     .help = "Colours of numbers for color_lut layers: [[r, g, b, a], ...]."},
    {.name = "labels",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(labels),
     .help = "Names of classes: {tensor: [names] or path of a file with one a line}."},
    {.name = "background",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(background),
     .help = "Colour below all layers, [r, g, b, a]; black when absent."},
    FLAG("optional_tensors", optional_tensors, "false",
         "A layer whose tensor is absent is left out."),
    {.name = "image_aspect",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(aspect),
     .fallback = "stretch",
     .choices = aspects,
     .help = "keep: pictures and maps keep their proportions within their view."},
    {.name = "width",
     .type = NRD_PARAM_INT,
     .offset = FIELD(width),
     .fallback = "1920",
     .min = 1,
     .max = 16384,
     .unit = "pixels"},
    {.name = "height",
     .type = NRD_PARAM_INT,
     .offset = FIELD(height),
     .fallback = "1080",
     .min = 1,
     .max = 16384,
     .unit = "pixels"},
    FLAG("headless", headless, "false", "Opens no window."),
    FLAG("fullscreen", fullscreen, "false", "The window fills the screen."),
    {.name = "window_title",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(window_title),
     .fallback = "Holoviz",
     .help = "Title of the window and of the page."},
    {.name = "http",
     .type = NRD_PARAM_STRING,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(http),
     .help = "Address of a live page, \"127.0.0.1:8080\" or \"8080\"; none when absent."},
    {.name = "http_quality",
     .type = NRD_PARAM_INT,
     .offset = FIELD(http_quality),
     .fallback = "80",
     .min = 1,
     .max = 100,
     .help = "Quality of the page's JPEGs."},
    {.name = "http_rate",
     .type = NRD_PARAM_REAL,
     .offset = FIELD(http_rate),
     .fallback = "30",
     .min = 0,
     .max = 1000,
     .unit = "pictures/s",
     .help = "How many pictures the page is sent at most; 0: no limit."},
    FLAG("enable_render_buffer_output", render_output, "false",
         "For Holoscan's files: the output is used where it has a flow."),
    FLAG("enable_render_buffer_input", render_input, "false", "Not built."),
    FLAG("enable_depth_buffer_input", depth_input, "false", "Not built."),
    FLAG("enable_depth_buffer_output", depth_output, "false", "Not built."),
    FLAG("enable_camera_pose_output", pose_output, "false", "Not built."),
    FLAG("use_exclusive_display", exclusive, "false", "Not built."),
    FLAG("framebuffer_srgb", srgb, "false",
         "For Holoscan's files: colours are bytes as they come."),
    FLAG("vsync", vsync, "false", "For Holoscan's files: a frame is shown when it is there."),
    {.name = "framerate",
     .type = NRD_PARAM_REAL,
     .offset = FIELD(framerate),
     .fallback = "60",
     .help = "For Holoscan's files: about exclusive displays."},
    {.name = "display_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(display_name),
     .fallback = "\"\"",
     .help = "For Holoscan's files: about exclusive displays."},
    {.name = "display_color_space",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(color_space),
     .fallback = "auto",
     .help = "For Holoscan's files."},
    {.name = "font_path",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(font_path),
     .fallback = "\"\"",
     .help = "Not built: text is drawn with the library's own lettering."},
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(allocator),
     .choices = allocator_kind,
     .help = "Memory of the frames; the fragment's default when absent."},
    {.name = "cuda_stream_pool",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(stream_pool),
     .choices = stream_kind,
     .help = "For Holoscan's files: streams are the fragment's."},
    {.name = NULL},
};
static const struct nrd_port inputs[] = {
    [IN_RECEIVERS] = {.name = "receivers",
                      .type = "tensors",
                      .policy = NRD_QUEUE_FAULT,
                      .flags = NRD_PORT_ANY_SIZE,
                      .help = "Tensors to show, from any number of flows."},
    [IN_SPECS] = {.name = "input_specs",
                  .policy = NRD_QUEUE_POP,
                  .flags = NRD_PORT_OPTIONAL | NRD_PORT_NO_CONDITION,
                  .help = "Metadata \"input_specs\": new `tensors`."},
    {.name = NULL},
};
static const struct nrd_port outputs[] = {
    {.name = "render_buffer_output",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .flags = NRD_PORT_OPTIONAL,
     .help = "The frame: UINT8 [height, width, 4] in tensor \"render_buffer_output\"."},
    {.name = NULL},
};

// ---- life -----------------------------------------------------------------------------------------------------------

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    (void)op;
    struct holoviz *h = self;
    static const char *const not_built[] = {
        "enable_render_buffer_input", "enable_depth_buffer_input", "enable_depth_buffer_output",
        "enable_camera_pose_output", "use_exclusive_display"};
    const bool asked[] = {h->render_input, h->depth_input, h->depth_output, h->pose_output,
                          h->exclusive};
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        if (asked[i]) {
            return status_new(NRD_UNSUPPORTED, "parameter '%s' is not built", not_built[i]);
        }
    }
    if (h->font_path[0] != '\0') {
        return status_new(NRD_UNSUPPORTED,
                          "parameter 'font_path' is not built: text has its own lettering");
    }
    h->ground = (struct image_rgba){0, 0, 0, 255};
    if (h->background != NULL && nrd_value_kind(h->background) != NRD_VALUE_NULL) {
        NRD_TRY(viz_color_read(h->background, &h->ground));
    }
    NRD_TRY(viz_lut_read(h->color_lut, &h->lut));
    NRD_TRY(viz_specs_read(&h->specs, h->tensors, h->labels));
    h->automatic = h->specs.count == 0;
    return NULL;
}

static struct nrd_status *open_page(struct nrd_operator *op, struct holoviz *h)
{
    char address[PAGE_ADDRESS_MAX];
    int port = 0;
    NRD_TRY(page_parse_address(h->http, address, &port));
    struct page_options options = {address, port, (int)h->http_quality, h->http_rate};
    NRD_TRY(page_create(&options, &h->page));
    nrd_operator_log(op, NRD_LOG_INFO, "live page at http://%s:%d/", address, page_port(h->page));
    return NULL;
}

static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    struct holoviz *h = self;
    h->frames = 0;
    h->rate_frames = 0;
    h->stats_at = 0;
    h->rate_at = (int64_t)clock_now_ns();
    h->rate = 0.0;
    if (h->http != NULL && h->http[0] != '\0') {
        NRD_TRY(open_page(op, h));
    }
    if (!h->headless) {
        struct nrd_status *status = viz_window_open(h->window_title, (uint32_t)h->width,
                                                    (uint32_t)h->height, h->fullscreen, &h->window);
        if (status != NULL) {
            nrd_operator_log(op, NRD_LOG_INFO, "%s: headless", status_text(status));
            status_free(status);
        }
    }
    return NULL;
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    (void)op;
    struct holoviz *h = self;
    page_destroy(h->page);
    h->page = NULL;
    viz_window_close(h->window);
    h->window = NULL;
    return NULL;
}

static void destroy(struct nrd_operator *op, void *self)
{
    (void)op;
    struct holoviz *h = self;
    viz_specs_fini(&h->specs);
    mem_free(h->lut.colors);
    drawer_fini(&h->drawer);
    str_fini(&h->stats);
}

// ---- one frame ------------------------------------------------------------------------------------------------------

struct frame {
    struct holoviz *h;
    struct nrd_compute *ctx;
    struct nrd_message *messages[FLOWS_MAX];
    size_t count;
    struct nrd_tensor *tensor; // the canvas
    struct viz_scene scene;
};

static struct nrd_status *take_specs(struct frame *f)
{
    struct holoviz *h = f->h;
    struct nrd_message *message;
    while ((message = nrd_receive(f->ctx, IN_SPECS)) != NULL) {
        const struct nrd_value *list = nrd_value_get(nrd_message_metadata(message), "input_specs");
        struct viz_specs fresh = {0};
        struct nrd_status *status = viz_specs_read(&fresh, list, h->labels);
        if (status == NULL && list != NULL) {
            viz_specs_fini(&h->specs);
            h->specs = fresh;
            h->automatic = false;
        } else {
            viz_specs_fini(&fresh);
        }
        nrd_message_unref(message);
        NRD_TRY(status);
    }
    return NULL;
}

// Without given layers: one for each tensor, when it is first seen.
static struct nrd_status *add_automatic(struct frame *f)
{
    for (size_t m = 0; m < f->count; m++) {
        for (size_t i = 0; i < nrd_message_tensor_count(f->messages[m]); i++) {
            const char *name = "";
            nrd_message_tensor_at(f->messages[m], i, &name);
            if (viz_specs_find(&f->h->specs, name) == NULL) {
                NRD_TRY(viz_specs_add(&f->h->specs, name, f->h->labels));
            }
        }
    }
    return NULL;
}

static struct nrd_tensor *find_tensor(const struct frame *f, const char *name)
{
    struct nrd_tensor *tensor = NULL;
    for (size_t m = 0; m < f->count && tensor == NULL; m++) {
        tensor = nrd_message_tensor(f->messages[m], name);
    }
    return tensor;
}

static struct nrd_status *draw_spec(struct frame *f, struct viz_spec *spec)
{
    struct nrd_tensor *tensor = find_tensor(f, spec->name), *host = NULL;
    if (tensor == NULL) {
        return f->h->automatic || f->h->optional_tensors
                   ? NULL
                   : status_new(NRD_NOT_FOUND, "none of %zu messages has tensor '%s'", f->count,
                                spec->name);
    }
    NRD_TRY(pixels_on_host(&f->h->place, f->ctx, tensor, &host));
    struct nrd_status *status = viz_draw(&f->scene, spec, host);
    nrd_tensor_unref(host);
    return status;
}

// Areas first, shapes and texts above them, where layers were not given an order.
static bool is_area(const struct viz_spec *spec)
{
    return spec->shown_as == VIZ_COLOR;
}

static struct nrd_status *draw(struct frame *f)
{
    struct holoviz *h = f->h;
    image_fill(&f->scene.canvas, h->ground);
    if (!drawer_begin(&h->drawer, &f->scene.canvas)) {
        return status_no_memory();
    }
    if (!h->automatic) {
        for (size_t i = 0; i < h->specs.count; i++) {
            NRD_TRY(draw_spec(f, &h->specs.items[i]));
        }
        return NULL;
    }
    NRD_TRY(add_automatic(f));
    for (int above = 0; above < 2; above++) {
        for (size_t i = 0; i < h->specs.count; i++) {
            if (is_area(&h->specs.items[i]) == (above == 0)) {
                NRD_TRY(draw_spec(f, &h->specs.items[i]));
            }
        }
    }
    return NULL;
}

static struct nrd_status *render(struct frame *f)
{
    struct holoviz *h = f->h;
    const int64_t dims[3] = {h->height, h->width, 4};
    NRD_TRY(take_specs(f));
    NRD_TRY(nrd_allocate(nrd_compute_operator(f->ctx), h->allocator, NRD_DTYPE_U8, dims, 3,
                         NRD_MEMORY_CPU, 0, &f->tensor));
    f->scene = (struct viz_scene){
        .ctx = f->ctx,
        .canvas =
            image_of(f->tensor->data, (uint32_t)h->width, (uint32_t)h->height, 4, NRD_DTYPE_U8),
        .drawer = &h->drawer,
        .lut = &h->lut,
        .keep_aspect = h->aspect == ASPECT_KEEP,
        .panel_y = 0.03f,
    };
    return draw(f);
}

// ---- where it goes --------------------------------------------------------------------------------------------------

static void write_stats(struct frame *f, int64_t now)
{
    struct holoviz *h = f->h;
    if (now - h->rate_at >= 1000000000) {
        h->rate = (double)(h->frames - h->rate_frames) * 1e9 / (double)(now - h->rate_at);
        h->rate_frames = h->frames;
        h->rate_at = now;
    }
    struct json_writer w;
    str_clear(&h->stats);
    json_begin(&w, &h->stats);
    json_object_begin(&w);
    json_key(&w, "title");
    json_cstring(&w, h->window_title);
    json_key(&w, "frames");
    json_u64(&w, h->frames);
    json_key(&w, "rate");
    json_f64(&w, h->rate);
    json_key(&w, "render_ms");
    json_f64(&w, h->render_ms);
    json_key(&w, "width");
    json_i64(&w, h->width);
    json_key(&w, "height");
    json_i64(&w, h->height);
    json_key(&w, "viewers");
    json_u64(&w, page_viewers(h->page));
    json_key(&w, "tensors");
    json_array_begin(&w);
    for (size_t i = 0; i < h->specs.count; i++) {
        const struct viz_spec *spec = &h->specs.items[i];
        const struct nrd_tensor *t = find_tensor(f, spec->name);
        if (t == NULL) {
            continue;
        }
        json_object_begin(&w);
        json_key(&w, "name");
        json_cstring(&w, spec->name);
        json_key(&w, "type");
        json_cstring(&w, viz_type_name(spec->shown_as));
        json_key(&w, "dtype");
        json_cstring(&w, nrd_dtype_name(t->dtype));
        json_key(&w, "shape");
        json_array_begin(&w);
        for (uint32_t d = 0; d < t->rank; d++) {
            json_i64(&w, t->dims[d]);
        }
        json_array_end(&w);
        json_key(&w, "text");
        json_string(&w, str_slice(&spec->said));
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
}

static void release_tensor(void *tensor)
{
    nrd_tensor_unref(tensor);
}

static void show(struct frame *f)
{
    struct holoviz *h = f->h;
    if (h->page != NULL) {
        int64_t now = (int64_t)clock_now_ns();
        if (h->stats_at == 0 || now - h->stats_at >= STATS_NS) {
            write_stats(f, now);
            h->stats_at = now;
            if (!h->stats.failed) {
                page_set_stats(h->page, str_slice(&h->stats));
            }
        }
        page_publish(h->page, &f->scene.canvas, release_tensor, nrd_tensor_ref(f->tensor));
    }
    if (h->window != NULL && !viz_window_show(h->window, &f->scene.canvas)) {
        nrd_operator_log(nrd_compute_operator(f->ctx), NRD_LOG_INFO, "the window was closed");
        nrd_operator_stop_run(nrd_compute_operator(f->ctx), true);
        viz_window_close(h->window);
        h->window = NULL;
    }
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct holoviz *h = self;
    struct nrd_operator *op = nrd_compute_operator(ctx);
    struct frame f = {.h = h, .ctx = ctx};
    size_t flows = nrd_operator_input_flows(op, IN_RECEIVERS);
    for (size_t i = 0; i < flows && i < FLOWS_MAX; i++) {
        struct nrd_message *message = nrd_receive_from(ctx, IN_RECEIVERS, i);
        if (message != NULL) {
            f.messages[f.count++] = message;
        }
    }
    uint64_t begin = clock_now_ns();
    struct nrd_status *status = render(&f);
    if (status == NULL) {
        h->render_ms = (double)(clock_now_ns() - begin) / 1e6;
        h->frames++;
        show(&f);
        if (nrd_operator_output_flows(op, 0) > 0 && f.count > 0) {
            status = pixels_emit(ctx, 0, "render_buffer_output", nrd_tensor_ref(f.tensor),
                                 f.messages[0]);
        }
    }
    nrd_tensor_unref(f.tensor);
    for (size_t i = 0; i < f.count; i++) {
        nrd_message_unref(f.messages[i]);
    }
    return status;
}

const struct nrd_operator_class holoviz_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "HolovizOp",
    .summary = "Shows tensors as layers of a picture: in a window, in the browser, to recorders.",
    .state_size = sizeof(struct holoviz),
    .params = params,
    .inputs = inputs,
    .outputs = outputs,
    .setup = setup,
    .start = start,
    .compute = compute,
    .stop = stop,
    .destroy = destroy,
};
