/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of a generated model. NAME.h includes this file with MCT_API(symbol) as
 * NAME_symbol, so that the model NAME has NAME_reset, NAME_step and all others; constants such as
 * NAME_CLASSES stand in NAME.h, in capitals. mct/model_body.h defines the functions.
 *
 * A model that learns from labelled samples, as it stands in a user's firmware:
 *
 *     NAME_reset(seed);                                      once, at the start
 *     status = NAME_push(0, sample, NAME_INPUT_BYTES);       then for each sample: hand it over,
 *     status = NAME_step(label);                             and learn from it,
 *     status = NAME_infer(); class = NAME_predicted();       or ask what it is
 *
 * A function that can refuse returns an mct_status (mct/status.h): MCT_OK when it has done its
 * work, else why it has not. A refused call leaves what was learned as it was. No function waits,
 * none allocates, and none uses floating point.
 *
 * Threads and interrupts. The functions share static memory. Call them from one thread, never one
 * inside another, and none from an interrupt, except where a comment allows it. Functions of
 * different models share nothing: each model may have a thread of its own.
 *
 * Memory. NAME_regions[MCT_REGION_STATE] is what was learned, with the step number and the learning
 * rate: it survives a step, and a copy of it is a checkpoint. All other regions of NAME_regions are
 * the arena, which is scratch memory. It is yours, to be written with anything, from the end of a
 * step or of an inference to the first byte of the next sample, target or latent; what NAME_loss,
 * NAME_logits, NAME_margin and NAME_predicted return is lost with it. It is the model's while a
 * step is under way, and while something waits in it that has come and is not used yet. Each region
 * begins at a multiple of 4 bytes.
 *
 * There is no guard against including this file twice: each model includes it with its own name. */
#ifndef MCT_API
#error "include the generated NAME.h of a model, which includes mct/model_api.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Sets the model to its initial state: weights, biases and everything else that training changes,
 * the step number 0, and the default learning rate. Call it before any other function. A step that
 * is under way ends, and what was handed over for the next one is dropped. All random rounding
 * follows from `seed`: the same seed and the same samples give the same bits. Latents that were
 * kept stay. */
void MCT_API(reset)(uint32_t seed);

/* Sets the learning rate to multiplier * 2^-shift. The multiplier is 128..255, or 0 for steps that
 * change no weight. Call it between steps. */
void MCT_API(set_learning_rate)(uint8_t multiplier, uint8_t shift);

/* ---- Samples ----
 *
 * A sample is NAME_INPUT_BYTES of int8; the comment at the top of NAME.h says which real numbers
 * they stand for. Each step and each inference needs one of its own: it must have come whole, and
 * computing uses it up. Its bytes come in their order, at once or in parts. A part with offset 0
 * begins a new sample and drops what came before. Where the sample waits depends on how the model
 * was generated:
 *
 * - By default it is resident: it lies in the arena, and comes between steps.
 * - A model that streams its input (NAME_FIRST_CALL is 1) computes its first layers as the rows of
 *   a sample come, and never holds it whole.
 * - A model that receives ahead holds the next sample, and the next target, in a buffer of its own.
 *   They may come while a step runs, from an interrupt too. A step or an inference takes them out
 *   of the buffer as it begins: push nothing during that call, and again when begin has returned.
 */

/* Hands over `nbytes` of a sample, of which the first is byte `offset` of the sample. Returns
 * MCT_ERR_RANGE if they do not lie in the sample, or are not those that come next, and MCT_ERR_BUSY
 * while a step is under way, unless the model receives ahead. */
MCT_CHECKED mct_status MCT_API(push)(uint32_t offset, const int8_t *bytes, uint32_t nbytes);

/* Returns where a resident sample lies, or the buffer of one that is received ahead; NULL if the
 * model streams its input. A sensor or a DMA may fill it. Then NAME_push(0, NAME_input(),
 * NAME_INPUT_BYTES) says that the sample is whole; nothing is copied. */
int8_t *MCT_API(input)(void);

/* Hands over the target as NAME_push does the sample, for a model that learns from outputs and not
 * from labels: the NAME_TARGET_BYTES of the output that the next step shall learn to give. A step
 * uses it up, an inference does not. Returns MCT_ERR_RANGE also if a step takes a label, or makes
 * its target from the sample.
 *
 * The target of a model that has classes at each position of its output is a label map: a byte for
 * each position, row by row, with its class, 0 to NAME_CLASSES - 1, or 255 where it takes no part.
 * Hand over the bytes of a uint8_t array as they are. NAME_begin and NAME_step look at them. */
MCT_CHECKED mct_status MCT_API(push_target)(uint32_t offset, const int8_t *bytes, uint32_t nbytes);

/* Returns where the target lies, to be filled as the input is; NULL if there is none. */
int8_t *MCT_API(target)(void);

/* ---- Classes ---- */

/* Returns how many classes are in use: labels, or those of positions, are 0 to one less. It is 0 if
 * the model takes no labels. */
