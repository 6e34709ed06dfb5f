/* Shared counts: a hash table of functions in a memfd, open addressing, and for each of them a word
 * for each worker. */
#include "serve/tally.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define MAGIC                                                                                      \
    0x31796c6c61745653ULL /* the form of this memory: another program may have made it             \
                           */
#define PROBES 32
#define SLOTS_MORE 8 /* than two generations */
#define TRIES 64     /* of workers that want the last place at the same moment */
#define TURN_MS 20   /* who does not take his turn for so long has lost it */

/* A worker's word of a function: calls that run, that are about to be counted, that wait. */
#define RUNNING 1ULL
#define TRYING (1ULL << 24)
#define QUEUED (1ULL << 40)

struct srv_place {
    _Atomic uint64_t due_ns;
    _Atomic uint64_t turn; /* slot + 1, and 16 bits above it the ms since; 0: nobody's */
    _Atomic uint64_t
        words[]; /* by slot; workers share lines, places too: functions with limits are few */
};

struct memory {
    uint64_t magic;
    uint32_t slots;                         /* of each place */
    _Atomic uint32_t used;                  /* of them: no worker ever had one above */
    _Atomic uint64_t ids[SRV_TALLY_PLACES]; /* 0: free */
    _Atomic uint32_t bells[];               /* by slot; counts turns */
};

struct srv_tally {
    struct memory *memory;
    size_t bytes;
    uint32_t slots; /* ours: a worker that was taken over can write another into the memory */
    uint32_t slot;
};

/* ---- The memory ---- */

static size_t head_bytes(uint32_t slots)
{
    return (sizeof(struct memory) + slots * sizeof(uint32_t) + 63) & ~(size_t)63;
}

static size_t place_bytes(uint32_t slots)
{
    return sizeof(struct srv_place) + slots * sizeof(uint64_t);
}

static size_t all_bytes(uint32_t slots)
{
    return head_bytes(slots) + SRV_TALLY_PLACES * place_bytes(slots);
}

static struct srv_place *place_at(const struct srv_tally *t, uint64_t n)
{
    char *first = (char *)t->memory + head_bytes(t->slots);

    return (struct srv_place *)(void *)(first + n * place_bytes(t->slots));
}

static own struct srv_tally *map(int fd, size_t bytes, uint32_t slots, uint32_t slot)
{
    struct srv_tally *t = malloc(sizeof *t);
    void *memory = MAP_FAILED;

    if (t)
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        free(t);
        return NULL;
    }
    *t = (struct srv_tally){memory, bytes, slots, slot};
    return t;
}

own struct srv_tally *srv_tally_new(unsigned workers, own int *ret_fd)
{
    int fd = memfd_create("ssvm-tally", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    uint32_t slots = (2 * workers + SLOTS_MORE + 7) & ~7U;
    struct srv_tally *t = NULL;

    *ret_fd = -1;
    /* A worker must not be able to take memory away that others have mapped. */
    if (fd >= 0 && ftruncate(fd, (off_t)all_bytes(slots)) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        t = map(fd, all_bytes(slots), slots, SRV_TALLY_NOBODY);
    if (t) {
        t->memory->magic = MAGIC;
        t->memory->slots = slots;
        *ret_fd = fd;
    } else if (fd >= 0) {
        close(fd);
    }
    return t;
}

own struct srv_tally *srv_tally_open(int fd, uint32_t slot)
{
    struct srv_tally *t;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct memory))
        return NULL;
    t = map(fd, (size_t)st.st_size, 0, slot);
    if (t)
        t->slots = t->memory->slots;
    if (t && (t->memory->magic != MAGIC || all_bytes(t->slots) != t->bytes ||
              (slot != SRV_TALLY_NOBODY && slot >= t->slots))) {
        srv_tally_close(t);
        return NULL;
    }
    return t;
}

void srv_tally_close(own struct srv_tally *t)
{
    if (!t)
        return;
    munmap(t->memory, t->bytes);
    free(t);
}

void srv_tally_begin(struct srv_tally *t, uint32_t slot)
{
    if (!t || slot >= t->slots)
        return;
    srv_tally_clear(t, slot);
    if (atomic_load(&t->memory->used) <= slot)
        atomic_store(&t->memory->used, slot + 1);
}

void srv_tally_clear(struct srv_tally *t, uint32_t slot)
{
    if (!t || slot >= t->slots)
        return;
    for (uint64_t i = 0; i < SRV_TALLY_PLACES; i++) {
        if (atomic_load_explicit(&t->memory->ids[i], memory_order_relaxed) != 0)
            atomic_store(&place_at(t, i)->words[slot], 0);
    }
}

