# SPDX-License-Identifier: Apache-2.0
"""A repository as Triton's users write it: three models, three platforms, each given to a GPU of its own, served by the
command that they know. Without GPUs --gpu-fallback=cpu serves them on the processor; without it each is refused by name.
"""

import json
import shutil

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client
from PIL import Image

from servers import ROOT, Server

CONFIGS = {
    "unet_model": ("tensorrt_plan", 8, 0), "resnet_model": ("onnxruntime_onnx", 16, 1), "densenet_model": ("pytorch_libtorch", 32, 2),
}
TEXT = """name: "{name}"
platform: "{platform}"
max_batch_size: {batch}
instance_group {{
  kind: KIND_GPU
  count: 1
  gpus: [{gpu}]   # Assign to GPU {gpu}
}}
"""


@pytest.fixture
def repository(tmp_path):
    for name, (platform, batch, gpu) in CONFIGS.items():
        folder = tmp_path / "models" / name
        (folder / "1").mkdir(parents=True)
        shutil.copy(ROOT / "models" / name / "1/model.onnx", folder / "1/model.onnx")
        (folder / "config.pbtxt").write_text(TEXT.format(name=name, platform=platform, batch=batch, gpu=gpu))
    return tmp_path / "models"


def pictures():
    expected = json.loads((ROOT / "examples/pictures/expected.json").read_text())["pictures"]
    for one in expected:
        pixels = np.asarray(Image.open(ROOT / "examples/pictures" / one["file"]).convert("RGB"), np.float32) / 255
        yield np.ascontiguousarray(pixels.transpose(2, 0, 1))[None], one


def test_three_models_answer_right_over_http_and_grpc(repository):
    with Server("nereid", repository, "--log-verbose=1", "--gpu-fallback=cpu") as server:
        http = http_client.InferenceServerClient(server.http_url, concurrency=3)
        grpc = grpc_client.InferenceServerClient(server.grpc_url)
        for client, module in ((http, http_client), (grpc, grpc_client)):
            for image, one in pictures():
                tensor = module.InferInput("image", list(image.shape), "FP32")
                tensor.set_data_from_numpy(image)
                for name, output in (("resnet_model", "kind_probabilities"), ("densenet_model", "finish_probabilities")):
                    scores = client.infer(name, [tensor]).as_numpy(output)[0]
                    answer = one["answers"][name]
                    assert scores.argmax() == answer["index"]
                    assert abs(scores.max() - answer["score"]) < 1e-3
                regions = client.infer("unet_model", [tensor]).as_numpy("region_probabilities")[0].argmax(0)
                shares = list(one["answers"]["unet_model"]["shares"].values())
                assert np.allclose([(regions == i).mean() for i in range(5)], shares, atol=2e-3)
        for name, (_, batch, _) in CONFIGS.items():
            assert http.get_model_config(name)["max_batch_size"] == batch
        http.close()
        grpc.close()
        log = server.log
    for name in CONFIGS:
        assert any(name in line and "CPU" in line for line in log.splitlines() if line.startswith("W")), name


def test_without_the_fallback_each_model_is_refused_by_name(repository):
    with Server("nereid", repository, "--exit-on-error=false") as server:
        assert server.request("GET", "/v2/health/ready")[0] == 400
        index = json.loads(server.request("POST", "/v2/repository/index")[3])
        assert {row["name"] for row in index} == set(CONFIGS)
        assert all(row.get("state") != "READY" for row in index)
        assert "specifies invalid or unsupported gpu id 1" in server.log
