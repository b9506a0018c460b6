/* SPDX-License-Identifier: Apache-2.0 */
/* The part of mct/model_body.h, which includes it, that chains what steps learn from. */

#ifdef MCT_API_CHAIN

#ifdef MCT_API_ARRIVE
static mct_sha256 MCT_API(arriving_hash); /* of the rows of a sample that have come */
#endif
#if MCT_API_ENTRIES > 0
static uint8_t MCT_API(entries)[MCT_API_ENTRIES][MCT_RECORD_ENTRY_BYTES]; /* a ring */
#endif
static uint32_t MCT_API(entered_steps);

static void MCT_API(begin_chain)(uint32_t seed)
{
    mct_chain_begin(MCT_API_CHAIN, MCT_API(numerics_hash), seed, MCT_API_CHAIN_GOES_ON);
}

static void MCT_API(keep_entry)(const uint8_t *entry)
{
#if MCT_API_ENTRIES > 0
    memcpy(MCT_API(entries)[MCT_API(entered_steps) % MCT_API_ENTRIES], entry,
           MCT_RECORD_ENTRY_BYTES);
#endif
    MCT_API(entered_steps)++;
    mct_record_sink(entry);
}

/* The step that begins enters the chain, with what it takes in place. The hash lies on the stack of
 * this function, and not on that of the whole step. */
static MCT_NOINLINE void MCT_API(enter)(bool is_at_latent)
{
    uint8_t entry[MCT_RECORD_ENTRY_BYTES];
    mct_record_step step = {.sgd = MCT_API_SGD};
    const int8_t *data = MCT_API_INPUT;
    uint32_t nbytes = MCT_API_CONST(INPUT_BYTES);
#ifdef MCT_API_ARRIVE
    mct_sha256 *hash = &MCT_API(arriving_hash);
    bool is_hashed = !is_at_latent;
#else
    mct_sha256 whole;
    mct_sha256 *hash = &whole;
    bool is_hashed = false;
#endif
    if (is_at_latent) {
        step.flags = MCT_RECORD_AT_LATENT;
#ifdef MCT_API_LATENT
        data = MCT_API_LATENT;
        nbytes = MCT_API_CONST(LATENT_BYTES);
#endif
    }
    if (!is_hashed) {
        mct_sha256_init(hash);
        mct_sha256_update(hash, data, nbytes);
    }
#ifdef MCT_API_TARGET
    mct_sha256_update(hash, MCT_API_TARGET, MCT_API_CONST(TARGET_BYTES));
#endif
#ifdef MCT_API_LABEL
    step.label = MCT_API_LABEL[0];
#endif
#ifdef MCT_API_ACTIVE
    step.classes = MCT_API_ACTIVE[0];
#endif
    mct_chain_enter(MCT_API_CHAIN, hash, &step, entry);
    MCT_API(keep_entry)(entry);
}

const uint8_t *MCT_API(chain)(void)
{
    return MCT_API_CHAIN;
}

bool MCT_API(state_hash)(uint8_t *hash)
{
    const mct_region *state = &MCT_API(regions)[MCT_REGION_STATE];
    mct_short_hash(state->data, state->nbytes, hash);
    return true;
}

uint32_t MCT_API(entered)(void)
{
    return MCT_API(entered_steps);
}

const uint8_t *MCT_API(entry)(uint32_t number)
{
#if MCT_API_ENTRIES > 0
    if (MCT_API(entered_steps) - number - 1u < MCT_API_ENTRIES && number < MCT_API(entered_steps)) {
        return MCT_API(entries)[number % MCT_API_ENTRIES];
    }
#else
    (void)number;
#endif
    return NULL;
}

#else

static inline void MCT_API(begin_chain)(uint32_t seed)
{
    (void)seed;
}

static inline void MCT_API(enter)(bool is_at_latent)
{
    (void)is_at_latent;
}

const uint8_t *MCT_API(chain)(void)
{
    return NULL;
}

bool MCT_API(state_hash)(uint8_t *hash)
{
    (void)hash;
    return false;
}

uint32_t MCT_API(entered)(void)
{
    return 0u;
}

const uint8_t *MCT_API(entry)(uint32_t number)
{
    (void)number;
    return NULL;
}

#endif
