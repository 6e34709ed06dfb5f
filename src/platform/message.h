/* Messages between the processes of the server: a kind, an id, tagged values, descriptors. What
 * they mean is in message.def. Encoded: u16 kind, u16 flags, u64 id, then values of u16 tag, u32
 * length, bytes; little-endian. A reader takes nothing for granted: what is malformed has no
 * values. */
#ifndef PLATFORM_MESSAGE_H
#define PLATFORM_MESSAGE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define PLAT_MESSAGE_MAX (1U << 30) /* bytes of all values */
#define PLAT_FDS_MAX 4

enum plat_kind {
    PLAT_NONE,
#define KIND(name, handler) PLAT_##name,
#define PUSH(name) PLAT_##name,
#define ASK(name) PLAT_ASK_##name,
#define TAG(name)
#include "platform/message.def"
#undef KIND
#undef PUSH
#undef ASK
#undef TAG
    PLAT_KIND_COUNT
};

enum plat_tag {
    PLAT_TAG_NONE,
#define KIND(name, handler)
#define PUSH(name)
#define ASK(name)
#define TAG(name) PLAT_TAG_##name,
#include "platform/message.def"
#undef KIND
#undef PUSH
#undef ASK
#undef TAG
    PLAT_TAG_END
};

struct plat_message {
    enum plat_kind kind;
    uint64_t id;          /* 0: no answer is expected */
    struct sv_buf values; /* encoded */
    unsigned nfds;
    int fds[PLAT_FDS_MAX]; /* owned */
};

void plat_message_init(struct plat_message *, enum plat_kind);
void plat_message_release(struct plat_message *); /* closes the descriptors */
/* Append a value; failing is remembered in values.failed. */
void plat_put(struct plat_message *, enum plat_tag, const void *bytes, size_t len);
void plat_put_str(struct plat_message *, enum plat_tag, const char *);
void plat_put_u64(struct plat_message *, enum plat_tag, uint64_t);
/* A descriptor, which the message owns from now on. False: no room. */
bool plat_put_fd(struct plat_message *, own int fd);
/* The first value of that tag; {NULL, 0} when there is none. Borrowed. */
struct sv_str plat_get(const struct plat_message *, enum plat_tag);
/* The next of that tag from *at on, which is moved behind it; 0: from the first value. {NULL, 0}:
 * there is none more. For lists: looking up one by one would take the square of the time. */
struct sv_str plat_get_next(const struct plat_message *, enum plat_tag, size_t *at);
bool plat_get_u64(const struct plat_message *, enum plat_tag, uint64_t *ret);
bool plat_has(const struct plat_message *, enum plat_tag);
/* As a string of its own, NULL when it is absent, has a NUL, or there is no memory. */
own char *plat_get_text(const struct plat_message *, enum plat_tag);
/* Is it values from the first byte to the last? */
bool plat_message_well_formed(const struct plat_message *);
/* Make it an answer that says why it failed: TAG ERROR, and err's code as NUMBER. */
void plat_put_error(struct plat_message *, const struct sv_err *);
/* What plat_put_error put: 0, or err filled in and its code. */
int plat_take_error(const struct plat_message *, struct sv_err *);

#endif
