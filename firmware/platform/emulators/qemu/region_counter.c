/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU TCG plugin: counts the guest instructions executed in named regions.
 *
 * Arguments: region=NAME:BEGIN:END (several), out=FILE, perhaps owners=FILE and kinds=on. A region
 * runs from the instruction at address BEGIN, included, to the next at END, excluded. Each time it
 * ends, the line "NAME COUNT" is added to the file of out. BEGIN again before END starts over.
 *
 * The file of owners has lines "BEGIN END OWNER": who owns the instructions in that range of
 * addresses. Numbers of owners are small. What an owner's instructions call is the owner's too: an
 * instruction in no range belongs to the owner of the last one that was in a range, or to owner 0
 * if there was none in the region. Then a line goes on with " OWNER:COUNT" for each owner that has
 * executed something. These counts add up to the region's.
 *
 * With kinds=on " OWNER:COUNT" goes on, too, with ":COUNT" for each kind of instruction (thumb.h),
 * for the registers that those of several moved, and for the branches that were taken: a block of
 * instructions was entered otherwise than from the one before it in memory.
 *
 * Declares the few functions of plugin API version 1 (QEMU docs/devel/tcg-plugins) that it uses, so
 * that it compiles without QEMU's headers. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "thumb.h"

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*tb_callback)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*block_callback)(unsigned int vcpu, void *data);
typedef void (*insn_callback)(unsigned int vcpu, void *data);
enum { QEMU_PLUGIN_CB_NO_REGS = 0, QEMU_PLUGIN_INLINE_ADD_U64 = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, block_callback callback,
                                          int flags, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_callback callback);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op,
                                                void *counter, uint64_t amount);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, insn_callback callback,
                                            int flags, void *data);
int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

extern int qemu_plugin_version;
int qemu_plugin_version = 1;

typedef struct {
    char name[32];
    uint64_t begin;
    uint64_t end;
    uint64_t count_at_begin;
    bool is_running;
} region;

enum { MOST_REGIONS = 8 };
static region regions[MOST_REGIONS];
static size_t region_count;
static uint64_t executed;
static FILE *out;

typedef struct {
    uint64_t begin;
    uint64_t end;
    unsigned int owner;
} range;

enum { MOST_OWNERS = 4096, REGISTERS = KINDS, TAKEN, COUNTERS };
static range *ranges; /* by address */
static size_t range_count;
static bool has_kinds;
static uint64_t of_kind[COUNTERS];

typedef struct {
    uint64_t executed;
    uint64_t of_kind[COUNTERS];
} tally;

static tally owned[MOST_OWNERS];
static unsigned int owner;
static tally at_owner; /* when the owner's turn began */

static void begin_turn(unsigned int next)
{
    at_owner.executed = executed;
    memcpy(at_owner.of_kind, of_kind, sizeof of_kind);
    owner = next;
}

static void end_turn(void)
{
    owned[owner].executed += executed - at_owner.executed;
    for (int n = 0; has_kinds && n < COUNTERS; n++) {
        owned[owner].of_kind[n] += of_kind[n] - at_owner.of_kind[n];
    }
}

static void on_owner(unsigned int vcpu, void *data)
{
    (void)vcpu;
    const range *r = data;
    end_turn();
    begin_turn(r->owner);
}

static void print_owners(void)
{
    end_turn();
    for (unsigned int n = 0; n < MOST_OWNERS; n++) {
        if (owned[n].executed > 0) {
            fprintf(out, " %u:%" PRIu64, n, owned[n].executed);
            for (int kind = 0; has_kinds && kind < COUNTERS; kind++) {
                fprintf(out, ":%" PRIu64, owned[n].of_kind[kind]);
            }
        }
    }
}

typedef struct {
    uint64_t begin;
    uint64_t end;
} block;

static uint64_t behind; /* the last block */

static void on_block(unsigned int vcpu, void *data)
{
    (void)vcpu;
    const block *b = data;
    of_kind[TAKEN] += b->begin != behind;
    behind = b->end;
}

