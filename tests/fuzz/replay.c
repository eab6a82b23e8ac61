// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over the files and folders given, each once: so that corpora and what fuzzing once found are
// ordinary tests, with any compiler and any sanitizer. Under clang the same target is linked with libFuzzer instead
// (tools/fuzz.sh). Each input lies in memory of exactly its size, so that AddressSanitizer sees a read past its end.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size == 0 ? 1 : size);
    if (file == NULL || data == NULL || fread(data, 1, size, file) != size) {
        fprintf(stderr, "cannot read %s\n", path);
        free(data);
        if (file != NULL) {
            fclose(file);
        }
        return 1;
    }
    fclose(file);
    fprintf(stderr, "%s\n", path); // the last line before a crash names its input
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        fprintf(stderr, "cannot find %s\n", path);
        return 1;
    }
    if (!S_ISDIR(st.st_mode)) {
        return replay_file(path, (size_t)st.st_size);
    }
    struct dirent **names = NULL;
    int count = scandir(path, &names, NULL, alphasort);
    int failed = count < 0 ? 1 : 0;
    for (int i = 0; i < count; i++) {
        char inner[4096];
        if (names[i]->d_name[0] != '.' &&
            snprintf(inner, sizeof(inner), "%s/%s", path, names[i]->d_name) < (int)sizeof(inner)) {
            failed |= replay(inner);
        }
        free(names[i]);
    }
    free(names);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = argc < 2 ? 1 : 0;
    for (int i = 1; i < argc; i++) {
        failed |= replay(argv[i]);
    }
    return failed;
}
