/* Reads a command line by the table of options.def. Does nothing with what it reads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* clang-format off */
const struct cli_option cli_options[] = {
#define GROUP(verbs, title) {CLI_GROUP, CLI_OPTION_GROUP, CLI_VERB_##verbs, NULL, NULL, title},
#define OPT(id, verbs, name, kind, arg, doc) {CLI_##id, CLI_OPTION_##kind, CLI_VERB_##verbs, name, arg, doc},
#define FEATURE_OPT(name)                                                                                          \
    {CLI_ENABLE, CLI_OPTION_FLAG, CLI_VERB_RUN, "enable-" name, NULL, "allow this language feature (the default)"}, \
    {CLI_DISABLE, CLI_OPTION_FLAG, CLI_VERB_RUN, "disable-" name, NULL, "refuse modules that use this language feature"},
#include "cli/options.def"
#undef FEATURE_OPT
#undef OPT
#undef GROUP
};
/* clang-format on */
const unsigned cli_noptions = sizeof cli_options / sizeof cli_options[0];

#define NAME_MAX_LEN 64
#define DISTANCE_MAX 3 /* typing mistakes that still make a suggestion */

void cli_args_init(struct cli_args *a, int argc, char **argv)
{
    const struct cli_verb *verb = cli_verb_find(argv[0]);

    *a = (struct cli_args){
        .argc = argc, .argv = argv, .next = 1, .verb = verb ? verb : cli_verb_find("run")};
}

/* Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`. */
static unsigned distance(const char *a, const char *b)
{
    unsigned char rows[3][NAME_MAX_LEN + 1];
    unsigned char *before = rows[0], *last = rows[1], *row = rows[2];
    size_t na = strlen(a), nb = strlen(b);

    if (na > NAME_MAX_LEN || nb > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (size_t j = 0; j <= nb; j++)
        last[j] = (unsigned char)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned char *spare = before;

        row[0] = (unsigned char)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1u < best)
                best = last[j] + 1u;
            if (row[j - 1] + 1u < best)
                best = row[j - 1] + 1u;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1u < best)
                best = before[j - 2] + 1u;
            row[j] = (unsigned char)best;
        }
        before = last;
        last = row;
        row = spare;
    }
    return last[nb];
}

const char *cli_nearest(const char *name, const char *const *names, size_t n)
{
    size_t len = strlen(name);
    unsigned best = len < 2 ? 0 : len < 5 ? 1 : DISTANCE_MAX;
    const char *ret = NULL;

    for (size_t i = 0; i < n; i++) {
        unsigned d = distance(name, names[i]);
        if (d < best || (d == best && !ret && best > 0)) {
            best = d;
            ret = names[i];
        }
    }
    return ret;
}

static int unknown(const struct cli_args *a, const char *name)
{
    const char *names[sizeof cli_options / sizeof cli_options[0]];
    const char *near;
    size_t n = 0;

    for (unsigned i = 0; i < cli_noptions; i++) {
        if (cli_options[i].name && (cli_options[i].verbs & a->verb->bit))
            names[n++] = cli_options[i].name;
    }
    near = cli_nearest(name, names, n);
    if (near)
        cli_usage(a->verb, "unknown option '--%s', did you mean '--%s'?", name, near);
    else
        cli_usage(a->verb, "unknown option '--%s'", name);
    return CLI_BAD;
}

static const struct cli_option *find(const struct cli_args *a, const char *name, size_t len)
{
    for (unsigned i = 0; i < cli_noptions; i++) {
        const struct cli_option *o = &cli_options[i];
        if (o->name && (o->verbs & a->verb->bit) && strncmp(o->name, name, len) == 0 &&
            o->name[len] == '\0')
            return o;
    }
    return NULL;
}

