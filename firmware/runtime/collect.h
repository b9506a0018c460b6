/* SPDX-License-Identifier: Apache-2.0 */
/* Part of runtime/session.c, which selects the model: what a host collects of the device's own
 * sensor, in firmware that says MCT_WITH_SENSOR, and gives mct_port_sample (mct/port.h). */
#ifndef MCT_COLLECT_H
#define MCT_COLLECT_H

#include <string.h>

#include "mct/port.h"
#include "mct/protocol.h"
#include "mct_selected_model.h"
#include "runtime/frame.h"

/* A model that streams its input has no place for a whole sample. */
static int8_t
    mct_collect_streamed[MCT_MODEL_CONST(FIRST_CALL) != 0 ? MCT_MODEL_CONST(INPUT_BYTES) : 1];
static struct {
    uint32_t label;
    bool is_there; /* no other request has come since it was taken */
} mct_collected;

static inline int8_t *mct_collect_place(void)
{
    return MCT_MODEL_CONST(FIRST_CALL) != 0 ? mct_collect_streamed : MCT_MODEL(input)();
}

/* Takes the sensor's next sample, which is the model's then as if SAMPLE had brought it. */
static inline mct_status mct_collect_next(void)
{
    uint32_t label = MCT_NO_LABEL;
    mct_collected.is_there = false;
    if (MCT_MODEL(busy)()) {
        return MCT_ERR_BUSY;
    }
    if (!mct_port_sample(mct_collect_place(), &label)) {
        return MCT_ERR_COLLECT;
    }
    mct_status status =
        MCT_MODEL(push)(0, mct_collect_place(), (uint32_t)MCT_MODEL_CONST(INPUT_BYTES));
    mct_collected.label = label;
    mct_collected.is_there = status == MCT_OK;
    return status;
}

/* The label and some bytes of the sample; offset 0 takes the next one. The range was checked. */
static inline mct_status mct_collect(uint32_t offset, uint32_t nbytes, uint8_t *reply)
{
    mct_status status = offset == 0u             ? mct_collect_next()
                        : mct_collected.is_there ? MCT_OK
                                                 : MCT_ERR_SAMPLE;
    if (status == MCT_OK) {
        mct_put_u32(reply, mct_collected.label);
        memcpy(reply + MCT_REPLY_COLLECT_BYTES, mct_collect_place() + offset, (size_t)nbytes);
    }
    return status;
}

#endif
