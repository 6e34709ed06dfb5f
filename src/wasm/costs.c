/* Tables of costs: lines "INSTRUCTION COST" and "import MODULE.NAME COST"; # begins a comment. */
#include "wasm/costs.h"

#include <string.h>

#define COST_MAX 255 /* a block's sum, of at most limits.h's bytes, stays below 2^32 */
#define IMPORT_COST_MAX 1000000000
#define LINES_MAX 4096 /* each is looked for among all instructions, or all imports of a module */

struct table {
    struct sv_err *err;
    struct sv_module *m;
    unsigned line;
};

static int fail(const struct table *t, const char *what, struct sv_str word)
{
    return sv_fail(t->err, SV_EINVALID, SV_NO_OFFSET, "table of costs, line %u: %s '%.*s'", t->line,
                   what, (int)(word.len < 80 ? word.len : 80), word.ptr);
}

static int read_cost(const struct table *t, struct sv_str word, uint32_t max, uint32_t *ret)
{
    uint64_t n = 0;

    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] < '0' || word.ptr[i] > '9' || n > max)
            return fail(t, "no cost in this range:", word);
        n = 10 * n + (uint64_t)(word.ptr[i] - '0');
    }
    if (word.len == 0 || n > max)
        return fail(t, "no cost in this range:", word);
    *ret = (uint32_t)n;
    return 0;
}

/* Two instructions may have one name. */
static int set_instruction(const struct table *t, struct sv_str name, struct sv_str word)
{
    bool found = false;
    uint32_t cost;

    if (read_cost(t, word, COST_MAX, &cost) < 0)
        return t->err->code;
    for (unsigned op = 0; op < OP_COUNT; op++) {
        if (!sv_str_eq(name, sv_str_of(sv_op_info[op].text)))
            continue;
        if (sv_op_info[op].cost == 0 && cost > 0)
            return fail(t, "it is not executed, and costs nothing:", name);
        t->m->costs[op] = (uint8_t)cost;
        found = true;
    }
    return found ? 0 : fail(t, "there is no instruction", name);
}

static int set_import(const struct table *t, struct sv_str name, struct sv_str word)
{
    struct sv_module *m = t->m;
    uint32_t cost;

    if (read_cost(t, word, IMPORT_COST_MAX, &cost) < 0)
        return t->err->code;
    if (!memchr(name.ptr, '.', name.len))
        return fail(t, "imports are MODULE.NAME, not", name);
    for (uint32_t i = 0; i < m->nimports; i++) {
        const struct sv_import *import = &m->imports[i];
        size_t dot = import->module.len;

        if (import->kind == SV_EXTERN_FUNC && name.len == dot + 1 + import->name.len &&
            name.ptr[dot] == '.' && memcmp(name.ptr, import->module.ptr, dot) == 0 &&
            memcmp(name.ptr + dot + 1, import->name.ptr, import->name.len) == 0)
            m->import_costs[import->index] = cost;
    }
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Without blanks round it. */
static struct sv_str trim(struct sv_str s)
{
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    for (; s.len > 0 && is_space(*s.ptr); s.len--)
        s.ptr++;
    return s;
}

/* The last word is the cost; names of instructions may have blanks in them. */
static int read_line(const struct table *t, struct sv_str line)
{
    static const char import[] = "import";
    const char *comment = memchr(line.ptr, '#', line.len);
    struct sv_str name, cost;

    if (comment)
        line.len = (size_t)(comment - line.ptr);
    name = line = trim(line);
    if (line.len == 0)
        return 0;
    while (name.len > 0 && !is_space(name.ptr[name.len - 1]))
        name.len--;
    cost = (struct sv_str){name.ptr + name.len, line.len - name.len};
    name = trim(name);
    if (name.len == 0)
        return fail(t, "not 'INSTRUCTION COST' or 'import MODULE.NAME COST':", line);
    if (name.len >= sizeof import && memcmp(name.ptr, import, sizeof import - 1) == 0 &&
        is_space(name.ptr[sizeof import - 1]))
        return set_import(
            t, trim((struct sv_str){name.ptr + sizeof import, name.len - sizeof import}), cost);
    return set_instruction(t, name, cost);
}

static bool make(struct sv_module *m)
{
    uint32_t nfuncs = m->nimports_of[SV_EXTERN_FUNC];

    m->costs = sv_arena_array_zero(&m->arena, OP_COUNT, 1);
    m->import_costs = sv_arena_array_zero(&m->arena, nfuncs + 1, sizeof *m->import_costs);
    if (!m->costs || !m->import_costs)
        return false;
    for (unsigned op = 0; op < OP_COUNT; op++)
        m->costs[op] = sv_op_info[op].cost;
    memset(m->import_costs, 0xff, nfuncs * sizeof *m->import_costs);
    return true;
}

int sv_costs_read(struct sv_err *err, struct sv_module *m)
{
    struct table t = {.err = err, .m = m};
    const struct sv_custom *section = NULL;
    const char *p, *end;
    int r = 0;

    for (uint32_t i = 0; i < m->ncustoms; i++) {
        if (sv_str_eq(m->customs[i].name, sv_str_of(SV_COSTS_SECTION)))
            section = &m->customs[i];
    }
    if (!section)
        return 0;
    if (!make(m))
        return sv_fail_nomem(err, "a table of costs");
    p = (const char *)m->bytes + section->offset;
    for (end = p + section->len; p < end && r == 0;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        struct sv_str line = {p, (size_t)((newline ? newline : end) - p)};

        r = ++t.line > LINES_MAX ? fail(&t, "one more than there may be:", line)
                                 : read_line(&t, line);
        p = newline ? newline + 1 : end;
    }
    return r;
}
