# SPDX-License-Identifier: Apache-2.0
"""The GPUs of this machine by the CUDA driver alone, which is opened here; no package but Python's own."""

import ctypes


class Driver:
    """The few calls of the CUDA driver that a client of CUDA shared memory makes. `why` says why there are no GPUs."""

    def __init__(self):
        self.count, self.why, self.contexts = 0, "", {}
        try:
            self.library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            self.why = f"no CUDA driver: {error}"
            return
        count = ctypes.c_int()
        result = self.library.cuInit(0) or self.library.cuDeviceGetCount(ctypes.byref(count))
        self.count = count.value
        if self.count == 0:
            self.why = f"the CUDA driver shows no GPU (result {result})"

    def call(self, name, *arguments):
        result = getattr(self.library, name)(*arguments)
        if result != 0:
            raise RuntimeError(f"{name}: CUDA error {result}")

    def capability(self, gpu):
        """"9.0": what cc_model_filenames calls it."""
        numbers = []
        for attribute in (75, 76):
            value = ctypes.c_int()
            self.call("cuDeviceGetAttribute", ctypes.byref(value), attribute, gpu)
            numbers.append(value.value)
        return f"{numbers[0]}.{numbers[1]}"

    def name(self, gpu):
        text = ctypes.create_string_buffer(100)
        self.call("cuDeviceGetName", text, 100, gpu)
        return text.value.decode()

    def enter(self, gpu):
        """Makes the GPU's primary context the current one of this thread."""
        if gpu not in self.contexts:
            context = ctypes.c_void_p()
            self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), gpu)
            self.contexts[gpu] = context
        self.call("cuCtxPushCurrent_v2", self.contexts[gpu])

    def leave(self):
        self.call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))


DRIVER = Driver()
