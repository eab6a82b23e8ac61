// SPDX-License-Identifier: Apache-2.0
// Protobuf's text format (config.pbtxt) for any message.
//
// The whole grammar: optional ':' before '{' and '[', both kinds of braces, lists, ',' and ';'
// separators, '#' comments, adjacent strings joined, all escapes, hex and octal, enums by name or
// number, inf and nan, map entries. A map key given twice keeps the last. Strictness is protobuf's:
// unknown fields, a singular field given twice, two members of a oneof, and numbers out of range
// are errors. A string with a NUL byte is an error too, since protobuf-c keeps C strings. Nesting
// deeper than 100 is refused.
#ifndef NEREID_PROTO_TEXT_H
#define NEREID_PROTO_TEXT_H

#include "base/slice.h"
#include "base/status.h"
#include "base/str.h"
#include "proto/message.h"

// Reads `text` into `message`, which should be empty. NRD_INVALID_ARG with the place and protobuf's
// words: `3:7: Message type "inference.ModelConfig" has no field named "foo".`; `message` is then
// valid but holds only a part. Thread: owner of message.
NRD_MUST_USE struct nrd_status *proto_text_read(struct slice text, ProtobufCMessage *message);

// Appends the text form: one field a line, two blanks an indentation step, fields in order of their
// numbers, map entries in order of their keys. Memory failure shows in `out`.
void proto_text_write(const ProtobufCMessage *message, struct str *out);

#endif
