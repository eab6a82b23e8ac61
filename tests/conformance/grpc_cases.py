# SPDX-License-Identifier: Apache-2.0
"""The gRPC calls of the differential suite: name -> (rpc, request message)."""

import struct

from tritonclient.grpc import service_pb2 as pb

from http_cases import element, f32


def infer(model="id_f32", inputs=(("INPUT0", "FP32", [2], f32(1, 2.5)),), outputs=(), raw=True, version="", **fields):
    """A ModelInferRequest; an input is (name, datatype, shape, raw bytes or {contents field: values})."""
    request = pb.ModelInferRequest(model_name=model, model_version=version, **fields)
    for name, datatype, shape, data in inputs:
        tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
        if isinstance(data, dict):
            for field, values in data.items():
                getattr(tensor.contents, field).extend(values)
        elif data is not None and raw:
            request.raw_input_contents.append(data)
    for name in outputs:
        request.outputs.add(name=name)
    return "ModelInfer", request


def with_parameters(call, **values):
    rpc, request = call
    for key, value in values.items():
        field = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}[type(value)]
        setattr(request.parameters[key], field, value)
    return rpc, request


def with_output(call, name, **values):
    rpc, request = call
    output = request.outputs.add(name=name)
    for key, value in values.items():
        field = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
        setattr(output.parameters[key], field, value)
    return rpc, request


def typed(model, datatype, shape, **contents):
    return infer(model, (("INPUT0", datatype, shape, contents),))


def log_settings(**values):
    request = pb.LogSettingsRequest()
    for key, value in values.items():
        field = {bool: "bool_param", int: "uint32_param", str: "string_param"}[type(value)]
        setattr(request.settings[key], field, value)
    return "LogSettings", request


