# SPDX-License-Identifier: Apache-2.0
"""Configurations, good and bad, that both servers read in test_config_vs_peer.py.

TEXTS are whole config.pbtxt files; SYNTAX are files that no reader may accept; OVERRIDES are JSON of a load request;
DIRECTORIES are (configuration or None, files) for guessing the backend. "@IO@" stands for a plain pair of tensors, and
"fake" is a backend that completes nothing. Left out is what Triton 2.73 does otherwise than the peer: the file name that
goes with pytorch_libtorch (2.73 leaves it empty), and fields that the peer does not have.
"""

IO = ('input { name: "A" data_type: TYPE_FP32 dims: [ 4 ] } '
      'output { name: "B" data_type: TYPE_FP32 dims: [ 4 ] } ')
JSON_IO = ('"backend":"fake","input":[{"name":"A","data_type":"TYPE_FP32","dims":["4"]}],'
           '"output":[{"name":"B","data_type":"TYPE_FP32","dims":[4]}]')


def fake(extra, io=IO, batch=4):
    return f'backend: "fake" max_batch_size: {batch} {io}{extra}\n'


def tensors(first="", second="", batch=0):
    return fake("", f'input {{ {first or chr(110) + "ame: " + chr(34) + "A" + chr(34) + " data_type: TYPE_FP32 dims: 4"} }} '
                    f'output {{ {second or "name: " + chr(34) + "B" + chr(34) + " data_type: TYPE_FP32 dims: 4"} }}', batch)


def sequence(extra):
    return fake("sequence_batching { " + extra + " }")


def control(body, name="C"):
    return f'control_input {{ name: "{name}" control {{ {body} }} }}'


def ensemble(steps, io='input { name: "I" data_type: TYPE_FP32 dims: 1 } output { name: "O" data_type: TYPE_FP32 dims: 1 }',
             extra=""):
    return f'platform: "ensemble" {io} {extra} ensemble_scheduling {{ {steps} }}\n'


def step(model, inputs, outputs):
    text = f'step {{ model_name: "{model}" model_version: -1 '
    text += "".join(f'input_map {{ key: "{k}" value: "{v}" }} ' for k, v in inputs.items())
    text += "".join(f'output_map {{ key: "{k}" value: "{v}" }} ' for k, v in outputs.items())
    return text + "} "


