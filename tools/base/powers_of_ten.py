#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints src/base/number_table.h: 10^k for k in [-292, 324] as 128-bit significands, rounded up.

The first bit of each is set: 10^k = g * 2^(floor(log2(10^k)) - 127), and g - 1 < the true value <= g.
Usage: tools/base/powers_of_ten.py > src/base/number_table.h
"""

LOW, HIGH = -292, 324


def significand(k):
    """ceil(10^k * 2^(127 - floor(log2(10^k)))), exact by integers."""
    if k >= 0:
        power = 10**k
        shift = power.bit_length() - 128
        return -((-power) >> shift) if shift > 0 else power << -shift
    power = 10**-k
    # floor(log2(10^k)) is -bit_length(10^-k), for 10^-k is no power of two.
    return -((-(1 << (127 + power.bit_length()))) // power)


print("// SPDX-License-Identifier: Apache-2.0")
print("// Powers of ten as 128-bit significands, rounded up; written by tools/base/powers_of_ten.py.")
print("// Entry k - NUMBER_POW10_MIN is 10^k * 2^(127 - floor(log2(10^k))). Exact for 0 <= k <= 55.")
print("#ifndef NEREID_BASE_NUMBER_TABLE_H")
print("#define NEREID_BASE_NUMBER_TABLE_H")
print()
print("#include <stdint.h>")
print()
print(f"#define NUMBER_POW10_MIN ({LOW})")
print(f"#define NUMBER_POW10_MAX {HIGH}")
print()
print("// clang-format off")
print("static const struct {")
print("    uint64_t high;")
print("    uint64_t low;")
print("} number_pow10[NUMBER_POW10_MAX - NUMBER_POW10_MIN + 1] = {")
for exponent in range(LOW, HIGH + 1):
    g = significand(exponent)
    assert g.bit_length() == 128
    print(f"    {{0x{g >> 64:016x}, 0x{g & (2**64 - 1):016x}}},")
print("};")
print("// clang-format on")
print()
print("#endif")
