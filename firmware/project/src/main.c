/* SPDX-License-Identifier: Apache-2.0 */
/* A device that learns from its user: hold one of two buttons while you show it something, and it
 * learns that this is class 0 or class 1. Else it says which of them it sees.
 *
 * The loop never waits for a whole step: a step runs in slices, one kernel call in each turn, so
 * that buttons, a watchdog and the link to a computer stay alive. */
#include "board.h"
#include "mct/port.h"
#include "model.h"
#include "runtime/link.h"
#include "runtime/session.h"
#include "sensor.h"
#ifdef ARDUINO
#include <Arduino.h>
#endif

enum {
    SEED = 1,       /* of all random rounding: the same seed and samples give the same bits */
    SLICE_CALLS = 1 /* of MODEL_CALLS kernel calls: more of them make a step quicker and the loop
                       less lively */
};

static bool is_hosted;     /* a computer has the model now: `mcutrain train --port` */
static uint32_t shown = 1; /* by the made-up signal: a real sensor needs no such thing */
/*@ streamed */
static int8_t row_by_row[MODEL_INPUT_BYTES]; /* the model itself never holds a whole sample */
/*@ end */

static void tell(const char *what, uint32_t number)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    board_print(what);
    board_print(first);
}

/* Answers a computer on the link. From its first request on the model is the computer's, until the
 * next reset of the board: two who train one model would disturb each other. */
static bool serve_host(void)
{
    const uint8_t *request;
    if (!is_hosted && mct_link_request(&request) > 0) {
        is_hosted = true;
        board_print("\r\na host is attached\r\n");
        static const uint8_t end = 0; /* of the text: behind it a frame begins */
        mct_port_write(&end, 1);
    }
    return is_hosted && mct_session_work();
}

/* One sample: learned if a button is held, else recognised. */
static void take_sample(void)
{
    int32_t button = board_button();
    shown = button != BOARD_NO_BUTTON ? (uint32_t)button : 1u - shown;
    int8_t *sample = model_input();
    /*@ streamed */
    sample = row_by_row;
    /*@ end */
    sensor_read(sample, shown);
    if (model_push(0, sample, MODEL_INPUT_BYTES) != MCT_OK) {
        board_print("the sample was refused\r\n");
    } else if (button != BOARD_NO_BUTTON) {
        if (model_begin((uint32_t)button) != MCT_OK) {
            board_print("the label was refused\r\n");
        }
    } else if (model_infer() == MCT_OK) {
        tell("I see class ", model_predicted());
        tell(", margin ", model_margin());
        tell("; it is ", shown);
        board_print("\r\n");
    }
}

static void tell_of_step(void)
{
    tell("learned class ", shown);
    tell(", step ", model_steps());
    tell(", digest ", model_digest());
    board_print("\r\n");
}

static void begin(void)
{
    mct_session_init();
    mct_port_init();
    board_begin();
    model_reset(SEED);
    tell("model ready, kernel calls of a step: ", MODEL_CALLS);
    board_print("\r\n");
}

/* One turn of the loop. A watchdog is fed here. */
static void turn(void)
{
    bool is_idle = false;
    if (!is_hosted && model_busy()) {
        if (model_run(SLICE_CALLS)) {
            tell_of_step();
        }
    } else if (!serve_host()) {
        is_idle = is_hosted || !board_sample_is_due();
        if (!is_idle) {
            take_sample();
        }
    }
    mct_port_receive(is_idle); /* sleeps until something happens, if there is nothing to do */
}

#if defined ARDUINO
void setup(void)
{
    begin();
}

void loop(void)
{
    turn();
}
#else
int main(void)
{
    begin();
    for (;;) {
        turn();
    }
}
#endif
