/* SPDX-License-Identifier: Apache-2.0 */
#include "counter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_REGIONS = 8, MOST_OWNERS = 4096, WORDS = 1 << 17 /* of the largest flash */ };

typedef struct {
    char name[32];
    uint32_t begin;
    uint32_t end;
    uint64_t begun; /* the cycle */
    bool is_running;
} region;

static region regions[MOST_REGIONS];
static size_t region_count;
static FILE *out;

/* Of each word of flash: whether a region begins or ends there, and 1 more than whose it is. */
static bool is_mark[WORDS];
static uint16_t owner_at[WORDS];
static bool has_owners;

static uint64_t owned[MOST_OWNERS];
static unsigned owner;
static uint64_t turn; /* the cycle at which the owner's turn began */

static _Noreturn void refuse(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

void add_region(const char *text)
{
    region found = {.is_running = false};
    if (region_count == MOST_REGIONS ||
        sscanf(text, "%31[^:]:%" SCNx32 ":%" SCNx32, found.name, &found.begin, &found.end) != 3 ||
        found.begin / 2 >= WORDS || found.end / 2 >= WORDS) {
        refuse(text, "no region, or one too many");
    }
    is_mark[found.begin / 2] = true;
    is_mark[found.end / 2] = true;
    regions[region_count++] = found;
}

void add_owners(const char *path)
{
    FILE *file = fopen(path, "r");
    uint32_t begin;
    uint32_t end;
    unsigned whose;
    if (file == NULL) {
        refuse(path, "cannot be read");
    }
    while (fscanf(file, "%" SCNx32 " %" SCNx32 " %u", &begin, &end, &whose) == 3) {
        if (whose >= MOST_OWNERS || end / 2 > WORDS) {
            refuse(path, "an owner or an address is too large");
        }
        for (uint32_t word = begin / 2; word < end / 2; word++) {
            owner_at[word] = (uint16_t)(whose + 1);
        }
    }
    fclose(file);
    has_owners = true;
}

void open_counts(const char *path)
{
    out = fopen(path, "w");
    if (out == NULL) {
        refuse(path, "cannot be written");
    }
}

bool is_counting(void)
{
    return out != NULL && region_count > 0;
}

/* A turn ends; the next one is `whose`. */
static void change_owner(unsigned whose, uint64_t cycles)
{
    owned[owner] += cycles - turn;
    owner = whose;
    turn = cycles;
}

static void end_region(region *ended, uint64_t cycles)
{
    fprintf(out, "%s %" PRIu64, ended->name, cycles - ended->begun);
    change_owner(0, cycles);
    for (unsigned n = 0; has_owners && n < MOST_OWNERS; n++) {
        if (owned[n] > 0) {
            fprintf(out, " %u:%" PRIu64, n, owned[n]);
        }
    }
    fputc('\n', out);
    fflush(out);
    ended->is_running = false;
}

static void pass_mark(uint32_t address, uint64_t cycles)
{
    for (region *each = regions; each < regions + region_count; each++) {
        if (each->end == address && each->is_running) {
            end_region(each, cycles);
        }
        if (each->begin == address) {
            each->is_running = true;
            each->begun = cycles;
            memset(owned, 0, sizeof owned);
            owner = 0;
            turn = cycles;
        }
    }
}

void count_at(uint32_t address, uint64_t cycles)
{
    if (out == NULL) {
        return;
    }
    const uint32_t word = address / 2 % WORDS;
    if (is_mark[word]) {
        pass_mark(address, cycles);
    }
    if (owner_at[word] != 0 && owner_at[word] - 1u != owner) {
        change_owner(owner_at[word] - 1u, cycles);
    }
}
