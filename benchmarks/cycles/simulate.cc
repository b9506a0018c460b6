/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program on the verilated core: simulate IMAGE MOST_CYCLES. The image lies at 0x80000000, in
 * 8 MiB of memory that answers each request in the next cycle, on both ports at once. A word written
 * at 0x10000000 is printed, one at 0x10000004 ends the run. */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "Vcore.h"

static const uint32_t RAM = 0x80000000u, BYTES = 8u << 20, PRINT = 0x10000000u, END = PRINT + 4;
static std::vector<uint8_t> memory(BYTES);

static uint8_t *at(uint32_t address)
{
    if (address < RAM || address >= RAM + BYTES) {
        fprintf(stderr, "simulate: no memory at 0x%08x\n", address);
        exit(1);
    }
    return memory.data() + (address - RAM) / 4 * 4;
}

static void tick(Vcore &core)
{
    core.clk_i = 1;
    core.eval();
    core.clk_i = 0;
    core.eval();
}

static void reset(Vcore &core)
{
    core.rst_ni = 1; /* the reset is its falling edge: the core's clock is gated until then */
    core.clk_i = 0;
    core.instr_rvalid_i = core.data_rvalid_i = 0;
    core.eval();
    core.rst_ni = 0;
    core.eval();
    for (int n = 0; n < 10; n++) {
        tick(core);
    }
    core.rst_ni = 1;
    core.eval();
}

int main(int argc, char **argv)
{
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL || fread(memory.data(), 1, BYTES, file) == 0) {
        fprintf(stderr, "usage: simulate IMAGE MOST_CYCLES\n");
        return 1;
    }
    Vcore core;
    reset(core);
    for (uint64_t cycle = 0, most = strtoull(argv[2], NULL, 10); cycle < most; cycle++) {
        bool fetches = core.instr_req_o, accesses = core.data_req_o, writes = core.data_we_o;
        uint32_t fetched = core.instr_addr_o, address = core.data_addr_o;
        uint32_t word = core.data_wdata_o, bytes = core.data_be_o;
        core.clk_i = 1;
        core.eval();
        core.instr_rvalid_i = fetches;
        core.data_rvalid_i = accesses;
        if (fetches) {
            memcpy(&core.instr_rdata_i, at(fetched), 4);
        }
        if (accesses && writes && address == END) {
            return 0;
        }
        if (accesses && writes && address == PRINT) {
            printf("%u\n", word);
        } else if (accesses && writes) {
            uint8_t *to = at(address);
            for (int n = 0; n < 4; n++) {
                to[n] = bytes >> n & 1 ? (uint8_t)(word >> 8 * n) : to[n];
            }
        } else if (accesses) {
            memcpy(&core.data_rdata_i, at(address), 4);
        }
        core.eval();
        core.clk_i = 0;
        core.eval();
    }
    fprintf(stderr, "simulate: the program did not end in %s cycles\n", argv[2]);
    return 1;
}
