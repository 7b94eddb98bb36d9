/* Forward error correction of TS004, FragAlgo 0, written plainly: what bench/fec.py compares ours with. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uint32_t prbs23(uint32_t x) {
    uint32_t b0 = x & 1;
    uint32_t b1 = (x >> 5) & 1;
    return (x >> 1) + ((b0 ^ b1) << 22);
}

static void parity_line(uint32_t k, uint32_t m, int version, bool *line) {
    uint32_t modulus = (m & (m - 1)) == 0 ? m + 1 : m;
    uint32_t x = 1 + 1001 * k;
    uint32_t drawn = 0;

    memset(line, 0, m * sizeof(bool));
    while (drawn < m / 2) {
        uint32_t r;
        do {
            x = prbs23(x);
            r = x % modulus;
        } while (r >= m);
        if (version == 1 || !line[r])
            drawn++;
        line[r] = true;
    }
}

static void encode(const uint8_t *block, uint32_t m, uint32_t size, uint32_t coded, int version, bool *line,
                   uint8_t *out) {
    for (uint32_t k = 1; k <= coded; k++) {
        uint8_t *fragment = out + (size_t)(k - 1) * size;

        parity_line(k, m, version, line);
        memset(fragment, 0, size);
        for (uint32_t i = 0; i < m; i++) {
            if (!line[i])
                continue;
            const uint8_t *piece = block + (size_t)i * size;
            for (uint32_t j = 0; j < size; j++)
                fragment[j] ^= piece[j];
        }
    }
}

/* The same `times` times over, so that the call from Python does not count. */
void repeat(uint32_t times, const uint8_t *block, uint32_t m, uint32_t size, uint32_t coded, int version,
            uint8_t *out) {
    bool *line = malloc(m * sizeof(bool));

    if (line == NULL)
        abort();
    while (times--)
        encode(block, m, size, coded, version, line, out);
    free(line);
}
