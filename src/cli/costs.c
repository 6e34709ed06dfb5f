/* --gas-table: a module with the costs of a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static bool read_file(const char *path, size_t max, own char **ret, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    bool ok = fd >= 0 && cli_read_all(path, fd, max, ret, ret_len);

    if (fd < 0)
        cli_message("cannot read '%s': %s", path, strerror(errno));
    return ok;
}

int cli_module_open(ssvm_engine *engine, const char *file, const char *costs, own ssvm_module **ret)
{
    char *bytes = NULL, *table = NULL, *joined = NULL;
    ssvm_error *e = NULL;
    size_t len, table_len, joined_len = 0;

    if (!costs || strcmp(costs, CLI_COSTS_OF_MODULE) == 0) {
        e = ssvm_module_open(engine, file, ret);
    } else {
        bool ok = read_file(costs, SSVM_COSTS_MAX, &table, &table_len) &&
                  read_file(file, CLI_FILE_MAX, &bytes, &len);

        if (ok)
            e = ssvm_costs_append(bytes, len, table, table_len, &joined, &joined_len);
        if (ok && !e)
            e = ssvm_module_new(engine, joined, joined_len, ret);
        free(table);
        free(bytes);
        ssvm_string_delete(joined);
        if (!ok)
            return CLI_STATUS_ERROR;
    }
    return e ? cli_error(file, e) : 0;
}
