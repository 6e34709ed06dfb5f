/* spec-runner: runs the official scripts in JSON form. The last line says how many assertions
 * passed, failed, were skipped. */
#include <stdio.h>

#include "../switcher.h"
#include "../unit/tsan.h"
#include "spec.h"

#if TSAN
/* The scripts of the memory model race on purpose, with plain loads and stores of shared memories:
 * handlers of the interpreter that touch memory themselves. Races below them are ours. */
const char *__tsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void)
{
    return "race_top:^sv_op_\n";
}
#endif

static const char usage[] =
    "usage: spec-runner [OPTION...] PATH/test.json...\n"
    "  --tier TIER      interp (default); aot: native code for all that has a native form; switch: "
    "that,\n"
    "                   when it has been lowered; loops: only by way of their loops\n"
    "  --pass N         of loops: enter at the N+1st arrival that could (default 0)\n"
    "  --optimise N     of native code: 0 to 3 (default 1)\n"
    "  --gc-stress      collect at every allocation\n"
    "  --no-guard       explicit bounds checks\n"
    "  --no-optimise    plain lowering\n"
    "  --deterministic  canonical NaNs\n"
    "  --metered        count gas\n"
    "  --gas-limited    count and limit gas\n"
    "  --gas-totals     count gas and show what each script used\n"
    "  --own-costs      with a table of costs in every module, another cost for each instruction\n"
    "  --skip FILE      other list of skips\n"
    "  --repeat N       run every script N times\n"
    "  --texts          show refusals whose text is not the script's\n"
    "  --traps          show every expected trap with its backtrace\n"
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
    {"--own-costs", 0, offsetof(struct runner, own_costs)},
    {"--gas-totals", 0, offsetof(struct runner, gas_totals)},
    {"--texts", 0, offsetof(struct runner, texts)},
    {"--traps", 0, offsetof(struct runner, traps)},
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

/* Native code: before the first instance of a module; or behind it, for functions at their next
 * call or for loops at their head. */
static bool set_tier(struct runner *r, const char *tier, const char *optimise)
{
    if (strcmp(tier, "interp") == 0)
        return true;
    if (!switcher_init(r->engine, (unsigned)atoi(optimise)))
        return false;
    if (strcmp(tier, "aot") == 0) {
        r->engine->find_native = sv_tier_find;
        return true;
    }
    switcher.loops = strcmp(tier, "loops") == 0;
    r->begin = switcher_begin;
    r->before_call = switcher_detach;
    return true;
}

static bool is_tier(const char *tier)
{
    return strcmp(tier, "interp") == 0 || strcmp(tier, "aot") == 0 || strcmp(tier, "switch") == 0 ||
           strcmp(tier, "loops") == 0;
}

int main(int argc, char **argv)
{
    static struct runner r;
    struct sv_err err = {0};
    const char *skips = SPEC_SKIP_FILE, *tier = "interp", *optimise = "1";
    int i, repeat = 1;

    if (sv_trap_init_process(&err) < 0 || sv_trap_init_thread(&err) < 0 ||
        sv_engine_new(&err, &r.engine) < 0) {
        fprintf(stderr, "spec-runner: %s\n", err.text);
        return 1;
    }
    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        const char **value = strcmp(argv[i], "--tier") == 0       ? &tier
                             : strcmp(argv[i], "--optimise") == 0 ? &optimise
                                                                  : NULL;
        if (strcmp(argv[i], "--skip") == 0)
            value = &skips;
        if (strcmp(argv[i], "--pass") == 0 && i + 1 < argc) {
            switcher.pass = (unsigned)strtoul(argv[++i], NULL, 10);
            continue;
        }
        if (value && i + 1 < argc) {
            *value = argv[++i];
        } else if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc) {
            repeat = (int)strtol(argv[++i], NULL, 10);
        } else if (!set_flag(&r, argv[i])) {
            fputs(usage, stderr);
            return 2;
        }
    }
    if (i == argc || !is_tier(tier) || !read_skips(&r, skips)) {
        fputs(usage, stderr);
        return 2;
    }
    if (r.own_costs)
        r.engine->features |= SV_FEATURES_COSTS;
    r.metered |= r.gas_limited || r.gas_totals;
    r.engine->exec = &sv_interp_ops;
    if (!set_tier(&r, tier, optimise))
        return 2;
    for (; i < argc; i++) {
        for (int k = 0; k < repeat; k++)
            script_run(&r, argv[i]);
    }
    sv_engine_unref(r.engine);
    for (size_t k = 0; k < r.nskips; k++)
        free(r.skips[k].folder);
    free(r.skips);
    if (r.begin)
        printf("loops: %u asked, %u entered\n", switcher.asked, switcher.opened);
    printf("%u passed, %u failed, %u skipped\n", r.passed, r.failed, r.skipped);
    return r.failed != 0;
}
