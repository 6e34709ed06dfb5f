/* Reads a function's manifest by its table, and says what is wrong with it. How it is printed:
 * manifest_print.c. */
#include "platform/manifest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "platform/manifest_table.h"
#include "platform/unit.h"

#define ARENA_MAX (8U << 20)
#define LIST_MAX 256     /* of one list */
#define THREADS_MAX 1024 /* of one call, beside the first */

/* clang-format off */
const struct plat_row plat_rows[] = {
#define FIELD(section_, owner, type_, field, key_, value_, doc_) \
    {.in = PLAT_SECTION_##section_, .type = PLAT_ROW_##type_, .at = offsetof(struct owner, field), .key = key_, .value = value_, .doc = doc_},
#define MAP(section_, owner, child_, field, key_, doc_) \
    {.in = PLAT_SECTION_##section_, .type = PLAT_ROW_MAP, .child = PLAT_SECTION_##child_, .at = offsetof(struct owner, field), .key = key_, .value = "", .doc = doc_},
#define LIST(section_, owner, child_, field, key_, doc_) \
    {.in = PLAT_SECTION_##section_, .type = PLAT_ROW_LIST, .child = PLAT_SECTION_##child_, .at = offsetof(struct owner, field), \
     .count_at = offsetof(struct owner, n##field), .key = key_, .value = "", .doc = doc_},
#define TOP(type, field, key, value, doc) FIELD(top, plat_manifest, type, field, key, value, doc)
#define TOP_MAP(child, field, key, doc) MAP(top, plat_manifest, child, field, key, doc)
#define TOP_LIST(child, field, key, doc) LIST(top, plat_manifest, child, field, key, doc)
#define ROUTE(type, field, key, value, doc) FIELD(route, plat_manifest_route, type, field, key, value, doc)
#define GRANT(type, field, key, value, doc) FIELD(grant, plat_manifest_grant, type, field, key, value, doc)
#define TRIGGER_LIST(child, field, key, doc) LIST(trigger, plat_manifest_trigger, child, field, key, doc)
#define CRON(type, field, key, value, doc) FIELD(cron, plat_manifest_cron, type, field, key, value, doc)
#define STATIC(type, field, key, value, doc) FIELD(static, plat_manifest_static, type, field, key, value, doc)
#define SMOKE(type, field, key, value, doc) FIELD(smoke, plat_manifest_smoke, type, field, key, value, doc)
#define SPLIT(type, field, key, value, doc) FIELD(split, plat_manifest_split, type, field, key, value, doc)
#include "platform/manifest.def"
#define LIMIT(field, name, unit, doc) FIELD(limit, plat_limits, unit, field, name, "0", doc)
#include "platform/limit.def"
#undef LIMIT
#undef LIST
#undef MAP
#undef FIELD
};
/* clang-format on */
const unsigned plat_nrows = SV_COUNT(plat_rows);

const struct plat_section_info plat_sections[PLAT_SECTION_COUNT] = {
    [PLAT_SECTION_top] = {sizeof(struct plat_manifest), PLAT_NOWHERE, PLAT_NOWHERE, false},
    [PLAT_SECTION_route] = {sizeof(struct plat_manifest_route), PLAT_NOWHERE,
                            offsetof(struct plat_manifest_route, line), true},
    [PLAT_SECTION_grant] = {sizeof(struct plat_manifest_grant), PLAT_NOWHERE, PLAT_NOWHERE, false},
    [PLAT_SECTION_limit] = {sizeof(struct plat_limits), PLAT_NOWHERE, PLAT_NOWHERE, false},
    [PLAT_SECTION_trigger] = {sizeof(struct plat_manifest_trigger), PLAT_NOWHERE, PLAT_NOWHERE,
                              false},
    [PLAT_SECTION_cron] = {sizeof(struct plat_manifest_cron), PLAT_NOWHERE,
                           offsetof(struct plat_manifest_cron, line), true},
    [PLAT_SECTION_static] = {sizeof(struct plat_manifest_static),
                             offsetof(struct plat_manifest_static, given), PLAT_NOWHERE, true},
    [PLAT_SECTION_smoke] = {sizeof(struct plat_manifest_smoke),
                            offsetof(struct plat_manifest_smoke, given), PLAT_NOWHERE, false},
    [PLAT_SECTION_split] = {sizeof(struct plat_manifest_split), PLAT_NOWHERE, PLAT_NOWHERE, true},
};

const char *const plat_methods[] = {"GET",   "HEAD",   "POST",    "PUT",
                                    "PATCH", "DELETE", "OPTIONS", NULL};

/* What reads: mistakes are collected, so that one look at the file corrects them all. */
struct reader {
    const char *file;
    struct sv_arena *arena;
    struct sv_buf problems;
    bool no_memory;
};

static void complain(struct reader *, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void complain(struct reader *r, unsigned line, const char *fmt, ...)
{
    va_list ap;
    size_t before = r->problems.len;

    sv_buf_printf(&r->problems, "%s%s:%u: ", before ? "\n" : "", r->file, line);
    va_start(ap, fmt);
    sv_buf_vprintf(&r->problems, fmt, ap);
    va_end(ap);
    if (r->problems.failed) /* what does not fit any more is left out whole */
        r->problems.len = before;
}

bool plat_name_valid(const char *name, size_t len)
{
    if (len == 0 || len > PLAT_NAME_MAX || name[0] == '-' || name[0] == '_')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-' && c != '_')
            return false;
    }
    return true;
}

/* A path that stays below the folder it starts in. */
static bool is_inside(const char *path)
{
    if (path[0] == '/')
        return false;
    while (*path) {
        size_t len = strcspn(path, "/");

        if (len == 2 && path[0] == '.' && path[1] == '.')
            return false;
        path += len + (path[len] == '/');
    }
    return true;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);

    for (const char *p = choices; len > 0 && *p;) {
        size_t n = strcspn(p, "|");

        if (n == len && memcmp(p, text, n) == 0)
            return true;
        p += n + (p[n] == '|');
    }
    return false;
}

static void read_scalar(struct reader *r, const struct plat_row *row, const struct plat_yaml *node,
                        void *at)
{
    static const enum plat_unit units[PLAT_ROW_COUNT_OF] = {[PLAT_ROW_COUNT] = PLAT_UNIT_COUNT,
                                                            [PLAT_ROW_BYTES] = PLAT_UNIT_BYTES,
                                                            [PLAT_ROW_MS] = PLAT_UNIT_MS};
    const char *text = node->text;

    switch (row->type) {
    case PLAT_ROW_NAME:
        if (!plat_name_valid(text, strlen(text)))
            complain(r, node->line,
                     "'%s' is no name: 1 to %d letters, digits, '-', '_', a letter or digit first",
                     row->key, PLAT_NAME_MAX);
        *(const char **)at = text;
        return;
    case PLAT_ROW_FILE:
        if (!is_inside(text))
            complain(r, node->line, "'%s': '%s' is outside this folder", row->key, text);
        *(const char **)at = text;
        return;
    case PLAT_ROW_CHOICE:
        if (!is_choice(row->value, text))
            complain(r, node->line, "'%s' is one of %s, not '%s'", row->key, row->value, text);
        *(const char **)at = text;
        return;
    case PLAT_ROW_SWITCH:
        if (!plat_yaml_switch(text, at))
            complain(r, node->line, "'%s' is on or off, not '%s'", row->key, text);
        return;
    case PLAT_ROW_COUNT:
    case PLAT_ROW_BYTES:
    case PLAT_ROW_MS:
        if (!plat_unit_read(text, units[row->type], at))
            complain(r, node->line, "'%s' is %s, not '%s'", row->key,
                     row->type == PLAT_ROW_MS      ? "a time such as 500ms, 10s, 2m"
                     : row->type == PLAT_ROW_BYTES ? "a size such as 64K, 16M, 1G"
                                                   : "a number",
                     text);
        return;
    default:
        *(const char **)at = text;
    }
}

/* A list of texts, one text, or for PAIRS a map of texts too. */
static void read_texts(struct reader *r, const struct plat_row *row, const struct plat_yaml *node,
                       struct plat_texts *ret)
{
    bool single = node->kind == PLAT_YAML_SCALAR, pairs = row->type == PLAT_ROW_PAIRS;
    uint32_t n = single ? 1 : node->n;
    const char **at;

    if (node->kind == PLAT_YAML_MAP && !pairs) {
        complain(r, node->line, "'%s' is a list of texts", row->key);
        return;
    }
    if (n > LIST_MAX) {
        complain(r, node->line, "'%s' has more than %d entries", row->key, LIST_MAX);
        return;
    }
    at = sv_arena_array_zero(r->arena, n + 1, sizeof *at);
    if (!at) {
        r->no_memory = true;
        return;
    }
    n = 0;
    for (const struct plat_yaml *v = single ? node : node->first; v; v = single ? NULL : v->next) {
        if (v->kind != PLAT_YAML_SCALAR) {
            complain(r, v->line, "an entry of '%s' is a text", row->key);
            continue;
        }
        at[n] = v->text;
        if (v->key && !single) {
            size_t size = strlen(v->key) + strlen(v->text) + 2;
            char *pair = sv_arena_alloc(r->arena, size);

            r->no_memory = r->no_memory || !pair;
            if (pair)
                snprintf(pair, size, "%s=%s", v->key, v->text);
            at[n] = pair ? pair : "";
        }
        if (pairs && (at[n][0] == '=' || !strchr(at[n], '=')))
            complain(r, v->line, "an entry of '%s' is NAME: VALUE, not '%s'", row->key, at[n]);
        n++;
    }
    *ret = (struct plat_texts){.n = n, .at = at};
}

static void read_section(struct reader *, const struct plat_yaml *, enum plat_section, char *base);

static void read_list(struct reader *r, const struct plat_row *row, const struct plat_yaml *node,
                      char *base)
{
    bool single = node->kind != PLAT_YAML_LIST; /* a list of one without its brackets */
    size_t size = plat_sections[row->child].size;
    uint32_t n = single ? 1 : node->n;
    char *at;

    if (n > LIST_MAX) {
        complain(r, node->line, "'%s' has more than %d entries", row->key, LIST_MAX);
        return;
    }
    at = sv_arena_array_zero(r->arena, n + 1, size);
    if (!at) {
        r->no_memory = true;
        return;
    }
    *(char **)(base + row->at) = at;
    *(uint32_t *)(base + row->count_at) = n;
    for (const struct plat_yaml *v = single ? node : node->first; v; v = single ? NULL : v->next) {
        read_section(r, v, row->child, at);
        at += size;
    }
}

static void read_value(struct reader *r, const struct plat_row *row, const struct plat_yaml *node,
                       char *base)
{
    if (plat_yaml_is_null(node))
        return; /* as if it were not there */
    if (row->type == PLAT_ROW_MAP) {
        read_section(r, node, row->child, base + row->at);
    } else if (row->type == PLAT_ROW_LIST) {
        read_list(r, row, node, base);
    } else if (row->type == PLAT_ROW_TEXTS || row->type == PLAT_ROW_PAIRS) {
        read_texts(r, row, node, (struct plat_texts *)(base + row->at));
    } else if (node->kind != PLAT_YAML_SCALAR) {
        complain(r, node->line, "'%s' is one value, not a %s", row->key,
                 node->kind == PLAT_YAML_LIST ? "list" : "map");
    } else {
        read_scalar(r, row, node, base + row->at);
    }
}

/* Every value as if the file were empty; of lists: none. */
static void set_defaults(struct reader *r, enum plat_section section, char *base)
{
    for (unsigned i = 0; i < plat_nrows; i++) {
        const struct plat_row *row = &plat_rows[i];
        struct plat_yaml value = {.kind = PLAT_YAML_SCALAR, .text = row->value ? row->value : ""};

        if (row->in != section)
            continue;
        switch (row->type) {
        case PLAT_ROW_MAP:
            set_defaults(r, row->child, base + row->at);
            break;
        case PLAT_ROW_LIST:
        case PLAT_ROW_TEXTS:
        case PLAT_ROW_PAIRS:
            break;
        case PLAT_ROW_SWITCH:
        case PLAT_ROW_COUNT:
        case PLAT_ROW_BYTES:
        case PLAT_ROW_MS:
            read_scalar(r, row, &value, base + row->at);
            break;
        case PLAT_ROW_CHOICE:
            value.text = sv_arena_strndup(r->arena, value.text, strcspn(value.text, "|"));
            r->no_memory = r->no_memory || !value.text;
            *(const char **)(base + row->at) = value.text;
            break;
        default:
            *(const char **)(base + row->at) = value.text;
        }
    }
}

static void unknown_key(struct reader *r, enum plat_section section, const struct plat_yaml *node)
{
    char known[512];
    size_t len = 0;

    for (unsigned i = 0; i < plat_nrows; i++) {
        if (plat_rows[i].in == section && len < sizeof known)
            len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", len ? ", " : "",
                                    plat_rows[i].key);
    }
    complain(r, node->key_line, "unknown key '%s'; known here: %s", node->key, known);
}

static const struct plat_row *find_row(enum plat_section section, const char *key)
{
    for (unsigned i = 0; i < plat_nrows; i++) {
        if (plat_rows[i].in == section && (!key || strcmp(plat_rows[i].key, key) == 0))
            return &plat_rows[i];
    }
    return NULL;
}

static void read_section(struct reader *r, const struct plat_yaml *node, enum plat_section section,
                         char *base)
{
    const struct plat_row *row;

    set_defaults(r, section, base);
    if (plat_sections[section].given_at != PLAT_NOWHERE)
        *(bool *)(base + plat_sections[section].given_at) = true;
    if (plat_sections[section].line_at != PLAT_NOWHERE)
        *(unsigned *)(base + plat_sections[section].line_at) = node->line;
    if (node->kind == PLAT_YAML_SCALAR && plat_sections[section].brief) {
        read_value(r, find_row(section, NULL), node, base);
    } else if (node->kind != PLAT_YAML_MAP && !plat_yaml_is_null(node)) {
        complain(r, node->line, "here 'key: value' is expected");
        return;
    }
    for (const struct plat_yaml *value = node->first; value; value = value->next) {
        row = find_row(section, value->key);
        if (row)
            read_value(r, row, value, base);
        else
            unknown_key(r, section, value);
    }
    for (unsigned i = 0; i < plat_nrows; i++) {
        const struct plat_yaml *value;

        row = &plat_rows[i];
        if (row->in != section || row->value || **(const char **)(base + row->at))
            continue;
        value = plat_yaml_find(node, row->key);
        if (!value || plat_yaml_is_null(value) ||
            row->type != PLAT_ROW_NAME) /* that has complained */
            complain(r, node->line, "'%s' is missing: %s", row->key, row->doc);
    }
}

/* ---- What the table cannot say ---- */

static bool is_route_path(const char *path)
{
    if (path[0] != '/' || strlen(path) > 1024)
        return false;
    for (const char *p = path; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '?' || *p == '#' || *p == '%' ||
            *p == '\\' || (p[0] == '/' && p[1] == '/'))
            return false;
    }
    return is_inside(path + 1);
}

/* HOST, *.HOST; and where requests are made, "*", with :PORT, and a network: ADDRESS/BITS. */
static bool is_host(const char *host, bool port)
{
    size_t len = strlen(host), digits = 0;
    const char *p = strncmp(host, "*.", 2) == 0 ? host + 2 : host;

    if (len > 255 || !*p)
        return false;
    if (*p == '[') { /* an IPv6 address */
        p += strspn(p + 1, "0123456789abcdefABCDEF:.") + 1;
        if (*p++ != ']')
            return false;
    } else if (port && p == host && *p == '*' && (!p[1] || p[1] == ':')) {
        p++;
    } else {
        p += strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.");
    }
    if ((*p == ':' || *p == '/') && port) {
        digits = strspn(p + 1, "0123456789");
        p += digits + 1;
        return digits > 0 && digits < 6 && !*p;
    }
    return !*p;
}

static unsigned method_of(const char *text)
{
    unsigned i = 0;

    while (plat_methods[i] && strcmp(plat_methods[i], text) != 0)
        i++;
    return i;
}

static void check_routes(struct reader *r, const struct plat_manifest *m)
{
    for (uint32_t i = 0; i < m->nroutes; i++) {
        const struct plat_manifest_route *route = &m->routes[i];

        if (*route->path && !is_route_path(route->path))
            complain(r, route->line,
                     "'path' begins with '/', and has no '//', '..', '?', '#', '%%', blanks: '%s'",
                     route->path);
        if (*route->host && !is_host(route->host, false))
            complain(r, route->line, "'host' is a name such as example.org or *.example.org: '%s'",
                     route->host);
        for (uint32_t k = 0; k < route->methods.n; k++) {
            if (!plat_methods[method_of(route->methods.at[k])])
                complain(r, route->line,
                         "'methods' are GET, HEAD, POST, PUT, PATCH, DELETE, "
                         "OPTIONS: '%s' is none",
                         route->methods.at[k]);
        }
    }
}

static void check_sticky(struct reader *r, const char *sticky, unsigned line)
{
    const char *name = strchr(sticky, ':');

    if (strcmp(sticky, "none") == 0 || strcmp(sticky, "peer") == 0)
        return;
    if (name && plat_name_valid(name + 1, strlen(name + 1)) &&
        (strncmp(sticky, "header:", 7) == 0 || strncmp(sticky, "cookie:", 7) == 0))
        return;
    complain(r, line, "'sticky' is none, peer, header:NAME or cookie:NAME, not '%s'", sticky);
}

static unsigned line_of(const struct plat_yaml *root, const char *key)
{
    const struct plat_yaml *value = plat_yaml_find(root, key);

    return value ? value->line : root->line;
}

/* HOST:PORT, as far as it can be told here. */
static void check_places(struct reader *r, const struct plat_yaml *root, const char *grant,
                         const struct plat_texts *places)
{
    for (uint32_t i = 0; i < places->n; i++) {
        const char *colon = strrchr(places->at[i], ':');

        if (!colon || colon == places->at[i] ||
            (strcmp(colon, ":*") != 0 &&
             (!colon[1] || colon[1 + strspn(colon + 1, "0123456789")] != '\0')))
            complain(r, line_of(root, "grants"), "'%s' takes HOST:PORT or HOST:*, not '%s'", grant,
                     places->at[i]);
    }
}

static void check_whole(struct reader *r, const struct plat_manifest *m,
                        const struct plat_yaml *root)
{
    const struct plat_texts *hosts = &m->grants.allow_http;

    if (!*m->module && !m->site.given)
        complain(r, root->line,
                 "neither 'module' nor 'static' is given: there is nothing to serve");
    if (!*m->module && m->nroutes > 0)
        complain(r, line_of(root, "routes"), "'routes' need a 'module' that serves them");
    if (m->site.given && !is_route_path(m->site.path))
        complain(r, line_of(root, "static"), "'path' begins with '/': '%s'", m->site.path);
    check_routes(r, m);
    for (uint32_t i = 0; i < hosts->n; i++) {
        if (!is_host(hosts->at[i], true))
            complain(r, line_of(root, "grants"),
                     "'allow-http' takes HOST, HOST:PORT, *.DOMAIN, ADDRESS/BITS or *, not '%s'",
                     hosts->at[i]);
    }
    check_places(r, root, "allow-connect", &m->grants.allow_connect);
    check_places(r, root, "allow-listen", &m->grants.allow_listen);
    if (m->grants.threads > THREADS_MAX)
        complain(r, line_of(root, "grants"), "'threads' is at most %d", THREADS_MAX);
    for (uint32_t i = 0; i < m->grants.secret.n; i++) {
        if (!plat_name_valid(m->grants.secret.at[i], strlen(m->grants.secret.at[i])))
            complain(r, line_of(root, "grants"), "'secret' takes names, '%s' is none",
                     m->grants.secret.at[i]);
    }
    for (uint32_t i = 0; i < m->triggers.ncron; i++) {
        const struct plat_manifest_cron *cron = &m->triggers.cron[i];
        unsigned fields = 0;

        for (const char *p = cron->schedule; *p; p += strspn(p, " \t")) {
            p += strcspn(p, " \t");
            fields++;
        }
        if (*cron->schedule && fields != 5 && cron->schedule[0] != '@' &&
            strncmp(cron->schedule, "every ", 6) != 0)
            complain(r, cron->line,
                     "'schedule' has five fields (minute hour day month weekday), not %u: '%s'",
                     fields, cron->schedule);
    }
    if (*m->smoke.path && !is_route_path(m->smoke.path))
        complain(r, line_of(root, "smoke"), "'path' begins with '/': '%s'", m->smoke.path);
    if (m->smoke.status < 100 || m->smoke.status > 599)
        complain(r, line_of(root, "smoke"), "'status' is an HTTP status, 100 to 599");
    check_sticky(r, m->split.sticky, line_of(root, "split"));
}

int plat_manifest_read(struct sv_err *err, const char *file, const char *text, size_t len,
                       struct plat_manifest *ret)
{
    struct reader r = {.file = file, .arena = &ret->arena};
    struct plat_yaml *root;
    int status;

    memset(ret, 0, sizeof *ret);
    sv_arena_init(&ret->arena, ARENA_MAX);
    sv_buf_init(&r.problems, SV_ERR_TEXT_MAX - 1);
    status = plat_yaml_read(err, file, text, len, &ret->arena, &root);
    if (status < 0)
        return status;
    read_section(&r, root, PLAT_SECTION_top, (char *)ret);
    if (!r.no_memory)
        check_whole(&r, ret, root);
    if (r.no_memory)
        status = sv_fail_nomem(err, file);
    else if (r.problems.len > 0)
        status = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "%s", sv_buf_cstr(&r.problems));
    sv_buf_release(&r.problems);
    return status;
}

