/* Calls of functions that no client makes: by the queue and by time tables (PLAT_ASK_INVOKE), and
 * by other functions. They are requests in memory (virtual.h), and go the way of all requests. */
#ifndef SERVE_INVOKE_H
#define SERVE_INVOKE_H

#include "base/str.h"
#include "platform/channel.h"
#include "serve/server.h"

#define SRV_INVOKE_TARGET_MAX 4096

/* Where the function is: "/f/NAME" and the path behind it ("" or "/..."), with /t/TENANT before it
 * for all but the default tenant's. False: it is too long, or no path. */
bool srv_invoke_target(char ret[SRV_INVOKE_TARGET_MAX], struct sv_str tenant,
                       struct sv_str function, struct sv_str path);
/* Those lines of `fields` that a request in memory may have, to `ret`, which has room for all of
 * them. Returns their length. */
size_t srv_invoke_fields(struct sv_str fields, char *ret);

/* Control asks for a call (link.h). TENANT, FUNCTION, PATH, METHOD, FIELDS (lines), BODY, NUMBER
 * (enum plat_trigger), TRACE (traceparent). Answer: STATUS, FIELDS, and BODY, of which only a
 * trigger of HTTP gets all. */
void srv_invoke_ask(struct srv_server *, struct plat_channel *, struct plat_message *);

#endif
