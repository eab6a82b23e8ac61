/* SPDX-License-Identifier: Apache-2.0 */
/* Three models at once, each run directly in this process on a device of its own: pictures or video in, an overlay video and a table of
   latencies out.

     source -> converter -+-> UnetInference -> regions -+
                |         +-> ResNetInference ----------+-> overlay -> video
                |         +-> DenseNetInference --------+
                +------------------------------------------^  */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "inference.h"

struct arguments {
    const char *models;
    const char *source;
    const char *output;
    long frames;
};

static struct nrd_app *app;

static void on_signal(int number)
{
    (void)number;
    nrd_app_stop(app, true);
}

static struct nrd_status *add_source(struct nrd_fragment *fragment, const struct arguments *a,
                                     struct nrd_operator **op)
{
    char parameters[1024];
    struct stat info;
    const char *ending = strrchr(a->source, '.');
    int is_picture =
        ending != NULL && (strcmp(ending, ".png") == 0 || strcmp(ending, ".jpg") == 0 ||
                           strcmp(ending, ".jpeg") == 0);
    if ((stat(a->source, &info) == 0 && S_ISDIR(info.st_mode)) || is_picture) {
        snprintf(parameters, sizeof(parameters),
                 "{path: \"%s\", rate: 30, repeat: true, count: %ld, out_tensor_name: picture}",
                 a->source, a->frames);
        return nrd_add_operator_yaml(fragment, "PictureSourceOp", "source", parameters, op);
    }
    snprintf(parameters, sizeof(parameters), "{path: \"%s\", count: %ld, out_tensor_name: picture}",
             a->source, a->frames);
    return nrd_add_operator_yaml(fragment, "VideoStreamReplayerOp", "source", parameters, op);
}

static struct nrd_status *add_overlay(struct nrd_fragment *fragment, const struct arguments *a,
                                      struct nrd_operator **op)
{
    char parameters[2048];
    snprintf(
        parameters, sizeof(parameters),
        "{width: 512, height: 512, headless: true,"
        " labels: {kind_probabilities: \"%s/resnet_model/labels.txt\", finish_probabilities: "
        "\"%s/densenet_model/labels.txt\"},"
        " color_lut: [[0, 0, 0, 0], [1, 0.77, 0, 0.5], [0, 0.68, 1, 0.5], [0, 0.86, 0.43, 0.5], "
        "[1, 0.25, 0.63, 0.5]],"
        " tensors: [{name: picture, type: color}, {name: regions, type: color_lut, priority: 1},"
        "           {name: kind_probabilities, type: classification, priority: 2},"
        "           {name: finish_probabilities, type: classification, priority: 2}]}",
        a->models, a->models);
    return nrd_add_operator_yaml(fragment, "HolovizOp", "overlay", parameters, op);
}

static struct nrd_status *compose(const struct arguments *a)
{
    struct nrd_fragment *fragment = nrd_app_fragment(app);
    struct nrd_operator *source, *converter, *unet, *resnet, *densenet, *regions, *overlay, *video;
    char recorder[512];
    snprintf(recorder, sizeof(recorder), "{path: \"%s\", frame_rate: 30}", a->output);

    NRD_TRY(add_source(fragment, a, &source));
    NRD_TRY(nrd_add_operator_yaml(
        fragment, "FormatConverterOp", "converter",
        "{out_tensor_name: image, out_dtype: float32, scale_min: 0.0, scale_max: 1.0,"
        " resize_width: 128, resize_height: 128, out_layout: chw}",
        &converter));
    NRD_TRY(add_unet_inference(fragment, a->models, &unet));
    NRD_TRY(add_resnet_inference(fragment, a->models, &resnet));
    NRD_TRY(add_densenet_inference(fragment, a->models, &densenet));
    NRD_TRY(nrd_add_operator_yaml(
        fragment, "SegmentationPostprocessorOp", "regions",
        "{in_tensor_name: region_probabilities, data_format: nchw, out_tensor_name: regions}",
        &regions));
    NRD_TRY(add_overlay(fragment, a, &overlay));
    NRD_TRY(nrd_add_operator_yaml(fragment, "VideoStreamRecorderOp", "video", recorder, &video));

