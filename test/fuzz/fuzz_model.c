/* libFuzzer: the reader of models, each format on any bytes. A model that passes must still pass
 * when it is read again. */
#include <stdlib.h>

#include "host/nn/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum ssvm_nn_format found;

    sv_nn_sniff(data, size, &found);
    for (int format = 0; format < SSVM_NN_FORMATS; format++) {
        struct sv_err err = {0}, again = {0};
        int r = sv_nn_check(&err, (enum ssvm_nn_format)format, data, size);

        if (r != err.code || r != sv_nn_check(&again, (enum ssvm_nn_format)format, data, size))
            abort();
    }
    return 0;
}