def cases():
    two = (("INPUT0", "FP32", [2], f32(1, 2)), ("INPUT1", "FP32", [2], f32(3, 4)))
    eight = (("INPUT0", "FP32", [1, 8], f32(0.5, 3, 1, 7, 2, 6, 5, 4)),)
    four = (("INPUT0", "FP32", [1, 4], f32(1, 2, 3, 4)),)
    text = element(b"a") + element(b"") + element(b"x\xff\0y")
    yield from {
        "live": ("ServerLive", pb.ServerLiveRequest()), "ready": ("ServerReady", pb.ServerReadyRequest()),
        "model_ready": ("ModelReady", pb.ModelReadyRequest(name="id_f32")),
        "model_ready_version": ("ModelReady", pb.ModelReadyRequest(name="versions", version="1")),
        "model_ready_bad_version": ("ModelReady", pb.ModelReadyRequest(name="versions", version="7")),
        "model_ready_word_version": ("ModelReady", pb.ModelReadyRequest(name="versions", version="abc")),
        "model_ready_negative_version": ("ModelReady", pb.ModelReadyRequest(name="versions", version="-1")),
        "model_ready_unknown": ("ModelReady", pb.ModelReadyRequest(name="zzz")),
        "model_ready_empty": ("ModelReady", pb.ModelReadyRequest()),
        "metadata": ("ServerMetadata", pb.ServerMetadataRequest()),
        "model_metadata": ("ModelMetadata", pb.ModelMetadataRequest(name="two")),
        "model_metadata_batched": ("ModelMetadata", pb.ModelMetadataRequest(name="batched")),
        "model_metadata_versions": ("ModelMetadata", pb.ModelMetadataRequest(name="versions")),
        "model_metadata_version": ("ModelMetadata", pb.ModelMetadataRequest(name="versions", version="3")),
        "model_metadata_word_version": ("ModelMetadata", pb.ModelMetadataRequest(name="versions", version="abc")),
        "model_metadata_unknown": ("ModelMetadata", pb.ModelMetadataRequest(name="zzz")),
        "model_config_unknown": ("ModelConfig", pb.ModelConfigRequest(name="zzz")),
        "statistics_unknown": ("ModelStatistics", pb.ModelStatisticsRequest(name="zzz")),
        "index": ("RepositoryIndex", pb.RepositoryIndexRequest()),
        "index_ready": ("RepositoryIndex", pb.RepositoryIndexRequest(ready=True)),
        "index_named": ("RepositoryIndex", pb.RepositoryIndexRequest(repository_name="r")),
        "load_in_mode_none": ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="id_f32")),
        "unload_in_mode_none": ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="id_f32")),
        "shm_status": ("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest()),
        "shm_status_one": ("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest(name="x")),
        "shm_register": ("SystemSharedMemoryRegister", pb.SystemSharedMemoryRegisterRequest(name="x", key="/nokey", byte_size=8)),
        "shm_unregister": ("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(name="x")),
        "cuda_shm_status": ("CudaSharedMemoryStatus", pb.CudaSharedMemoryStatusRequest()),
        "trace": ("TraceSetting", pb.TraceSettingRequest()),
        "logging": log_settings(), "logging_set": log_settings(log_verbose_level=0), "logging_file": log_settings(log_file="x"),
        "logging_bad": log_settings(log_info=1), "logging_unknown": log_settings(nope=True), "logging_format": log_settings(log_format="zz"),
        "infer": infer(), "infer_id": infer(id="abc"), "infer_version": infer("versions", version="3"),
        "infer_bad_version": infer("versions", version="9"), "infer_word_version": infer("versions", version="abc"),
        "infer_unknown_model": infer("zzz"), "infer_no_model": infer(""), "infer_no_inputs": infer(inputs=()),
        "infer_two": infer("two", two), "infer_output": infer("two", two, outputs=["OUTPUT1"]),
        "infer_outputs_order": infer("two", two, outputs=["OUTPUT1", "OUTPUT0"]),
        "infer_unknown_output": infer(outputs=["NOPE"]), "infer_duplicate_output": infer(outputs=["OUTPUT0", "OUTPUT0"]),
        "infer_missing_input": infer("two"), "infer_unknown_input": infer(inputs=(("XX", "FP32", [2], f32(1, 2)),)),
        "infer_duplicate_input": infer(inputs=(("INPUT0", "FP32", [2], f32(1, 2)),) * 2),
        "infer_no_raw": infer(raw=False), "infer_missing_raw": infer("two", two[:1] + (("INPUT1", "FP32", [2], None),)),
        "infer_raw_short": infer(inputs=(("INPUT0", "FP32", [2], b"1234567"),)),
        "infer_raw_long": infer(inputs=(("INPUT0", "FP32", [2], b"123456789"),)),
        "infer_raw_and_contents": (lambda c: (c[1].raw_input_contents.append(f32(1, 2)), c)[1])(typed("id_f32", "FP32", [2], fp32_contents=[1, 2])),
        "infer_wrong_type": infer(inputs=(("INPUT0", "INT32", [2], f32(1, 2)),)),
        "infer_bad_type": infer(inputs=(("INPUT0", "FP33", [2], f32(1, 2)),)),
        "infer_shape_negative": infer(inputs=(("INPUT0", "FP32", [-2], f32(1, 2)),)),
        "infer_shape_empty": infer(inputs=(("INPUT0", "FP32", [], f32(1)),)),
        "infer_wrong_rank": infer("fixed"), "infer_batch_over": infer("batched", (("INPUT0", "FP32", [5, 2], f32(*range(10))),)),
        "infer_batched": infer("batched", (("INPUT0", "FP32", [3, 2], f32(*range(6))),)),
        "infer_batch_zero": infer("batched", (("INPUT0", "FP32", [0, 2], b""),)),
        "infer_contents": typed("id_f32", "FP32", [3], fp32_contents=[0.1, 2, 3]),
        "infer_contents_short": typed("id_f32", "FP32", [3], fp32_contents=[1]),
        "infer_contents_wrong_field": typed("id_f32", "FP32", [3], int_contents=[1, 2, 3]),
        "infer_contents_bool": typed("id_bool", "BOOL", [2], bool_contents=[True, False]),
        "infer_contents_i8": typed("id_i8", "INT8", [2], int_contents=[-128, 127]),
        "infer_contents_u8": typed("id_u8", "UINT8", [2], uint_contents=[255, 0]),
        "infer_contents_i16": typed("id_i16", "INT16", [2], int_contents=[-32768, 32767]),
        "infer_contents_u16": typed("id_u16", "UINT16", [2], uint_contents=[65535, 1]),
        "infer_contents_i32": typed("id_i32", "INT32", [2], int_contents=[-5, 6]),
        "infer_contents_u32": typed("id_u32", "UINT32", [2], uint_contents=[5, 6]),
        "infer_contents_i64": typed("id_i64", "INT64", [2], int64_contents=[-2**63, 6]),
        "infer_contents_u64": typed("id_u64", "UINT64", [2], uint64_contents=[2**64 - 1, 6]),
        "infer_contents_f64": typed("id_f64", "FP64", [2], fp64_contents=[1 / 3, 6]),
        "infer_contents_bytes": typed("id_bytes", "BYTES", [2], bytes_contents=[b"a", b"b\0c"]),
        "infer_contents_f16": typed("id_f16", "FP16", [2], fp32_contents=[1, 2]),
        "infer_bytes": infer("id_bytes", (("INPUT0", "BYTES", [3], text),)),
        "infer_bytes_broken": infer("id_bytes", (("INPUT0", "BYTES", [1], struct.pack("<I", 99) + b"a"),)),
        "infer_f16": infer("id_f16", (("INPUT0", "FP16", [2], b"\0\x3c\0\x40"),)),
        "infer_optional_absent": infer("optional"), "infer_reshaped": infer("reshaped", (("INPUT0", "FP32", [2, 1], f32(1, 2)),)),
        "infer_surplus_raw": (lambda c: (c[1].raw_input_contents.append(b"more"), c)[1])(infer()),
        "infer_response_parameters": infer("parameters"), "infer_parameters": with_parameters(infer(), a=1, b="x", c=True, d=1.5),
        "infer_parameter_reserved": with_parameters(infer(), triton_x=1),
        "infer_parameter_headers": with_parameters(infer(), headers="x"),
        "infer_sequence": with_parameters(infer(), sequence_id=5, sequence_start=True, sequence_end=True),
        "infer_sequence_text": with_parameters(infer(), sequence_id="five"), "infer_sequence_bool": with_parameters(infer(), sequence_id=True),
        "infer_sequence_start_text": with_parameters(infer(), sequence_start="x"),
        "infer_priority": with_parameters(infer("dynamic", four), priority=99),
        "infer_priority_negative": with_parameters(infer("dynamic", four), priority=-1),
        "infer_priority_text": with_parameters(infer("dynamic", four), priority="x"),
        "infer_timeout": with_parameters(infer("dynamic", four), timeout=1000000),
        "infer_timeout_text": with_parameters(infer("dynamic", four), timeout="x"),
        "classify": with_output(infer("labelled", eight), "OUTPUT0", classification=3),
        "classify_text": with_output(infer("labelled", eight), "OUTPUT0", classification="3"),
        "classify_unlabelled": with_output(infer(), "OUTPUT0", classification=1),
        "shm_output": with_output(infer(), "OUTPUT0", shared_memory_region="x", shared_memory_byte_size=8),
    }.items()
    for model in ("id_f32", "batched", "dynamic", "labelled", "parameters", "warm", "reshaped", "versions", "optional"):
        yield f"model_config_{model}", ("ModelConfig", pb.ModelConfigRequest(name=model))


CASES = {f"grpc_{name}": call for name, call in cases()}

# Streams: name -> the messages sent on one ModelStreamInfer call; each reply is compared in order.
STREAMS = {f"stream_{name}": [call[1] for call in calls] for name, calls in {
    "one": [infer(id="1")], "three": [infer(id=str(i)) for i in range(3)],
    "error_between": [infer(id="1"), infer("zzz", id="2"), infer(id="3")],
    "bad_shape": [infer("batched", (("INPUT0", "FP32", [5, 2], f32(*range(10))),), id="9")],
    "empty_final": [with_parameters(infer(id="1"), triton_enable_empty_final_response=True)],
    "nothing": [],
}.items()}
