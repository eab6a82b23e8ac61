// SPDX-License-Identifier: Apache-2.0
// The allocator for all protobuf-c messages of this program: base/mem.h, so that failure can be
// injected in tests. What is unpacked with it is freed with it.
#ifndef NEREID_PROTO_ALLOC_H
#define NEREID_PROTO_ALLOC_H

#include <protobuf-c/protobuf-c.h>

// The one allocator, for the `allocator` arguments of generated functions. Borrowed, never changed.
// Thread: any.
ProtobufCAllocator *proto_allocator(void);

#endif
