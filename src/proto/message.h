// SPDX-License-Identifier: Apache-2.0
// Any protobuf-c message through its descriptor: make, copy, compare, set.
//
// protobuf-c's descriptors lack three things that text and JSON forms need: which repeated fields
// are maps, the names of oneofs, and the order in which fields were declared. This module adds them
// (message.c tells how). Messages live on the heap, made with proto_allocator(). A message field of
// a map entry is never NULL in what this folder's readers make. Thread of all: owner of the
// message.
#ifndef NEREID_PROTO_MESSAGE_H
#define NEREID_PROTO_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "base/slice.h"
#include "base/status.h"
#include "proto/alloc.h"

// ---- whole messages -----------------------------------------------------------------------------------------------

// An empty message. Returns owned: proto_destroy; NULL when memory is out.
ProtobufCMessage *proto_create(const ProtobufCMessageDescriptor *type)
    __attribute__((warn_unused_result));
void proto_destroy(ProtobufCMessage *message); // NULL is fine
// A deep copy. Returns owned; NULL when memory is out.
ProtobufCMessage *proto_copy(const ProtobufCMessage *message) __attribute__((warn_unused_result));
// Same type, same set fields, same values; maps are compared without regard to order. Top-level
// fields whose numbers are in `ignored` are passed over.
bool proto_equal(const ProtobufCMessage *a, const ProtobufCMessage *b, const uint32_t *ignored,
                 size_t ignored_count);
// True when no field is set: the serialized form would have no bytes.
bool proto_is_empty(const ProtobufCMessage *message);

// ---- single fields ------------------------------------------------------------------------------------------------

// Sets a string member of a message: frees the old text unless it is the shared empty one. Copies
// `text` up to its first NUL. False, and nothing changed, when memory is out.
bool proto_set_string(char **member, struct slice text) __attribute__((warn_unused_result));
// Makes room for one more element at the end of a repeated member, zeroed, and counts it. Returns
// its place, NULL when memory is out. `items` is the address of the array pointer. A message
// element is the caller's to fill at once.
void *proto_grow(void *items, size_t *count, size_t element_size)
    __attribute__((warn_unused_result));

// ---- reflection ---------------------------------------------------------------------------------------------------

// The address of the member; for repeated fields that of the array pointer.
void *proto_member(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
// The element count of a repeated field.
size_t *proto_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
// Element `index` of a repeated field.
void *proto_element(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                    size_t index);
size_t proto_element_size(ProtobufCType type);
// Whether the field holds something: a oneof's current member, a present message, a non-empty list,
// a value that is not the default.
bool proto_is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
bool proto_is_oneof(const ProtobufCFieldDescriptor *field);
// The number of the member that is set in the oneof of `field`, 0 for none.
uint32_t *proto_oneof_case(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
// The name of the oneof that `field` is in; "" when unknown.
const char *proto_oneof_name(const ProtobufCMessageDescriptor *type,
                             const ProtobufCFieldDescriptor *field);
bool proto_is_map(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field);
// The field declared at place `index` in the .proto file (protobuf-c itself sorts by number).
const ProtobufCFieldDescriptor *proto_declared(const ProtobufCMessageDescriptor *type,
                                               unsigned index);
// By the name in the .proto file; NULL when there is none.
const ProtobufCFieldDescriptor *proto_field(const ProtobufCMessageDescriptor *type,
                                            struct slice name);
// By value; NULL when there is none.
const char *proto_enum_name(const ProtobufCEnumDescriptor *type, int value);
// By name; false when there is none.
bool proto_enum_value(const ProtobufCEnumDescriptor *type, struct slice name, int *value);

// A place for one value of `field`: the member itself (the oneof is switched to it), or a new last
// element. Message fields get an empty message. NULL when memory is out.
void *proto_open(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
    __attribute__((warn_unused_result));
// After the last element of map `field` was filled: gives it a value message if it has none, and
// drops an earlier entry with the same key. False when memory is out.
bool proto_close_entry(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
    __attribute__((warn_unused_result));
// The index of the map entry whose key equals that of entry `index`, searched below `index`;
// `index` when there is none.
size_t proto_find_entry(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                        size_t index);
// The entries' indices in ascending order of their keys, in memory from mem_alloc (mem_free it).
// NULL when memory is out or the map is empty.
size_t *proto_sorted_entries(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
    __attribute__((warn_unused_result));

// The shortest of 6 or 9 (float), 15 or 17 (double) digits that reads back the same, as protobuf
// prints numbers; "inf", "-inf", "nan". Returns `buffer`.
enum { PROTO_NUMBER_LEN = 32 };
const char *proto_number(double value, bool is_float, char buffer[PROTO_NUMBER_LEN]);

#endif
