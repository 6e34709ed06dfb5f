/* The server's settings, from the table, a file and the command line. Does not look at the machine.
 */
#include "serve/config.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "platform/unit.h"
#include "platform/yaml.h"
#include "ssvm.h"

#define FILE_NAME "ssvm-serve.yaml" /* in messages of the manual and the schema */
#define FROM_COMMAND_LINE UINT32_MAX
#define ARENA_MAX (4U << 20)

enum unit { UNIT_TEXT, UNIT_SWITCH, UNIT_COUNT, UNIT_BYTES, UNIT_MILLISECONDS };

struct row {
    const char *option, *argument, *doc, *text;
    enum unit unit;
    bool list;
    size_t at; /* of the field in struct srv_config */
    uint64_t value, least, most;
};

/* clang-format off */
static const struct row rows[SRV_ROW_COUNT] = {
#define TEXT(field, name, arg, value_, doc_) \
    {.option = name, .argument = arg, .doc = doc_, .text = value_, .unit = UNIT_TEXT, .at = offsetof(struct srv_config, field)},
#define LIST(field, name, arg, value_, doc_) \
    {.option = name, .argument = arg, .doc = doc_, .text = value_, .unit = UNIT_TEXT, .list = true, .at = offsetof(struct srv_config, field)},
#define NUMBER(field, name, unit_, value_, least_, most_, doc_) \
    {.option = name, .argument = #unit_, .doc = doc_, .unit = UNIT_##unit_, .at = offsetof(struct srv_config, field), \
     .value = value_, .least = least_, .most = most_},
#define SWITCH(field, name, doc_) \
    {.option = name, .argument = "[on|off]", .doc = doc_, .unit = UNIT_SWITCH, .at = offsetof(struct srv_config, field)},
#include "serve/config.def"
#undef TEXT
#undef LIST
#undef NUMBER
#undef SWITCH
};
/* clang-format on */

static const enum plat_unit units[] = {[UNIT_COUNT] = PLAT_UNIT_COUNT,
                                       [UNIT_BYTES] = PLAT_UNIT_BYTES,
                                       [UNIT_MILLISECONDS] = PLAT_UNIT_MS};

/* What they are called in messages. */
static const char *const unit_names[] = {[UNIT_COUNT] = "a number",
                                         [UNIT_BYTES] = "a size in bytes (K, M, G: 64K)",
                                         [UNIT_MILLISECONDS] = "a time in ms (or s, m: 10s)"};

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

/* Where a value is from, for messages: "option '--NAME'", "FILE:LINE: 'NAME'". */
struct place {
    const char *file; /* NULL: the command line */
    unsigned line;
};

static void print_place(const struct row *row, const struct place *place)
{
    if (place->file)
        fprintf(stderr, "ssvm-serve: %s:%u: '%s' ", place->file, place->line, row->option);
    else
        fprintf(stderr, "ssvm-serve: option '--%s' ", row->option);
}

/* "a,b". NULL: there is no memory. */
static const char *join(struct sv_arena *arena, const char *a, const char *b)
{
    size_t len = strlen(a);
    char *both = sv_arena_alloc(arena, len + strlen(b) + 2);

    if (!both)
        return NULL;
    memcpy(both, a, len);
    both[len] = ',';
    memcpy(both + len + 1, b, strlen(b) + 1);
    return both;
}

