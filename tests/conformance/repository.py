# SPDX-License-Identifier: Apache-2.0
"""The repository that both servers serve in the differential suite."""

from servers import add_model, identity_config

TYPES = {"bool": "TYPE_BOOL", "u8": "TYPE_UINT8", "u16": "TYPE_UINT16", "u32": "TYPE_UINT32", "u64": "TYPE_UINT64",
         "i8": "TYPE_INT8", "i16": "TYPE_INT16", "i32": "TYPE_INT32", "i64": "TYPE_INT64", "f16": "TYPE_FP16",
         "f32": "TYPE_FP32", "f64": "TYPE_FP64", "bf16": "TYPE_BF16", "bytes": "TYPE_STRING"}
LABELS = "".join(f"label{i}\n" for i in range(8))


def make(repository):
    for short, datatype in TYPES.items():
        add_model(repository, f"id_{short}", identity_config(f"id_{short}", datatype))
    add_model(repository, "batched", identity_config("batched", dims="[2]", batch=4))
    add_model(repository, "two", identity_config("two", dims="[2]", pairs=2))
    add_model(repository, "fixed", identity_config("fixed", dims="[2, 3]"))
    add_model(repository, "dynamic", identity_config(
        "dynamic", dims="[4]", batch=8,
        extra="dynamic_batching { preferred_batch_size: [4, 8] max_queue_delay_microseconds: 100 priority_levels: 2 "
              "default_priority_level: 2 default_queue_policy { max_queue_size: 100 } }\n"))
    add_model(repository, "versions", identity_config("versions", extra="version_policy { all {} }\n"), versions=("1", "3"))
    add_model(repository, "optional", identity_config("optional", dims="[2]", pairs=2).replace(
        'name: "INPUT1"', 'name: "INPUT1" optional: true'))
    add_model(repository, "reshaped",
              'name: "reshaped"\nbackend: "identity"\nmax_batch_size: 4\n'
              'input { name: "INPUT0" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } }\n'
              'output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } }\n'
              'instance_group { kind: KIND_CPU }\n')
    add_model(repository, "labelled",
              'name: "labelled"\nbackend: "identity"\nmax_batch_size: 4\n'
              'input { name: "INPUT0" data_type: TYPE_FP32 dims: [8] }\n'
              'output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [8] label_filename: "labels.txt" }\n'
              'instance_group { kind: KIND_CPU }\n', {"labels.txt": LABELS})
    add_model(repository, "parameters", identity_config(
        "parameters", extra='parameters { key: "response_parameters" value { string_value: "true" } }\n'
                            'metric_tags { key: "team" value: "imaging" }\n'))
    add_model(repository, "warm", identity_config(
        "warm", dims="[4]", batch=2,
        extra='model_warmup { name: "w" batch_size: 1 inputs { key: "INPUT0" value { data_type: TYPE_FP32 dims: [4] '
              'zero_data: true } } }\n'))
    return repository
