/* The ring of records in shared memory, with the names that its records tell by number. Who writes
 * the records, and what becomes of them, is not its business. */
#include "platform/record.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/str.h"

#define RING_MAGIC 0x32676e6972767373ULL /* "ssvring2" */
#define PAUSE_NS 1000000L

/* A place's word: whose it is, and for which position. States: free (0, or DONE or PASSED of the
 * lap before), WRITING by a process, DONE, PASSED over since its writer had died. The claim is made
 * in the word itself, so that a writer that dies at any instant leaves its id where the reader
 * looks. */
enum state { WRITING = 1, DONE, PASSED };
#define STATE_BITS 2
#define PID_BITS 22 /* as many as Linux gives (PID_MAX_LIMIT) */
#define POSITION_MASK (((uint64_t)1 << (64 - STATE_BITS - PID_BITS)) - 1)

struct slot {
    _Atomic uint64_t word;
    unsigned char record[PLAT_RECORD_BYTES];
};

/* A host function, at the place that is its number. One that is being written when its writer dies
 * stays so, and is nobody's. */
struct host {
    _Atomic uint32_t state; /* enum state; 0: free */
    uint32_t cost;
    char name[PLAT_HOST_NAME_MAX + 1];
};

struct plat_ring {
    uint64_t magic;
    uint32_t records, record_bytes;
    uint64_t id;
    _Alignas(64) _Atomic uint64_t head; /* where writers look first; may lag behind */
    _Alignas(64) _Atomic uint64_t tail; /* before it, all places are free */
    _Alignas(64) struct slot slots[PLAT_RING_RECORDS];
    _Alignas(64) struct host hosts[PLAT_RING_HOSTS]; /* hash table; place 0 is none */
};

static uint64_t word_of(uint64_t position, uint64_t pid, enum state state)
{
    return (position & POSITION_MASK) << (STATE_BITS + PID_BITS) | pid << STATE_BITS |
           (uint64_t)state;
}

static enum state state_of(uint64_t word)
{
    return (enum state)(word & ((1U << STATE_BITS) - 1));
}

static pid_t pid_of(uint64_t word)
{
    return (pid_t)(word >> STATE_BITS & ((1U << PID_BITS) - 1));
}

/* Is the word about that position? */
static bool is_at(uint64_t word, uint64_t position)
{
    return word != 0 && word >> (STATE_BITS + PID_BITS) == (position & POSITION_MASK);
}

static bool is_free_for(uint64_t word, uint64_t position)
{
    if (word == 0)
        return position < PLAT_RING_RECORDS;
    return is_at(word, position - PLAT_RING_RECORDS) && state_of(word) != WRITING;
}

static struct slot *slot_at(struct plat_ring *ring, uint64_t position)
{
    return &ring->slots[position % PLAT_RING_RECORDS];
}

size_t plat_ring_bytes(void)
{
    return sizeof(struct plat_ring);
}

struct plat_ring *plat_ring_init(void *memory, uint64_t id)
{
    struct plat_ring *ring = memory;

    ring->records = PLAT_RING_RECORDS;
    ring->record_bytes = sizeof(struct plat_record);
    ring->id = id;
    ring->magic = RING_MAGIC;
    return ring;
}

struct plat_ring *plat_ring_open(void *memory, size_t len)
{
    struct plat_ring *ring = memory;

    return len >= sizeof *ring && ring->magic == RING_MAGIC && ring->records == PLAT_RING_RECORDS &&
                   ring->record_bytes == sizeof(struct plat_record)
               ? ring
               : NULL;
}

uint64_t plat_ring_id(const struct plat_ring *ring)
{
    return ring->id;
}

/* getpid, which costs as much as all else of a writing, is asked once a process. */
static _Atomic uint64_t own_pid; /* 0: not asked yet */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void forget_pid(void)
{
    atomic_store_explicit(&own_pid, 0, memory_order_relaxed);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_pid);
}

static uint64_t find_pid(void)
{
    uint64_t pid = atomic_load_explicit(&own_pid, memory_order_relaxed);

    if (pid == 0) {
        pthread_once(&once, watch_forks);
        pid = (uint64_t)getpid();
        atomic_store_explicit(&own_pid, pid, memory_order_relaxed);
    }
    return pid;
}

/* Take a place for `pid`. NULL: the ring is full. */
static struct slot *claim(struct plat_ring *ring, uint64_t pid, uint64_t *ret_word)
{
    for (;;) {
        uint64_t at = atomic_load(&ring->head);
        struct slot *slot = slot_at(ring, at);
        uint64_t word = atomic_load(&slot->word);

        if (is_free_for(word, at)) {
            uint64_t mine = word_of(at, pid, WRITING);

            if (at - atomic_load(&ring->tail) >= PLAT_RING_RECORDS)
                return NULL;
            if (!atomic_compare_exchange_strong(&slot->word, &word, mine))
                continue;
            atomic_compare_exchange_strong(&ring->head, &at, at + 1);
            *ret_word = mine;
            return slot;
        }
        /* Taken by somebody who has not yet moved the head, and may never: help. Else it is the
         * lap before's, or the head has moved meanwhile. */
        if (is_at(word, at))
            atomic_compare_exchange_strong(&ring->head, &at, at + 1);
        else if (atomic_load(&ring->head) == at)
            return NULL;
    }
}