uint32_t MCT_API(classes)(void);

/* Takes spare classes into use, or out of it: 2 to NAME_CLASSES. Returns MCT_ERR_RANGE if the model
 * has no output for so many, or no spare ones at all, and MCT_ERR_BUSY while a step is under way.
 */
MCT_CHECKED mct_status MCT_API(set_classes)(uint32_t classes);

/* Begins anew to note which classes have samples, in a model that was generated with --absent keep;
 * in any other it changes nothing. There a step leaves classes alone of which no step has had a
 * sample since the reset or this call, so that they are not forgotten while others are learned:
 * call it before learning from samples of other classes than before. Returns MCT_ERR_BUSY while a
 * step is under way. */
MCT_CHECKED mct_status MCT_API(clear_seen_classes)(void);

/* ---- Training ---- */

/* Learns from the sample, as one whole step: forward pass, backward pass, update. `label` is its
 * class; give 0 if the model takes no labels, or a label map as its target. Returns MCT_ERR_LABEL
 * for a label that is not in use, and for a label map that has one,
 * MCT_ERR_BUSY while a sliced step is under way, and MCT_ERR_SAMPLE if the sample or its target has
 * not come whole, or was used already. A refused step leaves what has come. */
MCT_CHECKED mct_status MCT_API(step)(uint32_t label);

/* The same step in slices, between which a firmware can do other work, feed a watchdog or sleep.
 * NAME_begin takes the label, and returns what NAME_step would. NAME_run then computes at most
 * `max_calls` of the NAME_CALLS kernel calls and returns true when the step is complete; without a
 * step it does nothing and returns true. Whatever the slices are, the step has the same bits. The
 * longest call bounds the time of NAME_run(1); the manifest NAME.json has the multiply-accumulates
 * of each. */
MCT_CHECKED mct_status MCT_API(begin)(uint32_t label);
bool MCT_API(run)(uint32_t max_calls);

/* Returns whether a sliced step is under way. */
bool MCT_API(busy)(void);

/* Returns the number of the kernel call with which NAME_run goes on, 0 if no step is under way. */
uint32_t MCT_API(next_call)(void);

/* Returns what the loss of the last step is made of (SPEC 1.2). Valid after a step until the next
 * step, an inference or a prefix begins, or a sample or a latent is written. */
mct_loss MCT_API(loss)(void);

/* Returns the number of steps since the reset. */
uint32_t MCT_API(steps)(void);

/* Returns whether the state is one that training can have left (SPEC 4). Ask it when something else
 * than a reset or a step has written the state, before the next step: a step trusts its state. A
 * state of other arithmetic may be valid, too: compare NAME_numerics_hash as well. */
bool MCT_API(state_is_valid)(void);

/* Returns the CRC-32 of everything that was learned (SPEC 1.5). Two devices with one digest have
 * learned the same. Call it between steps. */
uint32_t MCT_API(digest)(void);

/* ---- Chain ----
 *
 * A model that was generated with --chain has a chain value in its state: MCT_CHAIN_BYTES that
 * stand for every sample, label and learning rate that it has learned from, in their order
 * (SPEC 4.2). A step enters the chain when it begins. Who has the samples can compute the value
 * again, and nobody can find other samples with the same value. Any other model returns NULL, false
 * and 0. */

/* Returns where the chain value lies. Read it between steps. */
const uint8_t *MCT_API(chain)(void);

/* Writes the first MCT_CHAIN_BYTES of the SHA-256 of the state. Call it between steps. Unlike
 * NAME_digest, a forger cannot meet it. */
bool MCT_API(state_hash)(uint8_t *hash);

/* Returns how many steps have entered the chain since power-up. */
uint32_t MCT_API(entered)(void);

/* Returns the entry of the step that entered as number `number` since power-up, from 0, or NULL if
 * it is not kept any more or has not come. The last steps are kept, as many as --record-entries
 * said. mct_record_sink (mct/record_chain.h) gets each entry. */
const uint8_t *MCT_API(entry)(uint32_t number);

/* ---- Inference ---- */

/* Runs the forward pass on the sample. It changes nothing that was learned. Returns MCT_ERR_BUSY
 * and MCT_ERR_SAMPLE as NAME_step does. */
MCT_CHECKED mct_status MCT_API(infer)(void);

/* A model that keeps state from input to input takes several of them as one sample (generated with
 * --sequence-length): each sample begins with the initial state, and NAME_infer or NAME_step leaves
 * the state behind its last input. NAME_infer_next runs the forward pass on one more input, which
 * NAME_push has handed over as the first bytes of a sample, and the state goes on, as in a stream.
 * NAME_begin_sequence sets the initial state; NAME_reset does, too. They return MCT_ERR_BUSY while
 * a step is under way, NAME_infer_next MCT_ERR_SAMPLE if not exactly one input has come, and both
 * MCT_ERR_RANGE of any other model. */
