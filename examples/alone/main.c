/* SPDX-License-Identifier: Apache-2.0 */
/* A device that learns from its user with no computer beside it, and outlives a loss of power at
 * any moment. It stands in place of src/main.c of a project that `mcutrain new` made (README.md).
 *
 * The user holds one of two buttons and shows something. The first VALIDATION samples are kept, to
 * judge by; from all others the device learns, in slices of a step. After each SESSION of steps the
 * guard counts how many of the kept samples are right: a state that is better than all before goes
 * into flash, and PATIENCE sessions without one end the learning, with the best state back in
 * place. A device that starts goes on from what is in flash. A computer that attaches finds the
 * model as it is: it may collect samples, look, audit, and pull what was learned. */
#include "board.h"
#include "learning/guard.h"
#include "mct/port.h"
#include "runtime/health.h"
#include "runtime/link.h"
#include "runtime/session.h"
#include "sensor.h"
#include "watch.h"

#define MCT_API(symbol) watch_##symbol
#include "learning/model_store.h"

enum {
    SEED = 1, /* of all random rounding: the same seed and samples give the same bits */
    SLICE_CALLS = 1,
    VALIDATION = 8, /* samples that are judged by, and never learned from */
    SESSION = 8,    /* steps between two judgements */
    PATIENCE = 3
};

_Static_assert((int)WATCH_LATENT_SLOTS >= VALIDATION, "generate the model with --latent-slots 8");

static uint8_t best[WATCH_STATE_BYTES];
static mct_guard guard;
static uint32_t validation_samples; /* of them that there are */
static uint32_t session_steps;
static bool is_learning = true;
static bool is_hosted;     /* a computer has the model now */
static uint32_t shown = 1; /* by the made-up signal: a real sensor needs no such thing */

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

/* Says what happened, and what the model is then. */
static void tell_of_state(const char *what)
{
    board_print(what);
    tell(" step ", watch_steps());
    tell(" digest ", watch_digest());
    board_print("\r\n");
}

static uint32_t count_right(void)
{
    uint32_t right = 0;
    for (uint32_t slot = 0; slot < validation_samples; slot++) {
        uint32_t label;
        if (watch_recall_latent(slot, &label) == MCT_OK && watch_infer_from_latent() == MCT_OK) {
            right += watch_predicted() == label;
        }
    }
    return right;
}

/* Judges what was learned, and saves what is better than before. */
static void judge(void)
{
    const bool is_first = !guard.has_best;
    const uint32_t right = count_right();
    const mct_guard_verdict verdict = mct_guard_report(&guard, right, validation_samples);
    tell("right ", right);
    tell(" of ", validation_samples);
    board_print("\r\n");
    if (verdict == MCT_GUARD_IMPROVED && !is_first && mct_health_is_safe()) {
        tell_of_state("not saved, since what is saved was left out at this start:");
    } else if (verdict == MCT_GUARD_IMPROVED && !is_first) {
        const mct_status status = watch_save();
        tell_of_state(status == MCT_OK ? "saved" : "not saved, and the state before stays:");
    } else if (verdict == MCT_GUARD_STOP) {
        mct_guard_restore(&guard);
        is_learning = false;
        tell_of_state("done");
    }
}

/* A sample that is shown with a button: kept until there are enough to judge by, then learned. */
static void take_labelled(uint32_t label)
{
    if (validation_samples < VALIDATION) {
        if (watch_prefix() == MCT_OK && watch_keep_latent(validation_samples, label) == MCT_OK) {
            validation_samples++;
        }
        if (validation_samples == VALIDATION) {
            judge(); /* before anything is learned */
        }
    } else if (is_learning && watch_begin(label) != MCT_OK) {
        board_print("the label was refused\r\n");
    }
}

static void take_sample(void)
{
    const int32_t button = board_button();
    shown = button != BOARD_NO_BUTTON ? (uint32_t)button : 1u - shown;
    sensor_read(watch_input(), shown);
    if (watch_push(0, watch_input(), WATCH_INPUT_BYTES) != MCT_OK) {
        board_print("the sample was refused\r\n");
    } else if (button != BOARD_NO_BUTTON) {
        take_labelled((uint32_t)button);
    } else if (watch_infer() == MCT_OK) {
        tell("I see class ", watch_predicted());
        tell("; it is ", shown);
        board_print("\r\n");
    }
}

/* Runs a slice of the step under way. */
static void go_on(void)
{
    if (watch_run(SLICE_CALLS)) {
        mct_health_served(); /* this start was a good one */
        tell_of_state("learned");
        if (++session_steps == SESSION) {
            session_steps = 0;
            judge();
        }
    }
}

/* What a computer collects (`mcutrain collect`): a build with -D MCT_WITH_SENSOR asks it. */
bool mct_port_sample(int8_t *sample, uint32_t *label)
{
    const int32_t button = board_button();
    shown = button != BOARD_NO_BUTTON ? (uint32_t)button : 1u - shown;
    sensor_read(sample, shown);
    *label = button != BOARD_NO_BUTTON ? (uint32_t)button : MCT_NO_LABEL;
    return true;
}

/* Answers a computer on the link. From its first request on the model is the computer's, until the
 * next start: two who train one model would disturb each other. A step under way ends first. */
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

static void begin(void)
{
    mct_session_init(); /* loads what was saved */
    mct_port_init();
    board_begin();
    if (watch_steps() == 0u) {
        watch_reset(SEED);
    }
    mct_guard_init(&guard, watch_regions[MCT_REGION_STATE], best, PATIENCE);
    tell_of_state("ready");
}

/* One turn of the loop. A watchdog is fed here. */
static void turn(void)
{
    bool is_idle = false;
    if (watch_busy() && !is_hosted) {
        go_on();
    } else if (!serve_host()) {
        is_idle = is_hosted || !board_sample_is_due();
        if (!is_idle) {
            take_sample();
        }
    }
    mct_port_receive(is_idle); /* sleeps until something happens, if there is nothing to do */
}

int main(void)
{
    begin();
    for (;;) {
        turn();
    }
}
