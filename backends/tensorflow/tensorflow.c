// SPDX-License-Identifier: Apache-2.0
// tensorflow: serves SavedModels and GraphDefs on TensorFlow 2. The rest is in tf_model.h.
//
// A model is <model>/<version>/model.savedmodel (platform tensorflow_savedmodel) or
// <model>/<version>/model.graphdef (tensorflow_graphdef), or default_model_filename. Parameters of
// the model, as Triton's own backend takes them:
//   TF_NUM_INTRA_THREADS, TF_NUM_INTER_THREADS, TF_USE_PER_SESSION_THREADS
//   TF_GRAPH_TAG, TF_SIGNATURE_DEF, TF_INIT_OPS_FILE, MAX_SESSION_SHARE_COUNT
// Settings of the command line: library-path, default-max-batch-size, allow-soft-placement,
// gpu-memory-fraction, version (2).
#include "backends/tensorflow/tf_model.h"

static TRITONSERVER_Error *init(void *backend, TRITONBACKEND_Backend *handle,
                                const struct backend_settings *settings)
{
    return tf_library_init(backend, handle, settings);
}

static void fini(void *backend)
{
    tf_library_fini(backend);
}

static TRITONSERVER_InstanceGroupKind preferred_kind(const void *backend)
{
    const struct tf_library *library = backend;
    return library->cuda ? TRITONSERVER_INSTANCEGROUPKIND_AUTO : TRITONSERVER_INSTANCEGROUPKIND_CPU;
}

const struct backend_table this_backend = {.name = "tensorflow",
                                           .size = sizeof(struct tf_library),
                                           .init = init,
                                           .fini = fini,
                                           .preferred_kind = preferred_kind,
                                           .model = &tf_models,
                                           .instance = &tf_instances};
