# SPDX-License-Identifier: Apache-2.0
"""The HTTP requests of the differential suite: name -> (method, path, headers, body).

A case is sent to both servers as it stands. Names are stable: the table of differences refers to them.
"""

import gzip
import json
import struct
import zlib


def tensor(name="INPUT0", shape=(2,), datatype="FP32", data=None, **parameters):
    one = {"name": name, "shape": list(shape), "datatype": datatype}
    if data is not None:
        one["data"] = data
    if parameters:
        one["parameters"] = parameters
    return one


def infer(model, *inputs, version=None, **more):
    path = f"/v2/models/{model}" + (f"/versions/{version}" if version is not None else "") + "/infer"
    return ("POST", path, {}, json.dumps({"inputs": list(inputs), **more}).encode())


def raw_json(model, text, headers=None):
    return ("POST", f"/v2/models/{model}/infer", headers or {}, text if isinstance(text, bytes) else text.encode())


def binary(model, request, blobs, length=None, headers=None, path=None):
    head = json.dumps(request).encode()
    count = len(head) if length is None else length
    return ("POST", path or f"/v2/models/{model}/infer",
            {"Inference-Header-Content-Length": str(count), **(headers or {})}, head + blobs)


F = struct.pack


def f32(*values):
    return F(f"<{len(values)}f", *values)


def element(text):
    return F("<I", len(text)) + text


def service_cases():
    get = lambda path, **headers: ("GET", path, headers, None)  # noqa: E731
    post = lambda path, body=b"", **headers: ("POST", path, headers, body)  # noqa: E731
    return {
        "live": get("/v2/health/live"), "ready": get("/v2/health/ready"), "live_post": post("/v2/health/live"),
        "live_slash": get("/v2/health/live/"), "health": get("/v2/health"), "root": get("/"), "v2": get("/v2"),
        "v2_slash": get("/v2/"), "v2_post": post("/v2"), "v2_query": get("/v2?x=1"), "live_query": get("/v2/health/live?x"),
        "v2_delete": ("DELETE", "/v2", {}, None), "v2_put": ("PUT", "/v2", {}, b"x"), "v2_head": ("HEAD", "/v2", {}, None),
        "v2_options": ("OPTIONS", "/v2", {}, None), "unknown_route": get("/nothing/here"),
        "unknown_method_route": ("PATCH", "/v2/models/id_f32/infer", {}, b""),
        "metadata": get("/v2/models/id_f32"), "metadata_slash": get("/v2/models/id_f32/"),
        "metadata_batched": get("/v2/models/batched"), "metadata_versions": get("/v2/models/versions"),
        "metadata_version": get("/v2/models/versions/versions/3"), "metadata_bad_version": get("/v2/models/versions/versions/9"),
        "metadata_word_version": get("/v2/models/versions/versions/abc"), "metadata_unknown": get("/v2/models/zzz"),
        "metadata_escaped": get("/v2/models/id%5ff32"), "metadata_post": post("/v2/models/id_f32"),
        "metadata_reshaped": get("/v2/models/reshaped"), "metadata_bytes": get("/v2/models/id_bytes"),
        "metadata_optional": get("/v2/models/optional"), "metadata_bf16": get("/v2/models/id_bf16"),
        "metadata_version_zero": get("/v2/models/id_f32/versions/0"),
        "metadata_version_leading_zero": get("/v2/models/id_f32/versions/01"),
        "metadata_version_huge": get("/v2/models/id_f32/versions/99999999999999999999"),
        "model_ready": get("/v2/models/id_f32/ready"), "model_ready_version": get("/v2/models/versions/versions/1/ready"),
        "model_ready_bad_version": get("/v2/models/versions/versions/7/ready"), "model_ready_unknown": get("/v2/models/zzz/ready"),
        "config": get("/v2/models/id_f32/config"), "config_batched": get("/v2/models/batched/config"),
        "config_dynamic": get("/v2/models/dynamic/config"), "config_labelled": get("/v2/models/labelled/config"),
        "config_parameters": get("/v2/models/parameters/config"), "config_warm": get("/v2/models/warm/config"),
        "config_versions": get("/v2/models/versions/config"), "config_reshaped": get("/v2/models/reshaped/config"),
        "config_version": get("/v2/models/versions/versions/3/config"), "config_unknown": get("/v2/models/zzz/config"),
        "config_post": post("/v2/models/id_f32/config"),
        "stats": get("/v2/models/two/stats"), "stats_unknown": get("/v2/models/zzz/stats"),
        "stats_version": get("/v2/models/versions/versions/3/stats"), "stats_bad_version": get("/v2/models/versions/versions/9/stats"),
        "index": post("/v2/repository/index"), "index_ready": post("/v2/repository/index", b'{"ready":true}'),
        "index_not_ready": post("/v2/repository/index", b'{"ready":false}'), "index_get": get("/v2/repository/index"),
        "index_bad_json": post("/v2/repository/index", b"{"), "index_bad_ready": post("/v2/repository/index", b'{"ready":1}'),
        "index_named": post("/v2/repository/r/index"),
        "load_in_mode_none": post("/v2/repository/models/id_f32/load"),
        "unload_in_mode_none": post("/v2/repository/models/id_f32/unload"),
        "load_named_repository": post("/v2/repository/r/models/id_f32/load"),
        "load_get": get("/v2/repository/models/id_f32/load"),
        "logging": get("/v2/logging"), "logging_set": post("/v2/logging", b'{"log_verbose_level":0}'),
        "logging_file": post("/v2/logging", b'{"log_file":"x"}'), "logging_bad": post("/v2/logging", b'{"log_info":1}'),
        "logging_unknown": post("/v2/logging", b'{"nope":true}'), "logging_format": post("/v2/logging", b'{"log_format":"zz"}'),
        "logging_bad_json": post("/v2/logging", b"["), "logging_bad_level": post("/v2/logging", b'{"log_verbose_level":-1}'),
        "logging_empty": post("/v2/logging", b""), "logging_put": ("PUT", "/v2/logging", {}, b"{}"),
        "shm_status": get("/v2/systemsharedmemory/status"), "shm_status_one": get("/v2/systemsharedmemory/region/x/status"),
        "shm_register": post("/v2/systemsharedmemory/region/x/register", b'{"key":"/nokey","offset":0,"byte_size":8}'),
        "shm_unregister": post("/v2/systemsharedmemory/region/x/unregister"),
        "shm_unregister_all": post("/v2/systemsharedmemory/unregister"),
        "cuda_shm_status": get("/v2/cudasharedmemory/status"),
        "cuda_shm_register": post("/v2/cudasharedmemory/region/x/register", b'{"raw_handle":{"b64":"AAAA"},"device_id":0,"byte_size":8}'),
        "trace": get("/v2/trace/setting"), "trace_model": get("/v2/models/id_f32/trace/setting"),
    }


