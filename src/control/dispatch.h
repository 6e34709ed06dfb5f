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
 * channel. `done(data)` is called when neither is needed any more. */
void ctl_dispatch(struct ctl_server *, struct plat_channel *, struct plat_message *,
                  void (*done)(void *), void *data);

#endif
