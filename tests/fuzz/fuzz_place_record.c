// SPDX-License-Identifier: Apache-2.0
// Records of placement: whatever is read is a record that writes itself and reads the same, and has costs that are numbers.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/place/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct place_record *record)
{
    struct str text = STR_INIT;
    struct place_record again;
    record_write(record, "m", "g", &text);
    if (record_read(str_slice(&text), &again) != NULL || again.point_count != record->point_count ||
        again.memory_bytes != record->memory_bytes || strcmp(again.untimed, record->untimed) != 0) {
        abort();
    }
    for (uint32_t rows = 1; rows != 0 && rows <= 1u << 30; rows *= 3) {
        double serial = 0;
        double busy = 0;
        if (record_cost(record, rows, &serial, &busy) &&
            !(isfinite(serial) && isfinite(busy) && serial >= 0 && busy >= 0)) {
            abort();
        }
    }
    str_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct place_record record;
    struct nrd_status *status = record_read(slice_make((const char *)data, size), &record);
    if (status == NULL) {
        check(&record);
    }
    status_free(status);
    return 0;
}
