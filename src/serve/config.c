/* The server's settings, from the table and the command line. Does not look at the machine. */
#include "serve/config.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "ssvm.h"

enum unit { UNIT_TEXT, UNIT_SWITCH, UNIT_COUNT, UNIT_BYTES, UNIT_MILLISECONDS };

struct row {
    const char *option, *argument, *doc, *text;
    enum unit unit;
    size_t at; /* of the field in struct srv_config */
    uint64_t value, least, most;
};

/* clang-format off */
static const struct row rows[] = {
#define TEXT(field, name, arg, value_, doc_) \
    {.option = name, .argument = arg, .doc = doc_, .text = value_, .unit = UNIT_TEXT, .at = offsetof(struct srv_config, field)},
#define NUMBER(field, name, unit_, value_, least_, most_, doc_) \
    {.option = name, .argument = #unit_, .doc = doc_, .unit = UNIT_##unit_, .at = offsetof(struct srv_config, field), \
     .value = value_, .least = least_, .most = most_},
#define SWITCH(field, name, doc_) \
    {.option = name, .argument = "[on|off]", .doc = doc_, .unit = UNIT_SWITCH, .at = offsetof(struct srv_config, field)},
#include "serve/config.def"
#undef TEXT
#undef NUMBER
#undef SWITCH
};

static const struct {
    const char *suffix;
    enum unit unit;
    uint64_t factor;
} suffixes[] = {
    {"", UNIT_COUNT, 1}, {"", UNIT_BYTES, 1}, {"K", UNIT_BYTES, 1 << 10}, {"M", UNIT_BYTES, 1 << 20},
    {"G", UNIT_BYTES, 1 << 30}, {"KiB", UNIT_BYTES, 1 << 10}, {"MiB", UNIT_BYTES, 1 << 20}, {"GiB", UNIT_BYTES, 1 << 30},
    {"", UNIT_MILLISECONDS, 1}, {"ms", UNIT_MILLISECONDS, 1}, {"s", UNIT_MILLISECONDS, 1000},
    {"m", UNIT_MILLISECONDS, 60000},
};
/* clang-format on */

#define NROWS (sizeof rows / sizeof rows[0])

static uint64_t *number_of(const struct srv_config *config, const struct row *row)
{
    return (uint64_t *)((char *)config + row->at);
}

static const char **text_of(const struct srv_config *config, const struct row *row)
{
    return (const char **)((char *)config + row->at);
}

static bool *switch_of(const struct srv_config *config, const struct row *row)
{
    return (bool *)((char *)config + row->at);
}

static bool read_number(const struct row *row, const char *s, uint64_t *ret)
{
    uint64_t n = 0;
    const char *p = s;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (n > (UINT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (uint64_t)(*p - '0');
    }
    if (p == s)
        return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (suffixes[i].unit != row->unit || strcmp(suffixes[i].suffix, p) != 0)
            continue;
        if (n > UINT64_MAX / suffixes[i].factor)
            return false;
        *ret = n * suffixes[i].factor;
        return *ret >= row->least && *ret <= row->most;
    }
    return false;
}

static enum srv_config_result set(struct srv_config *config, const struct row *row,
                                  const char *value)
{
    if (row->unit == UNIT_TEXT) {
        if (!*value) {
            fprintf(stderr, "ssvm-serve: option '--%s' is empty\n", row->option);
            return SRV_CONFIG_USAGE;
        }
        *text_of(config, row) = value;
        return SRV_CONFIG_RUN;
    }
    if (row->unit == UNIT_SWITCH) {
        *switch_of(config, row) = strcmp(value, "on") == 0;
        if (strcmp(value, "on") == 0 || strcmp(value, "off") == 0)
            return SRV_CONFIG_RUN;
        fprintf(stderr, "ssvm-serve: option '--%s' is on or off, not '%s'\n", row->option, value);
        return SRV_CONFIG_USAGE;
    }
    if (!read_number(row, value, number_of(config, row))) {
        fprintf(stderr,
                "ssvm-serve: option '--%s' takes a number of %" PRIu64 " to %" PRIu64
                ", not '%s'\n",
                row->option, row->least, row->most, value);
        return SRV_CONFIG_USAGE;
    }
    return SRV_CONFIG_RUN;
}