TEXTS = [
    fake(""),
    fake("", batch=0),
    fake("max_batch_size: 4", batch=0),
    fake("", batch=-1),
    # the form
    'backend: "fake" # a comment\n' + IO.replace("{", "<").replace("}", ">"),
    'backend:"fake",input:[{name:\'A\' data_type:TYPE_FP32;dims:[1,2],dims:3},{name:"A2" data_type:11 dims:[0x10,010]}]'
    'output<name:"B" data_type:10 dims:[1]>;',
    fake('parameters { key: "a" value { string_value: "x\\n\\t\\"\\\\\\101\\x41\\u00e9" "joined" } }'),
    fake('parameters [ { key: "z" value { string_value: "1" } }, { key: "a" }, { key: "z" value { string_value: "2" } } ]'),
    fake('metric_tags { key: "k" value: "v" } metric_tags { value: "no key" }'),
    fake('cc_model_filenames { key: "7.0" value: "x" }'),
    # version policy
    fake("version_policy { latest { num_versions: 3 } }"),
    fake("version_policy: { latest: { num_versions: 2 } }"),
    fake("version_policy: { all {} }"),
    fake("version_policy: { specific { versions: [ 1 ] } }"),
    fake("version_policy: { }"),
    # inputs and outputs
    tensors('data_type: TYPE_FP32 dims: 4'),
    tensors('name: "A" dims: 4'),
    tensors('name: "A" data_type: TYPE_FP32'),
    tensors('name: "A" data_type: TYPE_FP32 dims: 0'),
    tensors('name: "A" data_type: TYPE_FP32 dims: -2'),
    tensors('name: "A" data_type: TYPE_FP32 dims: -1'),
    tensors('name: "A" data_type: TYPE_BF16 dims: -1'),
    tensors('name: "A" data_type: 77 dims: 4'),
    tensors('name: "A" data_type: TYPE_FP32 dims: 4 reshape { shape: [2, 2] }'),
    tensors('name: "A" data_type: TYPE_FP32 dims: 4 reshape { shape: [2, 3] }'),
    tensors('name: "A" data_type: TYPE_FP32 dims: 4 reshape { shape: [0] }'),
    tensors('name: "A" data_type: TYPE_FP32 dims: 4 reshape { shape: [] }'),
    tensors('name: "A" data_type: TYPE_FP32 dims: 1 reshape { shape: [] }', batch=1),
    tensors('name: "A" data_type: TYPE_FP32 dims: 4 reshape { shape: [] }', batch=1),
    tensors('name: "A" data_type: TYPE_FP32 dims: [2, 4, -1, 6] reshape { shape: [8, -1, 1, 6] }'),
    tensors('name: "A" data_type: TYPE_FP32 dims: [2, 4, -1, 6] reshape { shape: [8, -1, 1, 5] }'),
    tensors('name: "A" data_type: TYPE_FP32 dims: [2, -1, -1] reshape { shape: [-1, 2] }'),
    tensors('name: "A" data_type: TYPE_FP32 dims: [2, -1] reshape { shape: [2] }'),
    tensors('name: "A" data_type: TYPE_FP32 format: FORMAT_NHWC dims: [1, 2]'),
    tensors('name: "A" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [3, 1, 2]'),
    tensors('name: "A" data_type: TYPE_FP32 is_shape_tensor: true dims: 2'),
    tensors('name: "A" data_type: TYPE_FP32 is_non_linear_format_io: true dims: [1, 2, 3]'),
    tensors('name: "A" data_type: TYPE_FP32 dims: 2 optional: true allow_ragged_batch: true'),
    tensors(second='name: "B" data_type: TYPE_FP32 dims: 0'),
    tensors(second='name: "B" dims: 1'),
    tensors(second='data_type: TYPE_FP32 dims: 1'),
    tensors(second='name: "B" data_type: TYPE_FP32'),
    tensors(second='name: "B" data_type: TYPE_FP32 dims: 4 reshape { shape: 3 }'),
    tensors(second='name: "B" data_type: TYPE_FP32 dims: 4 is_shape_tensor: true'),
    # batch inputs and outputs
    fake('batch_input { kind: BATCH_ITEM_SHAPE data_type: TYPE_FP32 source_input: "A" target_name: "t" }'),
    fake('batch_input { kind: BATCH_ELEMENT_COUNT data_type: TYPE_FP32 target_name: "t" }'),
    fake('batch_input { kind: BATCH_ACCUMULATED_ELEMENT_COUNT data_type: TYPE_INT64 source_input: "A" }'),
    fake('batch_input { kind: BATCH_ITEM_SHAPE_FLATTEN data_type: TYPE_INT32 source_input: "Z" }'),
    fake('batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "A" target_name: "B" }'),
    fake('batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "B" }'),
    fake('batch_output { source_input: "Z" target_name: "B" }'),
    fake('batch_output { source_input: "A" target_name: "Z" }'),
    fake('batch_output { source_input: "A" target_name: [ "B", "B" ] }'),
    # dynamic batching
    fake("dynamic_batching { }"),
    fake("dynamic_batching { }", batch=0),
    fake("dynamic_batching { preferred_batch_size: [ 2, 4 ] max_queue_delay_microseconds: 100 preserve_ordering: true }"),
    fake("dynamic_batching { preferred_batch_size: 0 }"),
    fake("dynamic_batching { preferred_batch_size: 5 }"),
    fake("dynamic_batching { priority_levels: 2 }"),
    fake("dynamic_batching { priority_levels: 2 default_priority_level: 3 }"),
    fake("dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 3 } }"),
    fake("dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 0 } }"),
    fake("dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 2 value { max_queue_size: "
         "7 } } default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5 allow_timeout_override: true } }"),
    fake("dynamic_batching { preserve_ordering: true priority_levels: 2 default_priority_level: 1 }"),
    fake("dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY "
         "default_timeout_microseconds: 5 } }"),
    fake("dynamic_batching { preserve_ordering: true priority_levels: 1 default_priority_level: 1 priority_queue_policy { key: 1 "
         "value { timeout_action: DELAY default_timeout_microseconds: 5 } } }"),
    # sequence batching
    sequence(""),
    sequence("direct { minimum_slot_utilization: 0.1 max_queue_delay_microseconds: 9 }"),
    sequence("direct { minimum_slot_utilization: 1.1 }"),
    sequence("direct { minimum_slot_utilization: -0.5 }"),
    sequence("oldest { max_candidate_sequences: 4 }"),
    sequence("oldest { max_candidate_sequences: 4 preferred_batch_size: [ 2, 9 ] }"),
    sequence("oldest { max_candidate_sequences: 4 preferred_batch_size: 0 }"),
    sequence("max_sequence_idle_microseconds: 5 iterative_sequence: true"),
    sequence(control("kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ]")),
    sequence(control("kind: CONTROL_SEQUENCE_END fp32_false_true: [ 0.5, 1.25 ]")),
    sequence(control("kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ]")),
    sequence(control("kind: CONTROL_SEQUENCE_START")),
    sequence(control("kind: CONTROL_SEQUENCE_START int32_false_true: [ 0 ]")),
    sequence(control("kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1, 2 ]")),
    sequence(control("kind: CONTROL_SEQUENCE_START bool_false_true: [ true ]")),
    sequence(control("kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] fp32_false_true: [ 0, 1 ]")),
    sequence(control("kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ]", "")),
    sequence(control("kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ]") +
             control("kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ]")),
    sequence(control("kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ]") +
             control("kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ]", "D")),
    sequence(control("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64")),
    sequence(control("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32")),
    sequence(control("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 int32_false_true: [ 0, 1 ]")),
    sequence("direct { }") + "response_cache { enable: true }",
    # other schedulers' company
    fake("model_transaction_policy { decoupled: true }"),
    fake("model_transaction_policy { decoupled: true } response_cache { enable: true }"),
    # instance groups
    fake("instance_group { count: 2 kind: KIND_CPU }"),
    fake('instance_group { name: "own" kind: KIND_CPU } instance_group { kind: KIND_CPU host_policy: "p" }'),
    fake("instance_group [ { kind: KIND_MODEL }, { count: 0 } ]"),
    fake("instance_group { kind: KIND_AUTO gpus: [ 0 ] }"),
    fake("instance_group { kind: KIND_GPU }"),
    fake("instance_group { kind: KIND_GPU gpus: [ 0 ] }"),
    fake("instance_group { kind: KIND_CPU gpus: [ 0 ] }"),
    fake("instance_group { kind: KIND_MODEL gpus: [ 0 ] }"),
    fake("instance_group { kind: 9 }"),
    fake('instance_group { kind: KIND_CPU profile: "0" }'),
    fake('instance_group { kind: KIND_CPU secondary_devices { device_id: 3 } }'),
    fake('instance_group { kind: KIND_CPU rate_limiter { resources { name: "R" count: 2 global: true } priority: 2 } }'),
    'platform: "tensorrt_plan" ' + IO + 'instance_group { kind: KIND_CPU profile: [ "1", "2" ] }',
    'platform: "tensorrt_plan" ' + IO + 'instance_group { kind: KIND_CPU profile: "x" }',
    'platform: "tensorrt_plan" ' + IO + 'instance_group { kind: KIND_CPU profile: "-1" }',
    'platform: "tensorrt_plan" ' + IO + 'instance_group { kind: KIND_CPU profile: "" }',
    'platform: "tensorrt_plan" input { name: "A" data_type: TYPE_FP32 dims: [1, 2] is_non_linear_format_io: true } '
    'output { name: "B" data_type: TYPE_FP32 dims: 2 is_shape_tensor: true }',
    'backend: "onnxruntime" ' + IO,
    # the rest
    fake("optimization { graph { level: 1 } priority: PRIORITY_MAX input_pinned_memory { enable: false } eager_batching: true "
         "gather_kernel_buffer_threshold: 9 }"),
    fake('optimization { cuda { graphs: true graph_spec { batch_size: 1 input { key: "A" value { dim: [ 1, 2 ] } } '
         'graph_lower_bound { batch_size: 1 } } } execution_accelerators { gpu_execution_accelerator [ { name: "tensorrt" '
         'parameters { key: "precision_mode" value: "FP16" } } ] cpu_execution_accelerator { name: "openvino" } } }'),
    fake('model_operations { op_library_filename: [ "a.so", "b.so" ] }'),
    fake('default_model_filename: "m.bin" runtime: "" '),
    # ensembles
    ensemble(step("x", {"i": "I"}, {"o": "O"})),
    ensemble(""),
    ensemble(step("", {"i": "I"}, {"o": "O"})),
    ensemble(step("x", {}, {"o": "O"})),
    ensemble(step("x", {"i": "I"}, {})),
    ensemble(step("x", {"i": "I"}, {"o": "O"}), extra="instance_group { }"),
    ensemble(step("x", {"i": "I"}, {"o": "O"}), extra="optimization { }"),
    ensemble(step("x", {"i": "I"}, {"o": "O"}), extra="model_warmup { }"),
    ensemble(step("x", {"i": "I"}, {"o": "O"}) + step("y", {"i": "I"}, {"o": "O"})),
    ensemble(step("x", {"i": "J"}, {"o": "O"})),
    ensemble(step("x", {"i": "I"}, {"o": "P"})),
    ensemble(step("x", {"i": "I", "j": "K"}, {"o": "O"})),
    ensemble(step("x", {"i": "I"}, {"o": "M"}) + step("y", {"i": "N"}, {"o": "O"})),
    ensemble(step("x", {"i": "I"}, {"o": "O"}) + step("y", {"i": "I"}, {"o": "left"})),
    ensemble(step("x", {"i": "I", "j": "T2"}, {"o": "T1"}) + step("y", {"i": "T1"}, {"o": "T2", "p": "O"})),
    fake("ensemble_scheduling { }"),
    'platform: "ensemble" ' + IO,
    'platform: "ensemble" backend: "fake" ' + IO,
    # platform and backend
    'platform: "nonsense" ' + IO,
    'platform: "onnxruntime_onnx" backend: "tensorrt" ' + IO,
    'platform: "own" backend: "fake" ' + IO,
    'name: "another" backend: "fake" ' + IO,
    'platform: "pytorch_libtorch" default_model_filename: "m.pt" ' + IO,
]

