/* Counting by address. See throttle.h. */
#include "control/throttle.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#define ADDRESSES 1024 /* that are remembered; those that share a place share their tries */
#define KNOWN 256      /* pairs of address and secret that were good lately */

struct place {
    uint64_t since_ms;
    uint32_t count;
};

static struct {
    pthread_mutex_t lock;
    uint64_t seed;
    struct place guesses[ADDRESSES], taken[ADDRESSES];
    struct {
        uint64_t address;
        uint8_t digest[SV_SHA256_LEN];
    } known[KNOWN];
} guard = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* With IPv6 a network of 64 bits is one address: whoever has it has all of it. */
static uint64_t hash_address(const char *peer)
{
    size_t len = strlen(peer);
    const char *p = peer;

    if (guard.seed == 0)
        guard.seed = sv_hash_seed() | 1;
    for (unsigned colons = 0; *p; p++) {
        if (*p == ':' && (++colons == 4 || p[1] == ':')) {
            len = (size_t)(p - peer);
            break;
        }
    }
    return sv_hash_seeded(peer, len, guard.seed);
}

/* How many there were in the time that runs. */
static uint32_t *count_now(struct place *places, uint64_t address)
{
    struct place *place = &places[address % ADDRESSES];
    uint64_t now = sv_clock_ns() / 1000000;

    if (now - place->since_ms >= CTL_THROTTLE_WINDOW_MS) {
        place->since_ms = now;
        place->count = 0;
    }
    return &place->count;
}

bool ctl_throttle_must_wait(const char *peer, const uint8_t digest[SV_SHA256_LEN])
{
    bool known, wait;
    uint64_t address;

    pthread_mutex_lock(&guard.lock);
    address = hash_address(peer);
    wait = *count_now(guard.guesses, address) >= CTL_THROTTLE_GUESSES;
    known = guard.known[address % KNOWN].address == address &&
            sv_secret_eq(guard.known[address % KNOWN].digest, digest, SV_SHA256_LEN);
    pthread_mutex_unlock(&guard.lock);
    return wait && !known;
}

void ctl_throttle_note(const char *peer, const uint8_t digest[SV_SHA256_LEN], bool good)
{
    uint64_t address;

    pthread_mutex_lock(&guard.lock);
    address = hash_address(peer);
    if (good) {
        guard.known[address % KNOWN].address = address;
        memcpy(guard.known[address % KNOWN].digest, digest, SV_SHA256_LEN);
    } else {
        ++*count_now(guard.guesses, address);
    }
    pthread_mutex_unlock(&guard.lock);
}

bool ctl_throttle_take(const char *peer, unsigned most)
{
    uint32_t *count;
    bool good;

    pthread_mutex_lock(&guard.lock);
    count = count_now(guard.taken, hash_address(peer));
    good = *count < most;
    *count += good;
    pthread_mutex_unlock(&guard.lock);
    return good;
}
