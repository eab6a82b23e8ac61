// SPDX-License-Identifier: Apache-2.0
// `nereid place` as text, and into configurations: both from the core's document (docs/placement.md).
#ifndef NEREID_CLI_PLACE_H
#define NEREID_CLI_PLACE_H

#include "base/json.h"
#include "base/str.h"

// Appends the tables, and with `explain` why each model is where it is and why nowhere else. Failure shows in `out`.
void place_print(const struct json_node *plan, bool explain, struct str *out);

// Appends an instance group with the GPUs of `model` to its config.pbtxt, which is made if there is none; a line of what was done goes to
// `out`. Nothing is changed where the file has groups of its own: then the line says what to write. Errors: those of the files.
NRD_MUST_USE struct nrd_status *place_write(const struct json_node *model, struct str *out);

#endif