SYNTAX = [
    "foo: 1", 'name: "a" name: "b"', "name: 3", 'max_batch_size: "3"', "max_batch_size: 99999999999",
    "max_batch_size: -5000000000", "max_batch_size: 1.5", "max_batch_size: 1e3", "dynamic_batching { priority_levels: -1 }",
    "dynamic_batching { priority_levels: 99999999999999999999 }", "dynamic_batching { } sequence_batching { }",
    "dynamic_batching: { } dynamic_batching: {}", "dynamic_batching { preserve_ordering: 2 }",
    "dynamic_batching { preserve_ordering: tRue }", "input { data_type: FOO }", "input { data_type: 3000000000 }",
    'input { data_type: "TYPE_FP32" }', "input { data_type: - TYPE_FP32 }", "input { dims: [1,2,] }", "input { dims: [1 2] }",
    "input { dims: [1,2", 'input { name:"a" >', 'input { name:"a" ', "input 3", 'name "a"', 'name: "a', 'name: "a\nb"',
    'name: "\\q"', 'name: "\\x"', 'name: "\\u12"', 'name: "\\U00200000"', 'name: [ "a" ]', 'name: "a";; ', ', name: "a"',
    "3: 4", "[foo.bar]: 4", "{", "}", 'name: "a" }', "name", "name:", "dynamic_batching", "dynamic_batching:",
    'parameters { key: "a" value { string_value: "b" } key: "c" }', 'parameters { key: "a" foo: 1 }', "max_batch_size: 08",
    "max_batch_size: 0xg", "max_batch_size: 10a", "max_batch_size: --4", "max_batch_size: abc",
    "sequence_batching { direct { minimum_slot_utilization: 0x10 } }",
    "sequence_batching { direct { minimum_slot_utilization: 010 } }",
    "sequence_batching { direct { minimum_slot_utilization: 1e } }",
    "sequence_batching { direct { minimum_slot_utilization: foo } }",
    'sequence_batching { direct { minimum_slot_utilization: "1" } }', "sequence_batching { direct { minimum_slot_utilization: 1.2.3 } }",
    'name: "a" /* c */', 'name: "a" // c', 'name: "a"@', '\x01 name: "a"', 'na\u00e9me: "a"', 'name: "a\\\nb"',
    'name\t: "a" foo: 3', 'NAME: "a"', "ModelInput { }", "version_policy { all {} latest {} }",
    "sequence_batching { state { initial_state { zero_data: true data_file: \"x\" } } }", 'instance_group { gpus: [ "1" ] }',
    'instance_group { passive: "true" }', 'name: "x" . foo', "a.b: 3", 'name:: "a"', "\n\n  input {\n    name: \"x\"\n    bad: 1\n  }\n",
    "name.5: 3", "max_batch_size: 0x1.5",
]

