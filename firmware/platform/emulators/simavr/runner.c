/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the firmware of an AVR in libsimavr, with USART0 on a pseudo-terminal whose path it prints,
 * until SIGTERM.
 *
 *   runner MCU HZ ELF [region=NAME:BEGIN:END ...] [out=FILE] [owners=FILE] [memory=SOCKET]
 *          [eeprom=IMAGE]
 *
 * Regions, the file of out and that of owners are those of the QEMU plugin (../qemu), but for what
 * is counted: cycles, among them those of interrupts that are served within a region. Addresses are
 * the ELF's, those of data with 0x800000 added.
 *
 * Each client of the socket sends the line "ADDRESS NBYTES", in hexadecimal, and is sent the bytes
 * of the data memory.
 *
 * The EEPROM is that of an image of flash (host/simulation/flash_image.py), which the caller has
 * made and holds: each byte that the core writes is in the file at once. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <simavr/avr_eeprom.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_irq.h>

#include "counter.h"

enum {
    DATA_BASE = 0x800000,   /* of data addresses in an ELF */
    CYCLES_PER_POLL = 4000, /* of a running core, between two looks at its line */
    IDLE_MS = 20,           /* a sleeping core waits so long for its line at a time */
    LINE_BYTES = 4096,
    IMAGE_HEADER_BYTES = 128
};

static volatile sig_atomic_t must_end;

static void on_term(int number)
{
    (void)number;
    must_end = 1;
}

