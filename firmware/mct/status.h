/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes of the edges. They travel on the wire (SPEC section 2): never renumber. */
#ifndef MCT_STATUS_H
#define MCT_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    MCT_OK = 0,
    MCT_ERR_BUSY = -1,    /* a sliced step is under way */
    MCT_ERR_LABEL = -2,   /* the label is not a class of this model */
    MCT_ERR_MESSAGE = -3, /* unknown message, or a payload of the wrong size */
    MCT_ERR_RANGE = -4,   /* bytes outside the region, or a value outside its range */
    MCT_ERR_SESSION = -5, /* no HELLO yet, or a sequence number out of order */
    MCT_ERR_IDLE = -6,    /* no step is under way */
    MCT_ERR_SAMPLE = -7,  /* the sample, latent or target has not come whole, or was used already */
    MCT_ERR_DAMAGED = -8, /* a request came damaged: repeat it */
    MCT_ERR_STATE = -9,   /* what was written to the state is none that training can have left */
    MCT_ERR_FLASH = -10,  /* the flash cannot be written or read any more */
    MCT_ERR_NOTHING_SAVED = -11, /* the flash holds nothing that was ever whole */
    MCT_ERR_FOREIGN = -12,       /* what was saved is of another model, version or length */
    MCT_ERR_KEY = -13,           /* it is not sealed with a key of this device */
    MCT_ERR_RIGHT = -14,         /* the key that it is sealed with does not give the right to it */
    MCT_ERR_COLLECT = -16        /* the sensor has no sample ready */
} mct_status;

#ifdef __cplusplus
}
#endif

#endif