OVERRIDES = [line.replace("@P@", JSON_IO) for line in r"""
{@P@}
{@P@,"foo":1}
{@P@,"foo":1,"bar":2}
{@P@,"foo":{"x":[1,{"y":2}]},"max_batch_size":"x"}
{@P@,"name":3,"bar":2,"max_batch_size":4}
{"instance_group":[{"a":1},{"b":2}],@P@}
{@P@,"maxBatchSize":4}
{@P@,"max_batch_size":"4"}
{@P@,"max_batch_size":4.0}
{@P@,"max_batch_size":4.5}
{@P@,"max_batch_size":"abc"}
{@P@,"max_batch_size":99999999999}
{@P@,"max_batch_size":true}
{@P@,"max_batch_size":null}
{@P@,"max_batch_size":[4]}
{@P@,"max_batch_size":{}}
{@P@,"max_batch_size":1e1}
{@P@,"instance_group":[{"kind":"KIND_FOO"}]}
{@P@,"instance_group":[{"kind":"kind_cpu"}]}
{@P@,"instance_group":[{"kind":2}]}
{@P@,"instance_group":[{"foo":{"a":1}}]}
{@P@,"instance_group":{"kind":2}}
{@P@,"instance_group":[3]}
{@P@,"instance_group":3}
{@P@,"instance_group":[null]}
{@P@,"instance_group":[{"gpus":["x"]}]}
{@P@,"instance_group":[{"gpus":[null]}]}
{@P@,"instance_group":[{"count":[3]}]}
{@P@,"instance_group":[{"count":{}}]}
{@P@,"instance_group":[{"rate_limiter":[]}]}
{@P@,"name":4}
{@P@,"name":true}
{@P@,"name":null}
{@P@,"name":"ö\u0041"}
{@P@,"dynamic_batching":{},"sequence_batching":{}}
{@P@,"dynamic_batching":{"preserve_ordering":"true"}}
{@P@,"dynamic_batching":{"preserve_ordering":1}}
{@P@,"dynamic_batching":{"preserve_ordering":"yes"}}
{@P@,"dynamic_batching":{"priority_levels":-1}}
{@P@,"parameters":{"a":{"string_value":"x"},"a":{"string_value":"y"}}}
{@P@,"parameters":{"a":"x"}}
{@P@,"parameters":[]}
{@P@,"parameters":3}
{@P@,"parameters":{"a":{"foo":1}}}
{@P@,"parameters":{"a":null}}
{@P@,"parameters":{"a b.c":{"foo":1}}}
{@P@,"metric_tags":{"a":3}}
{@P@,"metric_tags":{"a":null}}
{@P@,"max_batch_size":4,"dynamic_batching":{"priority_queue_policy":{"x":{}}}}
{@P@,"max_batch_size":4,"dynamic_batching":{"priority_queue_policy":{"1":{"foo":2}}}}
{@P@,"max_batch_size":4,"dynamic_batching":{"priority_levels":1,"default_priority_level":"1","priority_queue_policy":{"1":{"maxQueueSize":2}}}}
{@P@,}
{@P@
[1]
{'backend':'fake','input':[{'name':'A',data_type:"TYPE_FP32","dims":[4,]}],"output":[]}
{backend:"fake"}
nonsense
{"a" 1}
{"a":}
{"max_batch_size":4,"name":@}
{"max_batch_size":4,"name": ]}
{"max_batch_size":4,"name": xyz}
{"max_batch_size":4,@}
{"max_batch_size":4,"input":[@]}
{"max_batch_size":4,"name":"a" , ]
{"max_batch_size":4,"name":12abc}
{"max_batch_size":4,"name":truex}
{"a":1 "b":2}
{"name":"a"]
{"name":[1 2]}
{"name":"a
{"name":01}
{"name":1e}
{@P@} x
{@P@,"version_policy":{"latest":{"num_versions":"2"}}}
{@P@,"version_policy":{"latest":2}}
{@P@,"version_policy":{"latest":null}}
{@P@,"sequence_batching":{"direct":{"minimum_slot_utilization":"0.5"}}}
{@P@,"sequence_batching":{"direct":{"minimum_slot_utilization":"foo"}}}
{@P@,"sequence_batching":{"direct":{"minimum_slot_utilization":1e300}}}
{@P@,"sequence_batching":{"direct":{"minimum_slot_utilization":true}}}
{@P@,"instance_group":[{"count":1,"count":2}]}
{@P@,"sequence_batching":{"direct":{},"oldest":{}}}
{@P@,"dynamic_batching":null,"sequence_batching":{}}
{@P@,"input":[{"dims":[1.5]}]}
{@P@,"input":[{"dims":[9223372036854775808]}]}
{@P@,"input":[{"data_type":"fp32"}]}
{@P@,"instance_group":[{"kind":"kind-cpu"}]}
{@P@,"instance_group":[{"kind":true}]}
{@P@,"instance_group":[{"kind":"2"}]}
{@P@,"instance_group":[{"kind":2.5}]}
5
"x"
null
{}
""".strip().split("\n")]

