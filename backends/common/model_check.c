// SPDX-License-Identifier: Apache-2.0
// Texts for configurations that do not fit their model. See model_check.h.
#include "backends/common/model_check.h"

#include <stdlib.h>

#include "base/str.h"

// An error with the text; frees it.
static TRITONSERVER_Error *text_error(struct str *text)
{
    TRITONSERVER_Error *error =
        TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INVALID_ARG, str_cstr(text));
    str_fini(text);
    return error;
}

static bool dims_agree(const int64_t *dims, uint32_t dim_count, uint32_t skip,
                       struct model_shape configured, bool exact)
{
    if (dim_count != configured.count + skip) {
        return false;
    }
    for (uint32_t i = 0; i < configured.count; i++) {
        int64_t dim = dims[i + skip];
        if ((exact || dim != -1) && dim != configured.dims[i]) {
            return false;
        }
    }
    return true;
}

TRITONSERVER_Error *model_check_dims_differ(const char *model, const char *tensor,
                                            const int64_t *dims, uint32_t dim_count,
                                            struct model_shape configured, bool batching)
{
    struct str text = STR_INIT;
    str_printf(&text, "model '%s', tensor '%s': the model expects %u dimensions (shape ", model,
               tensor, dim_count);
    model_shape_print(dims, dim_count, &text);
    str_printf(&text, ") but the model configuration specifies %u dimensions (",
               configured.count + (batching ? 1 : 0));
    if (batching) {
        str_append_cstr(&text, "an initial batch dimension because max_batch_size > 0 followed by "
                               "the explicit tensor shape, making complete shape [-1");
        for (uint32_t i = 0; i < configured.count; i++) {
            str_printf(&text, ",%lld", (long long)configured.dims[i]);
        }
        str_append_cstr(&text, "])");
    } else {
        str_append_cstr(&text, "shape ");
        model_shape_print(configured.dims, configured.count, &text);
        str_append_char(&text, ')');
    }
    return text_error(&text);
}

TRITONSERVER_Error *model_check_dims(const char *model, const char *tensor, const int64_t *dims,
                                     uint32_t dim_count, struct model_shape configured,
                                     bool batching, bool exact)
{
    if (batching && (dim_count == 0 || dims[0] != -1)) {
        struct str text = STR_INIT;
        str_printf(&text,
                   "model '%s', tensor '%s': for the model to support batching the shape should "
                   "have at least 1 dimension and the first dimension must be -1; but shape "
                   "expected by the model is ",
                   model, tensor);
        model_shape_print(dims, dim_count, &text);
        return text_error(&text);
    }
    return dims_agree(dims, dim_count, batching ? 1 : 0, configured, exact)
               ? NULL
               : model_check_dims_differ(model, tensor, dims, dim_count, configured, batching);
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

TRITONSERVER_Error *model_check_unknown(const char *role, const char *name, const char **allowed,
                                        size_t count)
{
    if (count > 0) {
        qsort(allowed, count, sizeof(*allowed), compare_names);
    }
    struct str text = STR_INIT;
    str_printf(&text, "unexpected inference %s '%s', allowed %ss are: ", role, name, role);
    for (size_t i = 0; i < count; i++) {
        str_append_cstr(&text, i == 0 ? "" : ", ");
        str_append_cstr(&text, allowed[i]);
    }
    return text_error(&text);
}

TRITONSERVER_Error *model_check_sequence(const struct model_config *config, const char *backend,
                                         model_knows_fn knows, void *userp, uint32_t *count)
{
    const struct json_node *sequence = json_get(config->root, "sequence_batching");
    if (sequence == NULL) {
        return NULL;
    }
    const struct json_node *states = json_get(sequence, "state");
    if (states != NULL && states->type == JSON_ARRAY && states->count > 0) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "model '%s': sequence_batching.state (implicit state) is not "
                                 "supported by this build of the %s backend",
                                 config->name, backend);
    }
    const struct json_node *controls = json_get(sequence, "control_input");
    if (controls == NULL || controls->type != JSON_ARRAY) {
        return NULL;
    }
    const struct json_node *n = json_first(controls);
    for (uint32_t i = 0; i < controls->count; i++, n = json_next(n)) {
        const struct json_node *name = json_get(n, "name");
        struct slice text = {0};
        BACKEND_TRY(backend_error(json_want_string(name == NULL ? n : name, &text)));
        if (knows != NULL && !knows(userp, text)) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "configuration specified sequence control '%.*s', but model "
                                     "does not provide that input",
                                     (int)text.len, text.ptr);
        }
    }
    *count += controls->count;
    return NULL;
}