static void on_begin(unsigned int vcpu, void *data)
{
    (void)vcpu;
    region *r = data;
    r->count_at_begin = executed;
    r->is_running = true;
    memset(owned, 0, sizeof owned);
    begin_turn(0);
}

static void on_end(unsigned int vcpu, void *data)
{
    (void)vcpu;
    region *r = data;
    if (r->is_running) {
        r->is_running = false;
        fprintf(out, "%s %" PRIu64, r->name, executed - r->count_at_begin);
        if (range_count > 0 || has_kinds) {
            print_owners();
        }
        fprintf(out, "\n");
        fflush(out);
    }
}

static int compare_address(const void *address, const void *element)
{
    uint64_t a = *(const uint64_t *)address;
    const range *r = element;
    return a < r->begin ? -1 : a >= r->end;
}

static void count_kinds(struct qemu_plugin_tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    bool was_single = false;
    for (size_t n = 0; n < count; n++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, n);
        bool is_wide = qemu_plugin_insn_size(insn) == 4;
        thumb found = thumb_of(qemu_plugin_insn_data(insn), is_wide, &was_single);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                   of_kind + found.kind, 1);
        if (found.registers > 0) {
            qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                       of_kind + REGISTERS, found.registers);
        }
    }
    block *b = malloc(sizeof *b); /* for as long as the block may run: to the end */
    if (b != NULL) {
        struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, count - 1);
        b->begin = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
        b->end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last);
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, b);
    }
}

/* The callbacks come before the increment: they see the instructions before their own. */
static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    if (has_kinds) {
        count_kinds(tb);
    }
    for (size_t n = 0; n < qemu_plugin_tb_n_insns(tb); n++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, n);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        for (region *r = regions; r < regions + region_count; r++) {
            if (address == r->end) {
                qemu_plugin_register_vcpu_insn_exec_cb(insn, on_end, QEMU_PLUGIN_CB_NO_REGS, r);
            }
            if (address == r->begin) {
                qemu_plugin_register_vcpu_insn_exec_cb(insn, on_begin, QEMU_PLUGIN_CB_NO_REGS, r);
            }
        }
        range *found = bsearch(&address, ranges, range_count, sizeof *ranges, compare_address);
        if (found != NULL) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_owner, QEMU_PLUGIN_CB_NO_REGS, found);
        }
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &executed, 1);
    }
}

static bool add_region(const char *text)
{
    region *r = regions + region_count;
    if (region_count == MOST_REGIONS ||
        sscanf(text, "%31[^:]:%" SCNx64 ":%" SCNx64, r->name, &r->begin, &r->end) != 3) {
        return false;
    }
    region_count++;
    return true;
}

/* Reads the file of owners; its ranges are in the order of their addresses. */
static bool read_owners(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    range r;
    bool is_good = true;
    while (is_good && fscanf(file, "%" SCNx64 " %" SCNx64 " %u", &r.begin, &r.end, &r.owner) == 3) {
        range *more = realloc(ranges, (range_count + 1) * sizeof *ranges);
        is_good = more != NULL && r.owner < MOST_OWNERS &&
                  (range_count == 0 || more[range_count - 1].end <= r.begin);
        if (more != NULL) {
            ranges = more;
            ranges[range_count++] = r;
        }
    }
    is_good = is_good && feof(file) != 0;
    fclose(file);
    return is_good;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int n = 0; n < argc; n++) {
        bool is_good = false;
        if (strncmp(argv[n], "region=", 7) == 0) {
            is_good = add_region(argv[n] + 7);
        } else if (strncmp(argv[n], "out=", 4) == 0 && out == NULL) {
            out = fopen(argv[n] + 4, "w");
            is_good = out != NULL;
        } else if (strcmp(argv[n], "kinds=on") == 0) {
            is_good = has_kinds = true;
        } else if (strncmp(argv[n], "owners=", 7) == 0 && ranges == NULL) {
            is_good = read_owners(argv[n] + 7);
        }
        if (!is_good) {
            fprintf(stderr, "region_counter: bad argument %s\n", argv[n]);
            return -1;
        }
    }
    if (out == NULL || region_count == 0) {
        fprintf(stderr, "region_counter: region= and out= are needed\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