    NRD_TRY(nrd_add_flow(source, "", converter, "", NULL));
    NRD_TRY(nrd_add_flow(source, "", overlay, "", NULL));
    NRD_TRY(nrd_add_flow(converter, "", unet, "", NULL));
    NRD_TRY(nrd_add_flow(converter, "", resnet, "", NULL));
    NRD_TRY(nrd_add_flow(converter, "", densenet, "", NULL));
    NRD_TRY(nrd_add_flow(unet, "", regions, "", NULL));
    NRD_TRY(nrd_add_flow(regions, "", overlay, "", NULL));
    NRD_TRY(nrd_add_flow(resnet, "", overlay, "", NULL));
    NRD_TRY(nrd_add_flow(densenet, "", overlay, "", NULL));
    NRD_TRY(nrd_add_flow(overlay, "", video, "", NULL));

    /* The picture's file name comes along each branch, and is the same. */
    NRD_TRY(nrd_app_set_metadata(app, true, "reject"));
    /* The models run side by side: three threads, whatever the number of processors. */
    struct nrd_value *threads = nrd_value_map();
    struct nrd_status *status = nrd_value_set(threads, "worker_thread_number", nrd_value_int(3));
    if (status == NULL) {
        status = nrd_set_scheduler(fragment, "EventBasedScheduler", threads);
    }
    nrd_value_free(threads);
    NRD_TRY(status);
    return nrd_app_track(app, NULL);
}

/* Which device each model ran on. */
static void print_places(void)
{
    struct nrd_fragment *fragment = nrd_app_fragment(app);
    printf("\n");
    for (size_t i = 0; i < nrd_fragment_operator_count(fragment); i++) {
        const struct nrd_operator *op = nrd_fragment_operator_at(fragment, i);
        if (nrd_operator_place(op)[0] != '\0') {
            printf("%s: %s\n", nrd_operator_name(op), nrd_operator_place(op));
        }
    }
}

static void print_latencies(void)
{
    struct nrd_path_report path;
    printf("\n%-60s %8s %9s %9s %9s %9s\n", "path", "messages", "min ms", "p50 ms", "p99 ms",
           "max ms");
    for (size_t i = 0; nrd_app_path_report(app, i, &path); i++) {
        printf("%-60s %8llu %9.2f %9.2f %9.2f %9.2f\n", path.path, (unsigned long long)path.count,
               (double)path.min_ns / 1e6, (double)path.p50_ns / 1e6, (double)path.p99_ns / 1e6,
               (double)path.max_ns / 1e6);
    }
}

static int read_arguments(int argc, char **argv, struct arguments *a)
{
    for (int i = 1; i < argc; i++) {
        const char **text = strcmp(argv[i], "--models") == 0   ? &a->models
                            : strcmp(argv[i], "--source") == 0 ? &a->source
                            : strcmp(argv[i], "--output") == 0 ? &a->output
                                                               : NULL;
        if (i + 1 < argc && text != NULL) {
            *text = argv[++i];
        } else if (i + 1 < argc && strcmp(argv[i], "--frames") == 0) {
            char *end = NULL;
            a->frames = strtol(argv[++i], &end, 10);
            if (end == argv[i] || *end != '\0' || a->frames < 1) {
                fprintf(stderr, "%s: --frames: '%s' is no number of frames\n", argv[0], argv[i]);
                return -1;
            }
        } else {
            fprintf(
                stderr,
                "usage: %s [--models DIR] [--source PATH] [--output overlay.mp4] [--frames N]\n",
                argv[0]);
            return -1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    /* As the seed runs it: from a build folder inside this one. */
    struct arguments a = {.models = "../../../models",
                          .source = "../../../examples/pictures",
                          .output = "overlay.mp4",
                          .frames = 60};
    if (read_arguments(argc, argv, &a) != 0) {
        return 1;
    }
    struct nrd_status *status = nrd_app_create("holoscan_multi_gpu", &app);
    if (status == NULL) {
        status = compose(&a);
    }
    if (status == NULL) {
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        status = nrd_app_run(app);
    }
    if (status == NULL) {
        print_places();
        print_latencies();
        printf("\noverlay: %s\n", a.output);
    } else {
        fprintf(stderr, "%s\n", nrd_status_text(status));
    }
    int code = status == NULL ? 0 : 1;
    nrd_status_free(status);
    nrd_app_destroy(app);
    return code;
}
