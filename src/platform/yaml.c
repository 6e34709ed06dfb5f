/* Reads YAML by libyaml's events into a tree. Knows no file of ours. */
#include "platform/yaml.h"

#include <string.h>
#include <yaml.h>

/* What is being read. */
struct reader {
    yaml_parser_t parser;
    const char *file;
    struct sv_arena *arena;
    struct sv_err *err;
    unsigned nodes;
    struct plat_yaml *open[PLAT_YAML_DEPTH_MAX];  /* lists and maps that have not ended */
    struct plat_yaml **last[PLAT_YAML_DEPTH_MAX]; /* where the next value of each is linked */
    const char *key[PLAT_YAML_DEPTH_MAX];         /* of a map: read, its value is next */
    unsigned key_line[PLAT_YAML_DEPTH_MAX];
    unsigned depth;
    struct plat_yaml *root;
};

static int refuse(struct reader *r, const yaml_mark_t *mark, const char *why)
{
    return sv_fail(r->err, SV_EUSAGE, SV_NO_OFFSET, "%s:%zu: %s", r->file, mark->line + 1, why);
}

static int parse_failed(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;

    if (p->error == YAML_MEMORY_ERROR)
        return sv_fail_nomem(r->err, r->file);
    if (p->error == YAML_READER_ERROR)
        return sv_fail(r->err, SV_EUSAGE, SV_NO_OFFSET, "%s: not a text: %s at byte %zu", r->file,
                       p->problem, p->problem_offset);
    return sv_fail(r->err, SV_EUSAGE, SV_NO_OFFSET, "%s:%zu:%zu: not YAML: %s%s%s", r->file,
                   p->problem_mark.line + 1, p->problem_mark.column + 1,
                   p->context ? p->context : "", p->context ? ": " : "",
                   p->problem ? p->problem : "?");
}

static int take_key(struct reader *r, const yaml_event_t *event, const char *text)
{
    unsigned at = r->depth - 1;

    for (const struct plat_yaml *value = r->open[at]->first; value; value = value->next) {
        if (strcmp(value->key, text) == 0)
            return sv_fail(r->err, SV_EUSAGE, SV_NO_OFFSET,
                           "%s:%zu: '%s' is there already, in line %u", r->file,
                           event->start_mark.line + 1, text, value->key_line);
    }
    r->key[at] = text;
    r->key_line[at] = (unsigned)event->start_mark.line + 1;
    return 0;
}

/* Link a value into what is open. */
static int add(struct reader *r, const yaml_event_t *event, struct plat_yaml *node)
{
    struct plat_yaml *parent;
    unsigned at;

    node->line = (unsigned)event->start_mark.line + 1;
    node->column = (unsigned)event->start_mark.column + 1;
    if (r->depth == 0) {
        r->root = node;
        return 0;
    }
    at = r->depth - 1;
    parent = r->open[at];
    if (parent->kind == PLAT_YAML_MAP) {
        if (!r->key[at])
            return refuse(r, &event->start_mark, "a key is a text, not a list or a map");
        if (parent->n == PLAT_YAML_KEYS_MAX)
            return refuse(r, &event->start_mark, "too many keys");
        node->key = r->key[at];
        node->key_line = r->key_line[at];
        r->key[at] = NULL;
    }
    *r->last[at] = node;
    r->last[at] = &node->next;
    parent->n++;
    return 0;
}

static int take_scalar(struct reader *r, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    struct plat_yaml *node;
    char *text;

    if (event->data.scalar.anchor)
        return refuse(r, &event->start_mark, "anchors (&name) are not used here");
    if (event->data.scalar.tag)
        return refuse(r, &event->start_mark, "tags (!name) are not used here");
    if (memchr(value, '\0', len))
        return refuse(r, &event->start_mark, "a text with a NUL character");
    text = sv_arena_strndup(r->arena, value, len);
    if (!text)
        return sv_fail_nomem(r->err, r->file);
    if (r->depth > 0 && r->open[r->depth - 1]->kind == PLAT_YAML_MAP && !r->key[r->depth - 1])
        return take_key(r, event, text);
    node = sv_arena_zero(r->arena, sizeof *node);
    if (!node)
        return sv_fail_nomem(r->err, r->file);
    node->kind = PLAT_YAML_SCALAR;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = text;
    return add(r, event, node);
}

static int take_start(struct reader *r, const yaml_event_t *event, enum plat_yaml_kind kind,
                      const yaml_char_t *anchor, const yaml_char_t *tag)
{
    struct plat_yaml *node;
    int status;

    if (anchor)
        return refuse(r, &event->start_mark, "anchors (&name) are not used here");
    if (tag)
        return refuse(r, &event->start_mark, "tags (!name) are not used here");
    if (r->depth == PLAT_YAML_DEPTH_MAX)
        return refuse(r, &event->start_mark, "nested too deeply");
    node = sv_arena_zero(r->arena, sizeof *node);
    if (!node)
        return sv_fail_nomem(r->err, r->file);
    node->kind = kind;
    status = add(r, event, node);
    if (status < 0)
        return status;
    r->open[r->depth] = node;
    r->last[r->depth] = &node->first;
    r->key[r->depth] = NULL;
    r->depth++;
    return 0;
}

static int take(struct reader *r, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return r->root ? refuse(r, &event->start_mark, "more than one document") : 0;
    case YAML_ALIAS_EVENT:
        return refuse(r, &event->start_mark, "aliases (*name) are not used here");
    case YAML_SCALAR_EVENT:
        return take_scalar(r, event);
    case YAML_SEQUENCE_START_EVENT:
        return take_start(r, event, PLAT_YAML_LIST, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return take_start(r, event, PLAT_YAML_MAP, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        return 0;
    default:
        return 0;
    }
}

static int read_events(struct reader *r)
{
    yaml_event_t event;
    bool end = false;
    int status = 0;

    while (!end && status == 0) {
        if (!yaml_parser_parse(&r->parser, &event))
            return parse_failed(r);
        end = event.type == YAML_STREAM_END_EVENT;
        status = ++r->nodes > PLAT_YAML_NODES_MAX
                     ? refuse(r, &event.start_mark, "too many keys and values")
                     : take(r, &event);
        yaml_event_delete(&event);
    }
    return status;
}

int plat_yaml_read(struct sv_err *err, const char *file, const char *text, size_t len,
                   struct sv_arena *arena, struct plat_yaml **ret)
{
    struct reader r = {.file = file, .arena = arena, .err = err};
    int status;

    if (len > PLAT_YAML_BYTES_MAX)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "%s: larger than %u bytes", file,
                       PLAT_YAML_BYTES_MAX);
    if (!yaml_parser_initialize(&r.parser))
        return sv_fail_nomem(err, file);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    status = read_events(&r);
    yaml_parser_delete(&r.parser);
    if (status < 0)
        return status;
    if (!r.root || plat_yaml_is_null(r.root)) {
        r.root = sv_arena_zero(arena, sizeof *r.root);
        if (!r.root)
            return sv_fail_nomem(err, file);
        *r.root = (struct plat_yaml){.kind = PLAT_YAML_MAP, .line = 1, .column = 1};
    }
    *ret = r.root;
    return 0;
}
