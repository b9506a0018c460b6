/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the inputs that are named, for a compiler that has no libFuzzer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    static uint8_t text[1 << 16];
    for (int n = 1; n < argc; n++) {
        FILE *file = fopen(argv[n], "rb");
        if (file == NULL) {
            perror(argv[n]);
            return EXIT_FAILURE;
        }
        size_t nbytes = fread(text, 1, sizeof text, file);
        (void)fclose(file);
        (void)fprintf(stderr, "Running: %s\n", argv[n]); /* as libFuzzer says it */
        (void)LLVMFuzzerTestOneInput(text, nbytes);
    }
    return EXIT_SUCCESS;
}