static _Noreturn void stop(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* The line: bytes that have come for the core, and bytes of the core that have not gone yet. */
static struct {
    int terminal;
    int reader; /* the other end, held open: it may be opened and closed again by others */
    avr_irq_t *to_core;
    bool takes; /* the core's buffer has room */
    uint8_t in[LINE_BYTES];
    size_t in_at, in_bytes;
    uint8_t out[LINE_BYTES];
    size_t out_bytes;
} line;

static int server = -1; /* the socket that memory is read by */

static void hand_over(void)
{
    while (line.takes && line.in_at < line.in_bytes) {
        avr_raise_irq(line.to_core, line.in[line.in_at++]);
    }
}

static void send_out(void)
{
    if (line.out_bytes > 0) {
        ssize_t sent = write(line.terminal, line.out, line.out_bytes);
        if (sent > 0) {
            line.out_bytes -= (size_t)sent;
            memmove(line.out, line.out + sent, line.out_bytes);
        }
    }
}

static void on_output(avr_irq_t *irq, uint32_t value, void *parameter)
{
    (void)irq;
    (void)parameter;
    while (line.out_bytes == LINE_BYTES && !must_end) { /* nobody reads */
        struct pollfd waits = {line.terminal, POLLOUT, 0};
        (void)poll(&waits, 1, IDLE_MS);
        send_out();
    }
    if (line.out_bytes < LINE_BYTES) {
        line.out[line.out_bytes++] = (uint8_t)value;
    }
}

static void on_room(avr_irq_t *irq, uint32_t value, void *parameter)
{
    (void)irq;
    (void)value;
    (void)parameter;
    line.takes = true;
}

static void on_full(avr_irq_t *irq, uint32_t value, void *parameter)
{
    (void)irq;
    (void)value;
    (void)parameter;
    line.takes = false;
}

/* Answers one client of the socket; one that asks for what is not there gets nothing. */
static void show_memory(const avr_t *avr)
{
    int client = accept(server, NULL, NULL);
    char asked[64] = "";
    size_t came = 0;
    while (came < sizeof asked - 1 && strchr(asked, '\n') == NULL) {
        ssize_t more = read(client, asked + came, sizeof asked - 1 - came);
        if (more <= 0) {
            break;
        }
        came += (size_t)more;
    }
    unsigned address = 0;
    unsigned nbytes = 0;
    if (sscanf(asked, "%x %x", &address, &nbytes) == 2 && address >= DATA_BASE &&
        (uint64_t)address - DATA_BASE + nbytes <= avr->ramend + 1u) {
        for (unsigned at = address - DATA_BASE; nbytes > 0;) {
            ssize_t gone = write(client, avr->data + at, nbytes);
            if (gone <= 0) {
                break;
            }
            at += (unsigned)gone;
            nbytes -= (unsigned)gone;
        }
    }
    close(client);
}

/* Looks at line and socket, and waits for them up to wait_ms. */
static void look(const avr_t *avr, int wait_ms)
{
    send_out();
    bool has_room = line.in_at == line.in_bytes;
    struct pollfd waits[2] = {{line.terminal, has_room ? POLLIN : 0, 0}, {server, POLLIN, 0}};
    if (poll(waits, server >= 0 ? 2 : 1, wait_ms) > 0) {
        if ((waits[0].revents & POLLIN) != 0) {
            ssize_t came = read(line.terminal, line.in, LINE_BYTES);
            line.in_at = 0;
            line.in_bytes = came > 0 ? (size_t)came : 0;
        }
        if ((waits[1].revents & POLLIN) != 0) {
            show_memory(avr);
        }
    }
    hand_over();
}

/* simavr calls this while the core sleeps. Whatever is under way, such as a byte that is sent, has
 * its cycles soon; the line is waited for where nothing is. */
static void on_sleep(avr_t *avr, avr_cycle_count_t cycles)
{
    (void)cycles;
    bool is_idle = avr->cycle_timers.timer == NULL && line.in_at == line.in_bytes;
    look(avr, is_idle ? IDLE_MS : 0);
}

/* Loads each segment to where it is before the start: code and images of data into flash, what is
 * loaded at data addresses into RAM. */
static void load(avr_t *avr, const char *path)
{
    static uint8_t file[8u << 20];
    FILE *stream = fopen(path, "rb");
    size_t nbytes = stream != NULL ? fread(file, 1, sizeof file, stream) : 0;
    const Elf32_Ehdr *head = (const void *)file;
    if (stream != NULL) {
        fclose(stream);
    }
    if (nbytes < sizeof *head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
        head->e_machine != EM_AVR ||
        head->e_phoff + (uint64_t)head->e_phnum * sizeof(Elf32_Phdr) > nbytes) {
        stop("%s: not a firmware of an AVR", path);
    }
    for (unsigned n = 0; n < head->e_phnum; n++) {
        const Elf32_Phdr *part = (const Elf32_Phdr *)(const void *)(file + head->e_phoff) + n;
        if (part->p_type != PT_LOAD || part->p_filesz == 0) {
            continue;
        }
        bool is_data = part->p_paddr >= DATA_BASE;
        uint32_t address = is_data ? part->p_paddr - DATA_BASE : part->p_paddr;
        uint64_t end = (uint64_t)address + part->p_filesz;
        if ((uint64_t)part->p_offset + part->p_filesz > nbytes ||
            end > (is_data ? avr->ramend : avr->flashend) + 1u) {
            stop("%s: a part of %u bytes does not fit the %s", path, part->p_filesz, avr->mmcu);
        }
        memcpy((is_data ? avr->data : avr->flash) + address, file + part->p_offset, part->p_filesz);
        if (!is_data && end > avr->codeend) {
            avr->codeend = (uint32_t)end;
        }
    }
}

static void open_line(avr_t *avr)
{
    struct termios raw;
    char name[64];
    memset(&raw, 0, sizeof raw);
    cfmakeraw(&raw);
    raw.c_cflag |= CREAD | CS8;
    if (openpty(&line.terminal, &line.reader, name, &raw, NULL) != 0 ||
        fcntl(line.terminal, F_SETFL, O_NONBLOCK) != 0) {
        stop("no pseudo-terminal: %s", strerror(errno));
    }
    uint32_t flags = 0; /* neither lines on the console, nor waits where a register is polled */
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    line.to_core = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    if (line.to_core == NULL) {
        stop("%s: simavr has no USART0 of it", avr->mmcu);
    }
    line.takes = true;
    avr_irq_register_notify(line.to_core + UART_IRQ_OUTPUT, on_output, NULL);
    avr_irq_register_notify(line.to_core + UART_IRQ_OUT_XON, on_room, NULL);
    avr_irq_register_notify(line.to_core + UART_IRQ_OUT_XOFF, on_full, NULL);
    printf("USART0 is %s\n", name);
    fflush(stdout);
}

static void open_server(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strlen(path) >= sizeof address.sun_path) {
        stop("%s: too long for a socket", path);
    }
    strcpy(address.sun_path, path);
    if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server, 4) != 0) {
        stop("%s: no socket (%s)", path, strerror(errno));
    }
}

