/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of Thumb instructions that a Cortex-M takes different numbers of cycles for, by their
 * encodings (Arm ARMv7-M Architecture Reference Manual, chapter A5). */
#ifndef MCT_PLUGIN_THUMB_H
#define MCT_PLUGIN_THUMB_H

#include <stdbool.h>
#include <stdint.h>

/* In the order of host/simulation/cycles.py. */
typedef enum {
    KIND_OTHER,
    KIND_LOAD,       /* of one value */
    KIND_NEXT_LOAD,  /* the same, right behind another load or store of one value */
    KIND_STORE,      /* of one value, at an offset that the instruction holds */
    KIND_STORE_AT,   /* the same, at an offset in a register */
    KIND_SEVERAL,    /* load or store of several registers */
    KIND_MULTIPLY,   /* a product of 32 bits, or what the DSP extension multiplies */
    KIND_ACCUMULATE, /* MLA, MLS */
    KIND_LONG,       /* a product of 64 bits */
    KIND_LONG_ACCUMULATE,
    KIND_DIVIDE,
    KIND_LINK,  /* BL, BLX, POP with PC */
    KIND_TABLE, /* TBB, TBH */
    KIND_SPECIAL,
    KINDS
} thumb_kind;

typedef struct {
    thumb_kind kind;
    unsigned int registers; /* of KIND_SEVERAL, or of a POP with PC */
} thumb;

static thumb several(unsigned int list)
{
    return (thumb){KIND_SEVERAL, (unsigned int)__builtin_popcount(list)};
}

static thumb load_or_store(bool is_load, bool has_register)
{
    thumb_kind store = has_register ? KIND_STORE_AT : KIND_STORE;
    return (thumb){is_load ? KIND_LOAD : store, 0};
}

static thumb thumb_of_16(unsigned int code)
{
    if ((code & 0xf800u) == 0x4800u) {
        return load_or_store(true, false); /* LDR from the literals */
    }
    if ((code & 0xf000u) == 0x5000u) {
        return load_or_store((code >> 9 & 7u) >= 3u, true);
    }
    if (code >= 0x6000u && code <= 0x9fffu) {
        return load_or_store((code & 0x0800u) != 0, false);
    }
    if ((code & 0xff00u) == 0xbd00u) {
        return (thumb){KIND_LINK, several(code & 0xffu).registers + 1u};
    }
    if ((code & 0xf600u) == 0xb400u) {
        return several(code & 0x1ffu); /* PUSH, POP */
    }
    if ((code & 0xf000u) == 0xc000u) {
        return several(code & 0xffu);
    }
    if ((code & 0xffc0u) == 0x4340u) {
        return (thumb){KIND_MULTIPLY, 0};
    }
    return (thumb){(code & 0xff80u) == 0x4780u ? KIND_LINK : KIND_OTHER, 0};
}

static thumb thumb_of_32(unsigned int first, unsigned int second)
{
    unsigned int op = first >> 4 & 7u;
    if ((first & 0xfe40u) == 0xe800u) {
        bool is_return = (first & 0x10u) != 0 && (second & 0x8000u) != 0;
        return is_return ? (thumb){KIND_LINK, several(second).registers} : several(second);
    }
    if ((first & 0xfe40u) == 0xe840u) {
        bool is_table = (first & 0xfff0u) == 0xe8d0u && (second & 0xffe0u) == 0xf000u;
        return is_table ? (thumb){KIND_TABLE, 0} : several(3u); /* LDRD, STRD */
    }
    if ((first & 0xfe00u) == 0xf800u) {
        bool has_register = (first & 0x80u) == 0 && (second & 0xfc0u) == 0;
        return load_or_store((first & 0x10u) != 0, has_register);
    }
    if ((first & 0xff80u) == 0xfb00u) {
        bool has_sum = op == 0u && second >> 12 != 15u;
        return (thumb){has_sum ? KIND_ACCUMULATE : KIND_MULTIPLY, 0};
    }
    if ((first & 0xff80u) == 0xfb80u) {
        bool is_division = op == 1u || op == 3u;
        thumb_kind product = op >= 4u ? KIND_LONG_ACCUMULATE : KIND_LONG;
        return (thumb){is_division ? KIND_DIVIDE : product, 0};
    }
    if ((first & 0xf800u) == 0xf000u && (second & 0xd000u) == 0xd000u) {
        return (thumb){KIND_LINK, 0};
    }
    bool is_control = (first & 0xfb80u) == 0xf380u && (second & 0xd000u) == 0x8000u;
    return (thumb){is_control ? KIND_SPECIAL : KIND_OTHER, 0}; /* MSR, MRS, barriers */
}

/* The kind of the instruction whose bytes these are; `*was_single` says whether the one before it
 * loaded or stored one value, and then whether this one does. */
static thumb thumb_of(const uint8_t *bytes, bool is_wide, bool *was_single)
{
    unsigned int first = bytes[0] | (unsigned int)bytes[1] << 8;
    thumb found =
        is_wide ? thumb_of_32(first, bytes[2] | (unsigned int)bytes[3] << 8) : thumb_of_16(first);
    bool is_load = found.kind == KIND_LOAD;
    if (is_load && *was_single) {
        found.kind = KIND_NEXT_LOAD;
    }
    *was_single = is_load || found.kind == KIND_STORE || found.kind == KIND_STORE_AT;
    return found;
}

#endif
