// SPDX-License-Identifier: Apache-2.0
// Tokens of the text format, one ahead, with places as protobuf counts them (a tab goes to the next
// multiple of eight). Inside this folder only. Start at text_token_next().
#ifndef NEREID_PROTO_TEXT_TOKEN_H
#define NEREID_PROTO_TEXT_TOKEN_H

#include "base/slice.h"
#include "base/str.h"

enum text_token_type {
    TEXT_TOKEN_END,
    TEXT_TOKEN_IDENTIFIER,
    TEXT_TOKEN_INTEGER,
    TEXT_TOKEN_FLOAT,
    TEXT_TOKEN_STRING,
    TEXT_TOKEN_SYMBOL, // one byte
};
struct text_token {
    enum text_token_type type;
    struct slice text; // borrowed from the input; a string with its quotes
    unsigned line;     // from 0
    unsigned column;   // from 0
};
struct text_tokenizer {
    const char *at;
    const char *end;
    unsigned line;
    unsigned column;
    struct text_token current;
    struct str *error; // the first error, with its place; empty: none
};

// Starts at the beginning; `error` is borrowed. Call text_token_next once to get the first token.
void text_tokenizer_init(struct text_tokenizer *t, struct slice text, struct str *error);
// Moves on. A malformed token is recorded in `error` and ends the input.
void text_token_next(struct text_tokenizer *t);
// Records an error at the current token, unless there is one already.
NRD_PRINTF(2, 3) void text_token_error(struct text_tokenizer *t, const char *format, ...);
// The value of a well-formed integer token; false when it does not fit below or at `max`.
bool text_token_integer(struct slice text, uint64_t max, uint64_t *value);
// Appends the unescaped contents of a well-formed string token.
void text_token_string(struct slice text, struct str *out);

#endif
