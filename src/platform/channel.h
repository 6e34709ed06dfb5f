/* A channel between two processes of the server: one socket (AF_UNIX, SOCK_SEQPACKET), so that a
 * peer that dies leaves no half message. Values that do not fit a packet travel in a memfd. The
 * supervisor keeps both ends open: when a peer is replaced, the socket lives on.
 *
 * One thread reads (plat_channel_run); any thread calls and sends. */
#ifndef PLATFORM_CHANNEL_H
#define PLATFORM_CHANNEL_H

#include "platform/message.h"

#define PLAT_PACKET_MAX 65536 /* bytes that travel in the packet itself */

struct plat_channel;

/* Called by the reading thread for whatever is not an answer. Takes what is in the message if it
 * wants it (plat_message_init it then). May answer later, from any thread, with plat_channel_answer
 * and the message's id. */
typedef void (*plat_handler)(void *data, struct plat_channel *, struct plat_message *);

own struct plat_channel *plat_channel_new(own int fd, plat_handler, void *data);
/* Nobody may be in a call any more. */
void plat_channel_delete(own struct plat_channel *);
int plat_channel_fd(const struct plat_channel *);
/* Before it is read: a message with more bytes of values is malformed (else PLAT_MESSAGE_MAX). For
 * a peer that has no need of large ones, and whose memory would be ours. */
void plat_channel_bound(struct plat_channel *, size_t most);
/* Read until the peer is gone for good or `plat_channel_stop`. 0, or why not. */
int plat_channel_run(struct plat_channel *, struct sv_err *);
void plat_channel_stop(struct plat_channel *);
/* Instead of a thread that runs it: take one message, if there is one. 1; 0: none; -1: the peer is
 * gone. */
int plat_channel_turn(struct plat_channel *);

/* Send without expecting an answer. May wait while the socket is full, unless `try` is set:
 * SV_ELIMIT then. The message stays the caller's. */
int plat_channel_send(struct plat_channel *, struct sv_err *, struct plat_message *, bool try);
/* Ask, and wait for the answer at most until deadline_ns (CLOCK_MONOTONIC; UINT64_MAX: for ever).
 * *ret is the caller's to release when 0 is given. An answer that is an error (plat_put_error) is
 * given as such. A peer that is replaced meanwhile: SV_EIO, "restarted": whether it was done is not
 * known. */
int plat_channel_call(struct plat_channel *, struct sv_err *, struct plat_message *,
                      uint64_t deadline_ns, struct plat_message *ret);
/* The same for somebody who may be ended meanwhile: SV_EEXIT then. `ended(asker)` tells, from now
 * on; when it begins to be true, plat_channel_end_calls(asker) is called. The peer hears of a call
 * that nobody waits for (PLAT_CANCEL). */
int plat_channel_call_of(struct plat_channel *, struct sv_err *, struct plat_message *,
                         uint64_t deadline_ns, void *asker, bool (*ended)(void *asker),
                         struct plat_message *ret);
void plat_channel_end_calls(struct plat_channel *, const void *asker);
/* Answer message `id`. Waits for some seconds while the socket is full; or not at all: SV_ELIMIT.
 */
int plat_channel_answer(struct plat_channel *, struct sv_err *, uint64_t id, struct plat_message *);
int plat_channel_answer_now(struct plat_channel *, struct sv_err *, uint64_t id,
                            struct plat_message *);
/* The peer has been replaced: every call that waits fails. (A HELLO message does it by
 * itself, unless its sender's predecessor has left nothing undone.) */
void plat_channel_reset(struct plat_channel *);

#endif
