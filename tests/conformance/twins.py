# SPDX-License-Identifier: Apache-2.0
"""Two servers, Nereid and the peer, on equal copies of repositories, led through the same steps.

Twins.http, Twins.grpc and Twins.observe send one thing to both and note what came back; `differences` lists what was not
equal and stands in no row of docs/compatibility.md. Paths of the two copies, durations and times are made equal first;
whether a model is ready is compared as yes or no (what 2.73 says of unknown models is in the table of single requests).
"""

import json
import pathlib
import re
import shutil
import time

import grpc
from google.protobuf import json_format
from tritonclient.grpc import service_pb2 as pb

from servers import PROGRAMS, Server

SERVICE = "/inference.GRPCInferenceService/"
OURS_ONLY = {"nereid": ["--allow-client-shm=true"], "peer": []}


def settle(value):
    """Durations and moments become 0, or 1 when there were any."""
    if isinstance(value, dict):
        return {k: ((0 if k == "ns" else min(int(v), 1)) if k in ("ns", "last_inference", "lastInference") else settle(v))
                for k, v in value.items() if k != "gpu_fallback"}
    if isinstance(value, list):
        return [settle(v) for v in value]
    return value


class Twins:
    """`make(root)` fills a repository; it runs once for each server and repository. Use as a context manager."""

    def __init__(self, scratch, make, *arguments, repositories=1, table=None, name="life", env=None, wait=True, timeout=60):
        self.name, self.table, self.notes, self.differences = name, table, [], []
        self.roots, self.servers = {}, {}
        self.scratch = pathlib.Path(scratch)
        for which in PROGRAMS:
            self.roots[which] = [self.scratch / which / f"models{i}" for i in range(repositories)]
            for i, root in enumerate(self.roots[which]):
                root.mkdir(parents=True)
                make(root) if repositories == 1 else make(root, i)
        for which in PROGRAMS:
            extra = OURS_ONLY[which] if wait else []
            self.servers[which] = Server(which, self.roots[which], *arguments, *extra, wait=False, env=env)
        if wait:
            try:
                for server in self.servers.values():
                    server.wait_ready(timeout)
            except BaseException:
                self.stop()
                raise

    def stop(self):
        for server in self.servers.values():
            server.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *what):
        try:
            if kind is None:
                for which, server in self.servers.items():
                    if not server.alive():
                        self.differences.append(f"{which} has ended with {server.process.returncode}")
                assert not self.differences, "\n".join(self.differences)
                if self.table is not None:
                    assert self.table.stale(self.notes) == []
        finally:
            self.stop()

    def change(self, function):
        """function(root) on each copy; late enough for a new modification time."""
        time.sleep(0.02)
        for roots in self.roots.values():
            for root in roots:
                function(root)

    def note(self, label, replies):
        """Compares {server: {aspect: value}}; returns Nereid's."""
        case = f"{self.name}.{label}"
        self.notes.append(case)
        mine, theirs = replies["nereid"], replies["peer"]
        differs = {aspect for aspect in mine if mine[aspect] != theirs[aspect]}
        if self.table is not None:
            self.table.mark(case, differs)
            differs -= self.table.allowed(case)
        for aspect in sorted(differs):
            self.differences.append(f"{case}: {aspect}\n  nereid {mine[aspect]!r}\n  peer   {theirs[aspect]!r}")
        return mine

    def plain(self, which, text):
        for root in self.roots[which]:
            text = text.replace(str(root), f"<{root.name}>")
        text = re.sub(r'("name": ?"triton", ?"version": ?)"[^"]*"', r'\1"ours"', text)
        return re.sub(r"/tmp/folder\w{6}", "<folder>", text.replace(str(self.scratch / which), "<scratch>"))

    def http(self, label, method, path, body=None, headers=None):
        replies = {}
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        for which, server in self.servers.items():
            status, _, _, text = server.request(method, path, body=body, headers=headers)
            text = self.plain(which, text.decode("utf-8", "replace"))
            if text.startswith(('{"model_stats"', '[{"name"')):
                text = json.dumps(settle(json.loads(text)))
            replies[which] = {"status": status, "body": text}
        return self.note(label, replies)

    def grpc(self, label, rpc, request, metadata=None):
        replies = {}
        answer = getattr(pb, f"{rpc}Response")
        for which, server in self.servers.items():
            with grpc.insecure_channel(server.grpc_url) as channel:
                method = channel.unary_unary(SERVICE + rpc, request_serializer=type(request).SerializeToString,
                                             response_deserializer=answer.FromString)
                try:
                    message = json_format.MessageToDict(method(request, timeout=30, metadata=metadata))
                    message = settle(json.loads(self.plain(which, json.dumps(message))))
                    replies[which] = {"code": "OK", "details": "", "message": message}
                except grpc.RpcError as error:
                    replies[which] = {"code": error.code().name, "details": self.plain(which, error.details()), "message": None}
        return self.note(label, replies)

    def load(self, model, way="http", **parameters):
        label = f"load_{model}_{way}"
        if way == "http":
            reply = self.http(label, "POST", f"/v2/repository/models/{model}/load",
                              {"parameters": parameters} if parameters else {})
            self.rest()
            return reply
        request = pb.RepositoryModelLoadRequest(model_name=model)
        for key, value in parameters.items():
            field = {bytes: "bytes_param", str: "string_param", bool: "bool_param", int: "int64_param"}[type(value)]
            setattr(request.parameters[key], field, value)
        reply = self.grpc(label, "RepositoryModelLoad", request)
        self.rest()
        return reply

    def unload(self, model, way="http", **parameters):
        label = f"unload_{model}_{way}"
        if way == "http":
            reply = self.http(label, "POST", f"/v2/repository/models/{model}/unload",
                              {"parameters": parameters} if parameters else {})
        else:
            request = pb.RepositoryModelUnloadRequest(model_name=model)
            for key, value in parameters.items():
                setattr(request.parameters[key], "bool_param" if isinstance(value, bool) else "string_param", value)
            reply = self.grpc(label, "RepositoryModelUnload", request)
        self.rest()
        return reply

    def rest(self, seconds=15):
        """Until neither is loading or unloading; the peer's readiness is a moment later than its index."""
        end = time.monotonic() + seconds
        for which, server in self.servers.items():
            while time.monotonic() < end:
                rows = json.loads(server.request("POST", "/v2/repository/index")[3])
                if not any(row.get("state") in ("LOADING", "UNLOADING") for row in rows):
                    break
                time.sleep(0.02)
            else:
                self.differences.append(f"{which} does not come to rest")
        ready = lambda: {server.request("GET", "/v2/health/ready")[0] for server in self.servers.values()}  # noqa: E731
        end = time.monotonic() + 1
        while len(ready()) > 1 and time.monotonic() < end:
            time.sleep(0.05)

    def counted(self, seconds=5):
        """Until both count the same successes, for counters follow the reply; what still differs then is for the test."""
        def successes(server):
            stats = json.loads(server.request("GET", "/v2/models/stats")[3])["model_stats"]
            return [(s["name"], s["version"], s["inference_stats"]["success"]["count"]) for s in stats]
        end = time.monotonic() + seconds
        while time.monotonic() < end and len({str(successes(server)) for server in self.servers.values()}) > 1:
            time.sleep(0.05)
        time.sleep(0.1)

    def both_until(self, condition, seconds=20):
        """Until condition(server) holds for each; for what a server does by itself."""
        end = time.monotonic() + seconds
        for which, server in self.servers.items():
            while not condition(server):
                assert time.monotonic() < end, f"{which}: it does not happen\n{server.log}"
                time.sleep(0.05)

    def infer(self, label, model, values=(1.0, 2.0), version=None, shape=None, way="http", name="INPUT0", **parameters):
        shape = list(shape or [len(values)])
        if way == "http":
            path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"
            body = {"inputs": [{"name": name, "shape": shape, "datatype": "FP32", "data": list(values)}]}
            if parameters:
                body["parameters"] = parameters
            return self.http(label, "POST", path, body)
        request = pb.ModelInferRequest(model_name=model, model_version=str(version or ""))
        tensor = request.inputs.add(name=name, datatype="FP32", shape=shape)
        tensor.contents.fp32_contents.extend(values)
        for key, value in parameters.items():
            setattr(request.parameters[key], "int64_param", value)
        return self.grpc(label, "ModelInfer", request)

    def observe(self, step, *models, versions=("",)):
        """All that can be asked about the server and these models, over both protocols."""
        get = lambda label, path: self.http(f"{step}_{label}", "GET", path)  # noqa: E731
        call = lambda label, rpc, request: self.grpc(f"{step}_{label}", rpc, request)  # noqa: E731
        for ready in (None, True, False):
            self.http(f"{step}_index_{ready}", "POST", "/v2/repository/index", {} if ready is None else {"ready": ready})
        get("ready", "/v2/health/ready")
        get("live", "/v2/health/live")
        get("all_stats", "/v2/models/stats")
        call("grpc_index", "RepositoryIndex", pb.RepositoryIndexRequest())
        call("grpc_index_ready", "RepositoryIndex", pb.RepositoryIndexRequest(ready=True))
        call("grpc_ready", "ServerReady", pb.ServerReadyRequest())
        call("grpc_all_stats", "ModelStatistics", pb.ModelStatisticsRequest())
        for model in models:
            for version in versions:
                path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "")
                label = f"{model}{version}"
                get(f"{label}_metadata", path)
                get(f"{label}_config", f"{path}/config")
                get(f"{label}_stats", f"{path}/stats")
                call(f"{label}_grpc_metadata", "ModelMetadata", pb.ModelMetadataRequest(name=model, version=version))
                call(f"{label}_grpc_config", "ModelConfig", pb.ModelConfigRequest(name=model, version=version))
                call(f"{label}_grpc_stats", "ModelStatistics", pb.ModelStatisticsRequest(name=model, version=version))
                self.note(f"{step}_{label}_is_ready", {
                    which: {"status": server.request("GET", f"{path}/ready")[0] == 200} for which, server in self.servers.items()})
                self.infer(f"{step}_{label}_infer", model, version=version or None)
                self.infer(f"{step}_{label}_grpc_infer", model, version=version or None, way="grpc")
