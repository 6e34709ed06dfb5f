/* From a message to the handler that message.def names for its kind. */
#ifndef CONTROL_DISPATCH_H
#define CONTROL_DISPATCH_H

#include "control/control.h"

/* The handlers (see ctl_kind_fn). Their files include this. */
#define KIND(name, handler)                                                                        \
    int handler(struct ctl_server *, struct sv_err *, struct plat_message *request,                \
                struct plat_message *ret);
#define PUSH(name)
#define ASK(name)
#define TAG(name)
#include "platform/message.def"
#undef KIND
#undef PUSH
#undef ASK
#undef TAG

/* Run the handler of the message, which it takes, on a thread of the pool, and answer on the
 * channel. `done` is called with the bytes that the message held when neither is needed any more.
 */
void ctl_dispatch(struct ctl_server *, struct plat_channel *, struct plat_message *,
                  void (*done)(void *data, size_t bytes), void *data);
/* Answer that there is too much to do. The message stays the caller's. */
void ctl_dispatch_refuse(struct plat_channel *, const struct plat_message *);
/* Whoever asked call `id` on the channel does not wait for its answer any more. A handler that has
 * not begun does not; one that runs is told. */
void ctl_dispatch_cancel(struct plat_channel *, uint64_t id);
/* For a handler that takes long, of its request: has it been cancelled? A descriptor that is
 * readable then, the request's; -1: there is none. */
bool ctl_dispatch_cancelled(const struct plat_message *request);
int ctl_dispatch_cancel_fd(const struct plat_message *request);

#endif
