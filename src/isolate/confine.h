/* What the process of a backend may still do once it has its library to open. */
#ifndef SV_ISOLATE_CONFINE_H
#define SV_ISOLATE_CONFINE_H

#include <stdbool.h>

/* From here on: no new processes, no sockets, no signals to others, no files but the system's
 * libraries, `library` (a file or a folder; NULL: none) and `plugin`, to read, and the folder
 * $TMPDIR; no core dumps, so much memory. `devices`: what is in /dev may be used. As far as the
 * system can; for good, in all threads to come. False: something that the system can did not work.
 */
bool confine(const char *library, const char *plugin, bool devices);

#endif
