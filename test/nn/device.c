/* device PLUGIN LIBRARY DEVICE: what the plugin has on this machine, or why it refuses the device.
 */
#include "plugin.h"

int main(int argc, char **argv)
{
    struct ssvm_nn_options options = {sizeof options, NULL, NULL, 1};
    char error[SSVM_NN_ERROR_MAX] = "", devices[256] = "";
    const struct ssvm_nn_backend *backend;
    void *lib;
    int r;

    if (argc != 4)
        return 2;
    options.library = argv[2];
    options.device = argv[3];
    backend = plugin_open(argv[1]);
    r = backend->open(&options, error, &lib);
    if (r == 0) {
        r = backend->devices(lib, error, devices, sizeof devices);
        backend->close(lib);
    }
    printf("%s\n", r == 0 ? devices : error);
    return r != 0;
}