/* Has the core's EEPROM lie in the image. */
static void open_eeprom(avr_t *avr, const char *path)
{
    avr_io_t *io = avr->io_port;
    while (io != NULL && (io->kind == NULL || strcmp(io->kind, "eeprom") != 0)) {
        io = io->next;
    }
    avr_eeprom_t *eeprom = (avr_eeprom_t *)(void *)io; /* which it begins with */
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (eeprom == NULL || file < 0) {
        stop("%s: no EEPROM (%s)", path, strerror(errno));
    }
    uint8_t *image =
        mmap(NULL, IMAGE_HEADER_BYTES + eeprom->size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (image == MAP_FAILED) {
        stop("%s: %s", path, strerror(errno));
    }
    eeprom->eeprom = image + IMAGE_HEADER_BYTES; /* simavr's own stays where it is, unused */
}

/* Argument `text` is NAME=value: the value, or NULL. */
static const char *value_of(const char *text, const char *name)
{
    size_t length = strlen(name);
    return strncmp(text, name, length) == 0 && text[length] == '=' ? text + length + 1 : NULL;
}

int main(int count, char **arguments)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGTERM, on_term);
    signal(SIGPIPE, SIG_IGN);
    if (count < 4) {
        stop("usage: runner MCU HZ ELF [region=NAME:BEGIN:END ...] [out=FILE] [owners=FILE] "
             "[memory=SOCKET] [eeprom=IMAGE]");
    }
    avr_t *avr = avr_make_mcu_by_name(arguments[1]);
    if (avr == NULL) {
        stop("simavr has no %s", arguments[1]);
    }
    avr_init(avr);
    avr->log = LOG_ERROR;
    avr->frequency = (uint32_t)strtoul(arguments[2], NULL, 10);
    load(avr, arguments[3]);
    for (int n = 4; n < count; n++) {
        const char *value;
        if ((value = value_of(arguments[n], "region")) != NULL) {
            add_region(value);
        } else if ((value = value_of(arguments[n], "owners")) != NULL) {
            add_owners(value);
        } else if ((value = value_of(arguments[n], "out")) != NULL) {
            open_counts(value);
        } else if ((value = value_of(arguments[n], "memory")) != NULL) {
            open_server(value);
        } else if ((value = value_of(arguments[n], "eeprom")) != NULL) {
            open_eeprom(avr, value);
        } else {
            stop("unknown argument %s", arguments[n]);
        }
    }
    open_line(avr);
    avr->sleep = on_sleep;
    /* An instruction at a time, if their addresses are looked at. */
    avr->run_cycle_limit = is_counting() ? 1 : CYCLES_PER_POLL;
    avr_cycle_count_t next_look = 0;
    int state = avr->state;
    while (!must_end && state != cpu_Done && state != cpu_Crashed) {
        count_at(avr->pc, avr->cycle);
        state = avr_run(avr);
        if (avr->cycle >= next_look) {
            next_look = avr->cycle + CYCLES_PER_POLL;
            look(avr, 0);
        }
    }
    send_out();
    if (!must_end) {
        stop("the core has stopped at 0x%x", avr->pc);
    }
    return 0;
}