struct srv_place *srv_tally_find(struct srv_tally *t, uint64_t id)
{
    if (!t)
        return NULL;
    for (uint64_t i = 0; i < PROBES; i++) {
        uint64_t n = (id + i) & (SRV_TALLY_PLACES - 1), was = 0;

        if (atomic_load(&t->memory->ids[n]) == id ||
            atomic_compare_exchange_strong(&t->memory->ids[n], &was, id) || was == id)
            return place_at(t, n);
    }
    return NULL;
}

_Atomic uint64_t *srv_place_due(struct srv_place *place)
{
    return &place->due_ns;
}

/* ---- Counts ---- */

static uint32_t used_slots(const struct srv_tally *t)
{
    uint32_t used = atomic_load_explicit(&t->memory->used, memory_order_relaxed);

    return used < t->slots ? used : t->slots;
}

struct sum {
    uint64_t running, trying, queued;
};

static struct sum sum_of(const struct srv_tally *t, const struct srv_place *place)
{
    uint32_t used = used_slots(t);
    struct sum s = {0};

    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = atomic_load(&place->words[i]);

        s.running += word % TRYING;
        s.trying += word / TRYING % (QUEUED / TRYING);
        s.queued += word / QUEUED;
    }
    return s;
}

/* Workers that meet here go away for different times. */
static void step_back(const struct srv_tally *t, unsigned round)
{
    for (unsigned i = 0; i < (t->slot % 8 + 1) << (round < 8 ? round : 8); i++)
        atomic_signal_fence(memory_order_seq_cst);
}

/* Add to our word if so few are counted without it. Whoever tries is counted by all others that
 * try: of two that want the last place neither has it, and both try again. */
static bool add(struct srv_tally *t, struct srv_place *place, uint64_t change, uint64_t most,
                bool with_queued)
{
    _Atomic uint64_t *word = &place->words[t->slot];

    for (unsigned round = 0; round < TRIES; round++) {
        struct sum s;
        uint64_t there;

        atomic_fetch_add(word, TRYING);
        s = sum_of(t, place);
        there = s.running + (with_queued ? s.queued : 0);
        if (there + s.trying <= most) {
            atomic_fetch_add(word, change - TRYING);
            return true;
        }
        atomic_fetch_sub(word, TRYING);
        if (there >= most)
            return false;
        step_back(t, round);
    }
    return false;
}

bool srv_place_take(struct srv_tally *t, struct srv_place *place, uint64_t most)
{
    return add(t, place, RUNNING, most, true);
}

bool srv_place_wait(struct srv_tally *t, struct srv_place *place, uint64_t most)
{
    return add(t, place, QUEUED, most, true);
}

static uint64_t now_ms(void)
{
    return sv_clock_ns() / 1000000;
}

static bool is_of_another(const struct srv_tally *t, const struct srv_place *place)
{
    uint64_t turn = atomic_load_explicit(&place->turn, memory_order_relaxed), slot;

    if (turn == 0)
        return false;
    slot = (turn & 0xffff) - 1;
    return slot != t->slot && slot < t->slots && atomic_load(&place->words[slot]) / QUEUED > 0 &&
           now_ms() - (turn >> 16) < TURN_MS;
}

bool srv_place_take_waiting(struct srv_tally *t, struct srv_place *place, uint64_t most)
{
    return !is_of_another(t, place) && add(t, place, RUNNING - QUEUED, most, false);
}

void srv_place_leave(struct srv_tally *t, struct srv_place *place)
{
    atomic_fetch_sub(&place->words[t->slot], QUEUED);
}

void srv_place_go_on(struct srv_tally *t, struct srv_place *place)
{
    atomic_fetch_add(&place->words[t->slot], RUNNING);
}

static void ring(struct srv_tally *t, uint32_t slot)
{
    atomic_fetch_add(&t->memory->bells[slot], 1);
    syscall(SYS_futex, &t->memory->bells[slot], FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void srv_place_give(struct srv_tally *t, struct srv_place *place)
{
    uint32_t used = used_slots(t);

    atomic_fetch_sub(&place->words[t->slot], RUNNING);
    for (uint32_t i = 1; i < used; i++) {
        uint32_t slot = (t->slot + i) % used;

        if (atomic_load(&place->words[slot]) / QUEUED > 0) {
            atomic_store(&place->turn, (now_ms() << 16) + slot + 1);
            ring(t, slot);
            return;
        }
    }
    if (atomic_load_explicit(&place->turn, memory_order_relaxed) != 0)
        atomic_store(&place->turn, 0);
}

bool srv_tally_listen(struct srv_tally *t, uint32_t *heard, uint64_t ns)
{
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000),
                            .tv_nsec = (long)(ns % 1000000000)};
    _Atomic uint32_t *bell = &t->memory->bells[t->slot];
    uint32_t now = atomic_load(bell);

    if (now == *heard) {
        syscall(SYS_futex, bell, FUTEX_WAIT, now, &time, NULL, 0);
        now = atomic_load(bell);
    }
    if (now == *heard)
        return false;
    *heard = now;
    return true;
}
