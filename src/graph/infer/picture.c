// SPDX-License-Identifier: Apache-2.0
// Pictures into models: resize, then convert, by image's functions; see picture.h.
#include "graph/infer/picture.h"

#include <string.h>

#include "image/convert.h"
#include "image/resize.h"
#include "tensor/dtype.h"

// What a model's input wants of a picture.
struct wish {
    bool planar; // [C,H,W]
    uint32_t channels;
    int64_t height, width; // -1: any
    enum nrd_dtype dtype;
    uint32_t lead; // dimensions before it
};

static bool is_channels(int64_t n)
{
    return n == 1 || n == 3 || n == 4;
}

static bool read_wish(const struct infer_spec *spec, struct wish *wish)
{
    if (spec->rank < 3 || spec->rank > 4 ||
        (spec->dtype != NRD_DTYPE_F32 && spec->dtype != NRD_DTYPE_U8)) {
        return false;
    }
    const int64_t *dims = spec->dims + (spec->rank - 3);
    if (is_channels(dims[0])) {
        *wish =
            (struct wish){true, (uint32_t)dims[0], dims[1], dims[2], spec->dtype, spec->rank - 3};
        return true;
    }
    if (is_channels(dims[2])) {
        *wish =
            (struct wish){false, (uint32_t)dims[2], dims[0], dims[1], spec->dtype, spec->rank - 3};
        return true;
    }
    return false;
}

// The picture in the tensor; false when it is none.
static bool read_picture(const struct nrd_tensor *tensor, struct image *picture)
{
    uint32_t lead = tensor->rank == 4 && tensor->dims[0] == 1 ? 1 : 0;
    const int64_t *dims = tensor->dims + lead;
    if (tensor->dtype != NRD_DTYPE_U8 || tensor->rank - lead != 3 || !is_channels(dims[2]) ||
        dims[0] <= 0 || dims[1] <= 0 || dims[0] > 65536 || dims[1] > 65536 ||
        tensor->memory == NRD_MEMORY_GPU) {
        return false;
    }
    *picture = image_of(tensor->data, (uint32_t)dims[1], (uint32_t)dims[0], (uint32_t)dims[2],
                        NRD_DTYPE_U8);
    return true;
}

void picture_fit_fini(struct picture_fit *fit)
{
    image_resizer_destroy(fit->resizer);
    *fit = (struct picture_fit){0};
}

static struct nrd_status *want_resizer(struct picture_fit *fit, const struct image *picture,
                                       uint32_t width, uint32_t height)
{
    if (fit->resizer != NULL && fit->from_width == picture->width &&
        fit->from_height == picture->height && fit->to_width == width && fit->to_height == height &&
        fit->channels == picture->channels) {
        return NULL;
    }
    picture_fit_fini(fit);
    const struct image_resize_options options = {.from_width = picture->width,
                                                 .from_height = picture->height,
                                                 .to_width = width,
                                                 .to_height = height,
                                                 .channels = picture->channels,
                                                 .dtype = NRD_DTYPE_U8,
                                                 .mode = IMAGE_RESIZE_LINEAR,
                                                 .antialias = true};
    NRD_TRY(image_resizer_create(&options, &fit->resizer));
    fit->from_width = picture->width;
    fit->from_height = picture->height;
    fit->to_width = width;
    fit->to_height = height;
    fit->channels = picture->channels;
    return NULL;
}

// The picture in another size: into a tensor of its own. `*resized` is owned; `picture` then looks into it.
static struct nrd_status *resize(struct picture_fit *fit, struct nrd_operator *op,
                                 struct image *picture, uint32_t width, uint32_t height,
                                 struct nrd_tensor **resized)
{
    NRD_TRY(want_resizer(fit, picture, width, height));
    const int64_t dims[3] = {height, width, picture->channels};
    NRD_TRY(nrd_allocate(op, NULL, NRD_DTYPE_U8, dims, 3, NRD_MEMORY_CPU, 0, resized));
    struct image to = image_of((*resized)->data, width, height, picture->channels, NRD_DTYPE_U8);
    image_resizer_run(fit->resizer, picture, &to);
    *picture = to;
    return NULL;
}

static struct nrd_status *convert(struct nrd_operator *op, const struct wish *wish,
                                  const struct image *picture, struct nrd_tensor **fitted)
{
    int64_t dims[NRD_RANK_MAX] = {1, 1, 1, 1};
    int64_t *own = dims + wish->lead;
    own[0] = wish->planar ? wish->channels : picture->height;
    own[1] = wish->planar ? picture->height : picture->width;
    own[2] = wish->planar ? picture->width : wish->channels;
    struct nrd_tensor *made = NULL;
    NRD_TRY(nrd_allocate(op, NULL, wish->dtype, dims, 3 + wish->lead, NRD_MEMORY_CPU, 0, &made));
    struct image_conversion how = image_conversion_default(picture->channels, wish->channels);
    how.scale_min = 0.0F;
    how.scale_max = 1.0F;
    if (wish->planar) {
        image_convert_planar(picture, made->data, wish->channels, wish->dtype, &how);
    } else {
        struct image to =
            image_of(made->data, picture->width, picture->height, wish->channels, wish->dtype);
        image_convert(picture, &to, &how);
    }
    *fitted = made;
    return NULL;
}

struct nrd_status *picture_fit_apply(struct picture_fit *fit, struct nrd_operator *op,
                                     const struct infer_spec *spec, struct nrd_tensor *tensor,
                                     struct nrd_tensor **fitted)
{
    struct wish wish;
    struct image picture;
    if (!read_wish(spec, &wish) || !read_picture(tensor, &picture) ||
        (wish.channels == 1 && picture.channels != 1)) {
        *fitted = tensor;
        return NULL;
    }
    uint32_t height = wish.height > 0 ? (uint32_t)wish.height : picture.height;
    uint32_t width = wish.width > 0 ? (uint32_t)wish.width : picture.width;
    struct nrd_tensor *resized = NULL;
    struct nrd_status *status = NULL;
    if (height != picture.height || width != picture.width) {
        status = resize(fit, op, &picture, width, height, &resized);
    }
    if (status == NULL) {
        status = convert(op, &wish, &picture, fitted);
    }
    nrd_tensor_unref(resized);
    nrd_tensor_unref(tensor);
    return status;
}