def infer_cases():
    ok = tensor(data=[1.0, 2.5])
    cases = {
        "infer": infer("id_f32", ok), "infer_version": infer("versions", ok, version=3),
        "infer_bad_version": infer("versions", ok, version=9), "infer_unknown_model": infer("zzz", ok),
        "infer_get": ("GET", "/v2/models/id_f32/infer", {}, None),
        "infer_id": infer("id_f32", ok, id="abc"), "infer_empty_id": infer("id_f32", ok, id=""),
        "infer_id_number": infer("id_f32", ok, id=5), "infer_id_escapes": infer("id_f32", ok, id='q"\\\n\u00e9'),
        "infer_nested": infer("fixed", tensor(shape=(2, 3), data=[[1, 2, 3], [4, 5, 6]])),
        "infer_flat": infer("fixed", tensor(shape=(2, 3), data=[1, 2, 3, 4, 5, 6])),
        "infer_odd_nesting": infer("fixed", tensor(shape=(2, 3), data=[[1, 2], [3, [4, 5, 6]]])),
        "infer_too_few": infer("id_f32", tensor(shape=(3,), data=[1, 2])),
        "infer_too_many": infer("id_f32", tensor(shape=(2,), data=[1, 2, 3])),
        "infer_no_data": infer("id_f32", tensor()), "infer_data_scalar": infer("id_f32", tensor(data=5)),
        "infer_data_null": raw_json("id_f32", '{"inputs":[{"name":"INPUT0","shape":[2],"datatype":"FP32","data":null}]}'),
        "infer_no_inputs": raw_json("id_f32", "{}"), "infer_inputs_empty": infer("id_f32"),
        "infer_inputs_object": raw_json("id_f32", '{"inputs":{}}'), "infer_inputs_null": raw_json("id_f32", '{"inputs":null}'),
        "infer_empty_body": raw_json("id_f32", ""), "infer_not_json": raw_json("id_f32", "hello"),
        "infer_truncated": raw_json("id_f32", '{"inputs":[{"name":"INPUT0"'), "infer_array": raw_json("id_f32", "[1]"),
        "infer_truncated_array": raw_json("id_f32", '{"inputs":[1'), "infer_no_colon": raw_json("id_f32", '{"inputs" 1}'),
        "infer_no_comma": raw_json("id_f32", '{"a":[1 2]}'), "infer_no_name": raw_json("id_f32", '{1:2}'),
        "infer_bad_escape": raw_json("id_f32", '{"a":"\\x"}'), "infer_bad_hex": raw_json("id_f32", '{"a":"\\u12g4"}'),
        "infer_no_quote": raw_json("id_f32", '{"a":"b'), "infer_bad_number": raw_json("id_f32", '{"a":1.}'),
        "infer_bad_exponent": raw_json("id_f32", '{"a":1e}'), "infer_half_surrogate": raw_json("id_f32", '{"a":"\\ud800"}'),
        "infer_trailing_comma": raw_json("id_f32", '{"inputs":[],}'), "infer_control_character": raw_json("id_f32", b'{"a":"\x01"}'),
        "infer_spaces": raw_json("id_f32", "   "), "infer_bom": raw_json("id_f32", b"\xef\xbb\xbf{}"),
        "infer_trailing": raw_json("id_f32", '{"inputs":[]} x'), "infer_number": raw_json("id_f32", "5"),
        "infer_name_missing": raw_json("id_f32", '{"inputs":[{"shape":[2],"datatype":"FP32","data":[1,2]}]}'),
        "infer_shape_missing": raw_json("id_f32", '{"inputs":[{"name":"INPUT0","datatype":"FP32","data":[1,2]}]}'),
        "infer_type_missing": raw_json("id_f32", '{"inputs":[{"name":"INPUT0","shape":[2],"data":[1,2]}]}'),
        "infer_shape_negative": infer("id_f32", tensor(shape=(-2,), data=[1, 2])),
        "infer_shape_text": raw_json("id_f32", '{"inputs":[{"name":"INPUT0","shape":["2"],"datatype":"FP32","data":[1,2]}]}'),
        "infer_shape_empty": infer("id_f32", tensor(shape=(), data=[1])),
        "infer_shape_zero": infer("id_f32", tensor(shape=(0,), data=[])),
        "infer_shape_float": raw_json("id_f32", '{"inputs":[{"name":"INPUT0","shape":[2.0],"datatype":"FP32","data":[1,2]}]}'),
        "infer_shape_huge": infer("id_f32", tensor(shape=(1 << 62, 4), data=[1])),
        "infer_wrong_rank": infer("fixed", tensor(shape=(6,), data=[1, 2, 3, 4, 5, 6])),
        "infer_wrong_dims": infer("fixed", tensor(shape=(3, 2), data=[1, 2, 3, 4, 5, 6])),
        "infer_bad_type_name": infer("id_f32", tensor(datatype="FP33", data=[1, 2])),
        "infer_wrong_type": infer("id_f32", tensor(datatype="INT32", data=[1, 2])),
        "infer_unknown_input": infer("id_f32", tensor(name="XX", data=[1, 2])),
        "infer_extra_input": infer("id_f32", ok, tensor(name="INPUT1", data=[1, 2])),
        "infer_missing_input": infer("two", ok), "infer_duplicate_input": infer("id_f32", ok, ok),
        "infer_two_inputs": infer("two", ok, tensor(name="INPUT1", data=[3, 4])),
        "infer_two_inputs_reversed": infer("two", tensor(name="INPUT1", data=[3, 4]), ok),
        "infer_optional_absent": infer("optional", ok), "infer_optional_given": infer("optional", ok, tensor(name="INPUT1", data=[3, 4])),
        "infer_optional_only": infer("optional", tensor(name="INPUT1", data=[3, 4])),
        "infer_output": infer("two", ok, tensor(name="INPUT1", data=[3, 4]), outputs=[{"name": "OUTPUT1"}]),
        "infer_outputs_order": infer("two", ok, tensor(name="INPUT1", data=[3, 4]), outputs=[{"name": "OUTPUT1"}, {"name": "OUTPUT0"}]),
        "infer_outputs_empty": infer("id_f32", ok, outputs=[]), "infer_unknown_output": infer("id_f32", ok, outputs=[{"name": "NOPE"}]),
        "infer_duplicate_output": infer("id_f32", ok, outputs=[{"name": "OUTPUT0"}, {"name": "OUTPUT0"}]),
        "infer_output_and_input_wrong": infer("id_f32", tensor(name="XX", data=[1, 2]), outputs=[{"name": "NOPE"}]),
        "infer_outputs_object": infer("id_f32", ok, outputs={}), "infer_output_no_name": infer("id_f32", ok, outputs=[{}]),
        "infer_nan": raw_json("id_f32", '{"inputs":[{"name":"INPUT0","shape":[4],"datatype":"FP32","data":[NaN,Infinity,-Infinity,Inf]}]}'),
        "infer_floats": infer("id_f32", tensor(shape=(9,), data=[0.1, 1e20, 1e-20, 3.4e38, 1e-45, 16777217, 0.30000001, 1e10, -0.0])),
        "infer_f32_overflow": raw_json("id_f32", '{"inputs":[{"name":"INPUT0","shape":[1],"datatype":"FP32","data":[1e39]}]}'),
        "infer_f64": infer("id_f64", tensor(shape=(6,), datatype="FP64", data=[0.1, 1e300, 5e-324, 1 / 3, 1e21, 123456789.125])),
        "infer_f64_too_big": raw_json("id_f64", '{"inputs":[{"name":"INPUT0","shape":[1],"datatype":"FP64","data":[1e400]}]}'),
        "infer_float_text": infer("id_f32", tensor(data=["1", "2"])), "infer_float_bool": infer("id_f32", tensor(data=[True, False])),
        "infer_bool": infer("id_bool", tensor(datatype="BOOL", data=[True, False])),
        "infer_bool_number": infer("id_bool", tensor(datatype="BOOL", data=[1, 0])),
        "infer_u64_max": infer("id_u64", tensor(datatype="UINT64", data=[2**64 - 1, 0])),
        "infer_u64_negative": infer("id_u64", tensor(datatype="UINT64", data=[-1, 0])),
        "infer_u64_float": infer("id_u64", tensor(datatype="UINT64", data=[1.5, 0])),
        "infer_i64_min": infer("id_i64", tensor(datatype="INT64", data=[-2**63, 2**63 - 1])),
        "infer_i64_big": infer("id_i64", tensor(datatype="INT64", data=[2**63, 0])),
        "infer_i8_wrap": infer("id_i8", tensor(datatype="INT8", data=[300, -129])),
        "infer_u8_wrap": infer("id_u8", tensor(datatype="UINT8", data=[300, 255])),
        "infer_u8_negative": infer("id_u8", tensor(datatype="UINT8", data=[-1, 255])),
        "infer_i16": infer("id_i16", tensor(datatype="INT16", data=[-32768, 32767])),
        "infer_u16": infer("id_u16", tensor(datatype="UINT16", data=[65535, 0])),
        "infer_i32": infer("id_i32", tensor(datatype="INT32", data=[-2**31, 2**31 - 1])),
        "infer_u32": infer("id_u32", tensor(datatype="UINT32", data=[2**32 - 1, 0])),
        "infer_bytes": infer("id_bytes", tensor(shape=(3,), datatype="BYTES", data=["a", "", "x\u00e9\n\"y"])),
        "infer_bytes_number": infer("id_bytes", tensor(shape=(1,), datatype="BYTES", data=[5])),
        "infer_f16_json": infer("id_f16", tensor(datatype="FP16", data=[1, 2])),
        "infer_bf16_json": infer("id_bf16", tensor(datatype="BF16", data=[1, 2])),
        "infer_batched": infer("batched", tensor(shape=(3, 2), data=[1, 2, 3, 4, 5, 6])),
        "infer_batch_missing": infer("batched", tensor(shape=(2,), data=[1, 2])),
        "infer_batch_over": infer("batched", tensor(shape=(5, 2), data=[0] * 10)),
        "infer_batch_over_id": infer("batched", tensor(shape=(5, 2), data=[0] * 10), id="my-id"),
        "infer_batch_zero": infer("batched", tensor(shape=(0, 2), data=[])),
        "infer_batch_wrong_dim": infer("batched", tensor(shape=(1, 3), data=[1, 2, 3])),
        "infer_reshaped": infer("reshaped", tensor(shape=(2, 1), data=[1, 2])),
        "infer_warm": infer("warm", tensor(shape=(1, 4), data=[1, 2, 3, 4])),
        "infer_dynamic": infer("dynamic", tensor(shape=(1, 4), data=[1, 2, 3, 4])),
        "infer_response_parameters": infer("parameters", ok),
        "infer_parameters": infer("id_f32", ok, parameters={"a": 1, "b": "x", "c": True, "d": 1.5}),
        "infer_parameter_null": infer("id_f32", ok, parameters={"n": None}),
        "infer_parameter_array": infer("id_f32", ok, parameters={"n": [1]}),
        "infer_parameter_reserved": infer("id_f32", ok, parameters={"triton_x": 1}),
        "infer_parameters_array": infer("id_f32", ok, parameters=[]),
        "infer_sequence": infer("id_f32", ok, parameters={"sequence_id": 5, "sequence_start": True, "sequence_end": True}),
        "infer_sequence_text": infer("id_f32", ok, parameters={"sequence_id": "five", "sequence_start": True}),
        "infer_sequence_negative": infer("id_f32", ok, parameters={"sequence_id": -1}),
        "infer_sequence_start_number": infer("id_f32", ok, parameters={"sequence_id": 1, "sequence_start": 1}),
        "infer_priority": infer("dynamic", tensor(shape=(1, 4), data=[1, 2, 3, 4]), parameters={"priority": 99}),
        "infer_priority_text": infer("dynamic", tensor(shape=(1, 4), data=[1, 2, 3, 4]), parameters={"priority": "x"}),
        "infer_priority_negative": infer("dynamic", tensor(shape=(1, 4), data=[1, 2, 3, 4]), parameters={"priority": -1}),
        "infer_timeout": infer("dynamic", tensor(shape=(1, 4), data=[1, 2, 3, 4]), parameters={"timeout": 1000000}),
        "classify": infer("labelled", tensor(shape=(1, 8), data=[0.5, 3, 1, 7, 2, 6, 5, 4]), outputs=[{"name": "OUTPUT0", "parameters": {"classification": 3}}]),
        "classify_batch": infer("labelled", tensor(shape=(2, 8), data=list(range(16))), outputs=[{"name": "OUTPUT0", "parameters": {"classification": 2}}]),
        "classify_many": infer("labelled", tensor(shape=(1, 8), data=list(range(8))), outputs=[{"name": "OUTPUT0", "parameters": {"classification": 99}}]),
        "classify_zero": infer("labelled", tensor(shape=(1, 8), data=list(range(8))), outputs=[{"name": "OUTPUT0", "parameters": {"classification": 0}}]),
        "classify_unlabelled": infer("id_f32", tensor(shape=(4,), data=[1, 4, 2, 3]), outputs=[{"name": "OUTPUT0", "parameters": {"classification": 2}}]),
        "classify_bytes": infer("id_bytes", tensor(shape=(1,), datatype="BYTES", data=["a"]), outputs=[{"name": "OUTPUT0", "parameters": {"classification": 1}}]),
        "classify_binary": infer("labelled", tensor(shape=(1, 8), data=list(range(8))), outputs=[{"name": "OUTPUT0", "parameters": {"classification": 1, "binary_data": True}}]),
        "shm_unknown_region": infer("id_f32", tensor(shared_memory_region="x", shared_memory_byte_size=8)),
        "shm_output_unknown_region": infer("id_f32", ok, outputs=[{"name": "OUTPUT0", "parameters": {"shared_memory_region": "x", "shared_memory_byte_size": 8}}]),
        "deep_json": raw_json("id_f32", '{"inputs":[{"name":"INPUT0","shape":[1],"datatype":"FP32","data":' + "[" * 150 + "1" + "]" * 150 + "}]}"),
        "invalid_utf8": raw_json("id_f32", b'{"id":"\xff","inputs":[{"name":"INPUT0","shape":[1],"datatype":"FP32","data":[1]}]}'),
        "unicode_escape": raw_json("id_f32", '{"id":"\\u00e9\\ud83d\\ude00","inputs":[{"name":"INPUT0","shape":[1],"datatype":"FP32","data":[1]}]}'),
    }
    return cases


