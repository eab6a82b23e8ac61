// SPDX-License-Identifier: Apache-2.0
// The JSON form of any message: written in Triton's manner, read by protobuf's rules.
#ifndef NEREID_PROTO_JSON_H
#define NEREID_PROTO_JSON_H

#include "base/slice.h"
#include "base/status.h"
#include "base/str.h"
#include "proto/message.h"

// Appends `message` as JSON: names as in the .proto file, in the order declared there (scalars of a
// oneof last); default values and empty lists printed; unset sub-messages and oneofs absent; enums
// by name (by number when unknown); 64-bit integers as numbers, but as strings where `quoted` (may
// be NULL) says so; maps as objects in order of their keys; bytes in base64; floats that are whole
// numbers without a fraction; NaN and infinities as strings. Memory failure shows in `out`.
typedef bool (*proto_json_quoted_fn)(const ProtobufCMessageDescriptor *type,
                                     const ProtobufCFieldDescriptor *field);
void proto_json_write(const ProtobufCMessage *message, proto_json_quoted_fn quoted,
                      struct str *out);

// Reads JSON into `message`, which should be empty. Names in the .proto file's form or in camel
// case; 64-bit integers also as strings; enums by name (any case) or number; null leaves a field
// unset; unknown names are errors. As lenient as protobuf is in syntax: single quotes, unquoted
// keys, a comma before the closing brace. NRD_INVALID_ARG with protobuf's words:
// "(instance_group[0]) foo: Cannot find field."; `message` is then valid but holds only a part.
// Thread: owner of message.
NRD_MUST_USE struct nrd_status *proto_json_read(struct slice json, ProtobufCMessage *message);

#endif
