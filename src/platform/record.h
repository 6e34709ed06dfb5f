/* Records of finished requests: what the ledger, the log and the metrics are made of. A worker
 * writes each into a ring in shared memory before the reply's last byte is sent; control reads
 * them. The ring is the supervisor's: it outlives both, so that a process that is killed loses no
 * record. The reader's place is in the database, in the transaction that counts the records: none
 * is counted twice. */
#ifndef PLATFORM_RECORD_H
#define PLATFORM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAT_RECORD_BYTES 512
/* No number of a record that is read is larger: two of them can be added in a database. */
#define PLAT_RECORD_NUMBER_MAX (UINT64_C(1) << 62)
#define PLAT_RING_RECORDS 8192 /* of one worker; a power of two */
/* Host functions that a record tells calls of. The last place is for all others. */
#define PLAT_RECORD_HOSTS 18
#define PLAT_RING_HOSTS 1024  /* that a ring knows by a number; 0: any other one */
#define PLAT_HOST_NAME_MAX 55 /* bytes; longer ones are cut */

enum plat_trigger {
    PLAT_TRIGGER_HTTP,
    PLAT_TRIGGER_CRON,
    PLAT_TRIGGER_QUEUE,
    PLAT_TRIGGER_CALL,
    PLAT_TRIGGER_COUNT
};

/* Fixed size, zero-filled, strings NUL-terminated and cut. */
struct plat_record {
    uint64_t time_ns;                  /* CLOCK_REALTIME, when the request began */
    uint64_t wall_ns, wait_ns, run_ns; /* whole; until its turn; in the sandbox */
    uint64_t cpu_ns;                   /* of the guest's thread */
    uint64_t gas;
    uint64_t memory_peak; /* bytes of linear memory and heap */
    uint64_t bytes_in, bytes_out;
    uint64_t function_id; /* of the registry; 0: a file of DIR/functions */
    uint32_t status;      /* of HTTP */
    int32_t trap;         /* ssvm_trap_code, 0 = none */
    uint8_t trigger;
    uint8_t has_failure; /* a FAILURE message with the same id tells more */
    uint8_t pad[6];
    char id[24];    /* request id */
    char trace[56]; /* traceparent's trace id and parent, "" = none */
    char tenant[64 + 1];
    char function[64 + 1];
    char digest[16 + 1]; /* the first digits of the version's SHA-256 */
    char code[32];       /* of the error, "" = none */
    char method[8];
    /* Calls of host functions, each (number << PLAT_HOST_SHIFT | calls); 0: no more. Numbers are
     * the ring's: plat_ring_host. */
    uint64_t hosts[PLAT_RECORD_HOSTS];
};
#define PLAT_HOST_SHIFT 48
#define PLAT_HOST_CALLS_MAX ((UINT64_C(1) << PLAT_HOST_SHIFT) - 1)
_Static_assert(sizeof(struct plat_record) <= PLAT_RECORD_BYTES, "a record fits its place");

/* All calls of host functions that it tells of. */
uint64_t plat_record_host_calls(const struct plat_record *);

/* May this byte stand in a name of a record? Those of the server's making have nothing that JSON or
 * Prometheus would escape; a worker that is not ours any more says what it likes. */
static inline bool plat_record_in_name(char c)
{
    return c > ' ' && c <= '~' && c != '"' && c != '\\';
}

struct plat_ring; /* in shared memory */

/* Bytes of a ring. */
size_t plat_ring_bytes(void);
/* Make one in fresh shared memory; look at one that was made (NULL: it is none). */
struct plat_ring *plat_ring_init(void *memory, uint64_t id);
struct plat_ring *plat_ring_open(void *memory, size_t len);
uint64_t plat_ring_id(const struct plat_ring *); /* never used twice, on any machine */
/* The number of a host function in this ring's records, of which each call costs so much gas. Any
 * thread. 0: there is no room for more. */
unsigned plat_ring_host(struct plat_ring *, const char *name, uint32_t cost);
/* What the number means: the name, UTF-8, and the cost. False: nothing (yet). */
bool plat_ring_host_read(const struct plat_ring *, unsigned number,
                         char ret_name[PLAT_HOST_NAME_MAX + 1], uint32_t *ret_cost);
/* Append; several threads of one process. Waits at most wait_ms while the ring is full. False: it
 * still is, and nothing was written. A writer that is killed in the middle leaves a record that the
 * reader passes over. */
bool plat_ring_write(struct plat_ring *, const struct plat_record *, unsigned wait_ms);
/* What the bytes of a record say. A writer is not trusted: strings become such, and UTF-8, which
 * databases take; numbers no larger than can be added up. */
void plat_record_read(struct plat_record *ret, const void *bytes);
/* Copy at most n records from *position on (a count since the ring's birth, 0 first) to `ret`, and
 * move *position behind them. As plat_record_read does it. One reader. Does not free their
 * places. */
size_t plat_ring_read(struct plat_ring *, uint64_t *position, struct plat_record *ret, size_t n);
/* All writers are dead, and there are none yet: what they have not finished is passed over. */
void plat_ring_settle(struct plat_ring *);
/* Is all that was written freed? */
bool plat_ring_is_empty(struct plat_ring *);
/* Everything before position is safe elsewhere. */
void plat_ring_free(struct plat_ring *, uint64_t position);

#endif
