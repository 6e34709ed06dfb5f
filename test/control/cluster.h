/* A PostgreSQL of our own for a test: a cluster in a fresh folder, reached by a socket there. */
#ifndef TEST_CONTROL_CLUSTER_H
#define TEST_CONTROL_CLUSTER_H

#include <stdbool.h>

/* False, and a line says so: there is no PostgreSQL to test with. */
bool cluster_start(void);
/* "postgresql:///postgres?host=FOLDER&..." with further parameters ("" or "&x=y"). Static. */
const char *cluster_url(const char *more);
/* pg_ctl's modes: "fast", "immediate" (as killed). */
void cluster_stop(const char *mode);
/* After cluster_stop. */
void cluster_restart(void);
/* kill -9 of the server and all of its processes. */
void cluster_kill(void);
/* Stop it, and remove the folder. NULL-safe: nothing when it was not started. */
void cluster_end(void);

#endif