MCT_CHECKED mct_status MCT_API(begin_sequence)(void);
MCT_CHECKED mct_status MCT_API(infer_next)(void);

/* Returns the NAME_OUTPUT_BYTES outputs of the last forward pass, as int8; the comment at the top
 * of NAME.h says which real numbers they stand for. Valid after an inference, until anything else
 * begins. */
const int8_t *MCT_API(logits)(void);

/* Returns the class of the greatest of them, the first of equal ones; 0 if the model has no
 * labels. Valid as long as NAME_loss is, and after an inference. */
uint32_t MCT_API(predicted)(void);

/* Returns the class of the greatest output at a position, from 0, row by row, of a model that has
 * classes at each; of any other what NAME_predicted returns. Valid after an inference, as
 * NAME_logits are. */
uint32_t MCT_API(predicted_at)(uint32_t position);

/* Returns how sure the answer is: by how many steps of int8 the greatest output lies above the next
 * one, among the classes in use; a lone output, by how many it is away from its zero point. The
 * margin times NAME_OUTPUT_SCALE is ln(p / q), where p and q are the probabilities that a softmax
 * gives the two classes. So 2.2 / NAME_OUTPUT_SCALE is where the answer is nine times as probable
 * as the next. 0 if the model has no labels. Valid after an inference, as NAME_logits are. */
uint32_t MCT_API(margin)(void);

/* ---- Latents ----
 *
 * The frozen layers always make the same NAME_LATENT_BYTES of a sample: its latent. A step or an
 * inference that begins there has the bits of one that begins at the sample, without the first
 * NAME_PREFIX_CALLS calls. So old samples can be replayed from their latents, which are often
 * smaller. Like the sample, the latent must be whole, and serves one step or inference.
 *
 * Where there is no such tensor (NAME_LATENT_BYTES is 0), NAME_latent returns NULL, and the others
 * return MCT_ERR_RANGE. */

/* Returns where the latent lies, to be read, or to be filled as the input is. */
int8_t *MCT_API(latent)(void);

/* Hands over a latent as NAME_push does a sample. A resident sample is lost then. */
MCT_CHECKED mct_status MCT_API(push_latent)(uint32_t offset, const int8_t *bytes, uint32_t nbytes);

/* Computes the latent of the sample. Returns MCT_ERR_BUSY and MCT_ERR_SAMPLE as NAME_step does. */
MCT_CHECKED mct_status MCT_API(prefix)(void);

/* As NAME_step, NAME_begin and NAME_infer, but from the latent. */
MCT_CHECKED mct_status MCT_API(step_from_latent)(uint32_t label);
MCT_CHECKED mct_status MCT_API(begin_from_latent)(uint32_t label);
MCT_CHECKED mct_status MCT_API(infer_from_latent)(void);

/* Keeps the latent that is in place and not used up yet, with its label (0 if the model takes
 * none), in slot 0 to NAME_LATENT_SLOTS - 1 in RAM. learning/replay.h can choose the slot. A reset
 * leaves the slots. Returns MCT_ERR_RANGE for any other slot, MCT_ERR_LABEL for a label that is not
 * in use, MCT_ERR_SAMPLE if no whole latent is in place, and MCT_ERR_BUSY while a step is under
 * way. */
MCT_CHECKED mct_status MCT_API(keep_latent)(uint32_t slot, uint32_t label);

/* Puts the latent of a slot back in its place, for one NAME_step_from_latent, and its label into
 * `*label`. It may be recalled any number of times. The NAME_FLASH_LATENTS slots behind those in
 * RAM are constants in flash: they can be recalled, but not kept. Returns MCT_ERR_RANGE for a slot
 * that is empty or that there is not, and MCT_ERR_BUSY while a step is under way. */
MCT_CHECKED mct_status MCT_API(recall_latent)(uint32_t slot, uint32_t *label);

/* Tells where the slots in RAM lie, for what saves them (learning/model_store.h does): 16 bits for
 * each slot, 1 more than its label, or 0 where the slot is empty; and the latents. They have no
 * bytes without slots. */
void MCT_API(slot_regions)(mct_region *labels, mct_region *latents);

/* Writes what the head knows of a class, from the latents of the class in the slots, those in flash
 * too, in one pass and without a learning rate (SPEC 1.11): the class whose mean latent is nearest
 * gets the greatest output. `label` is the class, or MCT_ALL_CLASSES for every class of which there
 * are latents. A class that joins others is enrolled alone, with latents of some others in the
 * slots to be told from; a person's own classes are enrolled all at once. No other state changes,
 * and it is no step. Returns MCT_ERR_LABEL for a label that is not in use, MCT_ERR_SAMPLE if there
 * is no latent of it, or none of another class, MCT_ERR_BUSY while a step is under way, and
 * MCT_ERR_RANGE in a model without slots, or whose head is not all that learns. */
MCT_CHECKED mct_status MCT_API(enrol)(uint32_t label);

#ifdef __cplusplus
}
#endif

#undef MCT_API
