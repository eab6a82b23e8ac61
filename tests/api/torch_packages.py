# SPDX-License-Identifier: Apache-2.0
"""Makes packages of torch.export (model.pt2) in the folder that is its argument: network, and one whose arguments and
results are nested. Needs a Python with PyTorch 2.6 or newer, and a C++ compiler; beside each package lies what PyTorch
itself makes of it, as .npz.
"""

import pathlib
import sys

import numpy as np
import torch


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one = torch.nn.Conv2d(3, 8, 3)
        self.two = torch.nn.Linear(8, 10)

    def forward(self, x):
        return torch.softmax(self.two(torch.relu(self.one(x)).mean([2, 3])), 1)


class Nested(torch.nn.Module):
    def forward(self, x, rest, *, scale):
        return {"sum": x + rest["a"], "more": (x * scale, rest["b"] - x)}


def main(folder):
    torch.manual_seed(7)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = torch.export.Dim("rows", min=1, max=64)
    network = Network().eval().to(device)
    pictures = torch.randn(4, 3, 16, 16, device=device)
    with torch.no_grad():
        exported = torch.export.export(network, (pictures,), dynamic_shapes={"x": {0: rows}})
        torch._inductor.aoti_compile_and_package(exported, package_path=str(folder / "network.pt2"))
        loaded = torch._inductor.aoti_load_package(str(folder / "network.pt2"))
        np.savez(folder / "network.npz", x=pictures.cpu().numpy(), y=loaded(pictures).cpu().numpy())
        one = torch.randn(2, 3, device=device)
        exported = torch.export.export(Nested(), (one, {"a": one + 1, "b": one + 2}), {"scale": one + 3})
        torch._inductor.aoti_compile_and_package(exported, package_path=str(folder / "nested.pt2"))
    (folder / "device").write_text(device)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
