/* A table is checked by reading an empty module that has it. */
#include "serve/costs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "platform/costs.h"
#include "serve/function.h"

static bool check_table(ssvm_engine *engine, const char *path, const struct sv_buf *table)
{
    static const char empty[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    ssvm_module *module = NULL;
    char *bytes = NULL;
    size_t len = 0;
    ssvm_error *error =
        ssvm_costs_append(empty, sizeof empty, (const char *)table->data, table->len, &bytes, &len);

    if (!error)
        error = ssvm_module_new(engine, bytes, len, &module);
    if (error)
        fprintf(stderr, "ssvm-serve: '%s': %s\n", path, ssvm_error_message(error));
    ssvm_string_delete(bytes);
    ssvm_module_delete(module);
    if (!error)
        return true;
    ssvm_error_delete(error);
    return false;
}

static bool check_file(ssvm_engine *engine, const char *path)
{
    struct sv_err err = {0};
    struct sv_buf table;
    bool ok;

    sv_buf_init(&table, 2 * PLAT_COSTS_MAX);
    ok = plat_costs_read_file(&err, path, &table) == 0;
    if (!ok)
        fprintf(stderr, "ssvm-serve: %s\n", err.text);
    ok = ok && check_table(engine, path, &table);
    sv_buf_release(&table);
    return ok;
}

static bool check_folder(ssvm_engine *engine, const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    unsigned files = 0;
    bool ok = true;

    if (!dir) {
        fprintf(stderr, "ssvm-serve: cannot open the tables of costs '%s': %s\n", path,
                strerror(errno));
        return false;
    }
    while ((entry = readdir(dir))) {
        size_t len = strlen(entry->d_name), tail = strlen(PLAT_COSTS_SUFFIX);
        char file[PATH_MAX];

        if (len <= tail || strcmp(entry->d_name + len - tail, PLAT_COSTS_SUFFIX) != 0)
            continue;
        if (files++ == PLAT_COSTS_FILES) {
            fprintf(stderr,
                    "ssvm-serve: '%s': more than %d tables of costs: take away those of tenants "
                    "and functions that are gone\n",
                    path, PLAT_COSTS_FILES);
            ok = false;
            break;
        }
        if ((size_t)snprintf(file, sizeof file, "%s/%s", path, entry->d_name) < sizeof file)
            ok = check_file(engine, file) && ok;
    }
    closedir(dir);
    return ok;
}

bool srv_costs_open(struct srv_server *server)
{
    const char *file = server->config.gas_table, *dir = server->config.gas_tables;
    bool has_file = strcmp(file, "none") != 0, has_dir = strcmp(dir, "none") != 0, ok = true;
    ssvm_config config = SSVM_CONFIG_INIT;
    ssvm_engine *engine = NULL;
    struct sv_err err = {0};
    ssvm_error *error;

    sv_buf_init(&server->costs, 2 * PLAT_COSTS_MAX);
    if (!has_file && !has_dir)
        return true;
    config.tier = "interp";
    config.module_costs = true;
    error = ssvm_engine_new(&config, &engine);
    if (error)
        fprintf(stderr, "ssvm-serve: %s\n", ssvm_error_message(error));
    ok = !error && (!has_file || check_file(engine, file));
    ok = !error && (!has_dir || check_folder(engine, dir)) && ok;
    ssvm_error_delete(error);
    ssvm_engine_delete(engine);
    if (ok && plat_costs_read(&err, file, dir, SRV_TENANT_DEFAULT, "", &server->costs) < 0) {
        fprintf(stderr, "ssvm-serve: %s\n", err.text);
        ok = false;
    }
    return ok;
}
