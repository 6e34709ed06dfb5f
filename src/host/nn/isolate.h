/* Backends in processes of their own: one more backend on our side, whose functions ask a child. */
#ifndef SV_HOST_NN_ISOLATE_H
#define SV_HOST_NN_ISOLATE_H

#include <pthread.h>

#include "base/err.h"
#include "host/nn/nn.h"
#include "ssvm_nn.h"

/* Children of one backend at the same time. */
#define SV_NN_CHILDREN_MAX 32

/* The processes that we have started, of all backends of a grant. */
struct sv_nn_children {
    pthread_mutex_t lock;
    struct sv_nn_child *first;
    bool ended; /* no more are started */
};
/* End them, and what they may have left in files, also of those that other threads still wait for.
 */
void sv_nn_children_end(struct sv_nn_children *);

/* Fill *ret: the backend `real` of the plugin nn-ID.so, run by children that are the
 * configuration's `program` (NULL: ssvm-nn beside this library), or that its starter starts. `id`
 * stays. ret->open is not for calling: *ret_lib is what it would give, opened in a child, which
 * tells why not in err.
 * SV_ELIMIT: the starter refused, and may not the next time. */
int sv_nn_isolate(struct sv_err *err, const struct ssvm_nn_backend *real, const char *id,
                  const struct sv_nn_config *, const struct ssvm_nn_options *,
                  struct sv_nn_children *, struct ssvm_nn_backend *ret, void **ret_lib);

#endif
