# SPDX-License-Identifier: Apache-2.0
"""U-Net, ResNet and DenseNet, each written down once.

A network is a function of a builder and its input value. The builder says what a layer does:
onnx_graph.OnnxBuilder writes ONNX nodes, train.TorchBuilder computes with PyTorch. What is
trained and what is exported are therefore the same text, and a parameter has the same name in
both ("encoder1/conv1/weight").

A builder has these methods; x is its value of shape [N, C, H, W], each returns such a value:
  scale_pictures(x, mean, std)          (x - mean) / std, constants
  conv(x, name, channels, kernel, stride=1)    same padding, no bias
  conv_bias(x, name, channels)          1x1 with bias
  up(x, name, channels)                 2x2 transposed convolution of stride 2 with bias
  norm(x, name, gain=1.0)               batch normalisation; gain: of a fresh scale
  relu(x), add(x, y), concat([x, ...]), channels(x)
  max_pool(x, kernel, stride), average_pool(x)   the latter 2x2 of stride 2
  global_pool(x) -> [N, C], linear(x, name, features) -> [N, features], softmax(x): axis 1
"""


def _conv_norm_relu(net, x, name, channels, kernel, stride=1, tag=""):
    x = net.conv(x, f"{name}/conv{tag}", channels, kernel, stride)
    return net.relu(net.norm(x, f"{name}/norm{tag}"))


def unet(net, x, classes, widths):
    """U-Net (Ronneberger et al. 2015) with same padding and batch normalisation.

    widths: channels of each level; between two levels the picture is halved.
    Returns the logits, [N, classes, H, W].
    """
    skips = []
    for level, width in enumerate(widths):
        if level:
            x = net.max_pool(x, 2, 2)
        name = f"encoder{level + 1}"
        x = _conv_norm_relu(net, x, name, width, 3, tag=1)
        x = _conv_norm_relu(net, x, name, width, 3, tag=2)
        skips.append(x)
    skips.pop()
    for level in range(len(widths) - 1, 0, -1):
        width = widths[level - 1]
        name = f"decoder{level}"
        x = net.up(x, f"{name}/up", width)
        x = net.concat([skips.pop(), x])
        x = _conv_norm_relu(net, x, name, width, 3, tag=1)
        x = _conv_norm_relu(net, x, name, width, 3, tag=2)
    return net.conv_bias(x, "head", classes)


def _basic_block(net, x, name, width, stride):
    y = _conv_norm_relu(net, x, name, width, 3, stride, tag=1)
    y = net.norm(net.conv(y, f"{name}/conv2", width, 3), f"{name}/norm2", gain=0.25)
    if stride != 1 or net.channels(x) != width:
        x = net.conv(x, f"{name}/shortcut", width, 1, stride)
        x = net.norm(x, f"{name}/shortcut_norm")
    return net.relu(net.add(x, y))


def _bottleneck_block(net, x, name, width, stride):
    y = _conv_norm_relu(net, x, name, width, 1, tag=1)
    y = _conv_norm_relu(net, y, name, width, 3, stride, tag=2)
    y = net.norm(net.conv(y, f"{name}/conv3", 4 * width, 1), f"{name}/norm3", gain=0.25)
    if stride != 1 or net.channels(x) != 4 * width:
        x = net.conv(x, f"{name}/shortcut", 4 * width, 1, stride)
        x = net.norm(x, f"{name}/shortcut_norm")
    return net.relu(net.add(x, y))


def resnet(net, x, classes, blocks, width, bottleneck):
    """ResNet (He et al. 2015; the stride sits on the 3x3 convolution).

    blocks: residual blocks of each of the four stages; width: channels of the first stage.
    bottleneck: three-layer blocks (ResNet-50) instead of two-layer ones (ResNet-18).
    Returns the logits, [N, classes].
    """
    block = _bottleneck_block if bottleneck else _basic_block
    x = _conv_norm_relu(net, x, "stem", width, 7, 2)
    x = net.max_pool(x, 3, 2)
    for stage, count in enumerate(blocks):
        for i in range(count):
            stride = 2 if stage and i == 0 else 1
            x = block(net, x, f"stage{stage + 1}/block{i + 1}", width << stage, stride)
    return net.linear(net.global_pool(x), "head", classes)


def densenet(net, x, classes, blocks, growth, width):
    """DenseNet-BC (Huang et al. 2016).

    blocks: layers of each dense block; growth: channels that a layer adds; width: of the stem.
    Returns the logits, [N, classes], and the features they are made of, [N, channels].
    """
    x = _conv_norm_relu(net, x, "stem", width, 7, 2)
    x = net.max_pool(x, 3, 2)
    for stage, count in enumerate(blocks):
        if stage:
            name = f"transition{stage}"
            x = net.relu(net.norm(x, f"{name}/norm"))
            x = net.conv(x, f"{name}/conv", net.channels(x) // 2, 1)
            x = net.average_pool(x)
        parts = [x]
        for i in range(count):
            name = f"dense{stage + 1}/layer{i + 1}"
            y = net.concat(parts) if len(parts) > 1 else parts[0]
            y = net.relu(net.norm(y, f"{name}/norm1"))
            y = net.conv(y, f"{name}/conv1", 4 * growth, 1)
            y = net.relu(net.norm(y, f"{name}/norm2"))
            parts.append(net.conv(y, f"{name}/conv2", growth, 3))
        x = net.concat(parts)
    features = net.global_pool(net.relu(net.norm(x, "final/norm")))
    return net.linear(features, "head", classes), features