bool srv_config_address(const char *text, char ret_host[SRV_HOST_SIZE],
                        char ret_port[SRV_PORT_SIZE])
{
    const char *colon = strrchr(text, ':');
    size_t n;

    if (!colon || strlen(colon + 1) > 5 || colon[1] == '\0' ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return false;
    n = (size_t)(colon - text);
    if (n >= 2 && text[0] == '[' && colon[-1] == ']') {
        text++;
        n -= 2;
    } else if (memchr(text, ':', n)) {
        return false;
    }
    if (n == 0 || n >= SRV_HOST_SIZE || strtoul(colon + 1, NULL, 10) > 65535)
        return false;
    memcpy(ret_host, text, n);
    ret_host[n] = '\0';
    memcpy(ret_port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

/* Each of a list of where to listen. */
static bool are_addresses(const char *list)
{
    char where[SRV_HOST_SIZE + 24], host[SRV_HOST_SIZE], port[SRV_PORT_SIZE];

    for (;; list++) {
        size_t n = strcspn(list, ","), skip = strncmp(list, "https://", 8) == 0  ? 8
                                              : strncmp(list, "http://", 7) == 0 ? 7
                                                                                 : 0;

        if (n >= sizeof where)
            return false;
        memcpy(where, list, n);
        where[n] = '\0';
        if (!srv_config_address(where + skip, host, port))
            return false;
        list += n;
        if (!*list)
            return true;
    }
}

/* What can be told of a text without looking at the machine. */
static bool is_sensible(const struct row *row, const char *value)
{
    if (row - rows == SRV_ROW_listen)
        return are_addresses(value);
    return row - rows != SRV_ROW_admin || strcmp(value, "same") == 0 || are_addresses(value);
}

/* In small letters; NULL: there is no memory. */
static const char *lower(struct sv_arena *arena, const char *text)
{
    char *copy = sv_arena_strndup(arena, text, strlen(text));

    if (copy)
        sv_to_lower(copy);
    return copy;
}

static enum srv_config_result set(struct srv_config *config, const struct row *row,
                                  const char *value, const struct place *place)
{
    uint64_t n;

    if (row->unit == UNIT_TEXT) {
        if (!*value) {
            print_place(row, place);
            fprintf(stderr, "is empty\n");
            return SRV_CONFIG_USAGE;
        }
        if (!is_sensible(row, value)) {
            print_place(row, place);
            fprintf(stderr, "takes ADDR:PORT or https://ADDR:PORT (IPv6: [ADDR]:PORT), not '%s'\n",
                    value);
            return SRV_CONFIG_USAGE;
        }
        /* An address given again is one more. */
        if (row - rows == SRV_ROW_listen && !place->file &&
            config->origins[SRV_ROW_listen] == FROM_COMMAND_LINE)
            value = join(&config->arena, config->listen, value);
        /* Libraries write CPU and GPU.0. */
        if (row - rows == SRV_ROW_nn_device)
            value = lower(&config->arena, value);
        if (!value)
            return SRV_CONFIG_USAGE;
        *text_of(config, row) = value;
    } else if (row->unit == UNIT_SWITCH) {
        if (!plat_yaml_switch(value, switch_of(config, row))) {
            print_place(row, place);
            fprintf(stderr, "is on or off, not '%s'\n", value);
            return SRV_CONFIG_USAGE;
        }
    } else {
        if (!plat_unit_read(value, units[row->unit], &n) || n < row->least || n > row->most) {
            print_place(row, place);
            fprintf(stderr, "takes %s of %" PRIu64 " to %" PRIu64 ", not '%s'\n",
                    unit_names[row->unit], row->least, row->most, value);
            return SRV_CONFIG_USAGE;
        }
        *number_of(config, row) = n;
    }
    config->origins[row - rows] = place->file ? place->line : FROM_COMMAND_LINE;
    return SRV_CONFIG_RUN;
}

/* A text or number as --help shows it, or (`quoted`) as YAML. */
static void print_value(struct sv_buf *to, const struct row *row, const char *text, uint64_t n,
                        bool on, bool quoted)
{
    if (row->unit == UNIT_SWITCH)
        sv_buf_puts(to, on ? "on" : "off");
    else if (row->unit != UNIT_TEXT)
        plat_unit_print(to, units[row->unit], n);
    else if (quoted)
        sv_buf_json_string(to, text, strlen(text));
    else
        sv_buf_puts(to, text);
}

static void print_default(struct sv_buf *to, const struct row *row, bool quoted)
{
    print_value(to, row, row->text, row->value, false, quoted);
}

static void print_all(struct sv_buf *text, FILE *to)
{
    fputs(text->failed ? "ssvm-serve: out of memory\n" : sv_buf_cstr(text), to);
    sv_buf_release(text);
}

static void print_help(void)
{
    struct sv_buf text;

    sv_buf_init(&text, 1 << 20);
    sv_buf_puts(&text,
                "usage: ssvm-serve [DIR] [OPTION...]\n\n"
                "Serves the files of DIR/site, and every DIR/functions/NAME.wasm at "
                "/f/NAME/FUNCTION\n"
                "(or at /f/NAME for programs with a main function), a fresh sandbox for each "
                "request.\n"
                "DIR is '.' when it is not given.\n\n");
    for (size_t i = 0; i < SRV_ROW_COUNT; i++) {
        sv_buf_printf(&text, "  --%s %s\n        %s (default ", rows[i].option, rows[i].argument,
                      rows[i].doc);
        print_default(&text, &rows[i], false);
        sv_buf_puts(&text, ")\n");
    }
    sv_buf_puts(
        &text,
        "  --config FILE\n        settings by these names, as YAML ('calls: 8'); the command "
        "line goes before it (default none)\n"
        "  --check\n        validate the settings, the files and addresses that they name, and the "
        "functions, print them and where they are from, and exit\n"
        "  --schema\n        print the JSON Schema of FILE\n"
        "  --help\n  --version\n");
    print_all(&text, stdout);
}

static void print_schema(void)
{
    struct sv_buf text;

    sv_buf_init(&text, 1 << 20);
    sv_buf_puts(&text, "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"title\": "
                       "\"" FILE_NAME "\", \"type\": \"object\", \"additionalProperties\": false, "
                       "\"properties\": {\"dir\": {\"description\": \"the folder that is served\", "
                       "\"type\": \"string\", \"default\": \".\"}");
    for (size_t i = 0; i < SRV_ROW_COUNT; i++) {
        sv_buf_printf(&text, ", \"%s\": {\"description\": ", rows[i].option);
        sv_buf_json_string(&text, rows[i].doc, strlen(rows[i].doc));
        if (rows[i].list)
            sv_buf_puts(&text, ", \"type\": [\"string\", \"number\", \"array\"], \"minLength\": 1, "
                               "\"minItems\": 1, \"items\": {\"type\": [\"string\", \"number\"], "
                               "\"minLength\": 1}, \"default\": ");
        else if (rows[i].unit == UNIT_TEXT)
            sv_buf_puts(&text,
                        ", \"type\": [\"string\", \"number\"], \"minLength\": 1, \"default\": ");
        else if (rows[i].unit == UNIT_SWITCH)
            sv_buf_puts(&text, ", \"enum\": [true, false, \"on\", \"off\", \"yes\", \"no\"], "
                               "\"default\": \"");
        else
            sv_buf_printf(&text,
                          ", \"type\": [\"integer\", \"string\"], \"minimum\": %" PRIu64
                          ", \"maximum\": %" PRIu64 ", \"pattern\": \"%s\", \"default\": \"",
                          rows[i].least, rows[i].most, plat_unit_pattern(units[rows[i].unit]));
        print_default(&text, &rows[i], true);
        sv_buf_puts(&text, rows[i].unit == UNIT_TEXT ? "}" : "\"}");
    }
    sv_buf_puts(&text, "}}\n");
    print_all(&text, stdout);
}

static void print_origin(const struct srv_config *config, uint32_t origin, struct sv_buf *to)
{
    if (origin == 0)
        sv_buf_puts(to, "  # default\n");
    else if (origin == FROM_COMMAND_LINE)
        sv_buf_puts(to, "  # command line\n");
    else
        sv_buf_printf(to, "  # %s:%u\n", config->file, origin);
}

void srv_config_print(const struct srv_config *config, FILE *to)
{
    struct sv_buf text;

    sv_buf_init(&text, 1 << 20);
    sv_buf_puts(&text, "dir: ");
    sv_buf_json_string(&text, config->dir, strlen(config->dir));
    print_origin(config, config->dir_origin, &text);
    for (size_t i = 0; i < SRV_ROW_COUNT; i++) {
        const struct row *row = &rows[i];

        sv_buf_printf(&text, "%s: ", row->option);
        print_value(&text, row, row->unit == UNIT_TEXT ? *text_of(config, row) : NULL,
                    row->unit > UNIT_SWITCH ? *number_of(config, row) : 0,
                    row->unit == UNIT_SWITCH && *switch_of(config, row), true);
        print_origin(config, config->origins[i], &text);
    }
    print_all(&text, to);
}

void srv_config_each(const struct srv_config *config,
                     void (*fn)(void *data, const char *option, const char *value), void *data)
{
    for (size_t i = 0; i < SRV_ROW_COUNT; i++) {
        const struct row *row = &rows[i];
        struct sv_buf text;

        sv_buf_init(&text, SIZE_MAX);
        print_value(&text, row, row->unit == UNIT_TEXT ? *text_of(config, row) : NULL,
                    row->unit > UNIT_SWITCH ? *number_of(config, row) : 0,
                    row->unit == UNIT_SWITCH && *switch_of(config, row), false);
        if (text.len > 0) /* no option takes nothing */
            fn(data, row->option, sv_buf_cstr(&text));
        sv_buf_release(&text);
    }
}

static const struct row *find_row(const char *name, size_t len)
{
    for (size_t i = 0; i < SRV_ROW_COUNT; i++) {
        if (strlen(rows[i].option) == len && memcmp(rows[i].option, name, len) == 0)
            return &rows[i];
    }
    return NULL;
}

/* ---- The file ---- */

/* The values of a list as the command line would have them: "a,b". NULL, with `*bad`: one of them
 * is no text, or is empty, or has a comma itself; NULL without: there is no memory. */
static const char *join_list(struct srv_config *config, const struct plat_yaml *list,
                             const struct plat_yaml **bad)
{
    size_t len = 0;
    char *all, *p;

    for (const struct plat_yaml *node = list->first; node; node = node->next) {
        if (node->kind != PLAT_YAML_SCALAR || !*node->text || strchr(node->text, ',')) {
            *bad = node;
            return NULL;
        }
        len += strlen(node->text) + 1;
    }
    p = all = sv_arena_zero(&config->arena, len + 1); /* of no values: empty */
    for (const struct plat_yaml *node = list->first; all && node; node = node->next) {
        p = stpcpy(p, node->text);
        *p++ = node->next ? ',' : '\0';
    }
    return all;
}

static enum srv_config_result set_list(struct srv_config *config, const struct row *row,
                                       const struct plat_yaml *node, const struct place *place)
{
    const struct plat_yaml *bad = node->first ? NULL : node;
    const char *value = join_list(config, node, &bad);

    if (value)
        return set(config, row, value, place);
    if (bad)
        fprintf(stderr, "ssvm-serve: %s:%u: '%s' takes %s, or a list of such values\n", place->file,
                bad->line, row->option, row->argument);
    else
        fprintf(stderr, "ssvm-serve: out of memory\n");
    return SRV_CONFIG_USAGE;
}

static enum srv_config_result set_from_file(struct srv_config *config, const struct plat_yaml *node)
{
    const struct row *row = find_row(node->key, strlen(node->key));
    struct place place = {config->file, node->key_line};

    if (!row && strcmp(node->key, "dir") != 0) {
        fprintf(stderr, "ssvm-serve: %s:%u: unknown key '%s'; the keys are the options of --help\n",
                place.file, place.line, node->key);
        return SRV_CONFIG_USAGE;
    }
    if (row && row->list && node->kind == PLAT_YAML_LIST)
        return set_list(config, row, node, &place);
    if (node->kind != PLAT_YAML_SCALAR) {
        fprintf(stderr, "ssvm-serve: %s:%u: '%s' is one value, not a %s\n", place.file, place.line,
                node->key, node->kind == PLAT_YAML_LIST ? "list" : "map");
        return SRV_CONFIG_USAGE;
    }
    if (plat_yaml_is_null(node))
        return SRV_CONFIG_RUN;
    if (row)
        return set(config, row, node->text, &place);
    config->dir = node->text;
    config->dir_origin = place.line;
    return SRV_CONFIG_RUN;
}

static enum srv_config_result read_file(struct srv_config *config)
{
    enum srv_config_result result = SRV_CONFIG_RUN;
    struct sv_err err = {0};
    struct plat_yaml *root;
    const char *text;
    size_t len;

    if (plat_yaml_load(&err, config->file, &config->arena, &text, &len) < 0 ||
        plat_yaml_read(&err, config->file, text, len, &config->arena, &root) < 0) {
        fprintf(stderr, "ssvm-serve: %s\n", err.text);
        return SRV_CONFIG_USAGE;
    }
    if (root->kind != PLAT_YAML_MAP) {
        fprintf(stderr, "ssvm-serve: %s:%u: 'key: value' is expected\n", config->file, root->line);
        return SRV_CONFIG_USAGE;
    }
    /* All mistakes at once. */
    for (const struct plat_yaml *node = root->first; node; node = node->next) {
        if (set_from_file(config, node) != SRV_CONFIG_RUN)
            result = SRV_CONFIG_USAGE;
    }
    return result;
}

/* ---- The command line ---- */

/* Options that are no settings. SRV_CONFIG_COUNT: it is none of them. */
static enum srv_config_result read_command(struct srv_config *config, const char *name)
{
    if (strcmp(name, "check") == 0) {
        config->check = true;
        return SRV_CONFIG_RUN;
    }
    if (strcmp(name, "help") == 0)
        print_help();
    else if (strcmp(name, "schema") == 0)
        print_schema();
    else if (strcmp(name, "version") == 0)
        printf("ssvm-serve %s\n", ssvm_version());
    else
        return SRV_CONFIG_COUNT;
    return SRV_CONFIG_EXIT;
}

/* Of the two readings of the command line the first looks only for the file, whose settings the
 * second goes over. */
static enum srv_config_result read_option(struct srv_config *config, int *i, int argc, char **argv,
                                          bool first)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '='),
               *value = equals ? equals + 1 : "on";
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct row *row = find_row(name, len);
    bool is_file = len == 6 && memcmp(name, "config", 6) == 0;
    const struct place place = {0};
    enum srv_config_result r = row || is_file ? SRV_CONFIG_COUNT : read_command(config, name);

    if (r != SRV_CONFIG_COUNT)
        return r;
    if (!row && !is_file) {
        fprintf(stderr, "ssvm-serve: unknown option '%s' (see --help)\n", argv[*i]);
        return SRV_CONFIG_USAGE;
    }
    if (!equals && (is_file || row->unit != UNIT_SWITCH)) {
        if (*i + 1 >= argc) {
            fprintf(stderr, "ssvm-serve: option '%s' needs a value\n", argv[*i]);
            return SRV_CONFIG_USAGE;
        }
        value = argv[++*i];
    }
    if (is_file)
        config->file = value;
    return first || is_file ? SRV_CONFIG_RUN : set(config, row, value, &place);
}

static enum srv_config_result read_arguments(struct srv_config *config, int argc, char **argv,
                                             bool first)
{
    bool has_dir = false;

    for (int i = 1; i < argc; i++) {
        enum srv_config_result r = SRV_CONFIG_RUN;

        if (strncmp(argv[i], "--", 2) == 0) {
            r = read_option(config, &i, argc, argv, first);
        } else if (argv[i][0] == '-' && argv[i][1] == 'h' && !argv[i][2]) {
            r = read_command(config, "help");
        } else if (argv[i][0] == '-' || has_dir) {
            fprintf(stderr, "ssvm-serve: unexpected argument '%s' (see --help)\n", argv[i]);
            return SRV_CONFIG_USAGE;
        } else {
            has_dir = true;
            config->dir = argv[i];
            config->dir_origin = FROM_COMMAND_LINE;
        }
        if (r != SRV_CONFIG_RUN)
            return r;
    }
    return SRV_CONFIG_RUN;
}

enum srv_config_result srv_config_read(struct srv_config *config, int argc, char **argv)
{
    enum srv_config_result r;

    memset(config, 0, sizeof *config);
    sv_arena_init(&config->arena, ARENA_MAX);
    config->dir = ".";
    for (size_t i = 0; i < SRV_ROW_COUNT; i++) {
        if (rows[i].unit == UNIT_TEXT)
            *text_of(config, &rows[i]) = rows[i].text;
        else if (rows[i].unit != UNIT_SWITCH)
            *number_of(config, &rows[i]) = rows[i].value;
    }
    r = read_arguments(config, argc, argv, true);
    if (r == SRV_CONFIG_RUN && config->file)
        r = read_file(config);
    return r == SRV_CONFIG_RUN ? read_arguments(config, argc, argv, false) : r;
}

void srv_config_release(struct srv_config *config)
{
    sv_arena_release(&config->arena);
}
