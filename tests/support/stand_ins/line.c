/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE

#include "line.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

static int line = -1;

void line_fault(const char *what)
{
    (void)fprintf(stderr, "stand-in: %s\n", what);
    (void)fflush(stderr);
    _exit(3);
}

void line_open(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    line = posix_openpt(O_RDWR | O_NOCTTY);
    if (line < 0 || grantpt(line) != 0 || unlockpt(line) != 0) {
        line_fault("no pseudo-terminal");
    }
    int host_end = open(ptsname(line), O_RDWR | O_NOCTTY); /* stays open, or reads would fail */
    struct termios settings;
    if (host_end < 0 || tcgetattr(host_end, &settings) != 0) {
        line_fault("no host's end");
    }
    cfmakeraw(&settings);
    if (tcsetattr(host_end, TCSANOW, &settings) != 0 || printf("%s\n", ptsname(line)) < 0 ||
        fflush(stdout) != 0) {
        line_fault("cannot say the path");
    }
}

bool line_is_readable(int timeout_ms)
{
    struct pollfd poller = {.fd = line, .events = POLLIN, .revents = 0};
    return poll(&poller, 1, timeout_ms) > 0 && (poller.revents & POLLIN) != 0;
}

size_t line_read(void *bytes, size_t capacity)
{
    ssize_t found = line_is_readable(0) ? read(line, bytes, capacity) : 0;
    return found > 0 ? (size_t)found : 0;
}

void line_write(const void *bytes, size_t nbytes)
{
    const char *next = bytes;
    while (nbytes > 0) {
        ssize_t written = write(line, next, nbytes);
        if (written < 0 && errno != EINTR) {
            line_fault("cannot write");
        }
        if (written > 0) {
            next += written;
            nbytes -= (size_t)written;
        }
    }
}