/* -oFILE and -o FILE for --output FILE, -f for --follow. */
static int short_option(struct cli_args *a, const char *arg)
{
    static const struct {
        char letter;
        const char *name;
    } letters[] = {{'o', "output"}, {'O', "optimise"}, {'j', "jobs"}, {'f', "follow"}};

    for (size_t i = 0; i < sizeof letters / sizeof *letters && !a->option; i++) {
        if (arg[1] == letters[i].letter)
            a->option = find(a, letters[i].name, strlen(letters[i].name));
    }
    if (a->option && a->option->kind == CLI_OPTION_FLAG && !arg[2])
        return a->option->id;
    if (!a->option || (!arg[2] && a->next >= a->argc)) {
        cli_usage(a->verb, a->option ? "option '%s' needs a value" : "unknown option '%s'", arg);
        return CLI_BAD;
    }
    a->value = arg[2] ? arg + 2 : a->argv[a->next++];
    return a->option->id;
}

int cli_args_next(struct cli_args *a)
{
    const char *arg = a->next < a->argc ? a->argv[a->next] : NULL;
    const char *name, *eq;
    char copy[NAME_MAX_LEN + 1];
    size_t len;

    a->value = NULL;
    a->option = NULL;
    if (!arg || arg[0] != '-' || arg[1] == '\0')
        return CLI_END;
    a->next++;
    if (strcmp(arg, "--") == 0)
        return CLI_END;
    if (strcmp(arg, "-h") == 0)
        return CLI_HELP;
    if (arg[1] != '-')
        return short_option(a, arg);
    name = arg + 2;
    eq = strchr(name, '=');
    len = eq ? (size_t)(eq - name) : strlen(name);
    a->option = find(a, name, len);
    if (!a->option) {
        if (len > NAME_MAX_LEN)
            len = NAME_MAX_LEN;
        memcpy(copy, name, len);
        copy[len] = '\0';
        return unknown(a, copy);
    }
    if (eq)
        a->value = eq + 1;
    if (eq && a->option->kind == CLI_OPTION_FLAG) {
        cli_usage(a->verb, "option '--%s' takes no value", a->option->name);
        return CLI_BAD;
    }
    if (!eq && a->option->kind == CLI_OPTION_VALUE) {
        if (a->next >= a->argc) {
            cli_usage(a->verb, "option '--%s' needs a value: %s", a->option->name, a->option->arg);
            return CLI_BAD;
        }
        a->value = a->argv[a->next++];
    }
    if (a->option->id == CLI_ENABLE || a->option->id == CLI_DISABLE)
        a->value = strchr(a->option->name, '-') + 1;
    return a->option->id;
}

/* Digits at a->value; *ret_end is what follows. */
static bool digits(const struct cli_args *a, uint64_t *ret, char **ret_end)
{
    unsigned long long v;

    errno = 0;
    v = strtoull(a->value, ret_end, 10);
    if (*ret_end == a->value || a->value[0] == '-' || a->value[0] == '+' || a->value[0] == ' ' ||
        errno != 0)
        return false;
    *ret = v;
    return true;
}

static bool bad_number(const struct cli_args *a, const char *what)
{
    cli_usage(a->verb, "option '--%s': '%s' is not %s", a->option->name, a->value, what);
    return false;
}

bool cli_args_number(const struct cli_args *a, uint64_t max, uint64_t *ret)
{
    uint64_t v;
    char *end;

    if (!digits(a, &v, &end) || *end != '\0')
        return bad_number(a, "a number");
    if (v == 0 || v > max) {
        cli_usage(a->verb, "option '--%s': %s is out of range, allowed is 1 to %llu",
                  a->option->name, a->value, (unsigned long long)max);
        return false;
    }
    *ret = v;
    return true;
}

bool cli_args_size(const struct cli_args *a, uint64_t *ret)
{
    static const char units[] = "KMGT";
    uint64_t v;
    char *end;
    const char *unit;
    unsigned shift = 0;

    if (!digits(a, &v, &end))
        return bad_number(a, "a size (a number, then K, M or G)");
    unit = *end ? strchr(units, *end & ~0x20) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
        if (*end == 'i')
            end++;
    }
    if (*end == 'B')
        end++;
    if (*end != '\0')
        return bad_number(a, "a size (a number, then K, M or G)");
    if (v == 0 || v > (uint64_t)INT64_MAX >> shift) {
        cli_usage(a->verb, "option '--%s': %s is out of range", a->option->name, a->value);
        return false;
    }
    *ret = v << shift;
    return true;
}
