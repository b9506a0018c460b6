/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles the file MCT_TEMPLATE once for each format of errors (SPEC 1.3), E12 and E8. A file that
 * names itself there has a part for both of them, under #ifdef MCT_ERROR, which knows
 *
 *   MCT_ERROR          the type of an error
 *   MCT_BITS           the bits of its magnitude
 *   MCT_NAME(name)     name_s16 or name_s8
 *   MCT_HISTORY        parameters that REQ needs: the history, for E8 what its dither is made of
 * too MCT_BEGIN(e_raw)   the writer that REQ begins with (kernels/error.h) */
#define MCT_ERROR int16_t
#define MCT_BITS MCT_E12_BITS
#define MCT_NAME(name) name##_s16
#define MCT_HISTORY int16_t *history
#define MCT_BEGIN(e_raw) mct_error_begin_s16(e_raw, history)
#include MCT_TEMPLATE
#undef MCT_ERROR
#undef MCT_BITS
#undef MCT_NAME
#undef MCT_HISTORY
#undef MCT_BEGIN

#define MCT_ERROR int8_t
#define MCT_BITS MCT_E8_BITS
#define MCT_NAME(name) name##_s8
#define MCT_HISTORY int16_t *history, const uint32_t *sgd, const uint32_t *node
#define MCT_BEGIN(e_raw) mct_error_begin_s8(e_raw, history, mct_seed_op(sgd[0], sgd[1], node[0]))
#include MCT_TEMPLATE
#undef MCT_ERROR
#undef MCT_BITS
#undef MCT_NAME
#undef MCT_HISTORY
#undef MCT_BEGIN
#undef MCT_TEMPLATE
