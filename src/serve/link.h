/* A worker's links to the other processes: to control, which owns all state, and to the supervisor,
 * which starts processes for it. Knows nothing of requests.
 *
 * To ask control, from any thread that may wait (a guest's host call may: another thread takes the
 * loop over meanwhile, pool.h):
 *
 *     struct plat_message m, answer;
 *
 *     plat_message_init(&m, PLAT_KV);
 *     plat_put_str(&m, PLAT_TAG_OP, "get");
 *     r = srv_link_call(server, err, &m, srv_clock_ns() + 5 * NS_PER_S, &answer);
 *     plat_message_release(&m);
 *     if (r < 0)
 *         return r;             (SV_EIO: control is not there, or was restarted meanwhile: whether
 *                                it was done is not known; SV_ELIMIT: not in time; else control's
 *                                own reason)
 *     value = plat_get(&answer, PLAT_TAG_VALUE);
 *     plat_message_release(&answer);
 *
 * What is told without an answer (FAILURE, LOG) goes by srv_link_tell, which never waits: it is
 * lost when control is away for long. What control asks (ASK) or pushes comes to the functions
 * below on the link's one reading thread: they must not wait; who has to, keeps the message (and
 * plat_message_init's it) and answers later, from any thread, with plat_channel_answer. */
#ifndef SERVE_LINK_H
#define SERVE_LINK_H

#include "platform/channel.h"
#include "serve/server.h"

/* control_fd -1: there is no control process (--data none). False: no memory. */
bool srv_link_start(struct srv_server *, own int supervisor_fd, own int control_fd);
/* Calls that wait fail. No thread may begin one after this. */
void srv_link_stop(struct srv_server *);
/* This worker takes requests now. */
void srv_link_ready(struct srv_server *, uint32_t functions, uint32_t broken);

/* Is there a control process at all? */
bool srv_link_has_control(const struct srv_server *);
int srv_link_call(struct srv_server *, struct sv_err *, struct plat_message *, uint64_t deadline_ns,
                  struct plat_message *ret);
/* The same in a host call of a function (pool.h): when that is ended, so is this: SV_EEXIT. */
int srv_link_call_of(struct srv_server *, struct sv_err *, struct plat_message *,
                     uint64_t deadline_ns, struct srv_guest *, struct plat_message *ret);
void srv_link_end_calls(struct srv_server *, const struct srv_guest *);
int srv_link_tell(struct srv_server *, struct sv_err *, struct plat_message *);

/* ssvm_config.compiler_run: the supervisor starts it. `data` is the server. */
int srv_link_compile(void *server, unsigned form, uint32_t func, uint32_t loop, bool cached,
                     const int fds[3]);

/* A connection to the worker of that tenant, which may have to start, and its token (isolated.h).
 * Negative: there is none now. */
own int srv_link_isolated(struct srv_server *, struct sv_err *, const char *tenant,
                          own int *ret_token);

/* ssvm_nn_config.start and stop, of a worker of one tenant: the supervisor does it. `data` is the
 * server. */
int srv_link_library(void *server, const char *backend, char *why, size_t size, long *ret_number);
void srv_link_library_end(void *server, long number);

/* What control asks: live.c. */
void srv_live_ask(struct srv_server *, struct plat_channel *, struct plat_message *);

#endif