def binary_cases():
    def request(*inputs, **more):
        return {"inputs": list(inputs), **more}
    two = tensor(binary_data_size=8)
    data = f32(1, 2.5)
    out = {"name": "OUTPUT0", "parameters": {"binary_data": True}}
    text = element(b"a") + element(b"") + element(b"x\xff\0y")
    body = json.dumps(request(tensor(data=[1, 2]))).encode()
    return {
        "binary": binary("id_f32", request(two, outputs=[out]), data), "binary_in": binary("id_f32", request(two), data),
        "binary_out": ("POST", "/v2/models/id_f32/infer", {}, json.dumps(request(tensor(data=[1, 2]), outputs=[out])).encode()),
        "binary_out_default": ("POST", "/v2/models/two/infer", {}, json.dumps(request(tensor(data=[1, 2]), tensor(name="INPUT1", data=[3, 4]), parameters={"binary_data_output": True})).encode()),
        "binary_out_mixed": ("POST", "/v2/models/two/infer", {}, json.dumps(request(tensor(data=[1, 2]), tensor(name="INPUT1", data=[3, 4]), outputs=[out, {"name": "OUTPUT1"}])).encode()),
        "binary_out_default_listed": ("POST", "/v2/models/two/infer", {}, json.dumps(request(tensor(data=[1, 2]), tensor(name="INPUT1", data=[3, 4]), parameters={"binary_data_output": True}, outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": False}}, {"name": "OUTPUT1"}])).encode()),
        "binary_mixed": binary("two", request(tensor(data=[1, 2]), tensor(name="INPUT1", binary_data_size=8), outputs=[out, {"name": "OUTPUT1"}]), data),
        "binary_two": binary("two", request(two, tensor(name="INPUT1", binary_data_size=8), parameters={"binary_data_output": True}), f32(1, 2, 3, 4)),
        "binary_f16": binary("id_f16", request(tensor(datatype="FP16", binary_data_size=4), outputs=[out]), b"\0\x3c\0\x40"),
        "binary_f16_json_out": binary("id_f16", request(tensor(datatype="FP16", binary_data_size=4)), b"\0\x3c\0\x40"),
        "binary_bf16": binary("id_bf16", request(tensor(datatype="BF16", binary_data_size=4), outputs=[out]), b"\x80\x3f\0\x40"),
        "binary_bytes": binary("id_bytes", request(tensor(shape=(3,), datatype="BYTES", binary_data_size=len(text)), outputs=[out]), text),
        "binary_bytes_json_out": binary("id_bytes", request(tensor(shape=(2,), datatype="BYTES", binary_data_size=10)), element(b"a") + element(b"b")),
        "binary_bytes_few": binary("id_bytes", request(tensor(shape=(3,), datatype="BYTES", binary_data_size=10)), element(b"a") + element(b"b")),
        "binary_bytes_many": binary("id_bytes", request(tensor(shape=(1,), datatype="BYTES", binary_data_size=10)), element(b"a") + element(b"b")),
        "binary_bytes_cut": binary("id_bytes", request(tensor(shape=(1,), datatype="BYTES", binary_data_size=3)), b"\1\0\0"),
        "binary_bytes_overrun": binary("id_bytes", request(tensor(shape=(1,), datatype="BYTES", binary_data_size=5)), F("<I", 99) + b"a"),
        "binary_short": binary("id_f32", request(tensor(binary_data_size=8)), data[:6]),
        "binary_long": binary("id_f32", request(two), data + b"xx"),
        "binary_size_wrong": binary("id_f32", request(tensor(shape=(3,), binary_data_size=8)), data),
        "binary_size_text": binary("id_f32", request(tensor(binary_data_size="8")), data),
        "binary_size_negative": binary("id_f32", request(tensor(binary_data_size=-8)), data),
        "binary_and_data": binary("id_f32", request(tensor(data=[1, 2], binary_data_size=8)), data),
        "binary_length_over": binary("id_f32", request(two), data, length=9999),
        "binary_length_text": binary("id_f32", request(two), data, headers={"Inference-Header-Content-Length": "x"}),
        "binary_length_negative": binary("id_f32", request(two), data, headers={"Inference-Header-Content-Length": "-5"}),
        "binary_no_header": ("POST", "/v2/models/id_f32/infer", {}, json.dumps(request(two)).encode() + data),
        "binary_bool": binary("id_bool", request(tensor(datatype="BOOL", binary_data_size=2), outputs=[out]), b"\1\0"),
        "binary_empty": binary("id_f32", request(tensor(shape=(0,), binary_data_size=0), outputs=[out]), b""),
        "raw": ("POST", "/v2/models/id_f32/infer", {"Inference-Header-Content-Length": "0"}, data),
        "raw_bytes": ("POST", "/v2/models/id_bytes/infer", {"Inference-Header-Content-Length": "0"}, b"hello"),
        "raw_two_inputs": ("POST", "/v2/models/two/infer", {"Inference-Header-Content-Length": "0"}, data),
        "raw_odd_size": ("POST", "/v2/models/id_f32/infer", {"Inference-Header-Content-Length": "0"}, b"12345"),
        "raw_batched": ("POST", "/v2/models/batched/infer", {"Inference-Header-Content-Length": "0"}, data),
        "raw_fixed_wrong": ("POST", "/v2/models/fixed/infer", {"Inference-Header-Content-Length": "0"}, data),
        "gzip_request": ("POST", "/v2/models/id_f32/infer", {"Content-Encoding": "gzip"}, gzip.compress(body, mtime=0)),
        "deflate_request": ("POST", "/v2/models/id_f32/infer", {"Content-Encoding": "deflate"}, zlib.compress(body)),
        "br_request": ("POST", "/v2/models/id_f32/infer", {"Content-Encoding": "br"}, body),
        "gzip_broken": ("POST", "/v2/models/id_f32/infer", {"Content-Encoding": "gzip"}, b"not gzip"),
        "gzip_reply": ("POST", "/v2/models/id_f32/infer", {"Accept-Encoding": "gzip"}, body),
        "deflate_reply": ("POST", "/v2/models/id_f32/infer", {"Accept-Encoding": "deflate"}, body),
        "weighted_reply": ("POST", "/v2/models/id_f32/infer", {"Accept-Encoding": "gzip;q=0.5, deflate;q=0.8"}, body),
        "identity_reply": ("POST", "/v2/models/id_f32/infer", {"Accept-Encoding": "identity"}, body),
        "any_reply": ("POST", "/v2/models/id_f32/infer", {"Accept-Encoding": "*"}, body),
        "br_reply": ("POST", "/v2/models/id_f32/infer", {"Accept-Encoding": "br"}, body),
        "gzip_binary": ("POST", "/v2/models/id_f32/infer",
                        {"Content-Encoding": "gzip", "Inference-Header-Content-Length": str(len(json.dumps(request(two)).encode()))},
                        gzip.compress(json.dumps(request(two)).encode() + data, mtime=0)),
        "json_content_type": ("POST", "/v2/models/id_f32/infer", {"Content-Type": "text/nonsense"}, body),
        "generate_get": ("GET", "/v2/models/id_f32/generate", {}, None),
        "generate": ("POST", "/v2/models/id_bytes/generate", {}, b'{"INPUT0":"hello"}'),
        "generate_stream": ("POST", "/v2/models/id_bytes/generate_stream", {}, b'{"INPUT0":"hello"}'),
        "generate_unknown": ("POST", "/v2/models/zzz/generate", {}, b'{"INPUT0":"hello"}'),
        "generate_bad_json": ("POST", "/v2/models/id_bytes/generate", {}, b'{'),
        "generate_missing": ("POST", "/v2/models/id_bytes/generate", {}, b'{}'),
    }


CASES = {**service_cases(), **infer_cases(), **binary_cases()}

# What ends the peer's process (seen: SIGFPE); sent to Nereid alone, with the reply that it gives.
DEADLY = {
    "classify_bytes": (400, b"class result not available for output due to unsupported type 'BYTES'"),
}
