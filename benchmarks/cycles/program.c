/* SPDX-License-Identifier: Apache-2.0 */
/* Learns from the samples of samples.h, and prints of each step its cycles, its instructions and
 * the digest behind it, and of an inference its cycles and instructions. The build says
 * CALL(function), a function of the model, and includes the model's header. */
#include "samples.h"

#define PRINT ((volatile uint32_t *)0x10000000u)
#define READ(counter)                                                                              \
    ({                                                                                             \
        uint32_t value;                                                                            \
        __asm__ volatile(".option push\n\t.option arch, +zicsr\n\tcsrr %0, " counter               \
                         "\n\t.option pop"                                                         \
                         : "=r"(value)::"memory");                                                 \
        value;                                                                                     \
    })
/* The counters of instructions lie inside: reading one takes an instruction. */
#define COUNT(what)                                                                                \
    do {                                                                                           \
        uint32_t cycles = READ("mcycle"), instructions = READ("minstret");                         \
        mct_status status = what;                                                                  \
        uint32_t end = READ("minstret");                                                           \
        PRINT[0] = status == MCT_OK ? READ("mcycle") - cycles : 0;                                 \
        PRINT[0] = end - instructions;                                                             \
    } while (0)

/* An Ibex begins 0x80 bytes behind its boot address. */
__attribute__((naked, used, section(".boot"))) void boot(void)
{
    __asm__ volatile("j mct_riscv_reset");
}

void mct_riscv_external(void)
{
}

int main(void)
{
    CALL(reset)(SEED);
    CALL(set_learning_rate)(MULTIPLIER, SHIFT);
    for (uint32_t n = 0; n < SAMPLES; n++) {
        (void)!CALL(push)(0, samples[n], sizeof samples[n]);
        COUNT(CALL(step)(labels[n]));
        PRINT[0] = CALL(digest)();
    }
    (void)!CALL(push)(0, samples[0], sizeof samples[0]);
    COUNT(CALL(infer)());
    PRINT[1] = 0;
    return 0;
}
