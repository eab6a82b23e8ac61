# SPDX-License-Identifier: Apache-2.0
"""Names of the classes. Index in a list = class index of a model's output."""

KINDS = [
    "hex_nut",
    "washer",
    "hex_bolt",
    "screw",
    "wing_nut",
    "gear",
    "bearing",
    "spring",
    "bracket",
    "spanner",
]
FINISHES = ["steel", "brass", "copper", "black_oxide", "rusted", "painted"]
REGIONS = ["belt", "fastener", "drive_part", "bracket", "tool"]
REGION_OF_KIND = [1, 1, 1, 1, 1, 2, 2, 2, 3, 4]
PICTURE_SIZE = 128  # pixels, the side of a picture