bool plat_ring_write(struct plat_ring *ring, const struct plat_record *record, unsigned wait_ms)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_NS};
    uint64_t pid = find_pid(), word;
    struct slot *slot;

    for (unsigned waited = 0; !(slot = claim(ring, pid, &word)); waited++) {
        if (waited >= wait_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    memcpy(slot->record, record, sizeof *record);
    atomic_store_explicit(&slot->word, (word & ~(uint64_t)WRITING) | DONE, memory_order_release);
    return true;
}

/* What a database takes: ended, and UTF-8. A name that was cut in the middle of a character, too.
 */
static void correct_text(char *text, size_t size)
{
    unsigned char high = 0;
    size_t len;

    text[size - 1] = '\0';
    for (len = 0; text[len]; len++)
        high |= (unsigned char)text[len];
    if (high < 0x80 || sv_utf8_valid(text, len)) /* nearly all are ASCII */
        return;
    for (; *text; text++) {
        if (*text & 0x80)
            *text = '?';
    }
}

void plat_record_read(struct plat_record *ret, const void *bytes)
{
    uint64_t *const numbers[] = {&ret->wall_ns, &ret->wait_ns,     &ret->run_ns,   &ret->cpu_ns,
                                 &ret->gas,     &ret->memory_peak, &ret->bytes_in, &ret->bytes_out};

    memcpy(ret, bytes, sizeof *ret);
    correct_text(ret->id, sizeof ret->id);
    correct_text(ret->trace, sizeof ret->trace);
    correct_text(ret->tenant, sizeof ret->tenant);
    correct_text(ret->function, sizeof ret->function);
    correct_text(ret->digest, sizeof ret->digest);
    correct_text(ret->code, sizeof ret->code);
    correct_text(ret->method, sizeof ret->method);
    for (size_t i = 0; i < SV_COUNT(numbers); i++) {
        if (*numbers[i] > PLAT_RECORD_NUMBER_MAX)
            *numbers[i] = PLAT_RECORD_NUMBER_MAX;
    }
}

/* Did the writer die before it was done? Its place is then passed over. */
static bool pass_over(struct slot *slot, uint64_t word, uint64_t position)
{
    pid_t pid = pid_of(word);

    if (pid > 0 && (kill(pid, 0) == 0 || errno != ESRCH))
        return false;
    return atomic_compare_exchange_strong(&slot->word, &word, word_of(position, 0, PASSED));
}

/* ---- Host functions ---- */

uint64_t plat_record_host_calls(const struct plat_record *record)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < PLAT_RECORD_HOSTS && record->hosts[i]; i++)
        sum += record->hosts[i] & PLAT_HOST_CALLS_MAX;
    return sum;
}

unsigned plat_ring_host(struct plat_ring *ring, const char *name, uint32_t cost)
{
    size_t len = strnlen(name, PLAT_HOST_NAME_MAX);
    unsigned at = (unsigned)((sv_hash(name, len) ^ cost) % PLAT_RING_HOSTS);

    for (unsigned looked = 0; looked < PLAT_RING_HOSTS; looked++, at = (at + 1) % PLAT_RING_HOSTS) {
        struct host *host = &ring->hosts[at];
        uint32_t state = atomic_load_explicit(&host->state, memory_order_acquire);

        if (at == 0)
            continue;
        if (state == DONE && host->cost == cost && strncmp(host->name, name, len) == 0 &&
            host->name[len] == '\0')
            return at;
        if (state != 0 || !atomic_compare_exchange_strong(&host->state, &state, WRITING))
            continue; /* perhaps the same, by another thread: it then has two numbers */
        host->cost = cost;
        memcpy(host->name, name, len);
        host->name[len] = '\0';
        atomic_store_explicit(&host->state, DONE, memory_order_release);
        return at;
    }
    return 0;
}

bool plat_ring_host_read(const struct plat_ring *ring, unsigned number,
                         char ret_name[PLAT_HOST_NAME_MAX + 1], uint32_t *ret_cost)
{
    const struct host *host = &ring->hosts[number % PLAT_RING_HOSTS];

    if (number == 0 || number >= PLAT_RING_HOSTS ||
        atomic_load_explicit(&host->state, memory_order_acquire) != DONE)
        return false;
    memcpy(ret_name, host->name, sizeof host->name);
    *ret_cost = host->cost;
    correct_text(ret_name, sizeof host->name);
    return true;
}

/* ---- Reading ---- */

size_t plat_ring_read(struct plat_ring *ring, uint64_t *position, struct plat_record *ret, size_t n)
{
    uint64_t at = *position, tail = atomic_load(&ring->tail);
    size_t count = 0;

    if (at < tail) /* an older state of the database was restored: those are gone */
        at = tail;
    /* One lap: a writer gone mad could put places before the reader for ever. */
    for (unsigned looked = 0; count < n && looked < PLAT_RING_RECORDS; looked++, at++) {
        struct slot *slot = slot_at(ring, at);
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);

        if (!is_at(word, at))
            break;
        if (state_of(word) == DONE)
            plat_record_read(&ret[count++], slot->record);
        else if (state_of(word) == WRITING && !pass_over(slot, word, at))
            break;
    }
    *position = at;
    return count;
}

void plat_ring_free(struct plat_ring *ring, uint64_t position)
{
    uint64_t tail = atomic_load(&ring->tail);

    while (tail < position && !atomic_compare_exchange_strong(&ring->tail, &tail, position)) {
    }
}

void plat_ring_settle(struct plat_ring *ring)
{
    for (size_t i = 0; i < PLAT_RING_RECORDS; i++) {
        uint64_t word = atomic_load(&ring->slots[i].word);

        if (state_of(word) == WRITING)
            atomic_store(&ring->slots[i].word, word_of(word >> (STATE_BITS + PID_BITS), 0, PASSED));
    }
}

bool plat_ring_is_empty(struct plat_ring *ring)
{
    uint64_t tail = atomic_load(&ring->tail);

    return !is_at(atomic_load(&slot_at(ring, tail)->word), tail);
}