DIRECTORIES = [
    (None, {}), (IO, {}), (IO, {"1/model.onnx": ""}), (IO, {"1/model.onnx/a": ""}), (IO, {"1/model.plan": ""}),
    (IO, {"1/model.plan/a": ""}), (IO, {"1/model.py": ""}), (IO, {"1/model.xml": ""}),
    (IO, {"1/model.graphdef": ""}), (IO, {"1/model.savedmodel/a": ""}), (IO, {"1/model.savedmodel": ""}),
    (None, {"1/model.onnx": ""}), (IO, {"1/model.onnx": "", "1/model.plan": ""}), (IO, {"1/odd.onnx": ""}),
    (IO + 'platform: "onnxruntime_onnx"', {}), (IO + 'backend: "onnxruntime"', {}), (IO + 'platform: "tensorrt_plan"', {}),
    (IO + 'backend: "tensorrt"', {}), (IO + 'backend: "python"', {}), (IO + 'backend: "openvino"', {}),
    (IO + 'platform: "tensorflow_savedmodel"', {}), (IO + 'platform: "tensorflow_graphdef"', {}), (IO + 'backend: "tensorflow"', {}),
    (IO + 'backend: "tensorflow"', {"1/model.graphdef": ""}),
    (IO + 'backend: "tensorflow" default_model_filename: "model.savedmodel"', {}),
    (IO + 'default_model_filename: "model.onnx"', {}), (IO + 'default_model_filename: "model.plan"', {}),
    (IO + 'default_model_filename: "model.py"', {}), (IO + 'default_model_filename: "model.xml"', {}),
    (IO + 'default_model_filename: "model.graphdef"', {}), (IO + 'default_model_filename: "other"', {}),
    (IO + 'platform: "onnxruntime_onnx" default_model_filename: "x"', {}),
]