void plat_manifest_release(struct plat_manifest *m)
{
    sv_arena_release(&m->arena);
}

/* "KEY NUMBER"; of 0 there is none. */
static bool each_count(const char *key, uint64_t n, bool (*each)(void *data, const char *line),
                       void *data)
{
    char line[64];

    snprintf(line, sizeof line, "%s %llu", key, (unsigned long long)n);
    return n == 0 || each(data, line);
}

static bool each_text(const struct plat_row *row, const struct plat_texts *texts,
                      bool (*each)(void *data, const char *line), void *data)
{
    struct sv_buf line;
    bool ok = true;

    sv_buf_init(&line, PLAT_YAML_BYTES_MAX);
    for (uint32_t i = 0; i < texts->n && ok; i++) {
        sv_buf_clear(&line);
        sv_buf_printf(&line, "%s %s", row->key, texts->at[i]);
        ok = !line.failed && each(data, sv_buf_cstr(&line));
    }
    sv_buf_release(&line);
    return ok;
}

bool plat_manifest_grants(const struct plat_manifest *m, bool (*each)(void *data, const char *line),
                          void *data)
{
    const char *base = (const char *)&m->grants;

    for (unsigned i = 0; i < plat_nrows; i++) {
        const struct plat_row *row = &plat_rows[i];

        if (row->in != PLAT_SECTION_grant)
            continue;
        if (row->type == PLAT_ROW_SWITCH) {
            if (*(const bool *)(base + row->at) && !each(data, row->key))
                return false;
        } else if (row->type == PLAT_ROW_COUNT) {
            if (!each_count(row->key, *(const uint64_t *)(base + row->at), each, data))
                return false;
        } else if (!each_text(row, (const struct plat_texts *)(base + row->at), each, data)) {
            return false;
        }
    }
    return true;
}

uint32_t plat_manifest_methods(const struct plat_manifest_route *route)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < route->methods.n; i++)
        bits |= 1U << method_of(route->methods.at[i]);
    return bits;
}