static void print_value(const struct row *row, uint64_t n, FILE *to)
{
    static const char *const names[] = {"", "K", "M", "G"};
    unsigned power = 0;

    if (row->unit == UNIT_MILLISECONDS) {
        fprintf(to, n % 1000 == 0 && n > 0 ? "%" PRIu64 "s" : "%" PRIu64 "ms",
                n % 1000 == 0 && n > 0 ? n / 1000 : n);
        return;
    }
    while (row->unit == UNIT_BYTES && power < 3 && n > 0 && n % 1024 == 0) {
        n /= 1024;
        power++;
    }
    fprintf(to, "%" PRIu64 "%s", n, names[power]);
}

static void print_help(void)
{
    printf("usage: ssvm-serve [DIR] [OPTION...]\n\n"
           "Serves the files of DIR/site, and every DIR/functions/NAME.wasm at /f/NAME/FUNCTION\n"
           "(or at /f/NAME for programs with a main function), a fresh sandbox for each request.\n"
           "DIR is '.' when it is not given.\n\n");
    for (size_t i = 0; i < NROWS; i++) {
        printf("  --%s %s\n        %s (default ", rows[i].option, rows[i].argument, rows[i].doc);
        if (rows[i].unit == UNIT_TEXT)
            printf("%s", rows[i].text);
        else if (rows[i].unit == UNIT_SWITCH)
            printf("off");
        else
            print_value(&rows[i], rows[i].value, stdout);
        printf(")\n");
    }
    printf("  --check\n        validate the settings and the functions, print them, and exit\n"
           "  --help\n  --version\n");
}

void srv_config_print(const struct srv_config *config, FILE *to)
{
    fprintf(to, "dir: %s\n", config->dir);
    for (size_t i = 0; i < NROWS; i++) {
        fprintf(to, "%s: ", rows[i].option);
        if (rows[i].unit == UNIT_TEXT)
            fprintf(to, "%s", *text_of(config, &rows[i]));
        else if (rows[i].unit == UNIT_SWITCH)
            fprintf(to, "%s", *switch_of(config, &rows[i]) ? "on" : "off");
        else
            print_value(&rows[i], *number_of(config, &rows[i]), to);
        fputc('\n', to);
    }
}

static const struct row *find_row(const char *name, size_t len)
{
    for (size_t i = 0; i < NROWS; i++) {
        if (strlen(rows[i].option) == len && memcmp(rows[i].option, name, len) == 0)
            return &rows[i];
    }
    return NULL;
}

static enum srv_config_result read_option(struct srv_config *config, int *i, int argc, char **argv)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    const struct row *row = find_row(name, equals ? (size_t)(equals - name) : strlen(name));

    if (strcmp(name, "check") == 0) {
        config->check = true;
        return SRV_CONFIG_RUN;
    }
    if (strcmp(name, "help") == 0) {
        print_help();
        return SRV_CONFIG_EXIT;
    }
    if (strcmp(name, "version") == 0) {
        printf("ssvm-serve %s\n", ssvm_version());
        return SRV_CONFIG_EXIT;
    }
    if (!row) {
        fprintf(stderr, "ssvm-serve: unknown option '%s' (see --help)\n", argv[*i]);
        return SRV_CONFIG_USAGE;
    }
    if (equals)
        return set(config, row, equals + 1);
    if (row->unit == UNIT_SWITCH)
        return set(config, row, "on");
    if (*i + 1 >= argc) {
        fprintf(stderr, "ssvm-serve: option '%s' needs a value\n", argv[*i]);
        return SRV_CONFIG_USAGE;
    }
    return set(config, row, argv[++*i]);
}

enum srv_config_result srv_config_read(struct srv_config *config, int argc, char **argv)
{
    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < NROWS; i++) {
        if (rows[i].unit == UNIT_TEXT)
            *text_of(config, &rows[i]) = rows[i].text;
        else if (rows[i].unit != UNIT_SWITCH)
            *number_of(config, &rows[i]) = rows[i].value;
    }
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            enum srv_config_result r = read_option(config, &i, argc, argv);

            if (r != SRV_CONFIG_RUN)
                return r;
        } else if (argv[i][0] == '-' && argv[i][1] == 'h' && !argv[i][2]) {
            print_help();
            return SRV_CONFIG_EXIT;
        } else if (argv[i][0] == '-' || config->dir) {
            fprintf(stderr, "ssvm-serve: unexpected argument '%s' (see --help)\n", argv[i]);
            return SRV_CONFIG_USAGE;
        } else {
            config->dir = argv[i];
        }
    }
    if (!config->dir)
        config->dir = ".";
    return SRV_CONFIG_RUN;
}
