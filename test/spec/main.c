/* spec-runner: runs the official scripts in JSON form. The last line says how many assertions
 * passed, failed, were skipped. */
#include <stdio.h>

#include "runtime/store.h"
#include "spec.h"

static const char usage[] = "usage: spec-runner [OPTION...] PATH/test.json...\n"
                            "  --tier TIER      interp (default)\n"
                            "  --gc-stress      collect at every allocation\n"
                            "  --no-guard       explicit bounds checks\n"
                            "  --no-optimise    plain lowering\n"
                            "  --deterministic  canonical NaNs\n"
                            "  --metered        count gas\n"
                            "  --gas-limited    count and limit gas\n"
                            "  --skip FILE      other list of skips\n"
                            "  --repeat N       run every script N times\n"
                            "  --texts          show refusals whose text is not the script's\n"
                            "  --verbose        show every command\n";

static bool read_skips(struct runner *r, const char *path)
{
    FILE *f = fopen(path, "r");
    char line[512], folder[256];
    int number;

    if (!f)
        return false;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#' || sscanf(line, "%255s %d", folder, &number) != 2)
            continue;
        struct skip *grown = realloc(r->skips, (r->nskips + 1) * sizeof *grown);
        if (!grown)
            break;
        r->skips = grown;
        r->skips[r->nskips++] = (struct skip){strdup(folder), number};
    }
    fclose(f);
    return true;
}

static const struct {
    const char *name;
    size_t engine_flag; /* offset in struct sv_engine, or 0 */
    size_t runner_flag;
} flags[] = {
    {"--gc-stress", offsetof(struct sv_engine, gc_stress), 0},
    {"--no-guard", offsetof(struct sv_engine, no_guard), 0},
    {"--no-optimise", offsetof(struct sv_engine, no_optimise), 0},
    {"--deterministic", offsetof(struct sv_engine, deterministic), 0},
    {"--metered", 0, offsetof(struct runner, metered)},
    {"--gas-limited", 0, offsetof(struct runner, gas_limited)},
    {"--texts", 0, offsetof(struct runner, texts)},
    {"--verbose", 0, offsetof(struct runner, verbose)},
};

static bool set_flag(struct runner *r, const char *arg)
{
    for (size_t i = 0; i < SV_COUNT(flags); i++) {
        if (strcmp(arg, flags[i].name) != 0)
            continue;
        if (flags[i].engine_flag)
            *(bool *)((char *)r->engine + flags[i].engine_flag) = true;
        else
            *(bool *)((char *)r + flags[i].runner_flag) = true;
        return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    static struct runner r;
    struct sv_err err = {0};
    const char *skips = SPEC_SKIP_FILE, *tier = "interp";
    int i, repeat = 1;

    if (sv_trap_init_process(&err) < 0 || sv_trap_init_thread(&err) < 0 ||
        sv_engine_new(&err, &r.engine) < 0) {
        fprintf(stderr, "spec-runner: %s\n", err.text);
        return 1;
    }
    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        const char **value = strcmp(argv[i], "--tier") == 0 ? &tier : NULL;
        if (strcmp(argv[i], "--skip") == 0)
            value = &skips;
        if (value && i + 1 < argc) {
            *value = argv[++i];
        } else if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc) {
            repeat = (int)strtol(argv[++i], NULL, 10);
        } else if (!set_flag(&r, argv[i])) {
            fputs(usage, stderr);
            return 2;
        }
    }
    if (i == argc || strcmp(tier, "interp") != 0 || !read_skips(&r, skips)) {
        fputs(usage, stderr);
        return 2;
    }
    r.metered |= r.gas_limited;
    r.engine->exec = &sv_interp_ops;
    for (; i < argc; i++) {
        for (int k = 0; k < repeat; k++)
            script_run(&r, argv[i]);
    }
    sv_engine_unref(r.engine);
    for (size_t k = 0; k < r.nskips; k++)
        free(r.skips[k].folder);
    free(r.skips);
    printf("%u passed, %u failed, %u skipped\n", r.passed, r.failed, r.skipped);
    return r.failed != 0;
}
